"""Rows of which any field may be anything: what is wrong with one is said by its file and line, whoever reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

pytest.importorskip("duckdb")

from llmgym.data import BadRowsError, Dataset, filtering
from llmgym.data.converting import convert
from llmgym.data.export.exporting import export
from llmgym.data.export.recipe import Recipe
from llmgym.data.quality.report import measure, quality
from llmgym.errors import LLMGymError
from tests.data import rows
from tests.data.shapes.test_shapes import SEEDS, V0, V1, nemo

Place = tuple[str | int, ...]

OURS = json.loads(rows.line("a", turns=2))
CHAT = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "reward": 1.0, "id": "x"}
BASES = {"ours": OURS, "nemo_gym": nemo(), "seeds": SEEDS, "verifiers_v0": V0, "verifiers_v1": V1, "chat": CHAT}
VALUES = [
    "null", "true", "0", "-1", "1.5", str(2**31), str(2**63), str(-(2**63) - 1), "1" + "0" * 400, "1e400", "NaN",
    '"NaN"', '""', '"x"', '"\\u0000"', '"\\ud800"', "[]", "{}", "[null]", '["x"]', "[-1]", f"[[0, {2**64}]]",
    '{"a": {"b": [1]}}',
]  # fmt: skip


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Where there is a value in another."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*place, key)
        yield from places(inner, (*place, key))


def hostile(base: Any, place: Place, text: str) -> str:
    """A row that has something else in a place, given as it is in JSON."""
    row = json.loads(json.dumps(base))
    inner = row
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = "put here"
    return json.dumps(row).replace('"put here"', text)


CASES = [(name, place) for name, base in BASES.items() for place in places(base)]

Use = Callable[[Dataset, Path], Any]

USES: dict[str, Use] = {
    "filter": lambda data, _: data.narrow(filtering.conditions(where="reward > 0", group_where="size > 0")),
    "read": lambda data, _: list(data.trajectories(data.select())),
    "quality": lambda data, _: (measure(data), quality(data)),
    **{
        form: lambda data, at, form=form: convert(data, at / f"x.{form}") for form in ("parquet", "jsonl", "atif.jsonl")
    },
    **{
        kind: lambda data, at, kind=kind: export(data, Recipe(kind, "trl"), at / f"{kind}.parquet")
        for kind in ("sft", "dpo", "kto", "grpo")
    },
}


@pytest.mark.slow
@settings(phases=[Phase.explicit, Phase.generate, Phase.shrink])
@given(st.sampled_from(CASES), st.sampled_from(VALUES), st.sampled_from(list(USES)))
@example(("ours", ("metrics", "accuracy")), '"x"', "filter")
@example(("ours", ("repeat",)), str(2**64), "filter")
@example(("ours", ("counts", "turns")), str(2**63), "quality")
@example(("ours", ("segments", 0, "ids", 0)), str(2**63), "atif.jsonl")
@example(("nemo_gym", ("reward",)), "1" + "0" * 400, "filter")
@example(("nemo_gym", ("_ng_rollout_index",)), str(2**64), "filter")
@example(("verifiers_v0", ("tool_defs",)), "true", "quality")
@example(("verifiers_v0", ("tool_defs", 0, "description")), f"[[0, {2**64}]]", "jsonl")
@example(("nemo_gym", ("response", "output", 1, "prompt_token_ids", 0)), str(2**31), "quality")
def test_a_row_is_read_or_named_by_file_and_line(case: tuple[str, Place], value: str, use: str) -> None:
    name, place = case
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_text(f"{json.dumps(BASES[name])}\n{hostile(BASES[name], place, value)}\n")
        said: LLMGymError | None = None
        try:
            USES[use](Dataset.open([path]), Path(folder))
        except LLMGymError as error:
            said = error
        assert said is None or f"{path}:2: " in str(said) or str(said).startswith("no episode gives a row")
        if isinstance(said, BadRowsError):  # and left out where that is asked for
            measure(Dataset.open([path], skip_bad=True), skip_bad=True)


@pytest.mark.parametrize("field", ["repeat", "agents", "attempts", "counts", "tool_errors", "metrics", "status"])
def test_what_no_column_can_hold_is_no_row(tmp_path: Path, field: str) -> None:
    values: dict[str, Any] = {
        "counts": OURS["counts"] | {"turns": 2**64}, "tool_errors": {"late": 2**32}, "metrics": {"accuracy": "x"},
        "status": "lost",
    }  # fmt: skip
    bad = rows.changed(rows.line("b"), **{field: values.get(field, 2**64)})
    path = tmp_path / "rows.jsonl"
    path.write_bytes(rows.line("a") + bad + rows.line("c"))
    with pytest.raises(BadRowsError, match=rf"rows\.jsonl:2: no row of .* at `{field}"):
        Dataset.open([path])
    assert Dataset.open([path], skip_bad=True).query("select task_id from rows order by line") == [("a",), ("c",)]
