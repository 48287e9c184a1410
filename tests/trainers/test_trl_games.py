"""Games of several agents in TRL: a row is a task and a seat, and a game is played once for all of its rows."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

import torch

from llmgym.chat import Sampling
from llmgym.codec import codec_for
from llmgym.errors import ConfigError
from llmgym.policies.base import Generation
from llmgym.tasks import stable_hash
from llmgym.trainers.common import Episodes
from llmgym.trainers.trl import spec
from llmgym.trainers.trl.prompts import ref_of
from tests.trainers.contract import check_shape, check_tokens
from tests.trainers.test_trl import furthest, sample_with, trainer_of
from tests.trainers.tiny import tiny_model, tiny_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")
LEDUC = "llmgym/Leduc-single-v0"


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")


def described(policies: Any, **settings: Any) -> Any:
    return spec([LEDUC], policies=policies, **({"num_tasks": 2, "max_output_tokens": 8} | settings))


class Plays:
    """Samples legal moves for the most part, by the request."""

    def __init__(self, tokenizer: Any) -> None:
        self.name = self.model = "plays"
        self.tokenizer, self.context_length, self.logprobs_mode = tokenizer, 2000, "processed"
        self._stop = codec_for(tokenizer).stop_token_ids[0]

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def generate(self, prompt_ids: Any, sampling: Sampling, *, request_id: str, session_id: str) -> Generation:
        text = ("call", "raise", "fold", "call")[stable_hash(request_id) % 4]
        ids = [*self.tokenizer.encode(text, add_special_tokens=False), self._stop]
        return Generation(ids, [-0.5] * len(ids), "stop")


def test_both_seats_of_a_game_are_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tiny_tokenizer()
    recording = sample_with(Plays(tokenizer), monkeypatch)
    seen = trainer_of(described({"player": "train"}), tokenizer, tmp_path, num_generations=4,
                      per_device_train_batch_size=16, max_completion_length=600)  # fmt: skip
    before = [weight.detach().clone() for weight in seen.trainer.model.parameters()]
    seen.trainer.train()
    episodes = [episode for output in seen.outputs for episode in output["episodes"]]
    games = defaultdict[str, list[Any]](list)
    for episode in episodes:
        games[episode.episode_id].append(episode)
    assert (len(episodes), len(games)) == (16, 8)  # each game is played once for both of its rows
    for game in games.values():
        assert {episode.agent for episode in game} == {"player_0", "player_1"}
        assert sum(episode.reward for episode in game) == 0
    rows = seen.rows(group=4)
    for place in range(4):  # groups are of one task and one seat
        assert len({(e.task_id, e.agent) for e in episodes[4 * place : 4 * place + 4]}) == 1
    for row in rows:
        check_shape(row)
        check_tokens(row, recording.requests.get(row.session, []))
    assert any(not torch.equal(a, b) for a, b in zip(before, seen.trainer.model.parameters(), strict=True))


def test_the_trainers_own_model_plays(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    seen = trainer_of(described({"player": "train"}), tokenizer, tmp_path, max_completion_length=300)
    seen.trainer.train()
    assert furthest(tiny_model(tokenizer), [row for row in seen.rows(group=2) if any(row.loss_mask)]) < 1e-4


def test_one_seat_is_trained_against_the_script(tmp_path: Path) -> None:
    made = described({"player_0": "train", "player_1": "script"}, num_tasks=4)
    agents = [ref_of(row["prompt"]).agent for row in made.train_dataset]
    assert len(agents) == 4
    assert set(agents) == {"player_0", "player_1"}  # seats rotate
    for row, agent in zip(made.train_dataset, agents, strict=True):
        assert row["prompt"][0]["content"].startswith(f"You are {agent} and play Leduc poker")
    seen = trainer_of(made, tiny_tokenizer(), tmp_path, max_completion_length=300)
    seen.trainer.train()
    episodes = seen.outputs[0]["episodes"]
    assert all(episode.trainable and episode.policy == "train" for episode in episodes)
    assert {episode.agent for episode in episodes} == set(agents)


@pytest.mark.parametrize(("policies", "said"), [
    ({"player_0": "train"}, "nobody plays player_1 of llmgym/Leduc-single-v0"),
    ({"player": "frozen"}, "nobody is to be trained"),
    ({"player_0": "train", "player_1": "frozen:random"}, "'frozen:random' is another policy"),
])  # fmt: skip
def test_players_that_a_trainer_cannot_have(policies: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        _ = described(policies).train_dataset


def test_ways_that_know_one_agent() -> None:
    with pytest.raises(ConfigError, match="TRL's own sampling knows one agent"):
        _ = described({"player": "train"}).environment_factory
    with pytest.raises(ConfigError, match="games of several are trained by TRL's rollout_func"):
        Episodes(env_ids=[LEDUC], policies={"player": "train"})
