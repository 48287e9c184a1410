"""The command line: one module per verb."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

import llmgym
from llmgym.cli import check, export, info, models, play, rollout, schema, summary
from llmgym.cli import list as list_
from llmgym.errors import ConfigError, LLMGymError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"llmgym {llmgym.__version__}")
        raise typer.Exit


@app.callback()
def options(
    registry: Annotated[
        Path | None, typer.Option(help="Also register the environments of this registry file.", metavar="FILE")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Tool-using tasks for language models as Gymnasium environments, and exact rollouts of them.

    Start with `llmgym list`, look at one with `llmgym info ID`, play it with `llmgym play ID`, and collect
    episodes of it with `llmgym rollout --env ID`.
    """
    if registry is not None:
        llmgym.register_envs(registry)


app.command("list")(list_.run)
app.command("info")(info.run)
app.command("check")(check.run)
app.command("play")(play.run)
app.command("rollout")(rollout.run)
app.command("summary")(summary.run)
app.command("schema")(schema.run)
app.add_typer(models.app, name="models")
app.add_typer(export.app, name="export")


def main() -> None:
    """Run the command line; an error that llmgym raises on purpose is one line, not a traceback."""
    sys.path.insert(0, os.getcwd())  # for `script:module.function` and entry points in a `--registry FILE`
    try:
        app()
    except LLMGymError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `llmgym list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
