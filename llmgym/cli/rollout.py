"""`llmgym rollout`."""

from __future__ import annotations

import asyncio
import math
import os
import re
import signal
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmgym.cli.ending import run_to_end
from llmgym.cli.output import print_json
from llmgym.cli.scores import print_summary
from llmgym.cli.verb import NOTHING, SOME_FAILED, code_of, fail
from llmgym.errors import ConfigError, LLMGymError, StoreError

if TYPE_CHECKING:
    from llmgym.rollout import Collector, RolloutConfig

# A number alone is seconds, and none behind a unit: 1h30 may be meant in minutes.
_TIME = re.compile(r"(?=.)(?:{0}h)?(?:{0}m)?(?:{0}s)?|{0}".format(r"(\d+(?:\.\d+)?)"))
ENDLESS_TASKS = 32  # of an environment that makes them without end, where nobody says how many

EXAMPLES = """
\b
Policies:
  smollm2                  a small model, on this machine (the default)
  transformers:MODEL       a folder or a Hub id, on this machine
  vllm:MODEL               the same, on vLLM in this process
  http://HOST:PORT,...     servers of `vllm serve`
  openai:MODEL             any OpenAI-compatible chat endpoint
  script:module.function   a Python function of the messages and the tools
  oracle                   each environment's own solution
  random                   random calls of the tools
  human                    you, at this terminal
\b
Players, in games of several agents:
  train                    the run's policy, to be trained on
  frozen                   the same, not to be trained on
  frozen:POLICY            another policy
  script                   the game's own player
\b
Examples:
  llmgym rollout --env llmgym/Calculator-mental-v0 --policy oracle
  llmgym rollout --env llmgym/Calculator-v0 --policy vllm:Qwen/Qwen3-0.6B \\
      --num-tasks 100 --num-repeats 4 --output runs/first
  llmgym rollout --env llmgym/Leduc-v0 --num-tasks 16 --policy random \\
      --seat player_0=train --seat player_1=script
  llmgym rollout --config run.yaml --output runs/first \\
      --set responses_create_params.temperature=0.5
"""


Env = Annotated[
    list[str] | None,
    typer.Option(metavar="ID", help="Environment id, such as llmgym/Calculator-v0; may be given again."),
]
Policy = Annotated[
    str | None,
    typer.Option(metavar="POLICY", help="What answers, such as smollm2 (the default), vllm:MODEL, oracle; see below."),
]
Agents = Annotated[
    list[str] | None,
    typer.Option(
        "--seat",
        metavar="AGENT=PLAYER",
        help="Who plays an agent of a game, or all of a role; again for more, and for a pool; see below.",
    ),
]
Program = Annotated[
    str | None,
    typer.Option(
        "--agent", metavar="COMMAND", help="A program that plays each episode, and asks the policy through a gateway."
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="YAML file of settings."),
]
Output = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Run folder, to start or to resume; without it nothing is kept."),
]
Split = Annotated[str | None, typer.Option(metavar="NAME", help="Split of the tasks (train).")]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Picks the tasks and seeds the environments (0).")]
NumTasks = Annotated[
    int | None,
    typer.Option(
        metavar="N", help=f"Tasks of each environment (a whole split; {ENDLESS_TASKS} where tasks have no end)."
    ),
]
NumRepeats = Annotated[int | None, typer.Option(metavar="N", help="Episodes of each task: a group (1).")]
Parallel = Annotated[
    str | None,
    typer.Option(metavar="N|auto", help="Episodes that run at once (64); auto goes by the engine's load."),
]
TimeBudget = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Start no episode that would probably not end within it: seconds, or 90m, 2h, 1h30m (no end). "
        "The same command goes on with the rest.",
    ),
]
MaxTurns = Annotated[int | None, typer.Option(metavar="N", help="Assistant messages per episode (the environment's).")]
ContextManagement = Annotated[
    str | None,
    typer.Option(
        metavar="STRATEGY",
        help="Where an episode outgrows the context: clear_tool_results, or summarize (nothing: the episode ends).",
    ),
]
Temperature = Annotated[float | None, typer.Option(metavar="T", help="Softmax temperature; 0 is greedy (1.0).")]
TopP = Annotated[float | None, typer.Option(metavar="P", help="Nucleus mass (1.0).")]
MaxOutputTokens = Annotated[int | None, typer.Option(metavar="N", help="Most tokens of one reply (256).")]
Track = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Tell a tracker how it goes: wandb, mlflow, tensorboard, trackio, prometheus; again for more.",
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other setting, dotted where it is inside of another; the value is YAML. May be given again.",
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Run the episodes on a Ray cluster: local (on this machine), auto (the one it is part of), or HOST:PORT.",
    ),
]
RayWorkers = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Processes that run episodes there (one on each processor)."),
]
RayEngines = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Engines that the cluster starts for --policy vllm:MODEL (one per worker)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


