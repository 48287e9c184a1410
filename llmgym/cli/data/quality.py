"""`llmgym data quality`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmgym.cli.data.options import Json, Paths, SkipBad, Threshold, opened, told
from llmgym.cli.output import print_field, print_json, print_table
from llmgym.cli.verb import SOME_FAILED

if TYPE_CHECKING:
    from llmgym.data.quality.contamination import Hit

EXAMPLES = """
\b
Examples:
  llmgym data quality runs/first
  llmgym data quality runs/first --against test.jsonl
  llmgym data quality runs/first runs/second --gates gates.yaml --json
\b
A file of gates:
  - {figure: groups.mixed.share, min: 0.2}
  - {figure: texts.looping.share, max: 0.01}
  - {where: "num_turns > 20", max: 0.05}
\b
Exits with 1 where a gate fails or a row shares wording with the set.
"""

_RUN = 8
_LISTED = 20  # hits
_FEW = 30  # tasks, below which intervals are somewhat too narrow


def run(
    paths: Paths,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Look for tasks and answers that share wording with this file of tasks."),
    ] = None,
    run_length: Annotated[
        int, typer.Option(metavar="N", help="Words that count as the same wording.", min=1, show_default=True)
    ] = _RUN,
    gates: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Bounds that the figures have to keep, in YAML.")
    ] = None,
    no_duplicates: Annotated[
        bool, typer.Option("--no-duplicates", help="Do not look for tasks and answers that are nearly equal.")
    ] = False,
    threshold: Threshold = 1.0,
    skip_bad: SkipBad = False,
    json: Json = False,
) -> None:
    """Measure rollouts: groups, rewards, pass@k, lengths, texts, tool errors, duplicates, and how they were recorded.

    What is measured of texts and tokens is kept beside the index, and `llmgym data filter --where` can ask for it:
    num_chars, num_calls, num_malformed_calls, num_hollow, num_cut_off, tool_error_kinds, tail_repeat, refusal, runaway,
    no_counts, capture_mismatch, prompt_hash, reply_hash, mean_logprob, min_logprob, is_entropy.
    """
    from llmgym.data.quality.contamination import Reference, contamination
    from llmgym.data.quality.gates import check_gates, read_gates
    from llmgym.data.quality.report import measure, quality

    bounds = read_gates(gates) if gates else []
    reference = Reference(against, run_length) if against else None
    data = opened(paths, skip_bad=skip_bad, threshold=threshold)
    measure(data, skip_bad=skip_bad, progress=told("measuring"))
    report = quality(data, duplicates=not no_duplicates)
    hits: list[Hit] = []
    if reference is not None:
        hits = contamination(data, reference, told("comparing", "rows"))
        report["contamination"] = {"against": str(against), "rows": len(hits), "hits": hits}
    verdicts = check_gates(bounds, data, report, str(gates))
    if bounds:
        report["gates"] = verdicts
    if json:
        print_json(report)
    else:
        _print(report)
        _print_hits(hits, against)
        for verdict in verdicts:
            print(verdict)
    sys.exit(SOME_FAILED if hits or not all(verdict.passed for verdict in verdicts) else 0)


def _print(report: dict[str, Any]) -> None:
    parts = (report["environments"] if len(report["environments"]) > 1 else {}) | {"all": report}
    labels = ["environment"] if len(parts) > 1 else []
    columns = [*labels, "rows", "scored", "reward", "turns", "tokens", "entropy"]
    rows = [([name] if labels else []) + _cells(part) for name, part in parts.items()]
    print_table(f"rows of {', '.join(report['files'])}", columns, rows)
    kinds = ["solved", "failed", "mixed", "constant between", "single", "unscored"]
    found = [([name] if labels else []) + [_counted(part["groups"][kind], "groups") for kind in kinds]
             for name, part in parts.items()]  # fmt: skip
    print_table(
        f"\n{report['groups']['number']} groups; only the mixed ones teach by comparison", [*labels, *kinds], found
    )
    bands = list(report["pass_rates"])
    rates = [([name] if labels else []) + [_counted(part["pass_rates"][band], "groups") for band in bands]
             for name, part in parts.items()]  # fmt: skip
    print_table(f"\ngroups by pass rate, at {report['threshold']:g}", [*labels, *bands], rates)
    if ks := sorted({one["k"] for part in parts.values() for one in part["pass_at_k"]}):
        passes = [([name] if labels else []) + _passes(part, ks) for name, part in parts.items()]
        print_table("\npass@k over tasks, with 95% intervals", [*labels, "tasks", *map(str, ks)], passes)
    print()
    _print_counts(report)


def _print_counts(report: dict[str, Any]) -> None:
    """What is said of all rows, in fields."""
    print_field("statuses", ", ".join(f"{name} {count}" for name, count in report["statuses"].items()) or "-")
    print_field("texts", _told(report["texts"]))
    errors = [f"{name} {one['count']} in {one['rows']} rows" for name, one in report["tool_errors"].items()]
    print_field("answered", ", ".join(errors) or "no errors of tools")
    never = report["health"]["tasks_never_healthy"]["tasks"]
    health = {name: one for name, one in report["health"].items() if "rows" in one}
    print_field("health", [*_told(health), *([f"tasks of which no row is well: {never}"] if never else [])])
    for name in ("entropy", "cross_entropy"):
        if found := report["entropy"][name]:
            turns = ", ".join(f"turn {turn}: {value:.3f}" for turn, value in found["by_turn"].items())
            print_field(name.replace("_", " "), f"{found['mean']:.3f} nats a token ({turns})")
    if "answers" in report:
        answers, tasks = report["answers"], report["tasks"]
        equal, near = _counted(answers["equal"], "rows"), _counted(answers["near"], "rows")
        beside = f"{answers['rows']} with others to their task"
        print_field("answers", f"{beside}: {equal} repeat one word for word, {near} nearly or quite")
        repeated = f"{tasks['equal']['tasks']} repeat another, {tasks['near']['tasks']} ask nearly the same"
        print_field("tasks", [f"{tasks['number']}: {repeated}", *_pairs(tasks)])


def _cells(part: dict[str, Any]) -> list[str]:
    lengths, entropy = part["lengths"], part["entropy"]["entropy"]
    reward = part["reward"]["mean"]
    return [
        str(part["rows"]),
        str(part["scored"]),
        "-" if reward is None else f"{reward:.3f} ± {part['reward']['std']:.3f}",
        _length(lengths["num_turns"]),
        _length(lengths["num_sampled_tokens"]),
        "-" if entropy is None else f"{entropy['mean']:.3f}",
    ]


def _length(found: dict[str, Any]) -> str:
    return "-" if found["mean"] is None else f"{found['mean']:,.1f} (most {found['max']:,})"


def _counted(found: dict[str, Any], what: str) -> str:
    return f"{found[what]} ({found['share']:.1%})" if found["share"] else f"{found[what]}"


def _passes(part: dict[str, Any], ks: Sequence[int]) -> list[str]:
    """How many tasks there are, and pass@k for each k; how many tasks have so many episodes, where that is fewer."""
    found = {one["k"]: one for one in part["pass_at_k"] if one["value"] is not None}
    tasks = max((one["tasks"] for one in found.values()), default=0)
    cells = [f"{tasks} (few)" if tasks < _FEW else str(tasks)]
    for k in ks:
        one = found.get(k)
        if one is None:
            cells.append("-")
            continue
        interval = "" if one["low"] is None else f" ({one['low']:.3f} .. {one['high']:.3f})"
        cells.append(f"{one['value']:.3f}{interval}" + (f" of {one['tasks']}" if one["tasks"] != tasks else ""))
    return cells


def _told(flags: dict[str, Any]) -> list[str]:
    """The flags that some rows have, with the first of these."""
    found = [f"{name.replace('_', ' ')}: {_counted(one, 'rows')}, such as {one['examples'][0]}"
             for name, one in flags.items() if one["rows"]]  # fmt: skip
    return found or ["nothing odd"]


def _pairs(tasks: dict[str, Any]) -> list[str]:
    return [
        f"{one['tasks'][0]} and {one['tasks'][1]}" for one in tasks["equal"]["examples"] + tasks["near"]["examples"]
    ]


def _print_hits(hits: Sequence[Hit], against: Path | None) -> None:
    if against is None:
        return
    print_field("shared", f"{len(hits)} rows share wording with {against}")
    for hit in hits[:_LISTED]:
        print(f"  {hit.row}: {hit.where} of {hit.task}, {hit.runs} runs with {hit.reference}: {hit.text!r}")
    if len(hits) > _LISTED:
        print(f"  and {len(hits) - _LISTED} more; --json has all")
