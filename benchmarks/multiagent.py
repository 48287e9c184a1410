"""What a game of two policies costs beside as many turns of one against a script. The last line is one JSON object.

Both play Leduc poker with the same canned replies, exact tokens and a run folder: 1,000 live games in which both seats
are policies, and as many games more as give as many turns where one seat is. CPU seconds, of which the best of some
rounds that take turns counts, since other work on the machine only adds to them.
"""

from __future__ import annotations

import argparse
from typing import Any

from _instant import InstantPolicy, measure, one_core, report, template_codec

LEDUC = "llmgym/Leduc-v0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=16, help="of a reply")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    one_core()
    tokenizer, codec = template_codec()

    def play(episodes: int, **settings: Any) -> dict[str, Any]:
        reply = "<move>call</move>"
        policy = InstantPolicy(tokenizer, [reply], args.tokens, codec.stop_token_ids[0])
        return measure(LEDUC, policy, codec, episodes, num_samples_in_parallel=args.episodes, **settings)

    play(20), play(20, policies={"player": "train"})
    several = [play(args.episodes, policies={"player": "train"})]
    one = [play(2 * args.episodes)]
    for _ in range(args.rounds - 1):
        several.append(play(args.episodes, policies={"player": "train"}))
        one.append(play(2 * args.episodes))
    ours, theirs = (min(found["cpu_s"] / found["turns"] for found in runs) for runs in (several, one))
    report(
        "multiagent",
        {
            "episodes": args.episodes,
            "turns": several[0]["turns"],
            "turns_of_one": one[0]["turns"],
            "us_per_turn": 1e6 * ours,
            "us_per_turn_of_one": 1e6 * theirs,
            "ratio": ours / theirs,
        },
    )


if __name__ == "__main__":
    main()
