from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmgym.envs.blackjack import Blackjack
from llmgym.envs.blackjack.hands import RULES
from llmgym.envs.blackjack.strategy import RANKS, VALUES, best, dealer, drawn, hand, hits, stands
from llmgym.errors import ConfigError, TaskError
from llmgym.messages import assistant, tool_call
from tests.envs.checks import play
from tests.envs.games import answer, calls, check_contents, check_game, mean_reward, start, written

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"hands": 5},
    "hard": {"hands": 15, "may_double": True, "max_turns": 90},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "easy", "hard"])
def test_a_game(name: str) -> None:
    check_game(Blackjack, VARIANTS[name], 40)
    check_contents(Blackjack(**VARIANTS[name]))


@pytest.mark.parametrize("name", ["base", "easy", "hard"])
def test_simple_rules_lose(name: str) -> None:
    env = Blackjack(**VARIANTS[name])
    for rule in RULES:

        def act(env: Any, turn: int, rule: str = rule) -> Any:
            return assistant("", tool_call("act", action=RULES[rule](hand(env.held), VALUES[env.cards[1]])))

        assert mean_reward(env, act, 5) == 0.0


def test_chance_loses() -> None:
    env, chance = Blackjack(**VARIANTS["easy"]), random.Random(0)
    assert mean_reward(env, lambda env, turn: f"<move>{chance.choice(['hit', 'stand'])}</move>", 300) <= 0.05


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ("AK", (21, True)),
        ("A6", (17, True)),
        ("A6T", (17, False)),
        ("AA", (12, True)),
        ("AAA9", (12, False)),
        ("TT5", (25, False)),
    ],
)
def test_hands_are_counted(cards: str, expected: tuple[int, bool]) -> None:
    assert hand(cards) == expected


@given(st.text(alphabet=RANKS, min_size=1, max_size=10))
def test_a_card_more_is_counted_the_same(cards: str) -> None:
    held = (0, False)
    for card in cards:
        held = drawn(held, VALUES[card])
    assert held == hand(cards)


def test_basic_strategy() -> None:
    """The table that is known for a dealer who stands on every 17 and does not look at the hidden card."""

    def row(total: int, soft: bool, may_double: bool) -> str:
        return "".join(best((total, soft), up, may_double)[0][0] for up in (2, 3, 4, 5, 6, 7, 8, 9, 10, 1))

    assert [row(total, False, False) for total in range(11, 18)] == [
        "hhhhhhhhhh", "hhssshhhhh", *["ssssshhhhh"] * 4, "ssssssssss",
    ]  # fmt: skip
    assert [row(total, False, True) for total in range(8, 12)] == [
        "hhhhhhhhhh", "hddddhhhhh", "ddddddddhh", "ddddddddhh",
    ]  # fmt: skip
    assert [row(total, True, True) for total in range(13, 20)] == [
        "hhhhdhhhhh", "hhhddhhhhh", "hhhddhhhhh", "hhdddhhhhh", "hddddhhhhh", "sddddsshhh", "ssssssssss",
    ]  # fmt: skip


def test_winnings_are_expected_as_they_come_by_trial() -> None:
    chance = random.Random(5)
    for held, up in (((16, False), 10), ((18, True), 9), ((12, False), 4)):
        total = 0.0
        for _ in range(20_000):
            dealers = drawn((0, False), up)
            while dealers[0] < 17:
                dealers = drawn(dealers, VALUES[chance.choice(RANKS)])
            total += 1 if dealers[0] > 21 or dealers[0] < held[0] else -(dealers[0] > held[0])
        assert total / 20_000 == pytest.approx(stands(held[0], up), abs=0.03)
        assert -1 <= hits(held, up) <= 1
        assert sum(dealer(drawn((0, False), up)).values()) == pytest.approx(1)


ROW: dict[str, Any] = {"hands": ["T65T9432A234", "AKT723456789", "TT97K2345678"]}


