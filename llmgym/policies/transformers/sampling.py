"""Picking tokens from logits, with the log-probabilities of what was sampled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmgym.chat import Sampling

if TYPE_CHECKING:
    from torch import Tensor

_CANDIDATES = 1024  # a nucleus is looked for among this many tokens before the whole vocabulary is sorted


def sample(logits: Tensor, samplings: Sequence[Sampling], draws: Sequence[float]) -> tuple[list[int], list[float]]:
    """Sample one token a row, and give its log-probability under the distribution that was sampled.

    A row's draw picks its token by the cumulative distribution over the vocabulary in its natural order: the same
    draw gives the same token on every device.

    Args:
        logits: [rows, vocabulary].
        samplings: How to sample each row.
        draws: A uniform number in [0, 1) for each row.
    """
    import torch

    device = logits.device
    greedy = [sampling.temperature == 0 for sampling in samplings]
    temperatures = torch.tensor([sampling.temperature or 1.0 for sampling in samplings], device=device)
    logprobs = (logits.float() / temperatures[:, None]).log_softmax(-1)
    for row, sampling in enumerate(samplings):
        if (sampling.top_k or sampling.min_p) and not greedy[row]:
            logprobs[row] = likeliest(logprobs[row], sampling.top_k, sampling.min_p)
    narrowed = [row for row, sampling in enumerate(samplings) if sampling.top_p < 1 and not greedy[row]]
    if narrowed:
        top_p = torch.tensor([samplings[row].top_p for row in narrowed], device=device)
        logprobs[narrowed] = nucleus(logprobs[narrowed], top_p)
    tokens = logprobs.argmax(-1)
    if not all(greedy):
        # A draw in (0, 1] times the total lands neither on an impossible token nor past the end, unless it is NaN.
        places = torch.tensor([1.0 - draw for draw in draws], dtype=torch.float64, device=device)
        cumulative = logprobs.exp().cumsum(-1, dtype=torch.float64)
        drawn = torch.searchsorted(cumulative, (cumulative[:, -1] * places)[:, None])[:, 0].clamp_(
            max=logprobs.shape[-1] - 1
        )
        tokens = torch.where(torch.tensor(greedy, device=device), tokens, drawn)
    sampled: tuple[Any, Any] = tokens, logprobs.gather(1, tokens[:, None])[:, 0]  # Tensor.tolist is untyped
    return sampled[0].tolist(), sampled[1].tolist()


def penalised(logits: Tensor, sampling: Sampling, prompt: NDArray[np.int64], reply: Sequence[int]) -> Tensor:
    """A row of logits with the penalties for what prompt and reply have, as vLLM takes them; float32[vocabulary]."""
    import torch

    logits = logits.float()
    said, counts = np.unique(np.array(reply, np.int64), return_counts=True)
    seen = torch.from_numpy(np.union1d(prompt, said)).to(logits.device)
    values = logits[seen]
    factor = sampling.repetition_penalty
    logits = logits.index_copy(0, seen, torch.where(values > 0, values / factor, values * factor))
    taken = torch.from_numpy(sampling.frequency_penalty * counts + sampling.presence_penalty).to(logits)
    return logits.index_add(0, torch.from_numpy(said).to(logits.device), taken, alpha=-1)


def likeliest(logprobs: Tensor, top_k: int, min_p: float) -> Tensor:
    """Renormalise a row to the `top_k` likeliest of the tokens that have `min_p` of the likeliest one's probability."""
    if min_p:
        logprobs = logprobs.masked_fill(logprobs < logprobs.max() + math.log(min_p), -math.inf)
    if 0 < top_k < logprobs.shape[-1]:
        logprobs = logprobs.masked_fill(logprobs < logprobs.topk(top_k).values[-1], -math.inf)
    return logprobs.log_softmax(-1)


def nucleus(logprobs: Tensor, top_p: Tensor, candidates: int = _CANDIDATES) -> Tensor:
    """Renormalise each row to the fewest likeliest tokens whose mass reaches its `top_p`."""
    vocabulary = logprobs.shape[-1]
    top, tokens = logprobs.topk(min(candidates, vocabulary))
    mass = top.exp().cumsum(-1)
    outside = mass - top.exp() >= top_p[:, None]
    top = top.masked_fill(outside, -math.inf).log_softmax(-1)
    result = logprobs.new_full(logprobs.shape, -math.inf).scatter_(1, tokens, top)
    short = (mass[:, -1] < top_p).nonzero()[:, 0]
    if candidates < vocabulary and len(short):
        result[short] = nucleus(logprobs[short], top_p[short], vocabulary)
    return result
