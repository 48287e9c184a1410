"""`llmgym rollout`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from llmgym.cli.output import print_json
from llmgym.cli.scores import print_summary
from llmgym.errors import ConfigError

if TYPE_CHECKING:
    from llmgym.rollout import Collector


def run(
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Environment id, such as llmgym/Calculator-v0; may be given again."),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="POLICY",
            help="smollm2 (the default), transformers:MODEL, http://HOST:PORT[,http://...], openai:MODEL, "
            "script:module.function, human.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YAML file of settings."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run folder, to start or to resume; without it nothing is kept."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of the tasks (train).")] = None,
    seed: Annotated[int | None, typer.Option(help="Picks the tasks and seeds the environments (0).")] = None,
    num_tasks: Annotated[int | None, typer.Option(help="Tasks of each environment (a whole finite split).")] = None,
    num_repeats: Annotated[int | None, typer.Option(help="Episodes of each task: a group (1).")] = None,
    num_samples_in_parallel: Annotated[
        str | None,
        typer.Option(metavar="INTEGER|auto", help="Episodes that run at once (64); auto goes by the engine's load."),
    ] = None,
    max_turns: Annotated[int | None, typer.Option(help="Assistant messages per episode (the environment's).")] = None,
    temperature: Annotated[float | None, typer.Option(help="Softmax temperature; 0 is greedy (1.0).")] = None,
    top_p: Annotated[float | None, typer.Option(help="Nucleus mass (1.0).")] = None,
    max_output_tokens: Annotated[int | None, typer.Option(help="Most tokens of one reply (256).")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting; the value is YAML. May be given again."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Collect scored episodes into a run folder.

    The same command again resumes the run: each episode is in it exactly once, whatever happened. More
    tasks or repeats extend it. Ctrl-C stops and keeps what has finished; a second one stops at once.
    Defaults are in parentheses; flags go over `--set`, and both over `--config`.
    """
    from llmgym.rollout import Collector, load_config, parse_config

    settings: dict[str, Any] = load_config(config) if config else {}
    flags = {
        "env_ids": env, "policy": policy, "split": split, "seed": seed, "num_tasks": num_tasks,
        "num_repeats": num_repeats, "num_samples_in_parallel": _parallel(num_samples_in_parallel),
        "max_turns": max_turns,
    }  # fmt: skip
    sampling = {"temperature": temperature, "top_p": top_p, "max_output_tokens": max_output_tokens}
    settings |= dict(map(setting, set_ or ())) | {name: value for name, value in flags.items() if value is not None}
    given = {name: value for name, value in sampling.items() if value is not None}
    params = settings.get("responses_create_params") or {}
    if given and isinstance(params, dict):  # `parse_config` says what is wrong where it is something else
        settings["responses_create_params"] = params | given
    checked = parse_config(settings, str(config) if config else "flags").check()
    collector = Collector.from_config(checked, output)
    summary = _collect(collector, output)
    if json:
        print_json(summary)
    else:
        print_summary(summary, collector.progress.last_error, output)
    if summary["failed"] and not summary["finished"]:
        sys.exit(1)


def _parallel(text: str | None) -> int | str | None:
    if text is None or text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"--num-samples-in-parallel takes a whole number or auto, not {text!r}") from None


def setting(text: str) -> tuple[str, Any]:
    """Read NAME=VALUE, where the value is YAML.

    Raises:
        ConfigError: It is something else.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set takes NAME=VALUE, not {text!r}")
    try:
        return name, yaml.safe_load(value)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"--set {name}: not YAML: {error}") from None


def _collect(collector: Collector, output: Path | None) -> dict[str, Any]:
    """Run the collector; Ctrl-C ends it in order, a second one at once."""
    from llmgym.rollout.progress import show_progress

    async def collect() -> dict[str, Any]:
        running = asyncio.current_task()
        assert running is not None
        with _interruptible(running):
            async with show_progress(lambda: collector.progress):
                return await collector.collect()

    try:
        return asyncio.run(collect())
    except (asyncio.CancelledError, KeyboardInterrupt):
        kept = f"; the same command goes on with {output}" if output else ""
        print(f"stopped with {collector.progress.finished} episodes finished{kept}", file=sys.stderr)
        sys.exit(130)


@contextmanager
def _interruptible(running: asyncio.Task[Any]) -> Generator[None]:
    """Let Ctrl-C cancel a task, and a second one end the process, even where the event loop is blocked."""
    loop = asyncio.get_running_loop()

    def stop(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
        os.write(2, b"\nstopping; Ctrl-C again stops at once\n")  # a handler must not print: streams have locks
        loop.call_soon_threadsafe(running.cancel)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
