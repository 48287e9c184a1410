"""Models in the roles of environments: token policies chat through their codec, and each model is there once."""

from __future__ import annotations

from typing import Any

import pytest

from llmgym.chat import ChatGeneration, Sampling, Usage
from llmgym.errors import ConfigError
from llmgym.messages import assistant, user
from llmgym.policies.reference import RandomPolicy
from llmgym.rollout import Collector
from llmgym.rollout.roles import TokenChat, cast_roles, chat_policy
from tests.judging import check_judge_away, check_judge_of_itself, episodes
from tests.rollouts import WordPolicy, Words


class Opinion(WordPolicy):
    """Says a word, and of what it is shown whether it likes it."""

    def __init__(self, codec: Words) -> None:
        super().__init__(codec, lambda prompt: "yes, very" if "Somebody" in prompt else "a frog")
        self.closed = 0

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> Opinion:
    """One whose codec is made by kind, as that of a real tokenizer is."""
    made = Opinion(Words())
    monkeypatch.setattr("llmgym.codec.codec_for", lambda tokenizer, kind: made.codec)
    return made


async def test_a_token_policy_chats_through_its_codec(policy: Opinion) -> None:
    chat = TokenChat(policy)
    await chat.start()
    sampling = Sampling(temperature=0.5, max_tokens=9)
    said = await chat.chat([user("hello")], [], sampling, request_id="r", session_id="s")
    ((prompt, sampling, *names),) = policy.requests
    assert policy.codec.text(prompt) == "<user> hello <end> <assistant>"
    assert (sampling.temperature, sampling.max_tokens, sampling.stop_token_ids, names) == (0.5, 9, (0,), ["r", "s"])
    assert (said.message["content"], said.finish_reason, said.usage) == ("a frog", "stop", Usage(4, 3, calls=1))
    await chat.close()
    assert policy.closed == 1


async def test_a_reply_that_is_cut_says_so(policy: Opinion) -> None:
    chat = chat_policy(policy, policy.codec)  # type: ignore[arg-type]
    said = await chat.chat([user("hello")], [], Sampling(max_tokens=1), request_id="r", session_id="s")
    assert (said.message["content"], said.finish_reason, said.usage.output_tokens) == ("a", "length", 1)


def test_each_model_is_there_once(policy: Opinion) -> None:
    other = RandomPolicy()
    found = cast_roles({"a": "random", "b": "random", "c": "policy", "d": "policy", "e": other}, policy)  # type: ignore[dict-item]
    assert found["a"] is found["b"] is not other
    assert found["c"] is found["d"]
    assert isinstance(found["c"], TokenChat)
    assert found["e"] is other
    assert cast_roles({"a": "policy"}, other)["a"] is other
    with pytest.raises(ConfigError, match="is no policy: it has neither"):
        chat_policy(object())  # type: ignore[arg-type]


@pytest.mark.parametrize(("env", "said"), [("llmgym/CustomerServiceLive-v0", "there is user"),
                                           ("llmgym/Calculator-v0", "they use no models")])  # fmt: skip
async def test_a_role_that_no_environment_has_is_refused(env: str, said: str) -> None:
    models = {"user": "random", "usr": "random"} if "Live" in env else {"usr": "random"}
    with pytest.raises(ConfigError, match=f"no environment of the run has the role 'usr'; {said}"):
        await Collector([env], "random", models=models, num_tasks=1).collect()


async def test_a_policy_may_judge_itself(policy: Opinion) -> None:
    await check_judge_of_itself(policy)
    assert policy.closed == 0  # it is the caller's


async def test_a_judge_that_is_away_leaves_an_episode_unscored(policy: Opinion) -> None:
    await check_judge_away(policy)


async def test_a_judge_that_says_what_no_row_can_hold_leaves_an_episode_unscored(policy: Opinion) -> None:
    class Judge(RandomPolicy):
        async def chat(self, *_: Any, **__: Any) -> ChatGeneration:
            return ChatGeneration(assistant("yes"), "stop", Usage(0.5, calls=1))  # type: ignore[arg-type]

    for trajectory in (await episodes(policy, Judge(), codec=policy.codec))[0]:
        assert (trajectory.status, trajectory.failure and trajectory.failure.kind) == ("env_error", "model_role")
        assert "the judge gave no reply: its usage is Usage(input_tokens=0.5" in (trajectory.error or "")


@pytest.mark.parametrize("kind", ["template", "own"])
async def test_a_judge_of_itself_has_the_codec_of_the_run(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, policy = [], Opinion(Words())

    def codec_for(tokenizer: Any, kind: str) -> Words:
        made.append(kind)
        return policy.codec

    monkeypatch.setattr("llmgym.codec.codec_for", codec_for)
    await episodes(policy, "policy", codec=policy.codec if kind == "own" else kind)
    assert set(made) == (set() if kind == "own" else {kind})
