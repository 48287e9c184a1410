"""How a run's summary is printed: by the verb that made it, and by the one that makes it again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmgym.cli.output import print_table
from llmgym.messages import visible
from llmgym.rollout.figures import figure


def print_summary(summary: Mapping[str, Any], error: str | None, output: Path | str | None) -> None:
    """Print a summary for a person.

    Args:
        summary: From `llmgym.rollout.summarize`.
        error: What the last failure was.
        output: Run folder.
    """
    scores = dict(summary.get("environments", {})) | {"all": summary}
    of = "" if summary["planned"] is None else f" of {summary['planned']}"
    _print_rows(
        f"{summary['finished']}{of} episodes finished",
        ["scored", "unscored", "mean reward", "95% interval"],
        {name: _score_cells(score) for name, score in scores.items()},
    )
    if most := max((_passes(score) for score in scores.values()), key=len):
        columns = ["tasks", *(f"pass@{p['k']}" for p in most)]
        _print_rows("", columns, {name: _pass_cells(score, len(most)) for name, score in scores.items()})
    tokens, wall_s = summary["tokens"], summary["timings"]["session_wall_s"]
    print(f"statuses  {_counts(summary['statuses'])}   failed  {_failures(summary['failures'])}")
    compacted = f"; {n:,} compactions" if (n := summary["compactions"]) else ""
    print(
        f"tokens    {tokens['sampled']:,} sampled, {tokens['context']:,} context; {summary['turns']:,} turns{compacted}"
    )
    if summary["tool_errors"]:
        errors = (f"{name} {n['count']} in {n['episodes']} episodes" for name, n in summary["tool_errors"].items())
        print(f"answered  {', '.join(errors)}")
    for role, usage in summary["usage"].items():
        cost = "" if usage["cost"] is None else f"; ${usage['cost']:.4f}"
        print(f"usage     {role}: {usage['input_tokens']:,} tokens in, {usage['output_tokens']:,} out{cost}")
    if wall_s is not None:
        print(f"session   {wall_s:.1f} s")
    if error is not None:
        print(f"error     {visible(error)}")
    if output is not None:
        print(f"run       {output}  (rollouts.jsonl, summary.json, run.json)")


def _print_rows(title: str, columns: list[str], rows: Mapping[str, list[str]]) -> None:
    """Print a row for each environment and one for all of them, or one without a name where there is one only."""
    if len(rows) > 1:
        print_table(title, ["environment", *columns], [[name, *cells] for name, cells in rows.items()])
    else:
        print_table(title, columns, list(rows.values()))


def _score_cells(score: Mapping[str, Any]) -> list[str]:
    reward = score["reward"]
    mean = "-" if reward["mean"] is None else figure(reward["mean"])
    interval = "-" if reward["low"] is None else f"{figure(reward['low'])} .. {figure(reward['high'])}"
    return [str(score["scored"]), str(score["unscored"]), mean, interval]


def _passes(score: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [p for p in score["pass_at_k"] if p["value"] is not None]


def _pass_cells(score: Mapping[str, Any], columns: int) -> list[str]:
    """Tasks, and pass@k for each k; tasks that had fewer episodes are said where there are some."""
    passes = _passes(score)
    tasks = passes[0]["tasks"] if passes else 0
    cells = [f"{p['value']:.3f}" + (f" ({p['tasks']})" if p["tasks"] != tasks else "") for p in passes]
    return [str(tasks), *cells, *["-"] * (columns - len(cells))]


def _failures(failures: list[dict[str, Any]]) -> str:
    """Kinds and where they happened; no stage where that is not known, or says no more than the kind."""
    found: list[str] = []
    for failure in failures:
        stage = "" if failure["stage"] in (None, failure["kind"]) else f" in {failure['stage']}"
        found.append(f"{failure['kind']}{stage} {failure['episodes']}")
    return ", ".join(found) or "none"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"
