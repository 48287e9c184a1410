"""Whether long episodes cost what their tokens cost: 200 turns against 20. The last line is one JSON object."""

from __future__ import annotations

from _instant import InstantPolicy, call, measure, one_core, qwen3_codec, report, template_codec

ENV = "llmgym/Calculator-v0"


def main() -> None:
    """Compare the CPU time of an episode of each length, the best of three each."""
    one_core()
    figures: dict[str, float] = {}
    for name, (tokenizer, codec) in {"": template_codec(), "_renderer": qwen3_codec()}.items():
        policy = InstantPolicy(tokenizer, [call("add", a=1, b=2)], 200, codec.stop_token_ids[0])
        cpu = {}
        for turns, episodes in ((20, 40), (200, 4)):
            runs = [measure(ENV, policy, codec, episodes, seed=seed, max_turns=turns) for seed in range(3)]
            cpu[turns] = min(run["cpu_s"] for run in runs) / episodes
            figures[f"cpu_ms_{turns}_turns{name}"] = 1e3 * cpu[turns]
        figures[f"ratio{name}"] = cpu[200] / cpu[20]
    report("long_episode", figures)


if __name__ == "__main__":
    main()
