from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("duckdb")

from typer.testing import CliRunner

from llmgym.cli import app
from tests.data import rows


def call(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["data", "export", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(name="run")
def made_run(tmp_path: Path) -> Path:
    return rows.run_of(tmp_path / "run", rows.groups({"mixed": [1.0, 0.0, None], "solved": [1.0, 1.0]}))


def test_an_export_says_what_it_wrote_and_how_to_train_on_it(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "dpo.parquet"
    code, out, _ = call("dpo", run, "--to", "trl", "-o", path)
    assert code == 0
    assert out.splitlines() == [
        f"1 rows in {path}",
        "left out  1: unscored, such as test/Say-v0/mixed/2",
        "left out  1: a task whose repeats do not differ enough, such as test/Say-v0/solved/0",
        "tokens of a row: median 13, 95% 13, longest 13",
        f"  up to        32          1  {'#' * 40}",
        "note: a pair is the first reply in which two episodes differ; what follows it is not trained",
        f'  load_dataset("parquet", data_files="{path}", split="train")',
        "  DPOConfig(max_length=64)  # 1024 if it is not set, and cut without a word",
    ]
    code, _, error = call("dpo", run, "--to", "trl", "-o", path)
    assert (code, error) == (2, f"error: {path} is there already; --force replaces it\n")
    code, out, _ = call("dpo", run, "--to", "trl", "-o", path, "--force", "--json", "--pairs", "all")
    assert (code, json.loads(out)["rows"]) == (0, 1)


def test_a_configuration_bounds_what_a_kind_goes_by(run: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("min_reward_threshold: 0.8\nmin_quality_difference: 1.5\n")
    sft = call("sft", run, "--to", "trl", "--config", config, "-o", tmp_path / "sft.parquet", "--json")
    assert {one["reason"]: one["count"] for one in json.loads(sft[1])["left_out"]} == {
        "unscored": 1, "reward below 0.8": 1,
    }  # fmt: skip
    dpo = call("dpo", run, "--to", "trl", "--config", config, "-o", tmp_path / "dpo.parquet")
    assert dpo[0] == 2
    assert "a task whose repeats do not differ enough (2)" in dpo[2]
    less = ("--min-quality-difference", 0.5)
    assert call("dpo", run, "--to", "trl", "--config", config, *less, "-o", tmp_path / "dpo.parquet")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kto", "--to", "verl"], "error: verl takes no data for 'kto'; it is for trl, generic"),
        (["ppo", "--to", "verl"], "error: there is no export 'ppo'; there is sft, dpo, grpo, kto, reward-model"),
        (["sft", "--to", "foo"], "error: there is no trainer 'foo'; there is trl, verl, openrlhf, nemo-rl, generic"),
        (["dpo", "--to", "trl", "--pairs", "few"], "error: --pairs few: a number, or all"),
        (["dpo", "--to", "trl", "--pairs", "0"], "error: pairs is 0; at least 1, or all"),
    ],
)
def test_what_there_is_not_is_a_line(run: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    code, _, error = call(arguments[0], run, *arguments[1:], "-o", tmp_path / "x.parquet")
    assert (code, error.strip()) == (2, message)
