"""The verbs of `llmgym data` that copy and convert rows."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")

from tests.command import llmgym
from tests.data import rows
from tests.rollout.test_config import DPO, SFT


@pytest.fixture(name="run")
def made_run(tmp_path: Path) -> Path:
    return rows.run_of(tmp_path / "run", rows.groups({"a": [1.0, 0.0, None], "b": [1.0, 1.0], "c": [0.25]}))


def data(*arguments: object, code: int = 0) -> Any:
    done = llmgym("data", *arguments)
    assert done.returncode == code, done.stderr
    return done


def test_filter_copies_what_is_asked_for_and_says_what_it_left_out(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "good.jsonl"
    done = data("filter", run, "--min-reward-threshold", 0.8, "--group-where", "pass_rate < 1", "-o", out, "--json")
    lines = (run / "rollouts.jsonl").read_bytes().splitlines(keepends=True)
    assert out.read_bytes() == lines[0]
    made = json.loads(done.stdout)
    assert made == json.loads((tmp_path / "good.jsonl.manifest.json").read_text())
    assert made["dropped"] == {"unscored": 1, "reward below 0.8": 2, "the group is not (pass_rate < 1)": 2}
    assert made["outputs"] == [{"path": str(out), "rows": 1, "bytes": len(lines[0])}]
    again = data("filter", run, "-o", out, code=2)
    assert again.stderr.startswith("error: ")
    assert again.stderr.count("\n") == 1
    assert "--force replaces it" in again.stderr
    assert data("filter", run, "-o", out, "--force").stdout.splitlines()[0].split() == ["kept", "6", "of", "6", "rows"]
    assert out.read_bytes() == b"".join(lines)


def test_the_configurations_of_the_guides_say_what_to_filter_by(run: Path, tmp_path: Path) -> None:
    (tmp_path / "sft.yaml").write_text(SFT)
    (tmp_path / "dpo.yaml").write_text(DPO)
    made = data("filter", run, "--config", tmp_path / "sft.yaml", "-o", tmp_path / "sft.jsonl", "--json")
    assert json.loads(made.stdout)["dropped"] == {"unscored": 1, "reward below 0.8": 2}
    made = data("filter", run, "--config", tmp_path / "dpo.yaml", "-o", tmp_path / "dpo.jsonl", "--json")
    assert json.loads(made.stdout)["dropped"] == {"rewards of the group differ by less than 0.1": 3}
    made = data(
        "filter", run, "--config", tmp_path / "sft.yaml", "--min-reward", 0, "-o", tmp_path / "all.jsonl", "--json"
    )
    assert json.loads(made.stdout)["dropped"] == {"unscored": 1}
    (tmp_path / "wrong.yaml").write_text("min_reward_treshold: 0.8\n")
    done = data("filter", run, "--config", tmp_path / "wrong.yaml", "-o", tmp_path / "x.jsonl", code=2)
    assert "did you mean min_reward_threshold?" in done.stderr


def test_bad_rows_are_an_error_unless_they_may_be_left_out(run: Path, tmp_path: Path) -> None:
    with (run / "rollouts.jsonl").open("ab") as file:
        file.write(b'{"torn')
    out = tmp_path / "x.jsonl"
    assert "rollouts.jsonl:7: it ends without a line end" in data("filter", run, "-o", out, code=3).stderr
    done = data("filter", run, "-o", out, "--skip-bad", "--json")
    assert json.loads(done.stdout)["dropped"] == {"torn": 1}
    assert "1 bad rows left out, the first: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["filter", "RUN", "--where", "rewrd > 1", "-o", "x.jsonl"], 'Referenced column "rewrd" not found'),
        (["convert", "RUN", "-o", "x.csv"], "says no form"),
        (["split", "RUN", "-o", "x", "--part", "train"], "is not NAME=SHARE"),
        (["split", "RUN", "-o", "x", "--part", "a/b=1"], "no name that a file can have"),
        (["curate", "RUN", "-o", "x.jsonl", "--most", "3"], "--most says how many"),
        (["curate", "RUN", "-o", "x.jsonl", "--balance", "stats"], "did you mean status?"),
    ],
)
def test_what_is_wrong_is_a_line(run: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    before = sorted(tmp_path.iterdir())
    done = data(*(str(run) if text == "RUN" else text for text in arguments), code=2)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_rows_go_to_parquet_and_back(run: Path, tmp_path: Path) -> None:
    data("convert", run, "-o", tmp_path / "x.parquet")
    data("convert", tmp_path / "x.parquet", "-o", tmp_path / "x.jsonl.zst")
    data("convert", tmp_path / "x.jsonl.zst", "-o", tmp_path / "x.jsonl")
    assert (tmp_path / "x.jsonl").read_bytes() == (run / "rollouts.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("verb", "name"),
    [("filter", "x.jsonl"), ("filter", "x.jsonl.zst"), ("convert", "x.jsonl"), ("convert", "x.parquet")],
)
def test_a_disk_that_is_full_at_the_last_byte_leaves_no_file(run: Path, tmp_path: Path, verb: str, name: str) -> None:
    out = tmp_path / name
    data(verb, run, "-o", out)
    size = out.stat().st_size
    for path in tmp_path.glob(f"{name}*"):
        path.unlink()
    done = llmgym(
        "data", verb, run, "-o", out, limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, size - 1))
    )
    assert (done.returncode != 0, done.stderr.count("\n")) == (True, 1)
    assert done.stderr.startswith(f"error: cannot write {out}: ")
    assert "File too large" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["filter", "IN", "-o", "IN"],
        ["filter", "link.jsonl", "-o", "IN"],
        ["curate", "IN", "-o", "IN"],
        ["convert", "IN", "-o", "IN"],
        ["convert", "x.parquet", "-o", "x.parquet"],
        ["export", "sft", "IN", "--to", "generic", "-o", "IN"],
        ["split", "IN", "--part", "rollouts=0.8", "--part", "val=0.2", "-o", "run"],
        ["split", "run", "--part", "val=0.2", "--part", "rollouts=0.8", "-o", "run"],
    ],
)
def test_what_is_read_is_never_replaced(run: Path, tmp_path: Path, arguments: list[str]) -> None:
    source = run / "rollouts.jsonl"
    (tmp_path / "link.jsonl").symlink_to(source)
    data("convert", run, "-o", tmp_path / "x.parquet")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    words = [str(source) if word == "IN" else word for word in arguments]
    done = llmgym("data", *words, "--force", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "the file that is read" in done.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert not [path for path in tmp_path.rglob("*") if "val" in path.name or "manifest" in path.name]


def test_parts_that_cannot_all_be_written_leave_those_before(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    parts = ("--part", "train=2", "--part", "val=1", "-o", out)
    data("split", run, *parts)
    before = {path: path.read_bytes() for path in out.iterdir()}
    assert len(before) == 3
    size = max(len(before[out / f"{name}.jsonl"]) for name in ("train", "val"))
    done = llmgym(
        "data", "split", run, *parts, "--force",
        limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, size - 1)),
    )  # fmt: skip
    assert done.returncode != 0
    assert "File too large" in done.stderr
    assert {path: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("verb", "option", "value"),
    [
        (("data", "quality"), "--threshold", "nan"),
        (("data", "filter", "-o", "x.jsonl"), "--min-reward", "nan"),
        (("data", "filter", "-o", "x.jsonl"), "--min-quality-difference", "-inf"),
        (("data", "export", "-o", "x.jsonl", "--to", "trl", "dpo"), "--min-quality-difference", "nan"),
        (("report",), "--threshold", "nan"),
        (("check",), "--seconds", "inf"),
        (("audit",), "--seconds", "inf"),
    ],
)
def test_options_take_finite_numbers(run: Path, verb: tuple[str, ...], option: str, value: str) -> None:
    done = llmgym(*verb, run, option, value)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Invalid value for '{option}'" in done.stderr
    assert f"{value} is no finite number" in done.stderr


@pytest.mark.parametrize(("option", "text"), [("--where", ""), ("--where", "reward <"), ("--group-where", "rewards")])
def test_a_condition_that_is_none_is_named(run: Path, tmp_path: Path, option: str, text: str) -> None:
    done = data("filter", run, option, text, "-o", tmp_path / "x.jsonl", code=2)
    assert done.stderr.startswith(f"error: {option} {text!r}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "manifest"),
    [
        (["filter", "run", "-o", "x.jsonl"], "x.jsonl.manifest.json"),
        (["curate", "run", "-o", "x.jsonl"], "x.jsonl.manifest.json"),
        (["export", "sft", "run", "--to", "trl", "-o", "x.parquet"], "x.parquet.manifest.json"),
        (["split", "run", "--part", "other=1", "-o", "."], "manifest.json"),
    ],
)
def test_a_manifest_that_is_there_is_kept(run: Path, tmp_path: Path, arguments: list[str], manifest: str) -> None:
    (tmp_path / manifest).write_text("mine")
    before = sorted(tmp_path.iterdir())
    done = llmgym("data", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"error: {manifest} is there already; --force replaces it\n")
    assert (tmp_path / manifest).read_text() == "mine"
    assert sorted(tmp_path.iterdir()) == before
    assert llmgym("data", *arguments, "--force", cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / manifest).read_text())["outputs"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "filter", "run", "-o", "file/x.jsonl"],
        ["data", "filter", "run", "-o", "file/deep/x.jsonl"],
        ["data", "curate", "run", "-o", "file/x.jsonl"],
        ["data", "convert", "run", "-o", "file/x.parquet"],
        ["data", "export", "sft", "run", "--to", "trl", "-o", "file/x.parquet"],
        ["data", "split", "run", "--part", "a=1", "-o", "file"],
        ["compare", "run", "other", "-o", "file/x.md"],
        ["report", "run", "-o", "file/x.html"],
    ],
)
def test_a_file_is_no_folder_to_write_into(run: Path, tmp_path: Path, arguments: list[str]) -> None:
    rows.run_of(tmp_path / "other", rows.groups({"a": [1.0]}))
    (tmp_path / "file").write_text("mine")
    done = llmgym(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.endswith("cannot be written: file is a file, not a folder\n")
    assert (tmp_path / "file").read_text() == "mine"


def test_split_and_curate_write_original_lines(run: Path, tmp_path: Path) -> None:
    lines = (run / "rollouts.jsonl").read_bytes().splitlines(keepends=True)
    data("split", run, "--part", "train=2", "--part", "val=1", "-o", tmp_path / "parts")
    parts = [(tmp_path / "parts" / f"{name}.jsonl").read_bytes().splitlines(keepends=True) for name in ("train", "val")]
    assert sorted(parts[0] + parts[1]) == sorted(lines)
    assert json.loads((tmp_path / "parts/manifest.json").read_text())["kept"] == 6
    out = tmp_path / "few.jsonl"
    done = data(
        "curate", run, "--where", "reward is not null", "--balance", "task_id", "--sample", 2, "-o", out, "--json"
    )
    assert json.loads(done.stdout)["dropped"] == {
        "not (reward is not null)": 1, "more than others of their task_id": 2, "not in the sample": 1,
    }  # fmt: skip
    assert set(out.read_bytes().splitlines(keepends=True)) <= set(lines)


def test_curate_leaves_out_what_is_nearly_there_already(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("rensa")
    flags = ("--distinct-answers", "--distinct-tasks")
    done = data("curate", run, "--where", "num_chars > 0", *flags, "-o", tmp_path / "x.jsonl", "--json")
    made = json.loads(done.stdout)
    assert (made["kept"], made["dropped"]) == (6, {})
    assert made["asked"]["distinct_answers"]


def test_columns_are_listed_with_their_ranges(run: Path) -> None:
    found = {one["column"]: one for one in json.loads(data("columns", run, "--json").stdout)}
    assert found["reward"] == {"column": "reward", "type": "double", "known": 5, "least": 0.0, "greatest": 1.0}
    assert data("columns", run).stdout.splitlines()[1].startswith("id ")
