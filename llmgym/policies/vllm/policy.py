"""The policy: checks requests, hands them to the engine and waits, on any event loop."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from typing import Any, Literal, TypeVar

from llmgym.chat import FinishReason, Sampling
from llmgym.errors import ConfigError, LLMGymError, PolicyError, PolicyUnavailable
from llmgym.policies.base import EngineLoad, Generation, LogprobsMode, VersionSpan, room_for_reply
from llmgym.policies.models import resolve
from llmgym.policies.vllm.engine import Gauge, Home, arguments, end, import_vllm, launch, translate
from llmgym.policies.vllm.weights import Weights, as_files

T = TypeVar("T")

#: What becomes of running requests at a pause: frozen until `resume`, ended with "abort", or waited for.
InFlight = Literal["keep", "abort", "wait"]

_FINISHED: dict[str | None, FinishReason] = {"stop": "stop", "length": "length"}


class VLLMPolicy:
    """Samples with vLLM's `AsyncLLM`, on GPUs or a CPU, in processes that this one starts and ends.

    Prompt tokens that earlier turns or other episodes computed come from vLLM's prefix cache. Weights can be replaced
    while episodes run; each reply says which version sampled which of its tokens, starting with version 0.

    Only `Sampling.stop_token_ids` and `Sampling.stop` end a reply: the end-of-sequence token of the model does not
    unless it is among them. Log-probabilities are "processed", those of the distribution that was sampled, after
    penalties, temperature, min-p, top-k and top-p, or "raw", those of the model; at temperature 0 both are the model's,
    but for penalties.

    A policy serves any number of event loops, at once or in turn. Where it is never closed, its engine ends with the
    interpreter, also when that is killed.

    Attributes:
        name: Short name for tables and run folders.
        model: The model as it was asked for.
        tokenizer: Tokenizer of the model, None before `start`.
        context_length: Most tokens of prompt and reply together, 0 before `start`.
        logprobs_mode: "processed" or "raw".
        version: Version of the weights that sample now.
    """

    def __init__(
        self, model: str = "smollm2", *, logprobs_mode: LogprobsMode = "processed", **engine_args: Any
    ) -> None:
        """Name the model; nothing is loaded before `start`.

        Args:
            model: Short name, local folder or Hub id.
            logprobs_mode: "processed" or "raw".
            **engine_args: Arguments of vLLM's `AsyncEngineArgs`, such as `max_model_len`, `gpu_memory_utilization`,
                `tensor_parallel_size`, `dtype`, `enable_sleep_mode`.

        Raises:
            ConfigError: The mode is unknown.
        """
        if logprobs_mode not in ("processed", "raw"):
            raise ConfigError(f"logprobs_mode={logprobs_mode!r}; give 'processed' or 'raw'")
        self.name = model.rstrip("/").rpartition("/")[2]
        self.model = model
        self.tokenizer: Any = None
        self.context_length = 0
        self.logprobs_mode: LogprobsMode = logprobs_mode
        self.version = 0
        self._engine_args = engine_args
        self._llm: Any = None
        self._end: Any = None
        self._gauge = Gauge()
        self._why = "it is not started; await its start() first"
        self._home = Home(self.name)
        self._lifecycle = asyncio.Lock()  # only used in the home loop

    async def start(self) -> None:
        """Load the model and start the engine, a minute or more; calling it again does nothing.

        Raises:
            MissingExtraError: vLLM is not installed.
            ConfigError: vLLM does not know an engine argument.
            PolicyError: The model cannot be found, or vLLM refuses it.
            PolicyUnavailable: The engine did not start, for want of memory or otherwise.
        """
        await self._home.run(self._start())

    async def close(self) -> None:
        """End the engine's processes; pending requests end with `PolicyUnavailable`."""
        await self._home.run(self._close())

    async def restart(self) -> None:
        """Replace an engine that died by a new one, with the weights that `start` loads, which are version 0 again.

        Of several callers that met the same death, one restarts it and the others wait for that. Raises as `start`.
        """
        await self._home.run(self._restart(self._llm))

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
    ) -> Generation:
        """Sample one reply; cancelling the awaiting task aborts the request in the engine.

        Raises:
            ContextLengthExceeded: No room for a reply.
            PolicyUnavailable: The policy is not started, was closed, or its engine died.
            PolicyError: The request is malformed, or failed.
        """
        llm = self._running()
        room = room_for_reply(self, prompt_ids, request_id, "raise max_model_len")
        sampling.check(request_id)
        # A copy, for the caller's list goes on growing. The kind spares vLLM a search for something to tokenise.
        prompt = {"type": "token", "prompt_token_ids": list(prompt_ids)}
        output = await self._call(llm, _sample(llm, prompt, _params(sampling, room), request_id))
        return _generation(output)

    async def update_weights(self, source: Weights, version: int, *, in_flight: InFlight = "keep") -> None:
        """Go on with new weights; what the prefix cache holds of the old ones is dropped.

        Requests that arrive meanwhile wait. With "keep", running ones go on where they are: their keys and values are
        computed anew, and later tokens are sampled, under the new weights.

        Args:
            source: Folder of a whole checkpoint, or a state dict in the names of one (tensors on any device).
            version: What `Generation.versions` calls them, 0 or more.
            in_flight: What becomes of running requests.

        Raises:
            ConfigError: The version is negative, or the engine was given a transport of weights of its own.
            PolicyError: The source holds no weights; the old ones stay. Or loading them failed, which ends the engine:
                half-loaded weights must not sample. Then await `restart` and give whole weights.
            PolicyUnavailable: The engine is gone.
        """
        if version < 0 or in_flight not in ("keep", "abort", "wait"):
            raise ConfigError(f"version={version}, in_flight={in_flight!r}: give 0 or more, and keep, abort or wait")
        if "weight_transfer_config" in self._engine_args:
            raise ConfigError("with a weight_transfer_config of your own, drive the update by VLLMPolicy.engine")
        llm = self._running()
        # Stopped half-way, it would leave the engine between two models; so it ends before a cancellation is passed on.
        update = asyncio.ensure_future(self._home.run(self._update(llm, source, version, in_flight)))
        try:
            await asyncio.shield(update)
        except asyncio.CancelledError:
            await asyncio.wait([update])
            raise

    async def pause(self, mode: InFlight = "keep") -> None:
        """Stop sampling; new requests wait for `resume`. The prefix cache is kept."""
        llm = self._running()
        await self._call(llm, llm.pause_generation(mode=mode, clear_cache=False))

    async def resume(self) -> None:
        """Sample again."""
        llm = self._running()
        await self._call(llm, llm.resume_generation())

    async def sleep(self, level: int = 1) -> None:
        """Pause and give GPU memory to somebody else; needs `enable_sleep_mode=True`, and is only a pause on a CPU.

        Args:
            level: 1 keeps the weights in main memory; 2 drops them: give new ones after `wake_up`.
        """
        llm = self._running()
        await self._call(llm, llm.sleep(level, mode="keep"))

    async def wake_up(self) -> None:
        """Take the memory back and sample again."""
        llm = self._running()
        await self._call(llm, llm.wake_up())

    @property
    def engine(self) -> Any:
        """The `AsyncLLM`, for what is not here; use it through `in_engine_loop`."""
        return self._running()

    async def in_engine_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine of `engine` in the loop that the engine is tied to."""
        return await self._call(self._running(), coroutine)

    async def load(self) -> EngineLoad:
        """How busy the engine is, as of its last step.

        Raises:
            ConfigError: It was started without statistics, which cost it a few microseconds a token.
            PolicyUnavailable: It is gone.
        """
        self._running()
        if self._engine_args.get("disable_log_stats", True):
            raise ConfigError(
                f"{self.name} does not measure how busy it is; start it with VLLMPolicy(..., disable_log_stats=False), "
                "or in a configuration with policy_options: {disable_log_stats: false}"
            )
        return self._gauge.load

    @property
    def num_unfinished(self) -> int:
        """Requests that the engine has and has not finished."""
        return self._llm.get_num_unfinished_requests() if self._llm is not None else 0

    def _running(self) -> Any:
        if self._llm is None:
            raise PolicyUnavailable(f"{self.name} does not run: {self._why}")
        return self._llm

    async def _call(self, llm: Any, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await something of the engine, in its loop; what goes wrong is a `PolicyError`."""
        try:
            return await self._home.run(coroutine)
        except LLMGymError:
            raise
        except Exception as error:
            if self._llm is not llm:
                raise PolicyUnavailable(f"{self.name} does not run any more: {self._why}") from error
            raise translate(self.name, error) from error

    # What follows runs in the home loop.

    async def _start(self) -> None:
        async with self._lifecycle:
            if self._llm is None:
                await self._launch()

    async def _close(self) -> None:
        async with self._lifecycle:
            await self._stop("it was closed; await its start() first")

    async def _restart(self, broken: Any) -> None:
        async with self._lifecycle:
            if self._llm is broken:
                await self._stop("it is being restarted")
                await self._launch()

    async def _launch(self) -> None:
        await asyncio.to_thread(import_vllm)
        folder = str(resolve(self.model))
        args = arguments(folder, self.logprobs_mode, self._engine_args)
        tokenizer = _tokenizer(args)
        self._gauge = Gauge()
        llm, processes = launch(self.name, args, self._gauge)
        self._end = weakref.finalize(self, end, llm, processes)
        self.tokenizer, self.context_length, self.version = tokenizer, llm.model_config.max_model_len, 0
        self._llm = llm

    async def _stop(self, why: str) -> None:
        """End the engine; `why` is what requests are told from now on."""
        llm, self._llm, self._why = self._llm, None, why
        if llm is None:
            return
        from vllm.v1.engine.exceptions import EngineDeadError  # pyright: ignore[reportMissingImports]

        if llm.output_handler is not None:
            llm.output_handler.cancel()  # or it would log the end as a crash
        llm.output_processor.propagate_error(EngineDeadError())  # or those who wait would do so for ever
        await asyncio.to_thread(self._end)

    async def _update(self, llm: Any, source: Weights, version: int, in_flight: InFlight) -> None:
        from vllm.distributed.weight_transfer.base import (  # pyright: ignore[reportMissingImports]
            WeightTransferUpdateRequest,
        )

        with ExitStack() as stack:
            files = await asyncio.to_thread(stack.enter_context, as_files(source))
            async with self._lifecycle:
                if self._llm is not llm:
                    raise PolicyUnavailable(f"{self.name} does not run any more: {self._why}")
                try:
                    paused = await llm.is_paused()
                    self._gauge.excuse(llm.get_num_unfinished_requests())  # they are computed anew
                    await llm.pause_generation(mode=in_flight, clear_cache=True)
                    await llm.start_weight_update()
                    await llm.update_weights(WeightTransferUpdateRequest({"files": files}))
                    await llm.finish_weight_update(str(version))
                    self.version = version
                    if not paused:
                        await llm.resume_generation()
                except Exception as error:  # whatever it is, nobody knows now what the weights are
                    failure = translate(self.name, error)
                    await self._stop(f"loading weights {version} failed; await restart(). {failure}")
                    raise type(failure)(f"{failure}; the engine was ended: await restart()") from error


