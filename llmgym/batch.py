"""Token batches: trajectories padded for a trainer, as NumPy or torch arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmgym.advantages import Estimator, estimate
from llmgym.trajectory import Segment, Trajectory, Turn


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Padded rows, one for each segment that is to be trained on.

    B is the number of rows, P the longest prompt, C the longest completion. A completion starts with the
    row's first sampled token and holds what came between replies too, which `loss_mask` leaves out.

    Attributes:
        prompt_ids: int64[B, P]; padded on the left.
        completion_ids: int64[B, C]; padded on the right.
        attention_mask: bool[B, P + C]; false on padding.
        loss_mask: bool[B, C]; true on sampled tokens.
        logprobs: float32[B, C]; log-probability (nats) of each sampled token when it was sampled, else 0.
        rewards: float32[B, C]; each turn's reward, on its last sampled token. They sum to the
            episode's reward over its rows.
        episode_rewards: float32[B]; reward of the row's whole episode.
        group_ids: int64[B]; equal for episodes of one task, and of one agent in it, numbered from 0.
        episode_ids: int64[B]; equal for the segments of one episode, numbered from 0.
        policy_versions: int64[B, C]; weights that sampled each token, -1 where none did.
    """

    prompt_ids: Any
    completion_ids: Any
    attention_mask: Any
    loss_mask: Any
    logprobs: Any
    rewards: Any
    episode_rewards: Any
    group_ids: Any
    episode_ids: Any
    policy_versions: Any

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.group_ids)

    def __getitem__(self, rows: Any) -> TokenBatch:
        """Some rows: a slice, an index array or a mask, such as for micro-batches; the padding stays as it is."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @property
    def input_ids(self) -> Any:
        """int64[B, P + C]; prompts and completions side by side."""
        if isinstance(self.prompt_ids, np.ndarray):
            return np.concatenate([self.prompt_ids, self.completion_ids], axis=1)
        import torch

        return torch.cat([self.prompt_ids, self.completion_ids], dim=1)

    def advantages(self, estimator: Estimator = "grpo") -> Any:
        """float32[B]; how much better each row's episode was than its group, or the batch.

        "grpo", "dr_grpo", "rloo" or "reinforce++"; `llmgym.advantages` says what they are, and has GAE over tokens. Ask
        before rows are taken for micro-batches: in some of them a group is not whole.
        """
        arrays = (self.episode_rewards, self.group_ids, self.episode_ids, self.loss_mask)
        rewards, groups, episodes, mask = (_array(values) for values in arrays)
        result = estimate(estimator, rewards, groups, episodes, mask.sum(axis=1))
        return result if isinstance(self.group_ids, np.ndarray) else _tensor(result).to(self.group_ids.device)

    def to_torch(self, device: Any = None) -> TokenBatch:
        """The same with torch tensors."""
        return replace(self, **{f.name: _tensor(getattr(self, f.name)).to(device) for f in fields(self)})

    @classmethod
    def of(cls, trajectories: Iterable[Trajectory], *, pad_id: int = 0) -> TokenBatch:
        """Pad trajectories; those that are unscored, have no tokens, or are an opponent's, are left out.

        Raises:
            ValueError: None is left.
        """
        rows = [row for episode, t in enumerate(_trainable(trajectories)) for row in _rows(episode, t)]
        if not rows:
            raise ValueError(
                "no trajectory to train on has both a reward and sampled tokens; chat policies give no tokens"
            )
        starts = [int(np.argmax(row.segment.sampled)) for row in rows]
        prompt = max(starts)
        completion = max(len(row.segment.ids) - start for row, start in zip(rows, starts, strict=True))
        made = _empty(len(rows), prompt, completion, pad_id)
        groups: dict[tuple[str, str], int] = {}
        for index, (row, start) in enumerate(zip(rows, starts, strict=True)):
            _fill(made, index, row, start)
            made.group_ids[index] = groups.setdefault((row.trajectory.group_id, row.trajectory.agent), len(groups))
        return made


@dataclass(frozen=True, slots=True)
class _Row:
    """One segment of one episode, with the replies that it holds and its tokens' rewards."""

    episode: int
    trajectory: Trajectory
    segment: Segment
    replies: Sequence[Turn]
    rewards: NDArray[np.float64]


def _trainable(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    return [t for t in trajectories if t.trained]


def _rows(episode: int, trajectory: Trajectory) -> list[_Row]:
    numbered, replies = enumerate(zip(trajectory.segments, trajectory.token_rewards(), strict=True)), trajectory.replies
    return [
        _Row(episode, trajectory, segment, [reply for reply in replies if reply.segment == number], rewards)
        for number, (segment, rewards) in numbered
        if segment.trained
    ]


def _empty(rows: int, prompt: int, completion: int, pad_id: int) -> TokenBatch:
    def full(width: int, value: float, dtype: Any) -> NDArray[Any]:
        return np.full((rows, width), value, dtype=dtype)

    return TokenBatch(
        prompt_ids=full(prompt, pad_id, np.int64),
        completion_ids=full(completion, pad_id, np.int64),
        attention_mask=full(prompt + completion, False, np.bool_),
        loss_mask=full(completion, False, np.bool_),
        logprobs=full(completion, 0.0, np.float32),
        rewards=full(completion, 0.0, np.float32),
        episode_rewards=np.zeros(rows, dtype=np.float32),
        group_ids=np.zeros(rows, dtype=np.int64),
        episode_ids=np.zeros(rows, dtype=np.int64),
        policy_versions=full(completion, -1, np.int64),
    )


def _fill(batch: TokenBatch, index: int, row: _Row, start: int) -> None:
    """Write a row; `start` is the place of its first sampled token."""
    ids, width = row.segment.ids, batch.prompt_ids.shape[1]
    length = len(ids) - start
    batch.prompt_ids[index, width - start :] = ids[:start]
    batch.completion_ids[index, :length] = ids[start:]
    batch.attention_mask[index, width - start : width + length] = True
    batch.loss_mask[index, :length] = row.segment.sampled[start:]
    batch.logprobs[index, :length] = row.segment.logprobs[start:]
    batch.rewards[index, :length] = row.rewards[start:]
    batch.episode_rewards[index] = row.trajectory.reward
    batch.episode_ids[index] = row.episode
    for reply in row.replies:
        offset = reply.start - start
        batch.policy_versions[index, offset : reply.end - start] = 0
        for span in reply.versions:
            batch.policy_versions[index, offset + span.start : offset + span.end] = span.version


def _tensor(array: Any) -> Any:
    import torch

    return array if isinstance(array, torch.Tensor) else torch.from_numpy(array)


def _array(values: Any) -> NDArray[Any]:
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()
