"""Logs of Inspect. `inspect.eval` is one of its 0.3.285: two samples, two epochs, a tool and two scorers."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")

from llmgym.data import Dataset
from llmgym.data.problems import UnreadableError
from llmgym.data.shapes import inspect_logs
from tests.data.shapes.test_shapes import episodes

GOLDEN = Path(__file__).with_name("inspect.eval")
COLUMNS = "group_id, repeat, status, reward, num_turns, num_sampled_tokens, includes, parts_right, parts_short"


@pytest.fixture(name="log")
def copied_log(tmp_path: Path) -> Path:
    """The log, in a folder that an index can be written to."""
    return Path(shutil.copy(GOLDEN, tmp_path))


def log_of(*samples: Any) -> dict[str, Any]:
    return {"version": 2, "status": "success", "eval": {"task": "sums", "model": "m"}, "samples": list(samples)}


def opened(folder: Path, log: Any, skip_bad: bool = False) -> Dataset:
    path = folder / "log.json"
    path.write_text(json.dumps(log, indent=2))
    return Dataset.open([path], skip_bad=skip_bad)


def test_an_archive_is_its_samples(log: Path) -> None:
    data = Dataset.open([log])
    assert data.query(f"select {COLUMNS} from rows order by 1, 2") == [
        ("sums/2", 0, "completed", 0.0, 2, 27, 0.0, 1.0, 0.5), ("sums/2", 1, "completed", 0.0, 2, 27, 0.0, 1.0, 0.5),
        ("sums/a", 0, "completed", 1.0, 2, 27, 1.0, 1.0, 0.5), ("sums/a", 1, "completed", 1.0, 2, 27, 1.0, 1.0, 0.5),
    ]  # fmt: skip
    assert [group.pass_rate for group in data.groups()] == [0.0, 1.0]
    first = episodes(data)[0]
    assert [message["role"] for message in first.messages] == ["system", "user", "assistant", "tool", "assistant"]
    call, result = first.messages[2]["tool_calls"][0], first.messages[3]
    assert call["function"] == {"name": "add", "arguments": '{"a": 3, "b": 4}'}
    assert (result["tool_call_id"], result["name"], result["content"]) == (call["id"], "add", "7")
    assert (first.opening, first.reward, first.turns[-1].reward) == (2, 1.0, 1.0)
    assert first.tools[0]["function"]["description"] == "Add two numbers."
    assert first.usage["agent"].output_tokens == 27


def test_a_document_says_the_same(tmp_path: Path, log: Path) -> None:
    rows = list(inspect_logs.archived(GOLDEN))
    data = opened(tmp_path, log_of(*rows))
    assert data.query(f"select {COLUMNS} from rows order by 1, 2") == Dataset.open([log]).query(
        f"select {COLUMNS} from rows order by 1, 2"
    )
    assert [one.messages for one in episodes(data)] == [one.messages for one in episodes(Dataset.open([log]))]


def test_ends_scores_and_parts_of_messages(tmp_path: Path) -> None:
    base = next(inspect_logs.archived(GOLDEN))
    said = [
        {"role": "user", "content": "attachment://ab"},
        {"role": "assistant", "content": [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "yes"}]},
    ]
    changes: list[dict[str, Any]] = [
        {"error": {"message": "RuntimeError: no"}, "scores": {"s": {"value": 1}}},
        {"limit": {"type": "token", "limit": 9}, "scores": {"parts": {"value": {"x": True}}, "s": {"value": "P"}}},
        {"limit": {"type": "time", "limit": 9}, "scores": {}},
        {"messages": said, "attachments": {"ab": "long"}, "scores": {"s": {"value": "who knows"}}},
    ]
    rows = [{**base, "uuid": str(at), **change} for at, change in enumerate(changes)]
    data = opened(tmp_path, log_of(*rows))
    assert data.query("select status, reward, failure, s, parts_x from rows order by id") == [
        ("env_error", None, "error", 1.0, None), ("max_tokens", 0.5, "", 0.5, 1.0), ("max_turns", None, "", None, None),
        ("completed", None, "", None, None),
    ]  # fmt: skip
    failed, *_, last = episodes(data)
    assert failed.error == "RuntimeError: no"
    assert [message["content"] for message in last.messages] == ["long", "yes"]
    assert last.messages[1]["reasoning_content"] == "hm"


def test_an_archive_that_is_no_log_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "some.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(UnreadableError, match="no log of Inspect"):
        Dataset.open([path])
    path.write_bytes(GOLDEN.read_bytes()[:5000])
    with pytest.raises(UnreadableError, match="cannot be unpacked"):
        Dataset.open([path])


def test_a_sample_that_is_no_json_is_named_and_the_others_read(tmp_path: Path) -> None:
    base = next(inspect_logs.archived(GOLDEN))
    made = [base, {**base, "uuid": "u2", "total_time": float("nan")}, {**base, "uuid": "u3", "target": "\ud83d"}]
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps(log_of()))
        for number, sample in enumerate(made):
            archive.writestr(f"samples/{number}.json", json.dumps(sample))
    for data in (Dataset.open([path], skip_bad=True), opened(tmp_path, log_of(*made), skip_bad=True)):
        second, third = data.problems
        assert (second.line, third.line, len(data.select())) == (2, 3, 1)
        assert second.reason.startswith("not JSON: NaN at column ")
        assert third.reason.startswith("a text has half of a character (a lone surrogate) at column ")
