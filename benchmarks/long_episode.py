"""Whether long episodes cost what their tokens cost: 200 turns against 20. The last line is one JSON object."""

from __future__ import annotations

from _instant import InstantPolicy, call, measure, one_core, qwen3_codec, report, template_codec

ENV = "llmgym/Calculator-v0"


def main() -> None:
    """Compare the CPU time of an episode of each length, the best of six each."""
    one_core()
    figures: dict[str, float] = {}
    for name, (tokenizer, codec) in {"": template_codec(), "_renderer": qwen3_codec()}.items():
        policy = InstantPolicy(tokenizer, [call("add", a=1, b=2)], 200, codec.stop_token_ids[0])
        cpu = {20: float("inf"), 200: float("inf")}
        for seed in range(6):  # in turn, so that a busy machine is busy for both
            for turns, episodes in ((20, 40), (200, 4)):
                run = measure(ENV, policy, codec, episodes, seed=seed, max_turns=turns)
                assert run["turns"] == turns * episodes
                cpu[turns] = min(cpu[turns], run["cpu_s"] / episodes)
        figures |= {f"cpu_ms_{turns}_turns{name}": 1e3 * seconds for turns, seconds in cpu.items()}
        figures[f"ratio{name}"] = cpu[200] / cpu[20]
    report("long_episode", figures)


if __name__ == "__main__":
    main()
