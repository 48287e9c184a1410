"""What a page is made from: rows that are read once, their figures, and the packs."""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from pathlib import Path
from shutil import copy
from typing import Any

import numpy as np
import pytest

from llmgym.data import BadRowsError, Dataset
from llmgym.data.comparison import compare
from llmgym.data.problems import UnreadableError
from llmgym.data.quality.report import measure, quality
from llmgym.errors import ConfigError
from llmgym.policies.models import cache_dir
from llmgym.report import Report, write_report
from llmgym.report.chunks import ROWS, UNKNOWN, pack
from llmgym.report.page import script_json
from llmgym.report.vocabulary import Vocabulary, vocabulary_of
from llmgym.rollout import RunStore
from llmgym.rollout.folder import open_records, summarize_folder
from llmgym.tasks import Task
from llmgym.trajectory import segment_of
from tests.data.rows import changed, episode, line, run_of
from tests.report import runs


def read(*paths: Path, **options: Any) -> tuple[Report, dict[int, bytes]]:
    packs: dict[int, bytes] = {}
    report = Report(paths, **options)
    report.update(packs.__setitem__)
    return report, packs


def unpacked(data: bytes) -> tuple[dict[str, Any], Any, Any]:
    raw = zlib.decompress(data, wbits=31)
    end = 4 + int.from_bytes(raw[:4], "little")
    count = (len(raw) - end) // 6
    ids = np.frombuffer(raw, "<u4", count, end)
    return json.loads(raw[4:end]), ids, np.frombuffer(raw, "<u2", count, end + 4 * count)


# --- rows ----------------------------------------------------------------------------------------


def test_figures(tmp_path: Path) -> None:
    run = runs.store(tmp_path / "run", [*runs.plain(), *runs.crowd(), runs.failing(1), runs.failing(22)])
    report, packs = read(run)
    found = report.summary()["runs"][0]["all"]
    assert (found["counts"]["rows"], found["counts"]["episodes"], found["tasks"]) == (14, 13, 6)
    assert found["passes"][0]["value"] == pytest.approx((2 * 1 / 3 + 2 * 2 / 3 + 1 + 0) / 6)
    assert [point["k"] for point in found["passes"]] == [1, 2, 3]
    assert found["passes"][2]["tasks"] == 4
    assert found["groups"] == {
        "solved": 0, "failed": 0, "mixed": 4, "constant between": 0, "single": 2, "unscored": 0,
    }  # fmt: skip
    assert [point["version"] for point in found["versions"]] == [1, 2, 3, 4]
    assert report.summary()["rows"] == 16 == len(report.columns)
    (group,) = report.summary()["failures"]
    assert (group["count"], group["kind"], group["stage"]) == (2, "environment", "verify")
    assert "line 1, in verify" in group["first"]
    assert list(packs) == [0]


def test_figures_are_those_of_summary_quality_and_compare(tmp_path: Path) -> None:
    kept = RunStore(tmp_path / "run", {"environments": []}, {"num_repeats": 2, "success_threshold": 0.5}, 0.0)
    kept.confirm({}, planned=None)
    earned = {"a": (1.0, 0.0), "again": (1.0, 1.0), "above": (2.0, 3.0), "near": (0.6, 0.9), "lost": (0.0, 0.0)}
    earned |= {"half": (0.2, 0.2), "none": (None, None)}
    for name, rewards in earned.items():
        content = "a" if name == "again" else name
        for repeat, reward in enumerate(rewards):
            made = episode(name, repeat, reward)
            made.task = Task(id=name, prompt=f"say {content}", answer=content)
            kept.append(made)
    kept.close()
    found = read(tmp_path / "run")[0].summary()["runs"][0]["all"]
    data = Dataset.open([tmp_path / "run"], threshold=0.5)
    measure(data)
    measured, summary = quality(data), summarize_folder(open_records(tmp_path / "run"))
    (score, _) = compare(Dataset.open([tmp_path / "run", _copied(tmp_path)], threshold=0.5)).runs

    classes = {"solved": 1, "failed": 1, "mixed": 3, "constant between": 1, "single": 0, "unscored": 1}
    assert found["groups"] == {name: measured["groups"][name]["groups"] for name in classes} == classes
    assert found["tasks"] == summary["tasks"] == score.tasks - 1 == 5
    assert found["passes"][:2] == summary["pass_at_k"] == measured["pass_at_k"]
    assert found["passes"][0]["value"] == pytest.approx((0.75 + 1 + 1 + 0 + 0) / 5) == score.pass_at_1.mean


