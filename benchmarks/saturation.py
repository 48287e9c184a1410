"""How much of a raw `AsyncLLM`'s throughput a collector reaches. The last line is one JSON object.

Both sides use one engine, in turn: `Collector.collect` with environment, codec, exact trace and a run folder; and a
bare coroutine for each episode that sends token ids to the engine and waits. As many of them run at once, and they ask
for the same: the same prompts turn by turn (each continues what it sampled itself, or the prefix cache would not serve
it), as many tokens in each reply, log-probabilities, no text. The prefix cache is emptied before each run, and each
round lets the other side come first. The weights are random; `_engine.py` says how replies call tools all the same.

`ratio_single_turn` and `ratio_multi_turn` (4 turns, the first 3 call a tool) are medians over the rounds of the
collector's sampled tokens per second over the bare ones'. `ms_per_turn` is what the collector adds to this process's
CPU time, all threads, for each turn.

    python benchmarks/saturation.py --model qwen3-0.6b --episodes 1024 --concurrency 256 --max-tokens 512
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from _engine import ENV, Planned, Script, closed, described, model_options, policy_of, reset_cache
from _instant import report

from llmgym.codec import ChatCodec, codec_for
from llmgym.policies.vllm import VLLMPolicy
from llmgym.rollout import Collector


@dataclass(frozen=True, slots=True)
class Load:
    """What both sides do.

    Attributes:
        turns: Replies of an episode; all but the last call a tool.
        episodes: Episodes of a run.
        concurrency: Episodes at once.
        max_tokens: Most tokens of a reply; the fewest are half of it.
    """

    turns: int
    episodes: int
    concurrency: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one side.

    Attributes:
        began: `time.monotonic()` at its start.
        ended: The same at its end.
        cpu_s: CPU seconds of this process; those of the engine's processes are not in it.
        tokens: Tokens sampled.
        cached_tokens: Prompt tokens served from the prefix cache.
    """

    began: float
    ended: float
    cpu_s: float
    tokens: int
    cached_tokens: int

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / (self.ended - self.began)


@dataclass(frozen=True, slots=True)
class Round:
    """A run of each side."""

    collector: Run
    raw: Run

    @property
    def ratio(self) -> float:
        return self.collector.tokens_per_s / self.raw.tokens_per_s


async def compare(policy: VLLMPolicy, codec: ChatCodec, load: Load, rounds: int) -> list[Round]:
    """Run both sides in turn, after a run that warms the engine and notes what is said."""
    scripts: dict[str, Script] = {}
    await timed(policy, collect(policy, codec, load, scripts))
    expected = sum(sum(script.lengths) for script in scripts.values())
    found: list[Round] = []
    for number in range(rounds):
        if number % 2:
            bare = await timed(policy, raw(policy, codec, load, scripts))
            ours = await timed(policy, collect(policy, codec, load))
        else:
            ours = await timed(policy, collect(policy, codec, load))
            bare = await timed(policy, raw(policy, codec, load, scripts))
        assert ours.tokens == bare.tokens == expected, (ours, bare, expected)
        found.append(Round(ours, bare))
        print(f"{load.turns} turns, round {number + 1}: {found[-1].ratio:.3f}", flush=True)
    return found


async def timed(policy: VLLMPolicy, work: Coroutine[Any, Any, tuple[int, int]]) -> Run:
    """Run one side with an empty prefix cache, and none of the other side's garbage."""
    await reset_cache(policy)
    gc.collect()
    thresholds = gc.get_threshold()
    gc.set_threshold(50_000, 20, 20)  # a collector does so for itself; the bare side is to gain by it too
    try:
        began, cpu = time.monotonic(), time.process_time()
        tokens, cached = await work
        return Run(began, time.monotonic(), time.process_time() - cpu, tokens, cached)
    finally:
        gc.set_threshold(*thresholds)


async def collect(
    policy: VLLMPolicy, codec: ChatCodec, load: Load, scripts: dict[str, Script] | None = None
) -> tuple[int, int]:
    """The collector's side; notes the scripts where it is given a place for them. Gives sampled and cached tokens."""
    planned = Planned(
        policy, codec, turns=load.turns, tokens=load.max_tokens, tools=load.turns > 1, record=scripts is not None
    )
    with TemporaryDirectory() as folder:
        summary = await Collector(
            [ENV], planned, codec=codec, output=Path(folder) / "run", num_tasks=load.episodes, max_turns=load.turns,
            num_samples_in_parallel=load.concurrency, responses_create_params={"max_output_tokens": load.max_tokens},
        ).collect()  # fmt: skip
    assert summary["finished"] == load.episodes, summary
    assert summary["turns"] == load.turns * load.episodes, summary
    if scripts is not None:
        scripts |= planned.scripts
    return summary["tokens"]["sampled"], planned.cached_tokens


