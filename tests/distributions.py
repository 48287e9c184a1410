"""What a token is sampled from, written out plainly: to check engines against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmgym.chat import Sampling
from llmgym.policies import Generation


def processed(
    logits: NDArray[np.float64], sampling: Sampling, prompt: Sequence[int], reply: Sequence[int]
) -> NDArray[np.float64]:
    """Probabilities of the next token after a prompt and a part of its reply."""
    logits, counts = logits.copy(), Counter(reply)
    for token in {*prompt, *reply}:
        factor = sampling.repetition_penalty
        logits[token] = logits[token] / factor if logits[token] > 0 else logits[token] * factor
    for token, count in counts.items():
        logits[token] -= sampling.presence_penalty + sampling.frequency_penalty * count
    probabilities = _softmax(logits / (sampling.temperature or 1))
    if sampling.temperature == 0:
        return probabilities
    probabilities[probabilities < sampling.min_p * probabilities.max()] = 0
    order = np.argsort(-probabilities)
    if sampling.top_k:
        probabilities[order[sampling.top_k :]] = 0
    probabilities /= probabilities.sum()
    mass = np.cumsum(probabilities[order]) - probabilities[order]  # of the likelier ones
    probabilities[order[mass >= sampling.top_p]] = 0
    return probabilities / probabilities.sum()


def logprobs_of(model: Any, prompt: Sequence[int], reply: Generation, sampling: Sampling) -> NDArray[np.float64]:
    """Log-probabilities of a reply's tokens, by one forward pass of a transformers model."""
    import torch

    ids = list(reply.token_ids)
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1].double().numpy()
    with np.errstate(divide="ignore"):
        return np.array(
            [np.log(processed(row, sampling, prompt, ids[:i])[ids[i]]) for i, row in enumerate(logits)], np.float64
        )


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()
