"""Errors of every class go to other processes as they are."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import pytest

from llmgym.errors import EnvironmentFailure, LLMGymError, MissingExtraError


def test_those_with_constructors_of_their_own_keep_what_they_say() -> None:
    missing = pickle.loads(pickle.dumps(MissingExtraError("reports", "data")))
    assert (str(missing), missing.extra) == (str(MissingExtraError("reports", "data")), "data")
    failure = pickle.loads(pickle.dumps(EnvironmentFailure("gone", kind="infrastructure", stage="tool")))
    assert (str(failure), failure.kind, failure.stage) == ("gone", "infrastructure", "tool")


def _classes(base: type[LLMGymError]) -> Iterator[type[LLMGymError]]:
    for one in base.__subclasses__():
        yield one
        yield from _classes(one)


@pytest.mark.parametrize("cls", sorted(set(_classes(LLMGymError)), key=str))
def test_no_class_needs_its_constructor(cls: type[LLMGymError]) -> None:
    error = cls.__new__(cls, "it is broken")
    error.__dict__["more"] = [1]
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(other), other.args, other.__dict__) == (cls, ("it is broken",), {"more": [1]})
