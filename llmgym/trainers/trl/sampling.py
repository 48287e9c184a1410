"""Sampling with what a trainer has: its model in memory, or its vLLM."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import msgspec

from llmgym.chat import Sampling
from llmgym.codec.base import ChatCodec
from llmgym.concurrency import drive_in_background, start_in_background
from llmgym.errors import ConfigError
from llmgym.policies.base import Generation
from llmgym.policies.transformers import TransformersPolicy
from llmgym.tasks import stable_hash
from llmgym.trainers.common import Generate, TrainerPolicy
from llmgym.trainers.compatibility import check_same_tokenizer
from llmgym.trainers.parameters import asked_of
from llmgym.trajectory import Trajectory

Episode = Coroutine[Any, Any, list[Trajectory]]

_THEIRS = {
    "max_completion_length": "max_completion_length of the trainer's config",
    "num_repeats": "num_generations of the trainer's config",
    "responses_create_params": "temperature, top_p and the like of the trainer's config, and max_output_tokens here",
}


def sample(trainer: Any, episodes: Callable[[TrainerPolicy], Sequence[Episode]]) -> list[list[Trajectory]]:
    """Run episodes to their ends with the weights as they are now; gives the agents of each.

    Args:
        trainer: A `GRPOTrainer`.
        episodes: Makes the episodes from a policy.
    """
    tokenizer = tokenizer_of(trainer)
    if trainer.use_vllm:
        engine = LockStep(trainer)
        return engine.run(episodes(TrainerPolicy("trl", engine.generate, tokenizer, engine.context_length)))
    with in_memory(trainer) as model:
        policy = TrainerPolicy("trl", model.generate, tokenizer, model.context_length)
        return drive_in_background(_all(episodes(policy)))


def tokenizer_of(trainer: Any) -> Any:
    """The trainer's tokenizer, which a multimodal processor has inside."""
    return getattr(trainer.processing_class, "tokenizer", trainer.processing_class)


def asked(trainer: Any, max_output_tokens: int | None) -> dict[str, Any]:
    """`responses_create_params` of what a trainer's config says.

    Args:
        trainer: A trainer, or its config.
        max_output_tokens: Most tokens of one reply; None for what the episode has left.
    """
    limit = trainer.max_completion_length
    given = {name: getattr(trainer, name) for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")}
    return msgspec.to_builtins(asked_of(given, min(max_output_tokens or limit, limit)))


def check_settings(settings: Iterable[str]) -> None:
    """See that no setting of episodes is one of the trainer's.

    Raises:
        ConfigError: One is.
    """
    if theirs := sorted(_THEIRS.keys() & set(settings)):
        raise ConfigError(f"{theirs[0]} is the trainer's to say: set {_THEIRS[theirs[0]]}")


def check_trainer(trainer: Any) -> None:
    """See that rollouts can do what a trainer's config asks.

    Raises:
        ConfigError: They cannot.
    """
    if trainer.tools:
        raise ConfigError("with rollout_func, give GRPOTrainer no tools: TRL would run them again on ended episodes")
    if trainer.use_vllm:
        if trainer.vllm_mode == "colocate":
            check_ids(tokenizer_of(trainer), trainer.vllm_generation.llm.get_tokenizer())
        return
    if trainer.is_fsdp_enabled:
        raise ConfigError("the weights are sharded, and episodes differ in length between ranks: set use_vllm=True")


def check_ends(trainer: Any, codec: ChatCodec | None) -> None:
    """See that TRL knows the tokens that end a turn, where it is to leave out episodes that were cut off.

    Raises:
        ConfigError: It would take whole episodes for such.
    """
    assert codec is not None
    unknown = {*codec.stop_token_ids} - {*trainer.eos_token_ids}
    if trainer.mask_truncated_completions and unknown:
        raise ConfigError(
            f"mask_truncated_completions: turns may end in the tokens {sorted(unknown)}, which TRL does not take "
            "for ends; add them to the model's generation_config.eos_token_id"
        )


def check_ids(trainer: Any, engine: Any) -> None:
    """See that two tokenizers give the same ids; the engine's chat template is never used, so it may differ.

    Raises:
        ConfigError: They do not.
    """
    engine = copy.copy(engine)
    engine.chat_template = trainer.chat_template
    check_same_tokenizer(trainer, engine)


def seeded(generate: Generate, salt: tuple[int, ...]) -> Generate:
    """Sample with seeds that follow from a salt and the request, instead of fresh ones."""

    async def generate_seeded(
        prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
    ) -> Generation:
        sampling = replace(sampling, seed=stable_hash(*salt, request_id))
        return await generate(prompt_ids, sampling, request_id=request_id, session_id=session_id)

    return generate_seeded


async def _all(episodes: Iterable[Episode]) -> list[list[Trajectory]]:
    return await asyncio.gather(*episodes)


@contextlib.contextmanager
def in_memory(trainer: Any) -> Generator[TransformersPolicy]:
    """The trainer's model as a policy, while its weights stay as they are."""
    from trl.models.utils import unwrap_model_for_generation

    with unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator) as model:
        training = model.training
        policy = TransformersPolicy(model.eval(), tokenizer=tokenizer_of(trainer))
        try:
            drive_in_background(policy.start())
            yield policy
        finally:
            drive_in_background(policy.close())
            model.train(training)