async def _sample(llm: Any, prompt: Any, params: Any, request_id: str) -> Any:
    output = None
    async for output in llm.generate(prompt, params, request_id):  # noqa: B007 -- one, or none, with FINAL_ONLY
        pass
    if output is None:
        raise PolicyError(f"request {request_id}: the engine gave no reply")
    return output


def _params(sampling: Sampling, room: int) -> Any:
    from vllm.sampling_params import RequestOutputKind, SamplingParams  # pyright: ignore[reportMissingImports]

    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        max_tokens=min(sampling.max_tokens, room),
        stop_token_ids=list(sampling.stop_token_ids),
        stop=list(sampling.stop),
        ignore_eos=True,
        seed=sampling.seed,
        logprobs=0,  # of the sampled tokens and no others
        flat_logprobs=True,
        detokenize=bool(sampling.stop),
        skip_special_tokens=False,  # a stop string is looked for in what was sampled, all of it
        output_kind=RequestOutputKind.FINAL_ONLY,
        skip_clone=True,
    )


def _generation(output: Any) -> Generation:
    reply = output.outputs[0]
    spans = [VersionSpan(_number(span.version), span.start, span.end) for span in reply.weight_versions or ()]
    return Generation(
        token_ids=list(reply.token_ids),
        logprobs=list(reply.logprobs.logprobs) if reply.logprobs is not None else [],
        finish_reason=_FINISHED.get(reply.finish_reason, "abort"),
        versions=tuple(span for span in spans if span.end > span.start),
        cached_tokens=output.num_cached_tokens or 0,
    )


def _number(label: str) -> int:
    """The number of a version; vLLM calls the first weights "default"."""
    return int(label) if label.isdecimal() else 0


def _tokenizer(args: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer

    options = {name: args[name] for name in ("trust_remote_code", "revision") if args.get(name)}
    try:
        return AutoTokenizer.from_pretrained(args.get("tokenizer") or args["model"], **options)  # pyright: ignore[reportUnknownMemberType]
    except Exception as error:  # a wrong name, a broken file
        raise PolicyError(f"cannot load the tokenizer of {args['model']}: {error}") from error
