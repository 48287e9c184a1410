"""`llmgym data filter`."""

from __future__ import annotations

from typing import Annotated, Any

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
from llmgym.cli.output import print_field, print_json

EXAMPLES = """
\b
Examples:
  llmgym data filter runs/first --min-reward 0.8 -o good.jsonl
  llmgym data filter runs/first --where "num_turns < 10 and num_tool_errors = 0" -o short.jsonl
  llmgym data filter runs/first --group-where "pass_rate between 0.2 and 0.8" -o hard.jsonl
"""


def run(
    paths: Paths,
    output: Output,
    where: Where = None,
    group_where: GroupWhere = None,
    min_reward: MinReward = None,
    min_quality_difference: Annotated[
        float | None,
        typer.Option(metavar="D", help="Only groups whose best and worst episode are so far apart.", callback=finite),
    ] = None,
    config: Config = None,
    threshold: Threshold = 1.0,
    skip_bad: SkipBad = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Copy the rows that fulfil conditions, byte for byte.

    Conditions are SQL over the numbers of a row (`llmgym data columns PATH` has them, and `llmgym data quality --help`
    those of its texts), or of the group that it is in: group_id, size, scored, pass_rate, reward_mean, reward_std,
    reward_min, reward_max, reward_gap. What was left out and why is in OUTPUT.manifest.json.
    """
    from llmgym.data.filtering import conditions, manifest, write_rows
    from llmgym.data.output import check_free, manifest_of

    check_free(output, manifest_of(output), force=force, inputs=paths)
    settings = groups_of(config)
    min_reward = settings.min_reward_threshold if min_reward is None else min_reward
    if min_quality_difference is None:
        min_quality_difference = settings.min_quality_difference
    data = opened(paths, skip_bad=skip_bad, threshold=threshold, where=where)
    asked = conditions(
        where=where, group_where=group_where, min_reward=min_reward, min_difference=min_quality_difference
    )
    kept, counts = data.narrow(asked)
    dropped = dict(zip([condition.name for condition in asked], counts, strict=True))
    how = {
        "where": where, "group_where": group_where, "min_reward": min_reward,
        "min_quality_difference": min_quality_difference, "threshold": threshold, "skip_bad": skip_bad,
    }  # fmt: skip
    made = manifest(data, kept, dropped, how)
    show(write_rows(data, [(output, kept)], made, manifest_of(output), force=force), json=json)


def show(made: dict[str, Any], *, json: bool) -> None:
    """Print a manifest."""
    if json:
        print_json(made)
        return
    print_field("kept", f"{made['kept']} of {made['kept'] + sum(made['dropped'].values())} rows")
    for name, count in made["dropped"].items():
        print_field("left out", f"{count}: {name}")
    for one in made["outputs"]:
        print_field("written", f"{one['rows']} rows, {one['bytes'] / 1e6:.1f} MB: {one['path']}")
