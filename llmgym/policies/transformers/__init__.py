"""A policy inside this process with nothing but transformers: the embedded default, on a CPU or one GPU.

transformers has a continuous-batching manager of its own, but whether to sample, and the seed, are set for all of its
requests together, and on a CPU it took four times the processor time of this package. So the loop is here:

- `policy` is the asyncio side. It checks a request and waits for its future.
- `worker` is the thread that owns the model. It steps the batch, and is the only one to touch tensors.
- `admission` chooses which waiting requests join the batch next, and whose keys and values they can reuse.
- `runner` makes forward passes over rows of different lengths, `store` holds the keys and values of running requests,
  `kept` those of finished ones.
- `sampling` picks tokens; `loading` loads a model and proves that it can be batched like this.

Row `i` of the batch is row `i` of the store, and the token at position `p` of a row is at cell `p`, so rows need no
alignment: one may join, leave or be longer than another without moving the rest. A prompt is prefilled except for its
last token, which goes through the model with the last tokens of all other rows: logits are computed in one place, for
the positions that are sampled and no others.
"""

from llmgym.policies.transformers.policy import TransformersPolicy

__all__ = ["TransformersPolicy"]
