from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema_rs
import numpy as np
import pytest

from llmgym.envs.draws import Draws
from llmgym.envs.entity_tracking import EntityTracking
from llmgym.envs.entity_tracking.replies import says
from llmgym.envs.entity_tracking.world import World
from llmgym.errors import ConfigError, TaskError
from llmgym.tasks import Task, TaskSet
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
    assert oracle_rewards(EntityTracking(**arguments, split=split), 20) == [1.0] * 20


@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_nothing(arguments: dict[str, Any], policy: str) -> None:
    assert policy_reward(EntityTracking(**arguments), DEGENERATE[policy], 25) <= 0.05


def test_answers_are_spread() -> None:
    env = EntityTracking(**VARIANTS["easy"])
    tasks = [env.tasks.draw("train", seed, 0) for seed in range(1000)]
    assert len({task.content_hash for task in tasks}) == 1000
    assert Counter(str(task.answer) for task in tasks).most_common(1)[0][1] < 50


def cheap(names: list[str], options: list[str], seed: int) -> dict[str, list[str]]:
    """What one may answer who has counted the names of a story, or seen where they are, and read no sentence."""
    most = [name for name, _ in Counter(names).most_common()]
    first, last = list(dict.fromkeys(names)), list(dict.fromkeys(reversed(names)))
    some = {"most": most, "first": first, "last": last, "random": Draws(np.random.default_rng(seed)).shuffled(options)}
    turned = {f"{name}, turned": guess[2::-1] for name, guess in some.items()}
    return {name: guess[:3] for name, guess in some.items()} | turned | {"one": most[:1] * 3}


@pytest.mark.parametrize("name", ["base", "easy", "hard"])
def test_guesses_earn_little(name: str) -> None:
    env, won = EntityTracking(**VARIANTS[name]), Counter[str]()
    for seed in range(300):
        task = env.tasks.draw("train", seed, 0)
        answer, question = task.answer[0], task.metadata["questions"][0]
        names = re.findall("|".join(question["options"]) or "nothing", str(task.prompt).split("\n\n")[0])
        for policy, guess in cheap(names, question["options"], seed).items():
            won[policy] += bool(question["options"]) and says(", ".join(guess), answer, **question)
    assert max(won.values()) <= 0.05 * 300, won


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
        told = [str(task.prompt), *task.metadata["later"]]
        for text, answer, asked in zip(told, task.answer, task.metadata["questions"], strict=True):
            story, question = text.rsplit("\n\n", 1)
            for sentence in re.split(r"(?<=\.) ", re.sub(r"^[^.\n]*:\n", "", story)):
                reader.read(sentence)
            if question.startswith("Who has"):
                assert [reader.holder[name] for name in asked["asked"]] == answer
            elif re.match(r"(?:In which|Which) rooms are", question):
                assert [reader.where(name) for name in asked["asked"]] == answer
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


def story(answer: list[str], options: str = "", asked: str = "") -> Task:
    question = {"asked": asked.split(), "options": options.split(", ") if options else []}
    return Task(prompt="Story. Where?", answer=[answer], metadata={"questions": [question], "later": []})


ROOMS = "kitchen, attic, dining room, cellar"


@pytest.mark.parametrize(
    ("reply", "reward"),
    [
        ("Answer: kitchen, dining room, attic", 1),
        ("kitchen, dining room, attic", 1),
        ("The kitchen, the dining room and the attic.", 1),
        ("**Kitchen**, **Dining Room**, **Attic**", 1),
        ("Kitchen → dining room → attic", 1),
        ("\\boxed{\\text{kitchen}, \\text{dining room}, \\text{attic}}", 1),
        ("Answer:\n1. kitchen\n2. dining room\n3. attic", 1),
        ("Answer: key: kitchen, pen: dining room, Ada: attic", 1),
        ("The key is in the kitchen, the pen is in the dining room, and Ada is in the attic.", 1),
        ("Ada is in the attic, the pen in the dining room, the key in the kitchen.", 1),
        ("The kitchen has the key, the dining room the pen, the attic Ada.", 1),
        ('{"key": "kitchen", "pen": "dining room", "Ada": "attic"}', 1),
        ("| key | kitchen |\n| pen | dining room |\n| Ada | attic |", 1),
        ("Ada went to the attic, then down.\n\nAnswer: kitchen, dining room, attic", 1),
        ("<think>attic?</think>Answer: kitchen; dining room; attic", 1),
        ("Answer: kitchen, attic, dining room", 0),
        ("Answer: kitchen, dining room", 0),
        ("Answer: kitchen, dining room, attic, cellar", 0),
        ("Answer: kitchen, kitchen, kitchen", 0),
        ("Answer: kitchen, dining room, attic or cellar", 0),
        ("Answer: kitchen, dining room, attic, stable", 0),
        ("Answer: kitchen, dining room, attic, red box", 0),
        ("Answer: key: attic, pen: dining room, Ada: kitchen", 0),
        ("The key is in the attic, the pen in the dining room, and Ada in the kitchen.", 0),
        ("The key is not in the kitchen, the pen is in the dining room, Ada is in the attic.", 0),
        ("kitchen, dining room, attic. " * 100, 0),
        ("Answer: room, room, room", 0),
        ("Answer: K, D, A", 0),
        ("", 0),
    ],
)
def test_three_rooms_are_named(reply: str, reward: float) -> None:
    env = EntityTracking()
    env.reset(options={"task": story(["kitchen", "dining room", "attic"], ROOMS, "key pen Ada")})
    assert play(env, [reply]) == reward


@pytest.mark.parametrize(
    ("reply", "reward"),
    [
        ("Answer: vault", 1),
        ("It is in the vault.", 1),
        ("Answer: hall", 0),
        ("Answer: vault or hall", 0),
        ("vaulted", 0),
        ("It is not in the vault.", 0),
    ],
)
def test_one_name_of_a_row(reply: str, reward: float) -> None:
    env = EntityTracking()
    env.reset(options={"task": story(["vault"], "vault, hall")})
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
        {"prompt": "Where are both?", "answer": ["hall", "vault"], "options": ["vault", "hall"]},
        {"prompt": "What?", "answer": ["pen", "cup"], "options": None},
    ):
        jsonschema_rs.validator_for(EntityTracking.row_schema()).validate(row)
        env = EntityTracking()
        env.reset(options={"task": (task := EntityTracking.read_row(row))})
        assert play(env, env.oracle(task)) == 1


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "?", "answer": "attic"},
        {"prompt": "?", "answer": "a", "options": ["b", "c"]},
        {"prompt": "?", "answer": ["a, b"]},
        {"prompt": "", "answer": "a"},
    ],
)
def test_malformed_rows_are_refused(row: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TaskError)):
        EntityTracking.read_row(row)


def test_an_id_of_0_is_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = {"prompt": "Where?", "answer": "attic", "options": ["attic", "cellar"]}
    path.write_text("".join(json.dumps(row | made) + "\n" for made in ({"id": 0}, {"id": None}, {"id": "x"})))
    tasks = TaskSet.jsonl(path, EntityTracking.read_row)
    assert tasks.size("train") == 3
    assert [tasks.get(name).id for name in ("0", "x")] == ["0", "x"]
    with pytest.raises(TaskError, match="unknown task 'None'"):
        tasks.get("None")