class LockStep:
    """TRL's own vLLM, in rounds: one call serves all episodes, each of which waits for a reply.

    In server mode and with tensor parallelism a call is a collective. So every rank makes as many calls as the one that
    needs most, each with as many prompts, and fills up with prompts of a single token.

    Attributes:
        context_length: Most tokens of prompt and reply together.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        config = trainer.accelerator.unwrap_model(trainer.model).config.get_text_config()
        self.context_length: int = trainer.args.vllm_max_model_length or config.max_position_embeddings
        self._changed = threading.Condition()  # guards the two that follow
        self._waiting: list[tuple[list[int], Sampling, Future[Generation]]] = []
        self._running = 0

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
    ) -> Generation:
        """Wait for the next round; see `TokenPolicy.generate`."""
        reply = Future[Generation]()
        with self._changed:
            self._waiting.append((list(prompt_ids), sampling, reply))
            self._changed.notify()
        return await asyncio.wrap_future(reply)

    def run(self, episodes: Sequence[Episode]) -> list[list[Trajectory]]:
        """Run episodes, calling vLLM in this thread."""
        from accelerate.utils import gather_object

        self._running = len(episodes)
        results = start_in_background(_all(map(self._counted, episodes)))
        try:
            while size := max(gather_object([self._ready()])):
                self._round(size)
            return results.result()
        finally:
            results.cancel()  # where a call failed; of no effect where all is done

    async def _counted(self, episode: Episode) -> list[Trajectory]:
        try:
            return await episode
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify()

    def _ready(self) -> int:
        """Wait until all episodes that are not over wait for a reply, and count them."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) >= self._running)
            return len(self._waiting)

    def _round(self, size: int) -> None:
        with self._changed:
            requests, self._waiting = self._waiting, []
        prompts = [prompt for prompt, _, _ in requests]
        prompts += [[self._trainer.eos_token_ids[0]]] * (size - len(prompts))
        _, ids, logprobs, _ = self._trainer.vllm_generation.generate(prompts=prompts, images=None, num_generations=1)
        for row, (_, sampling, reply) in enumerate(requests):
            generation = self._cut(ids[row], sampling, logprobs[row] if logprobs else [])
            if reply.set_running_or_notify_cancel():  # false where its deadline has passed
                reply.set_result(generation)

    def _cut(self, ids: Sequence[int], sampling: Sampling, top: Sequence[Sequence[float | None]]) -> Generation:
        """End a reply where it had to end: all that vLLM knows is an episode's length and the model's stop tokens."""
        end = next((place + 1 for place, token in enumerate(ids) if token in sampling.stop_token_ids), len(ids))
        kept = list(ids[: min(end, sampling.max_tokens)])
        logprobs = [float("nan") if first is None else first for first, *_ in top[: len(kept)]]
        stopped = bool(kept) and kept[-1] in {*sampling.stop_token_ids, *self._trainer.eos_token_ids}
        return Generation(kept, logprobs, "stop" if stopped else "length")