def run(
    env: Env = None,
    policy: Policy = None,
    agent: Agents = None,
    program: Program = None,
    config: Config = None,
    output: Output = None,
    split: Split = None,
    seed: Seed = None,
    num_tasks: NumTasks = None,
    num_repeats: NumRepeats = None,
    num_samples_in_parallel: Parallel = None,
    time_budget: TimeBudget = None,
    max_turns: MaxTurns = None,
    context_management: ContextManagement = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    max_output_tokens: MaxOutputTokens = None,
    track: Track = None,
    ray: Ray = None,
    ray_workers: RayWorkers = None,
    ray_engines: RayEngines = None,
    set_: Assignments = None,
    json: AsJson = False,
) -> None:
    """Collect scored episodes into a run folder.

    The same command again resumes the run: each episode is in it exactly once, whatever happened. More
    tasks or repeats extend it. Ctrl-C stops and keeps what has finished; a second one stops at once.
    Defaults are in parentheses; flags go over `--set`, and both over `--config`.
    """
    from llmgym.cli.settings import read_settings

    if output is not None and not output.strip():
        raise ConfigError("--output is empty; give a folder, and see that the variable in it is set")
    flags = {
        "env_ids": env, "policy": policy, "split": split, "seed": seed, "num_tasks": num_tasks,
        "num_repeats": num_repeats, "num_samples_in_parallel": _parallel(num_samples_in_parallel),
        "time_budget": _seconds(time_budget), "max_turns": max_turns, "track": track, "agent_command": program,
    }  # fmt: skip
    sampling = {"temperature": temperature, "top_p": top_p, "max_output_tokens": max_output_tokens}
    inner = {
        "responses_create_params": sampling, "context_management": {"strategy": context_management},
        "policies": _players(agent or ()),
    }  # fmt: skip
    config_ = _with_num_tasks(read_settings(config, set_ or (), flags, inner))
    collector = _collector(config_, output, ray, workers=ray_workers, engines=ray_engines)
    stopped_by = _collect(collector, output)
    _end(collector, stopped_by, output, json=json)


def _collector(config: RolloutConfig, output: str | None, ray: str | None, **numbers: int | None) -> Collector:
    """What runs the episodes, here or on a cluster."""
    from llmgym.rollout import Collector

    if ray is not None:
        from llmgym.distributed import RayCollector

        cluster = {f"num_{what}": number for what, number in numbers.items()}
        return RayCollector.from_config(config, output, address=ray, **cluster)
    if given := [f"--ray-{what}" for what, number in numbers.items() if number is not None]:
        raise ConfigError(f"{given[0]} is for runs on a cluster; give --ray ADDRESS, or --ray local")
    return Collector.from_config(config, output)


def _end(collector: Collector, stopped_by: int | None, output: str | None, *, json: bool) -> None:
    """Show what came of a run, and exit as it did."""
    summary = collector.summary
    if summary is not None and (stopped_by is None or summary["finished"]):
        _show(summary, collector.progress.last_error, output, json=json)
    if stopped_by is not None:
        sys.exit(128 + stopped_by)
    assert summary is not None
    owed, left = collector.progress.owed, collector.progress.left
    failed = owed - left  # and not those that a spare stood in for
    if not owed:
        return
    same = "the same command" if output else "with --output DIR the same command"
    if failed:
        print(f"{_episodes(failed)} failed; {same} runs them again", file=sys.stderr)
    if left:
        print(f"the time budget ended before {_episodes(left)}; {same} goes on with them", file=sys.stderr)
    sys.exit(SOME_FAILED if summary["finished"] else NOTHING)