def test_an_episode() -> None:
    env = Blackjack()
    start(env, **ROW)
    assert env.task
    assert env.task.answer == "SS"
    assert env.transcript[-1]["content"].endswith("\n\nHand 1 of 3: you have T 5 (15), the dealer shows 6.")
    assert answer(env, "act", action="double").startswith(
        "Error: you may double in this game never; hit or stand.\nHand 1"
    )
    said = answer(env, "act", action="stand")
    assert said.startswith("Hand 1: you had T 5 (15), the dealer 6 T 9 (25): you win 1.\n")
    assert "Hand 2: you had A T (21), the dealer K 7 (17): you win 1.\nHand 3 of 3: you have T 9 (19)" in said
    (said,), reward, terminated, _, info = env.step("**Stand.**")
    assert said["content"] == "Hand 3: you had T 9 (19), the dealer T 7 (17): you win 1.\nAll hands are played."
    assert (reward, terminated) == (1.0, True)
    assert info["metrics"]["right"] == 1
    assert info["metrics"]["winnings"] == 3


def test_luck_does_not_count() -> None:
    env = Blackjack()
    start(env, **ROW)
    said = answer(env, "act", action="hit")
    assert said.startswith("Hand 1: you had T 5 9 (24): you lose 1.")
    start(env, hands=["T65T6432A234"])
    assert "(21)" in answer(env, "act", action="hit")
    assert env.winnings == 1
    assert env.lost


def test_doubling() -> None:
    env = Blackjack()
    start(env, hands=["6654T9432A23", "5T9T2T32A234"], may_double=True)
    assert "doubl" in str(env.task and env.task.metadata)
    said = answer(env, "act", action="double")
    assert said.startswith("Hand 1: you had 6 5 T (21), the dealer 6 4 9 (19): you win 2.")
    answer(env, "act", action="hit")
    assert answer(env, "act", action="double").startswith(
        "Error: you may double with your first two cards; hit or stand."
    )


def test_every_action_at_once_is_no_way_to_win() -> None:
    env = Blackjack()
    for seed in range(20):
        env.reset(seed=seed)
        _, reward, terminated, *_ = env.step(calls("act", [{"action": "hit"}, {"action": "stand"}] * 40))
        assert (reward, terminated) == (0.0, True)


def test_one_wrong_decision_loses() -> None:
    env = Blackjack(**VARIANTS["easy"])
    for seed in range(20):
        env.reset(seed=seed)
        wrong = "hit" if "hit" not in best(hand(env.held), VALUES[env.cards[1]], False) else "stand"
        env.step(wrong)
        assert play(env, env.oracle(env.task)) == 0.0


@pytest.mark.parametrize("action", ["fold", None, 1, ["hit"], "HIT"])
def test_arguments_that_do_not_fit(action: Any) -> None:
    env = Blackjack()
    env.reset(seed=0)
    assert answer(env, "act", action=action).startswith("Error: invalid arguments for act")


@pytest.mark.parametrize("text", ["", "hit or stand", "I would hit.", "<move>fold</move>"])
def test_texts_that_are_no_move(text: str) -> None:
    env = Blackjack()
    env.reset(seed=0)
    env.step(text)
    assert env.metrics["illegal_moves"] == 1
    assert env.decided == 0


@given(st.lists(st.text(alphabet="A2T", min_size=12, max_size=12), min_size=1, max_size=4))
@example(["2A2222222222"])  # eight decisions in one hand
def test_any_cards_can_be_played_to_the_end(hands: list[str]) -> None:
    env = Blackjack()
    try:
        start(env, hands=hands)
    except ValueError:
        return
    assert play(env, env.oracle(env.task)) == 1.0


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"hands": []}, "1 to 20"),
        ({"hands": ["T65"]}, "is not 12 to 24"),
        ({"hands": ["X65T9432A234"]}, "is not 12 to 24"),
        ({"hands": ["AKT723456789"]}, "leaves anything to decide"),
        ({"responses_create_params": {"input": [{"role": "user", "content": "Deal me in."}]}}, "NeMo Gym"),
    ],
)
def test_rows_that_are_no_hands(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    with pytest.raises(TaskError, match=says):
        Blackjack(tasks=written(tmp_path, **row)).reset(seed=0)


@pytest.mark.parametrize("arguments", [{"hands": 2}, {"hands": 21}])
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Blackjack(**arguments)


def test_tasks_travel_to_other_processes() -> None:
    tasks = Blackjack().tasks
    assert pickle.loads(pickle.dumps(tasks)).draw("train", 1, 2) == tasks.draw("train", 1, 2)
