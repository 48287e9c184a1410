from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("py3langid")

from llmgym.envs.instructions import Instructions
from llmgym.envs.instructions.constraints import ANCHORS, CLOSED, CONSTRAINTS, compatible
from llmgym.envs.instructions.sentences import ENGLISH, LANGUAGES
from llmgym.envs.instructions.topics import ASKS, PIECES, QUESTIONS, TOPICS
from llmgym.envs.instructions.writing import write
from llmgym.errors import ConfigError, TaskError
from llmgym.registry import list_envs, register_envs
from llmgym.verifiers import instructions as verifier
from tests.envs.checks import DEGENERATE, distinct_share, oracle_rewards, play, policy_reward

register_envs()
VARIANTS: dict[str, dict[str, Any]] = {
    entry.id.split("/")[1]: entry.kwargs for entry in list_envs() if entry.base == "llmgym/Instructions-v0"
}
EACH: dict[str, dict[str, Any]] = {**VARIANTS, "four of all": {"instructions": [4, 4], "words": [30, 60], "slack": 3.0}}


@pytest.fixture(params=EACH)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return EACH[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_is_right(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(Instructions(**arguments, split=split), 20) == [1.0] * 20


@pytest.mark.parametrize("policy", [name for name in DEGENERATE if name != "random"])
def test_degenerate_policies_earn_nothing(arguments: dict[str, Any], policy: str) -> None:
    assert policy_reward(Instructions(**arguments), DEGENERATE[policy]) == 0


def test_a_repeated_prompt_earns_nothing(arguments: dict[str, Any]) -> None:
    env = Instructions(**arguments)
    for times in (2, 3):
        assert policy_reward(env, lambda env, turn, n=times: "\n".join([env.transcript[0]["content"]] * n)) == 0


def test_texts_for_other_tasks_earn_nothing(arguments: dict[str, Any]) -> None:
    env = Instructions(**arguments)
    tasks = [env.tasks.plan("train", 1, index) for index in range(60)]
    texts = [write(task.answer) for task in tasks]
    earned = [
        bool(verifier.check(text, task.answer))
        for at, task in enumerate(tasks)
        for text in (*texts[:at], *texts[at + 1 :], "\n".join(texts))
    ]
    assert sum(earned) / len(earned) < 0.005


@pytest.mark.parametrize("name", ["Instructions-easy-v0"])
def test_tasks_are_many(name: str) -> None:
    env = Instructions(**VARIANTS[name])
    assert distinct_share(env) >= 0.99


def test_every_family_occurs_and_only_those_that_go_together() -> None:
    env, seen = Instructions(instructions=[1, 4]), set[str]()
    for index in range(600):
        names = env.tasks.plan("train", 3, index).answer["instruction_id_list"][2:]
        seen.update(names)
        assert 1 <= len(names) <= 4
        assert set(ANCHORS) & set(names)
        assert CLOSED & set(names)
        assert all(compatible(name, [other for other in names if other != name]) for name in names)
    assert seen == set(CONSTRAINTS)
    assert seen | {"length_constraints:number_words"} == set(verifier.FAMILIES)


@pytest.mark.parametrize("other", ["detectable_content:postscript", "detectable_format:number_bullet_lists"])
def test_paragraphs_are_not_counted_beside_what_some_set_apart_as_one(other: str) -> None:
    assert not compatible(other, ["length_constraints:nth_paragraph_first_word"])


def test_what_the_oracle_writes_has_no_word_of_a_topic() -> None:
    stock = " ".join([*PIECES, *ASKS, *QUESTIONS, *ENGLISH, *TOPICS]).lower()
    for words in TOPICS.values():
        assert len(set(words)) == 8
        assert not [word for word in words if re.search(rf"\b{word}\b", stock)]
    assert not any(
        "," in sentence for sentences in [ENGLISH, *(s for _, s in LANGUAGES.values())] for sentence in sentences
    )


ROW = {
    "prompt": "Say something.",
    "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
    "kwargs": [{"num_words": None}, {"num_words": 3, "relation": "at least"}],
}


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("Roses are red", 1),
        ("<think>Well, yes.</think>Roses are red", 1),
        ("Roses, are red", 0),
        ("Roses are", 0),
        ("", 0),
        ("x" * 100_000, 0),
        ("a " * 60_000, 0),
        ("\x00\ud800 b c d", 1),
    ],
)
def test_a_row_of_ifeval(tmp_path: Path, text: str, reward: float) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"key": 12, **ROW}))
    env = Instructions(tasks=path)
    _, info = env.reset(seed=0)
    assert info["task_id"] == "12"
    assert play(env, [text]) == reward


@pytest.mark.parametrize(("mode", "reward"), [("binary", 0), ("fraction", 0.5)])
def test_a_row_of_nemo_gym(tmp_path: Path, mode: str, reward: float) -> None:
    path = tmp_path / "rows.jsonl"
    request = {"input": [{"role": "user", "content": ROW["prompt"]}], "tools": [], "parallel_tool_calls": False}
    path.write_text(json.dumps({"id": 7, **ROW, "grading_mode": mode, "responses_create_params": request}))
    env = Instructions(tasks=path)
    observation, info = env.reset(seed=0)
    assert observation[0]["content"] == ROW["prompt"]
    assert info["task_id"] == "7"
    assert play(env, ["Roses are"]) == reward


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instruction_id_list": ["last_word:last_word_answer", "punctuation:no_comma"]}, "no instruction"),
        ({"kwargs": [{}]}, "2 instructions"),
        ({"kwargs": [{}, {"num_words": 3}]}, "relation"),
        ({"instruction_id_list": None}, "instruction_id_list"),
        ({"grading_mode": "judge"}, "grading_mode"),
        ({"prompt": None}, "prompt"),
    ],
)
def test_malformed_rows(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({**ROW, **change}))
    with pytest.raises(TaskError, match=rf"rows\.jsonl:1: .*{said}"):
        Instructions(tasks=path).reset(seed=0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"instructions": [0, 2]},
        {"instructions": [3]},
        {"words": [5, 10]},
        {"slack": 1.0},
        {"families": ["no_comma"]},
        {"families": ["punctuation:no_comma"]},
        {"score": "some"},
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Instructions(**arguments)


def test_a_row_may_have_no_arguments(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"prompt": "Say something.", "instruction_id_list": ["punctuation:no_comma"]}))
    assert oracle_rewards(Instructions(tasks=path), 1) == [1.0]


def test_partial_credit_and_pickling() -> None:
    env: Instructions = pickle.loads(pickle.dumps(Instructions(score="share")))
    env.reset(seed=0)
    assert 0 < play(env, ["hello there"]) < 1
