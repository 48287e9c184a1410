"""`llmgym view`: what it serves, to whom, and while a run goes on."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmgym.errors import ConfigError
from llmgym.report import Report
from llmgym.report.serving import Viewer
from llmgym.rollout import RunStore
from tests.data.rows import line, run_of
from tests.report import runs


@pytest.fixture
def viewer(tmp_path: Path) -> Iterator[Viewer]:
    """A viewer of `run`."""
    made = Viewer(Report([runs.store(tmp_path / "run", runs.plain())]))
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.close()
    thread.join()


def get(url: str, **headers: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return answer.read().decode()


def test_what_is_served(viewer: Viewer) -> None:
    assert "<title>run · llmgym</title>" in get(viewer.url)
    assert get(f"{viewer.url}pack/0.js").startswith('R.pack(0,"')
    for path in ("pack/1.js", "pack/../run.json", "run.json", "pack/0.new", ".."):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(viewer.url + path)


def test_another_site_gets_nothing(viewer: Viewer) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(viewer.url, Host=f"evil.example:{viewer.url.split(':')[2].strip('/')}")


def test_it_goes_on(viewer: Viewer, tmp_path: Path) -> None:
    before = viewer.state
    assert get(f"{viewer.url}live.js?have={before}") == ""
    store = RunStore(tmp_path / "run", {"environments": []}, runs.CONFIG, 0.0)
    for row in runs.plain(3, start=50):
        store.append(row)
    store.close()
    news = get(f"{viewer.url}live.js?have={before}")
    assert news.startswith("R.live({")
    assert '"rows":21' in news
    assert get(f"{viewer.url}live.js?have={viewer.state}") == ""


def test_a_run_that_breaks_stays_as_it_was(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [line("a")])
    said: list[Exception] = []
    viewer = Viewer(Report([run]), complain=said.append)
    with (run / "rollouts.jsonl").open("ab") as file:
        file.write(b"{\n")
    viewer.news("")
    assert '"rows":1' in viewer.news("")
    assert [str(error).startswith("1 bad rows") for error in said] == [True]
    viewer._server.server_close()


def test_rows_before_one_that_breaks_are_shown_whole(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [line("a")])
    viewer = Viewer(Report([run]), complain=lambda error: None)
    before, pack = viewer.state, viewer.pack(0)
    with (run / "rollouts.jsonl").open("ab") as file:
        file.write(line("b") + b"{\n")
    assert '"rows":2' in viewer.news(before)
    assert viewer.pack(0) != pack
    after = viewer.state
    assert after != before
    assert viewer.news(after) == ""
    viewer._server.server_close()


def test_a_browser_leaves_out_the_usual_port(viewer: Viewer) -> None:
    assert "<title>" in get(viewer.url, Host="127.0.0.1")


def test_a_port_that_is_taken(viewer: Viewer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--port"):
        Viewer(Report([run_of(tmp_path / "other", [line("a")])]), port=int(viewer.url.split(":")[2].strip("/")))
