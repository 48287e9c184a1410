"""`llmgym export`: files that other programs are configured with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from llmgym.cli.settings import assign
from llmgym.cli.verb import verb

app = typer.Typer(no_args_is_help=True, help="Write the files that trainers are configured with.")

_OUTPUT = typer.Option(metavar="FILE", help="Where to write it; without it, to standard output.")


@app.callback()
def options() -> None:
    """Write the files that trainers are configured with."""


def verl_config(
    output: Annotated[Path | None, _OUTPUT] = None,
    max_turns: Annotated[
        int | None, typer.Option(metavar="N", help="Assistant messages per episode (the environment's).")
    ] = None,
    max_output_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="Most tokens of one reply (what the episode has left).")
    ] = None,
    drop_failed: Annotated[
        bool,
        typer.Option(
            "--drop-failed", help="Leave failed and unscored episodes out; only with verl's trainer.use_v1=true."
        ),
    ] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting; the value is YAML. May be given again."),
    ] = None,
) -> None:
    """Write the agent loop's YAML for verl.

    Its path goes to actor_rollout_ref.rollout.agent.agent_loop_config_path. Limits on tokens, temperature and the size
    of groups are set in verl's own configuration.
    """
    from llmgym.trainers.verl import agent_loop_config

    settings: dict[str, Any] = {}
    for text in set_ or ():
        assign(settings, text)
    if max_turns is not None:
        settings["max_turns"] = max_turns
    _write(agent_loop_config(max_output_tokens=max_output_tokens, drop_failed=drop_failed, **settings), output)


def verl_data(
    env: Annotated[
        list[str],
        typer.Option(metavar="ID", help="Environment id, such as llmgym/Calculator-v0; may be given again."),
    ],
    output: Annotated[Path, typer.Option(metavar="FILE", help="Parquet file to write.")],
    num_tasks: Annotated[
        int | None, typer.Option(metavar="N", help="Tasks of each environment (a whole finite split).")
    ] = None,
    split: Annotated[str, typer.Option(metavar="NAME", help="Split of the tasks.")] = "train",
    seed: Annotated[int, typer.Option(metavar="N", help="Picks the tasks and seeds the environments.")] = 0,
    agent: Annotated[
        str, typer.Option(metavar="NAME", help="Agent loop that runs them: llmgym, or single_turn_agent, tool_agent.")
    ] = "llmgym",
) -> None:
    """Write a dataset for verl, a row for each task.

    Its path goes to data.train_files or data.val_files.
    """
    from llmgym.trainers.verl import write_parquet

    rows = write_parquet(output, env, agent=agent, split=split, seed=seed, num_tasks=num_tasks)
    print(f"{rows} tasks in {output}", file=sys.stderr)


def verl_tools(
    env: Annotated[str, typer.Option(metavar="ID", help="Environment id, such as llmgym/Calculator-v0.")],
    output: Annotated[Path | None, _OUTPUT] = None,
) -> None:
    """Write an environment's tools for verl's own loop.

    That is tool_agent. The path goes to actor_rollout_ref.rollout.multi_turn.tool_config_path. The llmgym agent loop
    needs none.
    """
    from llmgym.trainers.verl import tool_config

    _write(tool_config(env), output)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    from llmgym.data.output import replacing

    with replacing(output, force=True) as file:
        file.write_text(text, encoding="utf-8")


app.command("verl-config")(verb(verl_config, user_code=True, writes=True))
app.command("verl-data")(verb(verl_data, user_code=True, writes=True))
app.command("verl-tools")(verb(verl_tools, user_code=True, writes=True))