def test_runs_in_which_nothing_finished(tmp_path: Path) -> None:
    for rows, failed in ([], 0), ([runs.failing(1), runs.failing(2)], 2):
        report, _ = read(runs.store(tmp_path / str(failed), rows))
        (run,) = report.summary()["runs"]
        assert set(run["all"]["counts"].values()) == {0}
        assert sum(run["failed"].values()) == failed


def test_failures_of_a_file_are_failures(tmp_path: Path) -> None:
    run = runs.store(tmp_path / "run", [runs.failing(1), runs.failing(2)])
    summary = read(run / "failures.jsonl")[0].summary()
    assert [group["count"] for group in summary["failures"]] == [2]
    assert summary["runs"][0]["all"]["counts"]["episodes"] == 0


@pytest.mark.parametrize("agents", [1, 2, 3])
def test_episodes_are_counted_whole(tmp_path: Path, agents: int) -> None:
    names = "abc"[:agents]
    report, _ = read(
        runs.store(tmp_path / "run", (episode(f"t{n}", agent=a, agents=agents) for n in range(100) for a in names))
    )
    assert report.summary()["runs"][0]["all"]["counts"]["episodes"] == 100


def test_a_file_with_the_rows_of_one_agent(tmp_path: Path) -> None:
    (tmp_path / "black.jsonl").write_bytes(b"".join(line(f"t{n}", agent="black", agents=2) for n in range(3)))
    report, _ = read(tmp_path / "black.jsonl")
    assert len(report.columns) == report.summary()["runs"][0]["all"]["counts"]["episodes"] == 3


def _copied(folder: Path) -> Path:
    (folder / "other").mkdir()
    copy(folder / "run" / "rollouts.jsonl", folder / "other")
    return folder / "other"


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run", {"environments": []}, runs.CONFIG, 0.0)
    store.confirm({}, planned=None)
    for row in [*runs.plain(2), runs.failing(1)]:
        store.append(row)
    report, packs = read(tmp_path / "run")
    assert len(report.columns) == 7
    assert not report.update(packs.__setitem__)
    for row in runs.plain(100, start=2):
        store.append(row)
    changed_packs: list[int] = []
    assert report.update(lambda number, data: changed_packs.append(number))
    assert (len(report.columns), changed_packs) == (307, [0, 1])
    made_good = runs.failing(1)
    store.append(episode(made_good.task_id, 0, 1.0))
    store.retire(["test/Say-v0/t0/0"], "changed")
    assert report.update(packs.__setitem__)
    assert len(report.columns) == 306
    assert report.summary()["failures"] == []
    store.close()


