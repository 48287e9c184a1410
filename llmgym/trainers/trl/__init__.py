"""TRL: llmgym's environments in `GRPOTrainer` and `AsyncGRPOTrainer`.

- `spec` describes what to train on, and gives the trainer's arguments: dataset, rollout function, rewards.
- `prompts` carries a task through the trainer; `sampling` uses the trainer's model or its vLLM.
- `environment` is for TRL's own tool loop, `worker` for its asynchronous trainer.

What TRL would take without a word is settled here: masks are complete; rows are neither empty nor too long, nor do they
end in an observation; what failed has no reward, instead of one of 0.
"""

from llmgym.trainers.trl.spec import Spec, spec
from llmgym.trainers.trl.worker import RolloutWorker

__all__ = ["RolloutWorker", "Spec", "spec"]
