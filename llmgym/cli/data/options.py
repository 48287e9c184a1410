"""What the verbs of `llmgym data` have in common: how files are named and opened."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmgym.cli.numbers import finite

if TYPE_CHECKING:
    from llmgym.data import Dataset
    from llmgym.data.index import Progress
    from llmgym.rollout.config import GroupSettings

Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Run folders, or files of rows; several are taken together.")
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out rows that are torn, no rows, or there twice, and count them.")
]
Threshold = Annotated[
    float, typer.Option("--threshold", metavar="R", help="Reward from which an episode passes.", callback=finite)
]
MinReward = Annotated[
    float | None,
    typer.Option(
        "--min-reward", "--min-reward-threshold", metavar="R", help="Only episodes that earn so much.", callback=finite
    ),
]
Where = Annotated[
    str | None,
    typer.Option(metavar="SQL", help='Only rows of which this holds, such as "reward >= 0.8 and num_turns < 10".'),
]
GroupWhere = Annotated[
    str | None,
    typer.Option(
        metavar="SQL", help='Only rows of groups of which this holds, such as "pass_rate between 0.2 and 0.8".'
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="YAML",
        help="A run's configuration: min_reward_threshold and min_quality_difference, where no flag says them.",
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Decides which rows are picked.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_TOLD_S = 2.0


def opened(
    paths: Sequence[Path],
    *,
    skip_bad: bool,
    threshold: float = 1.0,
    where: str | None = None,
    measured: bool = False,
) -> Dataset:
    """The rows of files; says what is left out, and how far it is where that takes long.

    Their texts are measured where that is wanted, or a condition asks for it.
    """
    from llmgym.data import Dataset
    from llmgym.data.quality.report import asks_for_measures, measure

    data = Dataset.open(paths, skip_bad=skip_bad, threshold=threshold, progress=told("reading"))
    if measured or (where is not None and asks_for_measures(where)):
        measure(data, skip_bad=skip_bad, progress=told("measuring"))
    if data.problems:
        print(f"{len(data.problems)} bad rows left out, the first: {data.problems[0]}", file=sys.stderr)
    return data


def groups_of(config: Path | None) -> GroupSettings:
    """What a run's configuration says of groups; where there is none, nothing."""
    from llmgym.rollout.config import GroupSettings, load_config, parse_config

    return parse_config(load_config(config), str(config)).groups if config else GroupSettings()


def told(what: str, unit: str = "MB") -> Progress:
    """Says how far something is, on standard error, every few seconds: it is told bytes, or how many of a unit."""
    scale = 1e6 if unit == "MB" else 1
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _TOLD_S:
            last = time.monotonic()
            print(f"{what}: {done / max(total, 1):.0%} of {total / scale:,.0f} {unit}", file=sys.stderr, flush=True)

    return tell


def ticking() -> Callable[[int], None]:
    """Says how many rows have been written, on standard error, every few seconds."""
    last = time.monotonic()

    def tick(rows: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _TOLD_S:
            last = time.monotonic()
            print(f"written: {rows:,} rows", file=sys.stderr, flush=True)

    return tick
