"""Tokens on their way into columns: what these cannot give back as it was is refused."""

from __future__ import annotations

import msgspec
import pytest

from llmgym.data.forms import segments


def _read(ids: str, logprobs: str = "") -> list[segments.Tokens] | None:
    return segments.read(msgspec.Raw(f'[{{"ids":{ids},"sampled":[],"logprobs":"{logprobs}"}}]'.encode()))


@pytest.mark.parametrize("ids", ["[]", "[ ]", "[1]", "[1,2]", "[1, 2 ,3]", "[2147483647]"])
def test_ids_are_read(ids: str) -> None:
    found = _read(ids)
    assert found is not None
    numbers, expected = segments.ids_of([found, None, found]), msgspec.json.decode(ids)
    assert numbers is not None
    assert numbers.values.tolist() == 2 * expected
    assert numbers.lengths.tolist() == 2 * [len(expected)]


@pytest.mark.parametrize(
    "ids",
    ['"12"', "12", "[1.0]", "[1e3]", "[null]", "[[1],2]", "[-1]", "[2147483648]", "[99999999999999999999]"],
)
def test_ids_of_other_types_are_refused(ids: str) -> None:
    assert _read(ids) is None


@pytest.mark.parametrize("logprobs", ["AAAAAB==", "AAAAAA", "AAAA AA==", "AAAA", "é"])
def test_log_probabilities_that_are_written_otherwise_are_refused(logprobs: str) -> None:
    assert _read("[1]", "AAAAAA==") is not None
    assert _read("[1]", logprobs) is None