def test_failures_that_are_made_good_are_none(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run", {"environments": []}, runs.CONFIG, 0.0)
    store.confirm({}, planned=None)
    lost = runs.failing(1)
    store.append(lost)
    report, packs = read(tmp_path / "run")
    before = packs[0]
    store.append(episode(lost.task_id, 0, 1.0))
    assert report.update(packs.__setitem__)
    assert (len(report.columns), report.summary()["failures"]) == (1, [])
    assert packs[0] != before
    assert not report.update(packs.__setitem__)
    store.close()


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_file_that_is_replaced_is_read_anew(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(line("a") + line("b"))
    report, packs = read(path)
    path.write_bytes(b"".join(line(f"other {number}") for number in range(rows)))
    assert report.update(packs.__setitem__)
    assert report.columns.words["task"].words == [f"other {number}" for number in range(rows)]


def test_packs_have_the_rows_whole(tmp_path: Path) -> None:
    rows = list(runs.plain(ROWS, 1))
    rows[7].segments = runs.segments([5, 3])
    _, packs = read(runs.store(tmp_path / "run", iter([*rows, *runs.plain(1, 1, start=900)])))
    data, ids, logprobs = unpacked(packs[0])
    assert len(data["rows"]) == ROWS
    row = data["rows"][7]
    first, second = row["segments"]
    assert ids[first["at"] :][:8].tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert second["at"] == first["at"] + 5
    assert logprobs[first["at"] :][:5].tolist() == [UNKNOWN, 1500, UNKNOWN, 1500, UNKNOWN]
    assert row["messages"] == rows[7].messages
    assert data["rows"][3]["turns"][1]["versions"] == [[3, 0, 2], [4, 2, 3]]
    assert len(unpacked(packs[1])[0]["rows"]) == 1


def test_log_probabilities_that_are_none() -> None:
    row = episode()
    row.segments[0].logprobs[:] = [np.nan, -np.inf, 0.5, -100, *[-0.25] * 10]
    row.segments[0].sampled[:] = True
    *_, logprobs = unpacked(pack([row], [Vocabulary()]))
    assert logprobs[:5].tolist() == [UNKNOWN, UNKNOWN, 0, UNKNOWN - 1, 250]


# --- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", [b"{\n", b"[]\n", changed(line("x"), reward="much"), line("a"), changed(line("x"), error="\ud800")]
)
def test_bad_rows(tmp_path: Path, bad: bytes) -> None:
    run = run_of(tmp_path / "run", [line("a"), bad, line("b")])
    with pytest.raises(BadRowsError, match=r"rollouts\.jsonl:2: "):
        read(run)
    report, _ = read(run, skip_bad=True)
    assert len(report.columns) == 2
    assert report.summary()["num_problems"] == 1


@pytest.mark.parametrize("name", ["chats.jsonl", "chats.jsonl.gz"])
def test_files_of_others(tmp_path: Path, name: str) -> None:
    rows = b"".join(
        json.dumps({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]}).encode()
        + b"\n"
        for _ in range(3)
    )
    (tmp_path / name).write_bytes(gzip.compress(rows) if name.endswith("gz") else rows)
    report, packs = read(tmp_path / name)
    assert len(report.columns) == 3
    assert unpacked(packs[0])[0]["rows"][2]["messages"][1]["content"] == "yes"
    assert report.summary()["runs"][0]["name"] == name


def test_a_torn_end_is_no_error(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [line("a"), line("b")[:-20]])
    report, _ = read(run)
    assert len(report.columns) == 1
    assert report.summary()["runs"][0]["torn"]


def test_what_cannot_be_reported(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [line("a")])
    for paths in ([], [run, run], [run] * 3):
        with pytest.raises(ConfigError):
            Report(paths)
    with pytest.raises(UnreadableError, match="no such file"):
        Report([tmp_path / "nowhere"])


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("old", "new"):
        runs.store(tmp_path / folder / "run" / "first", runs.plain(1))
    paths = [tmp_path / folder / "run" / "first" for folder in ("old", "new")]
    report, _ = read(*paths)
    assert [run["name"] for run in report.summary()["runs"]] == ["old/run/first", "new/run/first"]
    report, _ = read(*(path / "rollouts.jsonl" for path in paths[:1]))
    assert [run["name"] for run in report.summary()["runs"]] == ["rollouts.jsonl"]


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    run = runs.store(tmp_path / os.fsdecode(b"r\xffn"), runs.plain(1))
    assert "<title>r\ufffdn · llmgym</title>" in write_report(Report([run]), tmp_path / "page.html").read_text("utf-8")


# --- texts of tokens -----------------------------------------------------------------------------


