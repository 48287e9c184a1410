"""`llmgym data export`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from llmgym.cli.data.options import (
    Config,
    Force,
    GroupWhere,
    Json,
    MinReward,
    Output,
    Paths,
    SkipBad,
    Threshold,
    Where,
    groups_of,
    opened,
)
from llmgym.cli.numbers import finite
from llmgym.cli.output import print_json
from llmgym.errors import ConfigError

EXAMPLES = """
\b
Examples:
  llmgym data export sft runs/first --to trl --form messages --min-reward 0.8 -o sft.parquet
  llmgym data export dpo runs/first --to trl --min-quality-difference 0.1 -o dpo.parquet
  llmgym data export grpo runs/first --to verl --group-where "pass_rate >= 0.2" -o tasks.parquet
"""

_BAR = 40
_EVERY_S = 2.0


def run(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="sft, dpo, grpo, kto or reward-model.")],
    paths: Paths,
    to: Annotated[str, typer.Option(metavar="TRAINER", help="Who reads it: trl, verl, openrlhf, nemo-rl, or generic.")],
    output: Output,
    where: Where = None,
    group_where: GroupWhere = None,
    min_reward: MinReward = None,
    form: Annotated[
        Literal["tokens", "messages"] | None,
        typer.Option(
            help="Of sft: the tokens that were sampled (where TRAINER takes them), or messages for another model."
        ),
    ] = None,
    malformed_calls: Annotated[
        Literal["drop", "text"],
        typer.Option(help="Calls that no template can render: leave them out, or write them as text."),
    ] = "drop",
    pairs: Annotated[
        str,
        typer.Option(metavar="N", help="Pairs of each task: its N best against its N worst, each once; or all."),
    ] = "1",
    min_quality_difference: Annotated[
        float | None,
        typer.Option(metavar="R", help="How far the rewards of a pair are apart at least.", callback=finite),
    ] = None,
    turns: Annotated[
        Literal["all", "last"], typer.Option(help="Of kto: a row for each reply, or for the last of an episode.")
    ] = "all",
    config: Config = None,
    threshold: Threshold = 1.0,
    skip_bad: SkipBad = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write training data for a trainer, and what it left out.

    FILE is Parquet, or lines of JSON where TRAINER reads nothing else; FILE.manifest.json says what is in it, what is
    not and why. What is printed has the lengths of rows and the settings that they need.
    """
    from llmgym.data.export import Kind, Recipe, Trainer, export
    from llmgym.data.filtering import conditions

    settings = groups_of(config)
    if kind == "sft" and min_reward is None:  # of pairs it would take the worse ones
        min_reward = settings.min_reward_threshold
    if min_quality_difference is None:
        min_quality_difference = settings.min_quality_difference or 0.0
    recipe = Recipe(
        cast("Kind", kind), cast("Trainer", to), form, malformed_calls, _pairs(pairs), min_quality_difference, turns,
        threshold,
    )  # fmt: skip
    data = opened(paths, skip_bad=skip_bad, threshold=threshold)
    chosen = conditions(where=where, group_where=group_where, min_reward=min_reward)
    manifest = export(data, recipe, output, chosen, force=force, progress=_told())
    if json:
        print_json(manifest)
    else:
        _show(manifest, output)


def _pairs(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal():
        raise ConfigError(f"--pairs {text}: a number, or all")
    return int(text)


def _told() -> Callable[[int], None]:
    last = time.monotonic()

    def tell(rows: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY_S:
            last = time.monotonic()
            print(f"{rows:,} rows", file=sys.stderr, flush=True)

    return tell


def _show(manifest: Mapping[str, Any], output: Path) -> None:
    print(f"{manifest['rows']:,} rows in {output}")
    for lost in manifest["left_out"]:
        example = f", such as {lost['examples'][0]}" if lost["examples"] else ""
        print(f"left out  {lost['count']:,}: {lost['reason']}{example}")
    tokens = manifest["tokens"]
    of = "tokens" if not tokens["guessed"] else f"tokens ({tokens['guessed']:,} rows guessed from their characters)"
    print(f"{of} of a row: median {tokens['median']:,}, 95% {tokens['p95']:,}, longest {tokens['max']:,}")
    most = max(count for _, count in tokens["histogram"])
    for edge, count in tokens["histogram"]:
        print(f"  up to {edge:>9,}  {count:>9,}  {'#' * -(-count * _BAR // most)}".rstrip())
    for note in manifest["notes"]:
        print(f"note: {note}")
    for line in manifest["settings"]:
        print(f"  {line}")
