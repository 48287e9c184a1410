from __future__ import annotations

import pytest

from llmgym.errors import ConfigError
from llmgym.rollout.config import ResponsesCreateParams
from llmgym.trainers.parameters import asked_of


def test_sampling_in_a_trainers_words() -> None:
    given = {"temperature": 0.5, "top_k": -1, "min_p": None, "stop": "END", "n": 4, "logprobs": 1, "max_tokens": 3}
    assert asked_of(given, 9) == ResponsesCreateParams(0.5, max_output_tokens=9, stop=("END",))
    assert asked_of({"top_k": 5, "stop": ["a", "b"]}, 9) == ResponsesCreateParams(
        max_output_tokens=9, stop=("a", "b"), top_k=5
    )
    with pytest.raises(ConfigError, match=r"the trainer's sampling: Expected .* - at `\$\.min_p`"):
        asked_of({"min_p": 2.0}, 9)
