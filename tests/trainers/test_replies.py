"""Every place in which text of a model becomes a message: each reads a reply as the codec reads its tokens."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("renderers")
pytest.importorskip("torch")

from llmgym import ToolEnv, tool
from llmgym.codec import ChatCodec, codec_for
from llmgym.messages import Message, opens_reasoning
from llmgym.rollout.config import EnvConfig
from llmgym.tasks import RowTasks
from llmgym.trainers import nemo_rl, verl
from llmgym.trainers.common import TaskRef
from llmgym.trainers.text import TextEpisodes
from llmgym.trainers.verl import reward
from tests.codec import families
from tests.replies import REPLIES

HEARD: list[Message] = []


class One:
    """A single task."""

    def rows(self) -> Iterable[tuple[str, dict[str, Any]]]:
        yield "t", {"id": "t", "prompt": "Where?"}

    def __str__(self) -> str:
        return "one task"


class Ear(ToolEnv):
    """Hears what is said, once."""

    tasks = RowTasks(One())

    @tool
    def look(self, where: str = "") -> str:
        """Look."""
        return where

    def verify(self, episode: Any) -> float:
        HEARD.append(next(said for said in episode.messages if said["role"] == "assistant"))
        return 1.0


ID = "test/Ear-v0"
gymnasium.register(ID, entry_point="tests.trainers.test_replies:Ear", kwargs={"max_turns": 1})
REF = TaskRef(EnvConfig(ID), "t", 0)
PLAIN, OPENING, XML = "qwen3-instruct", "deepseek-r1", "qwen3.5-think"


@functools.cache
def codec_of(family: str) -> ChatCodec:
    return codec_for(families.tokenizer(family))


def prompt_of(family: str) -> list[int]:
    return codec_of(family).open([{"role": "user", "content": "Where?"}], [])


# --- places that do not know the model


def action(said: str, family: str) -> None:
    env: Any = gymnasium.make(ID)
    env.reset(seed=0)
    env.step(said)


def vector(said: str, family: str) -> None:
    envs: Any = gymnasium.make_vec(ID, num_envs=1)
    envs.reset(seed=0)
    envs.step([said])
    envs.close()


def skyrl(said: str, family: str) -> None:
    module = pytest.importorskip("llmgym.trainers.skyrl", exc_type=ImportError)
    kind = type("Env", (module.LLMGymTextEnv,), {"episodes": TextEpisodes()})
    env = kind(extras={"task": REF.dumps(), "max_turns": 1})
    env.init([])
    env.step(said)


# --- those that know the prompt, or the tokenizer


def openrlhf_reward(said: str, family: str) -> None:
    module = pytest.importorskip("llmgym.trainers.openrlhf", exc_type=ImportError)
    prompt = families.tokenizer(family).decode(prompt_of(family), skip_special_tokens=False)
    module.reward_func([prompt + said], [prompt], [REF.dumps()])


def openrlhf_agent(said: str, family: str) -> None:
    module = pytest.importorskip("llmgym.trainers.openrlhf", exc_type=ImportError)

    async def play() -> None:
        agent = module.AgentInstance(TextEpisodes(families.tokenizer(family)))
        await agent.reset({"label": REF.dumps(), "observation": ""})
        await agent.step({"action_text": said})

    asyncio.run(play())


def nemo(said: str, family: str) -> None:
    env = nemo_rl.LLMGymEnvironment({"tokenizer": families.tokenizer(family)})
    env.step([[{"role": "assistant", "content": said}]], [{"task": REF.dumps()}])
    env.shutdown()


def verl_reward(said: str, family: str) -> None:
    info = {"tools_kwargs": {"llmgym": REF.dumps()}}
    asyncio.run(verl.compute_score("x", said, "", info, tokenizer=family))


def trl(said: str, family: str, **variables: Any) -> None:
    spec = pytest.importorskip("llmgym.trainers.trl", exc_type=ImportError).spec([ID])
    tokenizer = families.tokenizer(family)

    class Trainer(SimpleNamespace):
        def log_metric(self, name: str, value: float) -> None: ...

    trainer = Trainer(processing_class=tokenizer, chat_template=None, chat_template_kwargs=variables)
    ids = tokenizer.encode(said, add_special_tokens=False)
    completion = [{"role": "assistant", "content": tokenizer.decode(ids, skip_special_tokens=True)}]
    prompts = [row["prompt"] for row in spec.train_dataset]
    spec.episode_reward(prompts, [completion], completion_ids=[ids], log_metric=trainer.log_metric)


PLACES: list[tuple[Callable[[str, str], None], str]] = [
    *((place, PLAIN) for place in (action, vector, skyrl, openrlhf_reward)),
    (openrlhf_reward, OPENING),
    *((place, family) for place in (openrlhf_agent, nemo, verl_reward, trl) for family in (PLAIN, OPENING, XML)),
]


@pytest.mark.parametrize(("place", "family"), PLACES)
@given(said=REPLIES, ended=st.booleans())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_reply_is_read_as_its_tokens_are(
    place: Callable[[str, str], None], family: str, said: str, ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place in (action, vector, skyrl) and not said.lstrip().startswith("<think>"):
        said = said.replace("</think>", "")  # they know no prompt, and guess that it opened reasoning which nothing did
    monkeypatch.setattr(reward, "load_tokenizer", lambda name, by: families.tokenizer(name))
    monkeypatch.setattr(reward, "resolve", str)
    codec, tokenizer, prompt = codec_of(family), families.tokenizer(family), prompt_of(family)
    text = said + tokenizer.decode(codec.stop_token_ids[0]) * ended
    expected = codec.parse(tokenizer.encode(text, add_special_tokens=False), prompt, [Ear.tools["look"].schema])
    HEARD.clear()
    place(text, family)
    (heard,) = HEARD
    for call in heard.get("tool_calls", ()):
        call.pop("id", None)
    for call in expected.get("tool_calls", ()):
        call.pop("id", None)
    assert heard == expected


@pytest.mark.parametrize(("place", "family"), PLACES)
def test_cut_off_thoughts_are_no_answer(
    place: Callable[[str, str], None], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reward, "load_tokenizer", lambda name, by: families.tokenizer(name))
    monkeypatch.setattr(reward, "resolve", str)
    opened = opens_reasoning(families.tokenizer(family).decode(prompt_of(family), skip_special_tokens=False))
    HEARD.clear()
    place("Answer: B" if opened else "<think>\nAnswer: B", family)
    assert HEARD == [{"role": "assistant", "content": "", "reasoning_content": "Answer: B"}]


def test_the_trainers_own_variables_say_whether_a_prompt_opens_reasoning() -> None:
    HEARD.clear()
    trl("Answer: B", XML, enable_thinking=False)
    assert HEARD == [{"role": "assistant", "content": "Answer: B"}]


def test_verl_names_the_model_by_its_folder(tmp_path: Path) -> None:
    families.tokenizer(OPENING).save_pretrained(tmp_path)
    HEARD.clear()
    verl_reward("Answer: B", str(tmp_path))
    assert HEARD == [{"role": "assistant", "content": "", "reasoning_content": "Answer: B"}]
