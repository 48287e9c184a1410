from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("rensa")

from llmgym.data import Dataset
from llmgym.data.quality.gates import Gate, check_gates, read_gates
from llmgym.data.quality.report import measure, quality
from llmgym.errors import ConfigError
from tests.data import rows


@pytest.fixture(name="data")
def made_data(tmp_path: Path) -> Dataset:
    data = Dataset.open([rows.run_of(tmp_path / "run", rows.groups({"a": [1.0, 0.0], "b": [1.0, 1.0]}))])
    measure(data)
    return data


@pytest.mark.parametrize(
    ("gate", "value", "passed"),
    [
        (Gate("groups.mixed.share", min=0.5), 0.5, True),
        (Gate("groups.mixed.share", min=0.6), 0.5, False),
        (Gate("groups.mixed.groups", max=0), 1, False),
        (Gate("pass_at_k.2.value", min=0.9, max=1), 1.0, True),
        (Gate("reward.mean", max=0.7), 0.75, False),
        (Gate("entropy.cross_entropy.mean", max=1), None, False),
        (Gate(where="reward < 1", max=0.25), 0.25, True),
        (Gate(where="tail_repeat >= 20", min=0.1), 0.0, False),
        (Gate(group_where="pass_rate = 1", min=0.4), 0.5, True),
    ],
)
def test_a_gate_bounds_a_figure_or_a_share(data: Dataset, gate: Gate, value: float | None, passed: bool) -> None:
    (verdict,) = check_gates([gate], data, quality(data))
    assert (verdict.value, verdict.passed) == (value, passed)


def test_a_figure_that_there_is_not_is_an_error_with_the_nearest(data: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"no figure 'group.mixed.share'; did you mean groups.mixed.share"):
        check_gates([Gate("group.mixed.share", min=0)], data, quality(data))
    with pytest.raises(ConfigError, match="rewrd"):
        check_gates([Gate(where="rewrd < 1", max=0)], data, quality(data))


def test_what_is_wrong_names_file_gate_and_condition(data: Dataset) -> None:
    gates = [Gate("rows", min=1), Gate(where="reward <", max=0)]
    with pytest.raises(ConfigError, match=r"^gates\.yaml: gate 2: the condition 'reward <': Parser Error"):
        check_gates(gates, data, quality(data), "gates.yaml")
    with pytest.raises(ConfigError, match=r"^gates\.yaml: gate 1: there is no figure 'row'"):
        check_gates([Gate("row", min=1)], data, quality(data), "gates.yaml")


def test_a_run_of_one_environment_has_its_figures_by_environment_too(data: Dataset) -> None:
    gate = Gate("environments.test/Say-v0.groups.mixed.share", min=0.5)
    (verdict,) = check_gates([gate], data, quality(data))
    assert (verdict.value, verdict.passed) == (0.5, True)


def test_a_verdict_is_a_line(data: Dataset) -> None:
    gates = [Gate("reward.mean", min=0.2, max=0.7), Gate("entropy.cross_entropy.mean", max=1)]
    assert list(map(str, check_gates(gates, data, quality(data)))) == [
        "FAILED  reward.mean is 0.75, at least 0.2 and at most 0.7",
        "FAILED  entropy.cross_entropy.mean is not known, at most 1",
    ]


def test_gates_are_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text("- {figure: rows, min: 1}\n- {where: num_turns > 2, max: 0.5}\n")
    assert read_gates(path) == [Gate("rows", min=1), Gate(where="num_turns > 2", max=0.5)]
    path.write_text("gates:\n- {figure: rows, min: 1}\n")
    assert read_gates(path) == [Gate("rows", min=1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no gates"),
        ("[]", "has no gates"),
        ("- {figure: rows}", "gate 1: a gate has min, max or both"),
        ("- {figure: rows, min: 1}\n- {min: 1}", "gate 2: a gate has one of figure, where and group_where"),
        ("- {figure: rows, where: x, min: 1}", "gate 1: a gate has one of"),
        ("- {figure: rows, least: 1}", "unknown field `least`"),
        ("- {figure: rows, min: x}", "Expected `float | null`, got `str`"),
        ("- {figure: rows, min: .nan}", "gate 1: min is nan, which is no finite number"),
        ("- 3", "Expected `object`"),
    ],
)
def test_what_is_no_gate_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said.replace("|", r"\|")):
        read_gates(path)
