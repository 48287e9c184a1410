from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("duckdb")

from llmgym.data.remote.card import card_of, configs
from llmgym.data.remote.manifest import Manifest
from llmgym.errors import ConfigError

REWARD = {"mean": 0.5, "low": None, "high": None}
COUNTS = dict.fromkeys(("rows", "tasks", "scored", "turns", "sampled_tokens", "context_tokens"), 1)


def manifest(name: str, licence: str | None = None, kind: str = "run", env_id: str = "mine/Say-v0") -> Manifest:
    found = {"reward": REWARD, "pass_at_1": None, **COUNTS, **({"licence": licence} if licence else {})}
    return Manifest(name, kind, (), table=f"data/{name}", facts={"rows": 1, "environments": {env_id: found}})  # type: ignore[arg-type]


def header(text: str) -> dict[str, object]:
    return yaml.safe_load(text.split("---\n")[1])


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_text_around_it_stays_and_a_second_time_changes_nothing(text: str) -> None:
    first = {"first": manifest("first")}
    before = f"---\nlanguage: en\n---\n{text}"
    card = card_of("me/runs", first, before, None)
    assert text.strip() in card
    assert header(card)["language"] == "en"
    assert card_of("me/runs", first, card, None) == card


@given(st.text())
def test_texts_of_others_add_nothing(text: str) -> None:
    made = manifest("first", env_id=text)
    plain = card_of("me/runs", {"first": manifest("first", env_id="x")}, None, None)
    card = card_of("me/runs", {"first": made}, None, None)
    assert len(card.splitlines()) == len(plain.splitlines())
    assert header(card) == header(plain)


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["MIT"], "mit"),
        (["MIT", "MIT"], "mit"),
        (["MIT", "CC-BY-4.0"], None),
        (["MIT", None], None),
        (["LicenseRef-mine"], None),
    ],
)
def test_the_licence_is_that_of_all_tasks(licences: list[str | None], expected: str | None) -> None:
    manifests = {str(number): manifest(str(number), licence) for number, licence in enumerate(licences)}
    assert header(card_of("me/runs", manifests, None, None)).get("license") == expected
    assert header(card_of("me/runs", manifests, None, "other")).get("license") == "other"


def test_configurations_of_what_was_taken_away_go_with_it() -> None:
    card = card_of("me/runs", {"first": manifest("first"), "second": manifest("second")}, None, None)
    card = card_of("me/runs", {"second": manifest("second")}, card, None, were=["data/first"])
    assert [config["config_name"] for config in header(card)["configs"]] == ["second"]  # type: ignore[attr-defined]


def test_configurations_have_names_of_their_own() -> None:
    names = ["sft.jsonl", "sft.parquet", "dpo.jsonl.zst", "x.atif.jsonl"]
    made = configs([manifest(name, kind="export") for name in names])
    assert list(made) == ["sft.jsonl", "sft.parquet", "dpo", "x"]


@pytest.mark.parametrize("before", ["---\n[\n---\n", "---\n- a\n---\n"])
def test_a_header_that_cannot_be_read_is_not_overwritten(before: str) -> None:
    with pytest.raises(ConfigError, match="the card of me/runs"):
        card_of("me/runs", {}, before, None)