def test_texts_of_tokens() -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made: Any = Tokenizer(models.BPE(vocab=letters, merges=[]))
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<end>"])
    found = Vocabulary("m", made).texts([letters["a"], letters["Ġ"], letters["ð"], 256, 9999])
    assert list(found.values()) == ["a", " ", "\\xf0", "<end>"]

    pieces: Any = Tokenizer(models.BPE(vocab={"▁a": 0, "<0xF0>": 1, "é": 2}, merges=[]))
    assert list(Vocabulary("m", pieces).texts([0, 1, 2]).values()) == [" a", "\\xf0", "é"]


def test_texts_of_two_runs_of_one_model() -> None:
    from tokenizers import Tokenizer, models

    made: Any = Tokenizer(models.WordLevel({"one": 0, "two": 1}, unk_token="one"))
    rows = [episode(), episode()]
    for number, row in enumerate(rows):
        row.segments = [segment_of([number], [], [])]
    data, *_ = unpacked(pack(rows, [Vocabulary("m", made), Vocabulary("m", made)]))
    assert data["texts"] == {"m": {"0": "one", "1": "two"}}


def test_without_a_tokenizer() -> None:
    assert "--tokenizer" in (vocabulary_of(None, None).missing or "")
    assert "not on this machine" in (vocabulary_of({"model": "nobody/has-this"}, None).missing or "")
    assert vocabulary_of({"model": "nobody/has-this"}, None).texts([1]) == {}


@pytest.mark.integration
def test_the_tokenizer_of_the_model() -> None:
    if not (cache_dir() / "smollm2").is_dir():
        pytest.skip("smollm2 was not fetched")
    found = vocabulary_of({"model": "smollm2"}, None)
    assert found.missing is None
    assert found.texts([1, 0])[1] == "<|im_start|>"


# --- files ---------------------------------------------------------------------------------------


def test_one_file_where_it_is_small(tmp_path: Path) -> None:
    run = runs.store(tmp_path / "run", runs.plain())
    path = write_report(Report([run]), tmp_path / "report.html")
    assert [one.name for one in sorted(tmp_path.iterdir())] == ["report.html", "run"]
    with pytest.raises(ConfigError, match="--force"):
        write_report(Report([run]), path)


def test_a_folder_where_it_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmgym.report.page.WITHIN", 0)
    run = runs.store(tmp_path / "run", runs.plain(100))
    path = write_report(Report([run]), tmp_path / "report.html")
    before = [one.name for one in (tmp_path / "report.html.files").iterdir()]
    write_report(Report([run]), path, force=True)
    (folder,) = (tmp_path / "report.html.files").iterdir()
    assert folder.name not in before
    assert f'"report.html.files/{folder.name}/"' in path.read_text("utf-8")
    assert sorted(one.name for one in folder.iterdir()) == ["0.js", "1.js"]
    assert re.fullmatch(r'R\.pack\(0,"[A-Za-z0-9+/=]+"\)\n', (folder / "0.js").read_text("ascii"))


def test_nothing_is_left_of_one_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmgym.report.page.WITHIN", 0)
    run = run_of(tmp_path / "run", [*(line(f"t{number}") for number in range(300)), b"{\n"])
    with pytest.raises(BadRowsError):
        write_report(Report([run]), tmp_path / "report.html")
    assert [one.name for one in tmp_path.iterdir()] == ["run"]


def test_data_cannot_end_its_script() -> None:
    text = script_json({text: text for text in runs.HOSTILE})
    assert not re.search(r"[<>&\u2028\u2029]", text)
    assert json.loads(text) == {text: text for text in runs.HOSTILE}


def test_the_page_has_hostile_texts_only_as_data(tmp_path: Path) -> None:
    path = write_report(Report([runs.store(tmp_path / "<b>run", runs.hostile())]), tmp_path / "report.html")
    text = path.read_text("utf-8")
    assert "window.ran" not in re.sub(r'<script type="text/plain" id="summary">.*?</script>', "", text, flags=re.DOTALL)
    assert "<b>" not in text
    assert len(re.findall("<script", text)) == len(re.findall("</script>", text))
