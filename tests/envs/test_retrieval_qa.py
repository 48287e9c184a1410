from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmgym.envs.retrieval_qa import RetrievalQA
from llmgym.envs.retrieval_qa.relations import BY_NAME, OF
from llmgym.envs.retrieval_qa.world import library, said, world
from llmgym.errors import ConfigError, TaskError
from llmgym.messages import assistant, tool_call
from tests.envs.checks import DEGENERATE, distinct_share, oracle_rewards, play, policy_reward

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"documents": 400, "hops": [1, 1], "sorts": ["chain", "absent"], "preview": "text"},
    "hard": {"hops": [3, 4], "among": 3, "preview": "title", "max_turns": 32},
}
ROW = {
    "question": "Which of the two rivers is the longer one?",
    "answer": ["Dart", "the river Dart"],
    "documents": [{"title": "Dart", "text": "The Dart has 75 km."}, {"title": "Esk", "text": "The Esk has 46 km."}],
}


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {**VARIANTS[request.param], "worlds": 2}


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_earns_the_maximum(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(RetrievalQA(**arguments, split=split)) == [1.0] * 20


@pytest.mark.parametrize("policy", [*DEGENERATE, "not stated", "answers to others"])
def test_blind_policies_earn_little(arguments: dict[str, Any], policy: str) -> None:
    env = RetrievalQA(**arguments)
    others = [env.tasks.draw("train", seed, 1).answer for seed in range(100, 200)]
    act = {
        "not stated": lambda env, turn: "Answer: not stated",
        "answers to others": lambda env, turn: f"Answer: {others.pop()}",
    }.get(policy) or DEGENERATE[policy]
    assert policy_reward(env, act) <= 0.1


def test_tasks_are_many_and_answers_spread(arguments: dict[str, Any]) -> None:
    env = RetrievalQA(**arguments)
    assert distinct_share(env) >= 0.8  # of two worlds; the registered environments have 16
    tasks = [env.tasks.draw("train", seed, 0) for seed in range(1000)]
    ((_, most),) = Counter(task.answer for task in tasks).most_common(1)
    assert most <= 60
    assert not any(task.answer.casefold() in str(task.prompt).casefold() for task in tasks)


def test_splits_are_about_different_worlds() -> None:
    env = RetrievalQA(documents=200, worlds=3)
    worlds = {
        split: {env.tasks.draw(split, seed, 0).metadata["world"] for seed in range(40)} for split in ("train", "test")
    }
    assert not worlds["train"] & worlds["test"]
    towns = [world(number, 400).kinds["town"] for number in (0, 1_000_000)]
    facts = [{(town.name, town.facts["mayor"]) for town in each} for each in towns]
    assert not facts[0] & facts[1]


def test_documents_state_the_facts_of_a_world_and_no_others() -> None:
    things = world(3, 400).things
    documents = library(3, 400).documents
    assert {document.title for document in documents} == set(things)
    for document in documents:
        thing = things[document.title]
        for relation in OF[thing.kind]:
            value = thing.facts.get(relation.name)
            assert relation.read(document.text) == (None if value is None else said(value, relation.gives))


def test_a_world_has_things_that_differ_in_one_fact() -> None:
    kinds = world(0, 2000).kinds
    near = 0
    for thing in kinds["event"]:
        line, _, year = thing.name.rpartition(" ")
        later = world(0, 2000).things.get(f"{line} {int(year) + 1}")
        near += later is not None and any(
            thing.facts.get(name) == later.facts.get(name) is not None for name in ("host", "winner", "sponsor")
        )
    assert near > 200


def test_an_episode() -> None:
    env = RetrievalQA(sorts=["count"], worlds=1)
    env.reset(seed=0)
    task = env.task
    assert task is not None
    name = task.metadata["plan"][2]
    ((found,), *_) = env.step(assistant("", tool_call("find", passage=name.upper())))
    assert found["content"].splitlines()[0].endswith("documents hold it; page 1:")
    first = found["content"].split("[")[1].split("]")[0]
    ((shown, again, wrong), *_) = env.step(
        assistant(
            "",
            tool_call("open", document=first),
            tool_call("open", document=f"[{first}]"),
            tool_call("open", document="d99999"),
        )
    )
    assert name in shown["content"] == again["content"]
    title = shown["content"].partition("\n")[0]
    assert "there is no document 'd99999'" in wrong["content"]
    _, reward, terminated, _, info = env.step(f"There are {task.answer} of them.")
    assert (reward, terminated) == (1.0, True)
    assert info["metrics"]["documents_opened"] == 1
    assert info["metrics"]["support"] == (title in task.metadata["support"]) / len(task.metadata["support"])


@pytest.mark.parametrize(
    ("name", "given", "error"),
    [
        ("search", {"query": "?!"}, "no word in it"),
        ("search", {"query": "x", "k": 10**400}, "k must be from 1 to 10"),
        ("search", {"query": 'title:" OR ) NEAR( *' * 1000}, None),
        ("search", {"query": "\x00\u202e" * 100 + "or"}, None),
        ("find", {"passage": "a"}, "from 3 to 300"),
        ("find", {"passage": "founder", "page": 0}, "no such page"),
        ("find", {"passage": "(a+)+$" * 40}, None),
        ("open", {"document": "x" * 100_000}, "there is no document"),
    ],
)
def test_hostile_arguments_are_answered(name: str, given: dict[str, Any], error: str | None) -> None:
    env = RetrievalQA(documents=200, worlds=1)
    env.reset(seed=0)
    ((answer,), reward, terminated, *_) = env.step(assistant("", tool_call(name, **given)))
    assert not terminated
    assert reward == 0
    assert (error or "") in answer["content"]
    assert len(answer["content"]) < 3000
    assert env.metrics["tool_errors"] == (error is not None)


@pytest.mark.parametrize("reply", ["Answer: the river Dart", "Dart", "Answer: Dart, Esk"])
def test_rows_have_documents_of_their_own(tmp_path: Path, reply: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(orjson.dumps(ROW))
    env = RetrievalQA(tasks=path)
    env.reset(seed=0)
    ((answer,), *_) = env.step(assistant("", tool_call("search", query="Which river has 75 km?")))
    assert answer["content"].startswith("[d1] Dart: The Dart has 75 km.")
    assert play(env, [reply]) == ("Esk" not in reply)
    assert oracle_rewards(env, 1) == [1.0]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"documents": []}, "documents must be a list"),
        ({"documents": [{"title": "x"}]}, r"documents\[0\] is no object"),
        ({"kind": "number"}, "is no number"),
        ({"answer": "**"}, "holds nothing"),
        (
            {"documents": None, "question": None, "responses_create_params": {"input": "Who?"}},
            "cannot be searched here",
        ),
    ],
)
def test_malformed_rows(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(orjson.dumps({**ROW, **change}))
    with pytest.raises(TaskError, match=problem):
        RetrievalQA(tasks=path).reset(seed=0)


@pytest.mark.parametrize(
    "arguments", [{"documents": 10}, {"hops": [2, 1]}, {"sorts": ["absent"]}, {"sorts": ["riddle"]}, {"preview": "all"}]
)
def test_arguments_out_of_range(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        RetrievalQA(**arguments)


def test_every_relation_reads_its_own_sentences() -> None:
    for relation in BY_NAME.values():
        for sentence in relation.sentences:
            assert relation.read("A\n" + sentence.format(s="Copper Whistle 2", v="Ada Falk")) == "Ada Falk"
