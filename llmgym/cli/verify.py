"""`llmgym verify`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from llmgym.cli.data.options import Json, Paths, SkipBad, opened
from llmgym.cli.ending import run_to_end
from llmgym.cli.output import print_field, print_json, print_table
from llmgym.cli.verb import NOTHING, SOME_FAILED
from llmgym.errors import ConfigError

if TYPE_CHECKING:
    from llmgym.chat import ChatPolicy
    from llmgym.data import Dataset
    from llmgym.data.verification import Difference, Report

EXAMPLES = """
\b
Examples:
  llmgym verify runs/first
  llmgym verify runs/first --write runs/rescored
  llmgym verify runs/first --model judge=openai:gpt-5 --json
\b
Exit codes:
  0    all episodes are as they were
  1    some earn something else, are different otherwise, or fail now
  3    none could be scored again
"""

_SHOWN = 20  # differences in the table
_WIDE = 60  # characters of a text that is shown
_TOLD_S = 2.0


def run(
    paths: Paths,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=POLICY",
            help="Who plays a role, such as judge=openai:gpt-5 (what is recorded); again for more.",
        ),
    ] = None,
    num_samples_in_parallel: Annotated[int, typer.Option(metavar="N", min=1, help="Episodes that run at once.")] = 64,
    replay: Annotated[bool, typer.Option("--replay", help="Replay also where the transcript is enough.")] = False,
    write: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a new run folder with what the episodes earn now.")
    ] = None,
    skip_bad: SkipBad = False,
    json: Json = False,
) -> None:
    """Score stored episodes again, without a policy.

    It says what is different. The recorded messages are played on their environments, with the same tasks and seeds;
    environments that declare their transcripts to be enough only verify them. So a verifier that has changed is seen,
    and so are tools that answer something else. A judge or a simulated user says again what is recorded.
    """
    from llmgym.data.verification.writing import rescored_run

    if write is not None and len(paths) > 1:
        raise ConfigError("--write takes one run")
    data = opened(paths, skip_bad=skip_bad)
    written = nullcontext((None, None)) if write is None else rescored_run(paths[0], write)
    with written as (keep, tell):
        report = _verify(data, _models(model or ()), num_samples_in_parallel, replay, keep)
        if tell is not None:
            tell(report.as_json())
    if json:
        print_json(report.as_json())
    else:
        _show(report, write)
    total = report.total
    if not total.verified:
        sys.exit(NOTHING)
    if total.same < total.verified or total.failed:
        sys.exit(SOME_FAILED)


def _models(given: list[str] | tuple[()]) -> dict[str, ChatPolicy]:
    from llmgym.rollout.roles import chat_policy

    made: dict[str, ChatPolicy] = {}
    for text in given:
        role, equals, policy = text.partition("=")
        if not (role and equals and policy):
            raise ConfigError(f"--model takes ROLE=POLICY, such as judge=openai:gpt-5, not {text!r}")
        made[role] = chat_policy(policy)
    return made


def _verify(
    data: Dataset,
    models: Mapping[str, ChatPolicy],
    parallel: int,
    replay: bool,
    keep: Callable[[bytes], None] | None,
) -> Report:
    from llmgym.data.verification import verify

    reports: list[Report] = []

    async def work() -> None:
        try:
            reports.append(
                await verify(
                    data, models=models, parallel=parallel, always_replay=replay, keep=keep, progress=_progress()
                )
            )
        finally:
            for model in models.values():
                await model.close()

    run_to_end(work())
    return reports[0]


def _progress() -> Callable[[int, int], None]:
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _TOLD_S:
            last = time.monotonic()
            print(f"verifying: {done:,} of {total:,} episodes", file=sys.stderr, flush=True)

    return tell


def _show(report: Report, write: Path | None) -> None:
    columns = ["environment", "verified", "same", "reward differs", "unscored", "failed", "skipped", "mean was", "now"]
    tallies = {**report.environments, **({"all": report.total} if len(report.environments) > 1 else {})}
    rows: list[list[str]] = []
    for name, tally in tallies.items():
        counts = (tally.verified, tally.same, tally.reward, tally.unscored, tally.failed, tally.skipped)
        means = (tally.as_json()["mean_was"], tally.as_json()["mean_now"])
        rows.append([name, *map(str, counts), *("-" if mean is None else f"{mean:.3f}" for mean in means)])
    print_table("", columns, rows)
    if report.kinds:
        print_field("different", ", ".join(f"{kind} in {count}" for kind, count in report.kinds.most_common()))
    for title, counted in (("failed", report.failures), ("skipped", report.skipped)):
        if counted:
            print_field(title, [f"{count}: {_excerpt(why)}" for why, count in counted.most_common(5)])
    if report.differences:
        print_table("", ["episode", "what", "was", "is"], [_row(found) for found in report.differences[:_SHOWN]])
        if (more := len(report.differences) + report.left_out - _SHOWN) > 0:
            print(f"and {more:,} more; --json has them")
    if write is not None:
        print_field("written", f"{write}  ({report.total.verified} episodes)")


def _row(found: Difference) -> list[str]:
    what = found.kind + (f" {found.name}" if found.name else "") + ("" if found.turn is None else f" {found.turn}")
    texts = [_text(found.was), _text(found.now)]
    first = next(
        (at for at, (one, other) in enumerate(zip(*texts, strict=False)) if one != other), min(map(len, texts))
    )
    start = max(0, first - _WIDE // 3)
    return [found.id, what, *(_excerpt(("..." if start else "") + text[start:]) for text in texts)]


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict) and "role" in value and not value.get("tool_calls"):
        return f"{value['role']}: {value['content']}"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _excerpt(text: str) -> str:
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))
    return text if len(text) <= _WIDE else f"{text[: _WIDE - 3]}..."
