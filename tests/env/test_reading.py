"""What hooks give: read, or refused in the author's words."""

from __future__ import annotations

from typing import Any

import gymnasium
import pytest

from llmgym import Reward, ToolEnv, user
from llmgym.env.boundary import failure
from llmgym.env.reading import read_reply, read_reward
from llmgym.errors import RegistryError
from llmgym.registry import make_core


@pytest.mark.parametrize(
    ("reply", "texts"),
    [(None, None), ("a", ["a"]), (user("a"), ["a"]), ([user("a"), user("b")], ["a", "b"]), ((user("a"),), ["a"])],
)
def test_replies(reply: Any, texts: list[str] | None) -> None:
    messages = read_reply(reply)
    assert (messages and [message["content"] for message in messages]) == texts


@pytest.mark.parametrize("reply", [3, 1.5, True, object, {1}])
def test_what_is_no_reply_is_shown(reply: Any) -> None:
    with pytest.raises(TypeError, match="it gives text, messages or None, not "):
        read_reply(reply)


@pytest.mark.parametrize("value", ["b", None, [1]])
def test_a_metric_that_is_no_number_is_named(value: Any) -> None:
    with pytest.raises(TypeError, match=r"the metric 'mine' is .*, which is no number"):
        read_reward(Reward(correct=1, metrics={"mine": value}))


def test_a_failure_says_where_the_author_may_look() -> None:
    try:
        {}["database"]
    except KeyError as error:
        said = str(failure(error, "Shop.verify", "verify"))
    assert said.startswith("Shop.verify: KeyError: 'database', at ")
    assert __file__ in said


def test_an_environment_without_tasks_is_told_without_gymnasiums_arguments() -> None:
    class Bare(ToolEnv):
        """Nothing to do."""

    gymnasium.register("mine/Bare-v0", entry_point=Bare)
    try:
        with pytest.raises(Exception, match=r"has no tasks: set .* in the class$"):
            make_core("mine/Bare-v0")
    finally:
        del gymnasium.registry["mine/Bare-v0"]


class NoEnvironment:
    """A class of something else."""


def test_a_class_that_is_no_environment_is_named() -> None:
    gymnasium.register("mine/None-v0", entry_point="tests.env.test_reading:NoEnvironment")
    try:
        with pytest.raises(RegistryError, match="is the class NoEnvironment, not a class of environments"):
            make_core("mine/None-v0")
    finally:
        del gymnasium.registry["mine/None-v0"]