async def raw(policy: VLLMPolicy, codec: ChatCodec, load: Load, scripts: dict[str, Script]) -> tuple[int, int]:
    """The bare side, in the engine's own event loop. Gives sampled and cached tokens."""
    llm, stops = policy.engine, frozenset(codec.stop_token_ids)
    waiting = iter(scripts.items())

    async def work() -> list[tuple[int, int]]:
        return [await replay(llm, name, script, stops) for name, script in waiting]

    async def everything() -> list[tuple[int, int]]:
        workers = await asyncio.gather(*(work() for _ in range(load.concurrency)))
        return [counts for worker in workers for counts in worker]

    counts = await policy.in_engine_loop(everything())
    return sum(tokens for tokens, _ in counts), sum(cached for _, cached in counts)


async def replay(llm: Any, name: str, script: Script, stops: frozenset[int]) -> tuple[int, int]:
    """One episode, with nothing but its tokens."""
    from vllm.sampling_params import RequestOutputKind, SamplingParams

    ids: list[int] = []
    sampled = cached = 0
    for turn, (heard, length, tail) in enumerate(zip(script.heard, script.lengths, script.tails, strict=True)):
        ids += heard
        params = SamplingParams(
            max_tokens=length, ignore_eos=True, logprobs=0, flat_logprobs=True, detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY, skip_clone=True,
        )  # fmt: skip
        prompt = {"type": "token", "prompt_token_ids": list(ids)}
        async for output in llm.generate(prompt, params, f"{name}/{turn}"):  # one, with FINAL_ONLY
            sampled += len(output.outputs[0].token_ids)
            cached += output.num_cached_tokens
            ids += closed(output.outputs[0].token_ids, tail, stops)
    return sampled, cached


def figures(name: str, load: Load, rounds: Sequence[Round]) -> dict[str, Any]:
    """What the rounds of a load amount to, as fields of the result."""
    turns = load.turns * load.episodes
    return {
        f"ratio_{name}": statistics.median(r.ratio for r in rounds),
        f"{name}_ratios": [round(r.ratio, 3) for r in rounds],
        f"{name}_tokens_per_s": round(statistics.median(r.collector.tokens_per_s for r in rounds), 1),
        f"{name}_raw_tokens_per_s": round(statistics.median(r.raw.tokens_per_s for r in rounds), 1),
        f"{name}_ms_per_turn": 1e3 * statistics.median(r.collector.cpu_s - r.raw.cpu_s for r in rounds) / turns,
        f"{name}_tokens": rounds[0].collector.tokens,
        f"{name}_cached_tokens": rounds[-1].collector.cached_tokens,
        f"{name}_raw_cached_tokens": rounds[-1].raw.cached_tokens,
        f"{name}_turns": load.turns,
        f"{name}_episodes": load.episodes,
    }


async def measure(policy: VLLMPolicy, single: Load, multi: Load, rounds: int) -> dict[str, Any]:
    """Both ratios, on one engine."""
    await policy.start()
    try:
        codec = codec_for(policy.tokenizer)
        return {
            **figures("single_turn", single, await compare(policy, codec, single, rounds)),
            **figures("multi_turn", multi, await compare(policy, codec, multi, rounds)),
            "concurrency": single.concurrency,
            "max_tokens": single.max_tokens,
            "rounds": rounds,
            **described(policy),
        }
    finally:
        await policy.close()


def main() -> None:
    """Measure both ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    model_options(parser)
    parser.add_argument("--episodes", type=int, default=32, help="of 4 turns; four times as many of one turn")
    parser.add_argument("--concurrency", type=int, default=32, help="episodes at once")
    parser.add_argument("--max-tokens", type=int, default=64, help="most tokens of a reply; the fewest are half of it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--short", action="store_true", help="a few minutes on two cores: 16 episodes at once, 2 rounds"
    )
    options = parser.parse_args()
    if options.short:
        options.episodes, options.concurrency, options.rounds = 16, 16, 2
    single = Load(1, 4 * options.episodes, options.concurrency, options.max_tokens)
    multi = Load(4, options.episodes, options.concurrency, options.max_tokens)
    with policy_of(options.model, options.engine, max_num_seqs=options.concurrency) as policy:
        report("saturation", asyncio.run(measure(policy, single, multi, options.rounds)))


if __name__ == "__main__":
    main()
