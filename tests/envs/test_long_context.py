from __future__ import annotations

import re
from collections import Counter
from typing import Any

import gymnasium
import jsonschema_rs
import pytest

from llmgym.envs.long_context import LongContext
from llmgym.envs.long_context.filler import sentences, text
from llmgym.envs.long_context.problems import CODE, KINDS
from llmgym.errors import ConfigError, TaskError
from llmgym.tasks import Task
from llmgym.tasks.task import content_of
from tests.envs.checks import DEGENERATE, oracle_rewards, play, policy_reward

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"length": 2000, "others": 20, "kinds": ["single"]},
    "hard": {"length": 240_000, "others": 60},
}


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_is_right(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(LongContext(**arguments, split=split), 20) == [1.0] * 20


@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_nothing(policy: str) -> None:
    for name in ("base", "easy"):
        assert policy_reward(LongContext(**VARIANTS[name]), DEGENERATE[policy]) <= 0.05


def test_tasks_are_many_small_and_rarely_without_an_answer() -> None:
    env = LongContext()
    tasks = [env.tasks.draw("train", seed, 0) for seed in range(1500)]
    assert len({task.content_hash for task in tasks}) == 1500
    assert max(len(content_of(task)) for task in tasks) < 5000
    assert {task.metadata["kind"] for task in tasks} == set(KINDS)
    assert Counter(str(task.answer) for task in tasks).most_common(1)[0][1] < 75


@pytest.mark.parametrize("variant", ["", "-easy", "-hard"])
def test_a_code_of_the_text_is_right_by_chance_in_five_of_a_hundred(variant: str) -> None:
    env = gymnasium.make(f"llmgym/LongContext{variant}-v0").unwrapped
    assert isinstance(env, LongContext)
    for seed in range(20):
        [*_, asked], _ = env.reset(seed=seed)
        assert len(re.findall(CODE, asked["content"])) >= 20


def test_sentences_between_facts_hold_no_answers() -> None:
    told, mean = sentences()
    assert len(told) > 3000
    assert not [sentence for sentence in told if re.search(r"\d|depot|code|-", sentence)]
    assert abs(len(text(1, 50_000, [])) - 50_000) < 1000
    assert 30 < mean < 120


def test_facts_stand_at_their_depth_in_order() -> None:
    made = text(3, 20_000, [("FIRST.", 0.0), ("SECOND.", 0.5), ("THIRD.", 0.5), ("LAST.", 1.0)])
    assert made.startswith("FIRST. ")
    assert made.endswith("LAST.")
    assert re.search(r"SECOND\.\s+THIRD\.", made)
    assert 0.45 < made.index("SECOND") / len(made) < 0.55
    assert made == text(3, 20_000, [("FIRST.", 0.0), ("SECOND.", 0.5), ("THIRD.", 0.5), ("LAST.", 1.0)])


def facts(shown: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The codes of each depot in a text, in order, and the depots that share the code of another one."""
    codes = dict[str, list[str]]()
    for name, code in re.findall(
        rf"(?:[Tt]he code of the|The|At the|One of the codes of the) ((?:\w+ ){{2}}depot in \w+)"
        rf"(?: is| has the code|, the code is) ({CODE})", shown,
    ):  # fmt: skip
        codes.setdefault(name, []).append(code)
    return codes, dict(re.findall(r"The (\w+ \w+ depot in \w+) has the same code as the (\w+ \w+ depot in \w+)", shown))


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_has_the_answer(kind: str) -> None:
    env = LongContext(kinds=[kind])
    for seed in range(25):
        observation, _ = env.reset(seed=seed)
        shown, _, question = observation[-1]["content"].partition("\n\nQuestion: ")
        task = env.task
        assert task
        assert question == task.prompt
        codes, same = facts(shown)
        assert len(re.findall(CODE, shown)) == sum(map(len, codes.values()))
        names = re.findall(r"\w+ \w+ depot in \w+", question)
        if kind == "count":
            place = re.findall(r"depots in (\w+)", question)[0]
            assert task.answer == sum(name.endswith(f" {place}") for name in codes)
            continue
        name = names[0]
        while name in same:
            name = same[name]
        expected = {
            "names": sorted(codes[each][0] for each in names if each in codes),
            "codes": sorted(codes.get(name, [])),
            "last": codes.get(name, [])[-1:],
        }.get(kind, codes.get(name, []))
        assert task.answer == expected
        assert kind != "last" or len(codes[name]) > 1


def task_of(answer: Any) -> Task:
    return Task(prompt="?", answer=answer, metadata={"text": {"seed": 1, "length": 500, "needles": []}})


@pytest.mark.parametrize(
    ("answer", "reply", "reward"),
    [
        (["kt-1234"], "Answer: kt-1234", 1),
        (["kt-1234"], "The code of the depot is **KT-1234**.", 1),
        (["kt-1234"], "\\boxed{\\text{kt-1234}}", 1),
        (["kt-1234"], "It was bb-1111 before.\n\nAnswer: `kt‑1234`.", 1),
        (["kt-1234"], "kt-1235", 0),
        (["kt-1234"], "kt-1234, bb-1111", 0),
        (["kt-1234"], "Answer: none", 0),
        (["kt-1234"], "1234", 0),
        (["bb-1111", "kt-1234"], "kt-1234 and bb-1111", 1),
        (["bb-1111", "kt-1234"], "Answer:\n1. kt-1234\n2. bb-1111", 1),
        (["bb-1111", "kt-1234"], "kt-1234", 2 / 3),
        (["bb-1111", "kt-1234"], "kt-1234, bb-1111, cc-2222", 0.8),
        (["bb-1111", "kt-1234"], "kt-1234, bb-1111, cc-2222, dd-3333", 0),
        ([], "Answer: none", 1),
        ([], "The text does not mention it.", 1),
        ([], "Answer: kt-1234", 0),
        ([], "", 0),
        (12, "Answer: 12", 1),
        (12, "There are 12 depots.", 1),
        (12, "Answer: 13", 0),
        (12, "Answer: 11, 12, 13", 0),
    ],
)
def test_answers(answer: Any, reply: str, reward: float) -> None:
    env = LongContext()
    env.reset(options={"task": task_of(answer)})
    assert play(env, [reply]) == pytest.approx(reward)


@pytest.mark.parametrize("arguments", [{"length": 10}, {"others": -1}, {"kinds": ["riddle"]}, {"kinds": []}])
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        LongContext(**arguments)


NEMO = {
    "responses_create_params": {"input": [{"role": "user", "content": "a -> b, a -> c. Which are the children of a?"}]},
    "expected_answer": '["b1", "c1"]', "problem_type": "children", "n_tokens": 12,
}  # fmt: skip


@pytest.mark.parametrize(
    ("row", "reply", "reward"),
    [
        (NEMO, "Final Answer: [c1, b1]", 1),
        (NEMO, "Final Answer: [c1]", 2 / 3),
        (NEMO, "Final Answer: []", 0),
        ({"prompt": "Long. Which town?", "answer": "Ashford"}, "Answer: Ashford", 1),
        ({"prompt": "Long. How many?", "answer": "7"}, "7", 1),
        ({"prompt": "Long. Which?", "answer": []}, "none", 1),
    ],
)
def test_rows(row: dict[str, Any], reply: str, reward: float) -> None:
    jsonschema_rs.validator_for(LongContext.row_schema()).validate(row)
    task, env = LongContext.read_row(row), LongContext()
    env.reset(options={"task": task})
    assert play(env, env.oracle(task)) == 1
    env.reset(options={"task": task})
    assert play(env, [reply]) == pytest.approx(reward)


@pytest.mark.parametrize("answer", [None, True, ["a, b"], [3], {"a": 1}])
def test_malformed_rows_are_refused(answer: Any) -> None:
    with pytest.raises((ValueError, TypeError, TaskError)):
        LongContext.read_row({"prompt": "?", "answer": answer})
