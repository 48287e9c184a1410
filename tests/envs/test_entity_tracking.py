from __future__ import annotations

import re
from collections import Counter
from typing import Any

import jsonschema_rs
import numpy as np
import pytest

from llmgym.envs.draws import Draws
from llmgym.envs.entity_tracking import EntityTracking
from llmgym.envs.entity_tracking.world import World
from llmgym.errors import ConfigError, TaskError
from llmgym.tasks import Task
from tests.envs.checks import DEGENERATE, oracle_rewards, play, policy_reward

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"events": 3, "size": 6, "distractors": 0.0},
    "turns": {"events": 8, "rounds": 5, "max_turns": 5},
    "hard": {"events": 120, "size": 16, "distractors": 0.3, "conditions": True},
}


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_is_right(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(EntityTracking(**arguments, split=split), 30) == [1.0] * 30


@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_nothing(arguments: dict[str, Any], policy: str) -> None:
    assert policy_reward(EntityTracking(**arguments), DEGENERATE[policy], 30) <= 0.05


def test_answers_are_spread() -> None:
    env = EntityTracking(**VARIANTS["easy"])
    tasks = [env.tasks.draw("train", seed, 0) for seed in range(1000)]
    assert len({task.content_hash for task in tasks}) == 1000
    assert Counter(str(task.answer) for task in tasks).most_common(1)[0][1] < 50
    last = sum(str(task.answer[0]) in re.split(r"(?<=\.) ", str(task.prompt).split("\n\n")[0])[-1] for task in tasks)
    assert last < 350  # the last sentence is no key


class Reader:
    """A second reading of the sentences, by patterns and not by what made them."""

    def __init__(self) -> None:
        self.room: dict[str, str] = {}
        self.holder: dict[str, str] = {}

    def where(self, name: str) -> str:
        return self.room[self.holder.get(name, name)]

    def inside(self, holder: str) -> list[str]:
        return [thing for thing, where in self.holder.items() if where == holder]

    def read(self, sentence: str) -> None:
        for pattern, act in self.PATTERNS:
            if match := re.fullmatch(pattern, sentence):
                act(self, *match.groups())
                return
        raise AssertionError(sentence)

    def go(self, who: str, room: str) -> None:
        self.room[who] = room

    def hold(self, thing: str, holder: str) -> None:
        self.holder[thing] = holder

    def carry(self, who: str, name: str, room: str) -> None:
        self.room[who] = self.room[name] = room

    def empty(self, one: str, other: str) -> None:
        for thing in self.inside(one):
            self.holder[thing] = other

    def swap(self, one: str, other: str) -> None:
        inside = self.inside(one), self.inside(other)
        self.holder |= dict.fromkeys(inside[0], other) | dict.fromkeys(inside[1], one)

    def change(self, who: str, other: str) -> None:
        self.room[who], self.room[other] = self.room[other], self.room[who]

    def choose(self, test: str, who: str, one: str, other: str) -> None:
        name = re.findall(r"(?:the )?(.+?) (?:is|has)", test)[0]
        if "empty" in test:
            holds = not self.inside(name)
        elif "same room" in test:
            holds = self.where(name) == self.where(test.rsplit(" ", 1)[1])
        elif "more than one" in test:
            holds = len(self.inside(name)) > 1
        else:
            holds = self.where(name) == test.split("in the ")[1]
        self.room[who] = one if holds else other

    def nothing(self, *_: str) -> None:
        pass

    PATTERNS = (
        (r".*(?: thinks about | wonders | looks at | dreams |cleans the windows|begins to rain).*", nothing),
        (r"If (.+) now, (\w+) goes to the (.+); otherwise \w+ goes to the (.+)\.", choose),
        (r"(\w+) carries the (.+), with all that is in it, to the (.+), and stays there\.", carry),
        (r"\w+ moves all that is in the (.+) into the (.+)\.", empty),
        (r"\w+ swaps what is in the (.+) with what is in the (.+)\.", swap),
        (r"(\w+) and (\w+) change places: .*", change),
        (r"(\w+) (?:goes|walks|moves) to the (.+)\.", go),
        (r"\w+ puts the (.+) into the (.+)\.", hold),
        (r"Into the (.+), \w+ puts the (.+)\.", lambda self, name, thing: self.hold(thing, name)),
        (r"(\w+) takes the (.+) out of the .+\.", lambda self, who, thing: self.hold(thing, who)),
        (r"\w+ gives the (.+) to (\w+)\.", hold),
        (r"(\w+) gets the (.+) from \w+\.", lambda self, who, thing: self.hold(thing, who)),
        (r"(\w+) has (?:a pair of|an?) (.+)\.", lambda self, who, thing: self.hold(thing, who)),
        (r"(?:A pair of|An?) (.+) is in the (.+)\.", hold),
        (r"(?:The )?(.+) is in the (.+)\.", go),
    )


def test_a_second_reading_agrees(arguments: dict[str, Any]) -> None:
    env = EntityTracking(**arguments)
    for seed in range(25):
        task = env.tasks.draw("train", seed, 0)
        reader = Reader()
        for text, answer in zip([str(task.prompt), *task.metadata["later"]], task.answer, strict=True):
            story, question = text.rsplit("\n\n", 1)
            for sentence in re.split(r"(?<=\.) ", re.sub(r"^[^.\n]*:\n", "", story)):
                reader.read(sentence)
            if match := re.search(r"What is the (.+) in now\?|Who has the (.+) now\?", question):
                assert reader.holder[match[1] or match[2]] == answer
            elif match := re.search(r"room is (?:the )?(.+?) (?:in at the end|now)\?", question):
                assert reader.where(match[1]) == answer
            elif match := re.search(r"things (?:does (.+) have|are in the (.+)) now", question):
                assert sorted(reader.inside(match[1] or match[2])) == answer


def test_nobody_acts_from_afar() -> None:
    world = World.made(Draws(np.random.default_rng(5)), 6)
    for _ in range(500):
        rooms = dict(world.people), dict(world.containers)
        told = world.happen(conditions=True)
        if match := re.match(r"(\w+) (?:puts|takes).* (?:into|out of) the (.+)\.", told):
            assert rooms[0][match[1]] == rooms[1][match[2]]
        assert set(world.things.values()) <= {*world.people, *world.containers}


def story(answer: Any, *options: str) -> Task:
    return Task(prompt="Story. Where?", answer=[answer], metadata={"questions": [{"options": [*options]}], "later": []})


@pytest.mark.parametrize(
    ("reply", "reward"),
    [
        ("Answer: kitchen", 1),
        ("kitchen", 1),
        ("The kitchen.", 1),
        ("**Kitchen**", 1),
        ("\\boxed{kitchen}", 1),
        ("The key is in the kitchen.", 1),
        ("Ada went to the attic, then down.\n\nAnswer: the kitchen", 1),
        ("<think>attic?</think>Answer: in the kitchen", 1),
        ("Answer: attic", 0),
        ("Answer: kitchen or attic", 0),
        ("kitchen, attic, dining room", 0),
        ("Answer: kitchen, cellar, Ada", 0),
        ("kitchen, red box", 0),
        ("Ada is in the kitchen. " * 100, 0),
        ("K", 0),
        ("J", 0),
        ("Answer: J", 0),
        ("It is not in the kitchen.", 0),
        ("Answer: room", 0),
        ("", 0),
    ],
)
def test_one_room_is_named(reply: str, reward: float) -> None:
    env = EntityTracking()
    env.reset(options={"task": story("kitchen", "kitchen", "attic", "dining room")})
    assert play(env, [reply]) == reward


@pytest.mark.parametrize(
    ("reply", "reward"),
    [
        ("Answer: pen, cup", 1),
        ("- a cup\n- the pen", 1),
        ("The answer is: cup and pen.", 1),
        ("Answer: pen", 0),
        ("Answer: pen, cup, hat", 0),
        ("Answer: none", 0),
    ],
)
def test_all_things_are_named(reply: str, reward: float) -> None:
    env = EntityTracking()
    env.reset(options={"task": story(["cup", "pen"])})
    assert play(env, [reply]) == reward


def test_every_round_counts() -> None:
    env = EntityTracking(**VARIANTS["turns"])
    for miss in range(5):
        env.reset(seed=miss)
        assert env.task
        replies = list(env.oracle(env.task))
        replies[miss] = "Answer: nowhere"
        for reply in replies:
            observation, reward, terminated, _, info = env.step(reply)
            assert "right" not in str(observation)
        assert (reward, terminated, info["metrics"]["right"]) == (0, True, 0.8)


@pytest.mark.parametrize("arguments", [{"events": 0}, {"size": 30}, {"rounds": 0}, {"distractors": 1}])
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        EntityTracking(**arguments)


def test_rows() -> None:
    for row in (
        {"prompt": "Where?", "answer": "attic", "options": ["attic", "cellar"]},
        {"prompt": "What?", "answer": ["pen", "cup"], "options": None},
    ):
        jsonschema_rs.validator_for(EntityTracking.row_schema()).validate(row)
        env = EntityTracking()
        env.reset(options={"task": (task := EntityTracking.read_row(row))})
        assert play(env, env.oracle(task)) == 1


@pytest.mark.parametrize(
    "row", [{"prompt": "?", "answer": "attic"}, {"prompt": "?", "answer": ["a, b"]}, {"prompt": "", "answer": "a"}]
)
def test_malformed_rows_are_refused(row: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TaskError)):
        EntityTracking.read_row(row)
