"""The real client of the Hub against a hub of our own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("duckdb")

from huggingface_hub import constants

from llmgym.data import Dataset
from llmgym.data.export import Recipe, export
from llmgym.data.remote import RemoteError, pull, pulling, push
from llmgym.errors import ConfigError
from tests.data import rows
from tests.data.remote.hub import OWNER, READER, FakeHub, Repo

URL = "hf://datasets/me/runs"


def header(hub: FakeHub) -> dict[str, Any]:
    return yaml.safe_load(hub.repos["me/runs"].files["README.md"].decode().split("---\n")[1])


def same(one: Path, other: Path) -> bool:
    return all((other / path.name).read_bytes() == path.read_bytes() for path in one.glob("[!.]*.json*"))


def test_a_run_becomes_a_private_repository_and_comes_back(hub: FakeHub, run: Path, tmp_path: Path) -> None:
    said: list[str] = []
    push([run], URL, say=said.append)
    repo = hub.repos["me/runs"]
    assert repo.private
    assert len(repo.commits) == 2  # the empty one, and all of it
    assert header(hub)["configs"] == [
        {"config_name": "first", "data_files": [{"split": "train", "path": "data/first.parquet"}]}
    ]
    assert said == [f"the card of {URL} names no licence: --licence ID does"]
    pull(URL, tmp_path / "out")
    assert same(run, tmp_path / "out" / "first")
    assert not (tmp_path / "out" / "data").exists()
    assert list(Dataset.open([tmp_path / "out" / "first"]).query("select count(*) from rows")) == [(5,)]


@pytest.mark.slow
def test_a_second_push_adds_and_sends_nothing_twice(hub: FakeHub, run: Path, tmp_path: Path) -> None:
    push([run], URL)
    sent = hub.count("PUT /lfs/")
    push([run], URL)
    assert len(hub.repos["me/runs"].commits) == 2
    chats = tmp_path / "chats.jsonl"
    chats.write_text('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n')
    recipe = Recipe("sft", "trl", "messages")
    export(Dataset.open([run]), recipe, tmp_path / "sft.parquet")
    push([chats, tmp_path / "sft.parquet"], URL)
    assert hub.count("PUT /lfs/") == sent + 2
    found = {config["config_name"]: config["data_files"][0]["path"] for config in header(hub)["configs"]}
    assert found == {"chats": "data/chats.jsonl.parquet", "first": "data/first.parquet", "sft": "sft.parquet"}
    assert [made.name for made in pull(URL, tmp_path / "out")] == ["chats.jsonl", "first", "sft.parquet"]
    assert (tmp_path / "out" / "sft.parquet").read_bytes() == (tmp_path / "sft.parquet").read_bytes()


def test_another_one_of_the_name_needs_force(hub: FakeHub, run: Path) -> None:
    push([run], URL)
    with (run / "rollouts.jsonl").open("ab") as file:
        file.write(rows.line("c"))
    (run / "failures.jsonl").unlink()
    with pytest.raises(ConfigError, match="--force replaces it"):
        push([run], URL)
    push([run], URL, force=True)
    assert "first/failures.jsonl" not in hub.repos["me/runs"].files
    assert "6 rows" in hub.repos["me/runs"].files["README.md"].decode()


def test_what_was_lost_there_is_sent_again_with_force(hub: FakeHub, run: Path, tmp_path: Path) -> None:
    push([run], URL)
    before = dict(hub.repos["me/runs"].files)
    del hub.repos["me/runs"].files["first/rollouts.jsonl"], hub.repos["me/runs"].files["data/first.parquet"]
    push([run], URL, force=True)
    assert hub.repos["me/runs"].files.keys() == before.keys()
    pull(URL, tmp_path / "out")
    assert (tmp_path / "out" / "first" / "rollouts.jsonl").read_bytes() == (run / "rollouts.jsonl").read_bytes()


def test_an_earlier_revision_is_pulled(hub: FakeHub, run: Path, tmp_path: Path) -> None:
    before = (run / "summary.json").read_bytes()
    push([run], URL)
    (run / "summary.json").write_text("[]")
    push([run], URL, force=True)
    pull(f"{URL}@{hub.repos['me/runs'].commits[1][0]}", tmp_path / "out")
    assert (tmp_path / "out" / "first" / "summary.json").read_bytes() == before


def test_a_public_repository_is_asked_for(hub: FakeHub, run: Path) -> None:
    hub.repos["me/runs"] = Repo(private=False)
    with pytest.raises(ConfigError, match="can be read by everybody: --public says that it may"):
        push([run], URL)
    assert not hub.repos["me/runs"].files
    push([run], URL, public=True)
    push([run], "hf://datasets/me/other", public=True)
    assert not hub.repos["me/other"].private


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (("POST /api/repos/create", 503, 2), "making hf://datasets/me/runs: so it was told (503); again in 0 s"),
        (("preupload", 500, 1), ""),  # the client asks these again by itself
        (("objects/batch", 502, 1), ""),
        (("PUT /lfs/", 503, 1), ""),
        (("POST /api/validate-yaml", 503, 2), "committing to hf://datasets/me/runs: so it was told (503); again"),
        (("commit/main", 503, 2), "committing to hf://datasets/me/runs: so it was told (503); again in 0 s"),
        (("commit/main", "drop", 1), "committing to hf://datasets/me/runs: RemoteProtocolError: "),
    ],
)
def test_a_hub_that_is_down_for_a_moment_is_asked_again(
    hub: FakeHub, run: Path, fault: tuple[str, int | str, int], said: str
) -> None:
    hub.fail(*fault)
    heard: list[str] = []
    push([run], URL, say=heard.append)
    assert len(hub.repos["me/runs"].commits) == 2
    assert any(said in line for line in heard)


def test_a_hub_that_stays_down_says_so_and_the_same_command_goes_on(hub: FakeHub, run: Path, tmp_path: Path) -> None:
    hub.fail("commit/main", 503, 3)
    with pytest.raises(
        RemoteError, match=r"so it was told \(503\), 3 times; what has arrived is kept: repeat the command"
    ):
        push([run], URL)
    sent = hub.count("PUT /lfs/")
    assert sent
    push([run], URL)
    assert hub.count("PUT /lfs/") == sent
    pull(URL, tmp_path / "out")
    assert same(run, tmp_path / "out" / "first")


def test_a_commit_whose_answer_was_lost_is_no_second_one(hub: FakeHub, run: Path) -> None:
    hub.fail("commit/main", "lost")
    with pytest.raises(RemoteError, match=r"or by an attempt whose answer was lost \(412\): repeat the command"):
        push([run], URL)
    push([run], URL)
    assert len(hub.repos["me/runs"].commits) == 2


def test_a_pull_goes_on_when_the_hub_is_back(
    hub: FakeHub, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push([run], URL)
    monkeypatch.setattr(pulling, "_BLOCK", 2000)
    hub.fail("resolve/main/first/run.json", 403, 1)
    with pytest.raises(RemoteError, match=r"reading .*first/run.json: "):
        pull(URL, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [pulling.WAITING]
    hub.asked.clear()
    pull(URL, tmp_path / "out")
    assert not hub.count("resolve/main/first/rollouts.jsonl")
    assert same(run, tmp_path / "out" / "first")


def test_who_may_not_is_told(hub: FakeHub, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", READER)
    with pytest.raises(RemoteError, match=r"making .*rights required \(403\): does the token have the right to write"):
        push([run], URL)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(RemoteError, match=r"looking at hf://datasets/me/runs: the token is not accepted \(401\)"):
        push([run], URL)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ConfigError, match="there is no token of the Hub: `hf auth login`, or set HF_TOKEN"):
        push([run], URL)
    assert not hub.repos
    monkeypatch.setenv("HF_TOKEN", OWNER)
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(ConfigError, match="HF_HUB_OFFLINE is set"):
            push([run], URL)
    push([run], URL)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ConfigError, match="what is private needs a token or a key"):
        pull(URL, tmp_path / "out")


def test_places_that_are_none(hub: FakeHub, run: Path, tmp_path: Path) -> None:
    for url in ("hf://me/model", "hf://datasets/me", "hf://datasets/me/runs/folder", "hf://spaces/me/runs"):
        with pytest.raises(ConfigError, match=r"goes to hf://datasets/OWNER/NAME\[@BRANCH\]|must be"):
            push([run], url)
    push([run], URL)
    with pytest.raises(ConfigError, match="there is no branch 'dev'"):
        push([run], f"{URL}@dev")
    with pytest.raises(ConfigError, match="nothing is there"):
        pull("hf://datasets/me/none", tmp_path / "out")


def test_a_licence_that_the_hub_does_not_know(hub: FakeHub, run: Path) -> None:
    with pytest.raises(RemoteError, match=r"license"):
        push([run], URL, licence="mine")
    push([run], URL, licence="cc-by-4.0")
    assert header(hub)["license"] == "cc-by-4.0"


def test_what_others_wrote_into_the_repository_stays(hub: FakeHub, run: Path) -> None:
    hub.repos["me/runs"] = Repo(private=True)
    card = (
        "---\nlicense: mit\nlanguage: [en]\nconfigs:\n- config_name: own\n  data_files: own.csv\n---\n# Mine\n\nText.\n"
    )
    hub.repos["me/runs"].commits.append(("1" * 40, {"README.md": card.encode(), "own.csv": b"a\n1\n"}))
    push([run], URL)
    push([run], URL)
    files = hub.repos["me/runs"].files
    assert files["own.csv"] == b"a\n1\n"
    assert "# Mine\n\nText.\n" in files["README.md"].decode()
    assert header(hub)["license"] == "mit"
    assert header(hub)["language"] == ["en"]
    assert [config["config_name"] for config in header(hub)["configs"]] == ["own", "first"]


def test_the_card_has_statistics_and_provenance_as_text(hub: FakeHub, run: Path) -> None:
    push([run], URL)
    card = hub.repos["me/runs"].files["README.md"].decode()
    (line,) = (line for line in card.splitlines() if line.startswith("| test/Say-v0 | 5"))
    assert [cell.strip() for cell in line.strip("|").split("|")][:5] == ["test/Say-v0", "5", "2", "4", "0.750"]
    assert r"model a \<b\>model\</b\> \| of \| ours, split train, seed 0" in card
    assert "2026-01-01T00:00:00+00:00" in card
    facts = json.loads(hub.repos["me/runs"].files["first.pushed.json"])["facts"]
    assert facts["rows"] == 5
    assert re.search(r'load_dataset\("me/runs", "first", split="train"\)', card)