def _episodes(number: int) -> str:
    return f"{number} episode{'' if number == 1 else 's'}"


def _parallel(text: str | None) -> int | str | None:
    """A number where it is one; what is neither that nor "auto" is refused with the other settings."""
    try:
        return text if text is None else int(text)
    except ValueError:
        return text


def _seconds(text: str | None) -> float | str | None:
    """Seconds of a time such as 90, 90m or 1h30m; what is none is refused with the other settings."""
    found = None if text is None else _TIME.fullmatch(text.strip())
    if found is None:
        return text
    return math.fsum(float(number or 0) * unit for number, unit in zip(found.groups(), (3600, 60, 1, 1), strict=True))


def _players(given: Iterable[str]) -> dict[str, str | list[str]]:
    """Who plays each agent; several are a pool."""
    players: dict[str, list[str]] = {}
    for text in given:
        agent, equals, player = text.partition("=")
        if not (agent and equals and player):
            raise ConfigError(f"--seat takes AGENT=PLAYER, such as player_1=script, not {text!r}")
        players.setdefault(agent, []).append(player)
    return {agent: pool[0] if len(pool) == 1 else pool for agent, pool in players.items()}


def _with_num_tasks(config: RolloutConfig) -> RolloutConfig:
    """The same, with a number of tasks where an environment makes them without end and none was given."""
    from llmgym.rollout.instances import Instances

    tasks = config.tasks
    if tasks.num_tasks is not None:
        return config
    sizes: dict[str, int | None] = {}
    for env in tasks.environments:
        instances = Instances(env, max_turns=config.limits.max_turns, split=tasks.split, models=config.agent.models)
        try:
            sizes[instances.id] = instances.source.size(tasks.split)
        finally:
            instances.close()
    endless = [env_id for env_id, size in sizes.items() if size is None]
    if not endless:
        return config
    number = min([ENDLESS_TASKS, *(size for size in sizes.values() if size is not None)])
    of_each = " of each environment" if len(sizes) > 1 else ""
    print(f"{endless[0]} makes tasks without end: taking {number}{of_each}; --num-tasks takes others", file=sys.stderr)
    return config.with_settings(num_tasks=number)


def _collect(collector: Collector, output: str | None) -> int | None:
    """Run the collector; the first Ctrl-C or SIGTERM ends it in order, another Ctrl-C at once.

    Returns:
        The signal that stopped it, if any.
    """
    from llmgym.rollout.progress import show_progress

    stopped: list[int] = []

    async def collect() -> None:
        running = asyncio.current_task()
        assert running is not None
        with _interruptible(running, stopped):
            async with show_progress(lambda: collector.progress, sys.stderr):
                await collector.collect()

    try:
        run_to_end(collect())
    except (asyncio.CancelledError, KeyboardInterrupt):
        kept = f"; the same command goes on with {output}" if output else ""
        print(f"stopped with {collector.progress.finished} episodes finished{kept}", file=sys.stderr)
        return stopped[0] if stopped else signal.SIGINT
    except LLMGymError as error:
        progress = collector.progress
        code = code_of(error)
        if isinstance(error, StoreError) and progress.planned:  # the folder was good when the run began
            code = NOTHING
        fail(error, SOME_FAILED if code == NOTHING and progress.finished + progress.resumed else code)
    return None


@contextmanager
def _interruptible(running: asyncio.Task[Any], stopped: list[int]) -> Generator[None]:
    """Let signals cancel a task, and a second Ctrl-C end the process, even where the event loop is blocked.

    Args:
        running: The task.
        stopped: Gets the number of the signal that came first.
    """
    loop = asyncio.get_running_loop()

    def stop(number: int, frame: object) -> None:
        if stopped:  # schedulers send SIGTERM several times, and SIGKILL where they mean it
            if number == signal.SIGINT:
                os._exit(128 + signal.SIGINT)
            return
        stopped.append(number)
        os.write(2, b"\nstopping; Ctrl-C again stops at once\n")  # a handler must not print: streams have locks
        loop.call_soon_threadsafe(running.cancel)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(summary: dict[str, Any], error: str | None, output: str | None, *, json: bool) -> None:
    if json:
        print_json(summary)
    else:
        print_summary(summary, error, output)
