"""`llmgym data curate`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmgym.cli.data.filter import show
from llmgym.cli.data.options import Force, GroupWhere, Json, Output, Paths, Seed, SkipBad, Threshold, Where, opened
from llmgym.errors import ConfigError

EXAMPLES = """
\b
Examples:
  llmgym data curate runs/first --deduplicate -o distinct.jsonl
  llmgym data curate runs/first --distinct-tasks --distinct-answers -o varied.jsonl
  llmgym data curate runs/first --balance env_id -o balanced.jsonl
  llmgym data curate runs/first --sample 50 --by status -o review.jsonl
"""


Deduplicate = Annotated[
    bool, typer.Option("--deduplicate", help="Leave out rows whose conversation a row before them has.")
]
DistinctAnswers = Annotated[
    bool, typer.Option("--distinct-answers", help="Leave out rows that nearly say what one before of their task does.")
]
DistinctTasks = Annotated[
    bool, typer.Option("--distinct-tasks", help="Leave out tasks that ask quite or nearly what one before does.")
]


def run(
    paths: Paths,
    output: Output,
    where: Where = None,
    group_where: GroupWhere = None,
    deduplicate: Deduplicate = False,
    distinct_answers: DistinctAnswers = False,
    distinct_tasks: DistinctTasks = False,
    balance: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="As many rows of each value of a column as the rarest has.")
    ] = None,
    most: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="With --balance: at most so many of each.")
    ] = None,
    sample: Annotated[int | None, typer.Option(metavar="N", min=1, help="So many rows, to look at.")] = None,
    by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="With --sample: each value of a column has its share.")
    ] = None,
    seed: Seed = 0,
    threshold: Threshold = 1.0,
    skip_bad: SkipBad = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a set of rows: without copies, balanced, or a sample to look at.

    What is asked for is done in the order of the options, on original lines. What was left out and why is in
    OUTPUT.manifest.json.
    """
    from llmgym.data import curation
    from llmgym.data.filtering import conditions, manifest, write_rows
    from llmgym.data.output import check_free, manifest_of

    if (most is not None and balance is None) or (by is not None and sample is None):
        raise ConfigError("--most says how many of each value --balance takes, and --by what --sample goes by")
    check_free(output, manifest_of(output), force=force, inputs=paths)
    measured = distinct_answers or distinct_tasks
    data = opened(paths, skip_bad=skip_bad, threshold=threshold, where=where, measured=measured)
    asked = conditions(where=where, group_where=group_where)
    kept, counts = data.narrow(asked)
    dropped = dict(zip([condition.name for condition in asked], counts, strict=True))
    if deduplicate:
        kept, dropped["the conversation of another row"] = curation.deduplicated(data, kept)
    if distinct_answers:
        kept, dropped["nearly the answer of another row"] = curation.distinct_answers(data, kept)
    if distinct_tasks:
        kept, dropped["nearly the task of another row"] = curation.distinct_tasks(data, kept)
    if balance is not None:
        before, kept = len(kept), curation.balanced(data, kept, balance, most, seed)
        dropped[f"more than others of their {balance}"] = before - len(kept)
    if sample is not None:
        before, kept = len(kept), curation.sampled(data, kept, sample, by, seed)
        dropped["not in the sample"] = before - len(kept)
    how = {
        "where": where, "group_where": group_where, "deduplicate": deduplicate,
        "distinct_answers": distinct_answers, "distinct_tasks": distinct_tasks, "balance": balance, "most": most,
        "sample": sample, "by": by, "seed": seed, "threshold": threshold, "skip_bad": skip_bad,
    }  # fmt: skip
    made = manifest(data, kept, dropped, how)
    show(write_rows(data, [(output, kept)], made, manifest_of(output), force=force), json=json)
