"""Which rows of files are kept, and a manifest of what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from llmgym import __version__
from llmgym.data.dataset import Condition, Dataset, Selection
from llmgym.data.output import lines_into, replacing_all
from llmgym.files import naming
from llmgym.rollout.thresholds import TOLERANCE


def conditions(
    *,
    where: str | None = None,
    group_where: str | None = None,
    min_reward: float | None = None,
    min_difference: float | None = None,
) -> list[Condition]:
    """What rows have to fulfil, in the order in which it is asked.

    Args:
        where: Of a row, in SQL.
        group_where: Of its group, in SQL.
        min_reward: Least reward; unscored rows have none.
        min_difference: What the best and the worst of its group have to be apart.
    """
    found: list[Condition] = []
    if min_reward is not None:
        found.append(Condition("unscored", "reward is not null"))
        found.append(Condition(f"reward below {min_reward:g}", f"reward >= {float(min_reward)!r} - {TOLERANCE}"))
    if where is not None:
        found.append(Condition(f"not ({where})", where))
    if min_difference is not None:
        text = f"reward_gap >= {float(min_difference)!r} - {TOLERANCE}"
        found.append(Condition(f"rewards of the group differ by less than {min_difference:g}", text, of="groups"))
    if group_where is not None:
        found.append(Condition(f"the group is not ({group_where})", group_where, of="groups"))
    return found


def manifest(data: Dataset, kept: Selection, dropped: dict[str, int], how: dict[str, Any]) -> dict[str, Any]:
    """What became of the rows of files.

    Args:
        data: The files.
        kept: The rows that are kept.
        dropped: How many were left out, by reason.
        how: What was asked for.
    """
    bad = Counter[str](problem.kind for problem in data.problems)
    bad["retired"] = data.retired
    return {
        "llmgym": __version__,
        "inputs": [{"path": str(index.path), "rows": index.meta.rows} for index in data.indexes],
        "asked": {name: value for name, value in how.items() if value not in (None, False, [])},
        "kept": len(kept),
        "dropped": {name: count for name, count in [*dropped.items(), *sorted(bad.items())] if count},
        "problems": [str(problem) for problem in data.problems[:100]],
    }


def write_rows(
    data: Dataset, outputs: Sequence[tuple[Path, Selection]], made: dict[str, Any], target: Path, *, force: bool
) -> dict[str, Any]:
    """Write rows into files as they stand, and beside them a manifest; all of them or none.

    Args:
        data: The rows.
        outputs: Files, and the rows of each.
        made: The manifest.
        target: Where the manifest is to be.
        force: Whether files that are there already may be replaced.

    Returns:
        The manifest, with the files in it.

    Raises:
        ConfigError: A file is there already, is one of those that are read, or cannot be written.
    """
    made["outputs"] = []
    places = [*(path for path, _ in outputs), target]
    inputs = [index.path for index in data.indexes]
    with replacing_all(places, force=force, inputs=inputs) as (*temporaries, manifest_path):
        for (path, selection), temporary in zip(outputs, temporaries, strict=True):
            with naming(path):
                with lines_into(temporary, path) as file:
                    data.copy(selection, file)
                size = temporary.stat().st_size
            made["outputs"].append({"path": str(path), "rows": len(selection), "bytes": size})
        with naming(target):
            manifest_path.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
    return made
