"""Whether tokens are exact, for every chat template that the tests know, and what that costs.

    python benchmarks/exactness.py [--episodes N] [--rev REV] [--family NAME ...]

Multi-turn episodes of a policy that samples what no model should (any ids, control tokens, halves of characters, cut
replies, and turns as the template itself writes them) run through the collector. The last line is one JSON object.

- `families`, `tokenizers`: chat templates, models that `renderers` knows by name and real vocabularies, each with the
  codec that `codec: auto` takes, or the one that its error names.
- `exact_share`: share of the episodes whose segments are what the engine was asked and what it answered, id by id,
  each sampled token in one loss mask.
- `rendered_share`: where all replies are turns that the template writes: share of the prompts that are, as text, what
  `apply_chat_template` of transformers makes of the conversation so far. Prompts that it refuses are left out.
- `cost_ratio`: CPU of a turn (open, extend, parse) against the template codec of REV, both in turns, each in a process
  of its own. Left out without REV.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from _instant import report  # noqa: E402
from versus import checked_out, run_in  # noqa: E402

from llmgym.codec import ChatCodec, codec_for  # noqa: E402
from llmgym.errors import CodecError, ConfigError, MissingExtraError  # noqa: E402
from llmgym.messages import Message, ToolSchema, assistant, tool_call, user  # noqa: E402
from llmgym.rollout import Collector  # noqa: E402
from llmgym.trajectory import Trajectory  # noqa: E402
from tests.codec import families  # noqa: E402
from tests.codec.conversations import as_chat, written  # noqa: E402
from tests.exactness import FuzzPolicy, Recording, Request, Talk, prove  # noqa: E402

TOOLS: list[ToolSchema] = [tool.schema for tool in Talk.tools.values()]
SAID = (
    "Yes.", "Two lines,\nand é 数 🙂.", '{"a": [1, "b"]}', "1. one\n2. two",
)  # fmt: skip
ARGUMENTS = (
    {"text": "hello"}, {"text": ""}, {"text": "a 'b' \"c\"\n\td\\e"}, {"text": "é数🙂 <b>&amp;</b>"}, {"text": "90210"},
)  # fmt: skip


def turns_of(tokenizer: Any, codec: ChatCodec, tools: Sequence[ToolSchema]) -> list[list[int]]:
    """Turns as a template writes them, with the tokens that end them: of text, of reasoning and text, of calls."""
    messages = [assistant(text) for text in SAID]
    messages += [{**assistant(text), "reasoning_content": "Well, now.\nSo."} for text in SAID[:2]]
    if tools:
        calls = [{"id": f"call0000{n}", **tool_call("echo", **given)} for n, given in enumerate(ARGUMENTS)]
        messages += [assistant("", call) for call in calls]
        messages += [assistant("I look.", calls[0]), assistant("", calls[0], calls[1])]
    follows: list[Message] = [user("Go on.")]
    found = [
        written(tokenizer, codec.stop_token_ids, tools, said, () if "tool_calls" in said else follows, sampled=True)
        for said in messages
    ]
    made: list[list[int]] = []
    for _, turn, rest in filter(None, found):
        end = next(i for i in codec.stop_token_ids if rest.startswith(tokenizer.convert_ids_to_tokens(i)))
        made.append([*tokenizer.encode(turn, add_special_tokens=False), end])
    return made


async def collect(
    family: str, codec: ChatCodec, episodes: int, seed: int, written_only: bool
) -> list[tuple[Trajectory, list[Request]]]:
    """Episodes of a family, each with the engine's own record of it."""
    tokenizer, tools = families.load(family), TOOLS if codec.native_tools else []
    turns = turns_of(tokenizer, codec, tools)
    if written_only and not turns:
        return []  # its history never looks like what follows the generation prompt
    fuzz = FuzzPolicy(tokenizer, codec.stop_token_ids, seed, 1 << 16, turns, only_turns=written_only)
    policy = Recording(fuzz)
    kwargs = {"forges": not written_only, "offer_tools": bool(tools) or not written_only}
    with tempfile.TemporaryDirectory() as folder:
        collector = Collector(
            [{"id": "test/Talk-v0", "kwargs": kwargs}], policy, codec=codec, output=Path(folder) / "run", seed=seed,
            num_tasks=episodes, responses_create_params={"max_output_tokens": 512 if written_only else 48},
        )  # fmt: skip
        found = [trajectory async for group in collector.stream() for trajectory in group.trajectories]
    return [(trajectory, policy.requests.get(trajectory.id, [])) for trajectory in found]


def is_exact(trajectory: Trajectory, requests: list[Request], codec: ChatCodec) -> bool:
    """Whether a trajectory is what the engine saw."""
    try:
        prove(trajectory, requests, codec)
    except AssertionError as error:
        print(f"  {trajectory.id}: {error}"[:300], file=sys.stderr)
        return False
    return True


def rendered(family: str, trajectory: Trajectory, requests: list[Request]) -> list[bool]:
    """For each prompt that the template takes, whether it is what transformers makes of the conversation."""
    tokenizer, found = families.load(family), []
    places = [at for at, message in enumerate(trajectory.messages) if message["role"] == "assistant"]
    for at, request in zip(places, requests, strict=True):
        try:
            chat = as_chat(trajectory.messages[:at])
            for message in chat:  # whatever the template calls it
                if thought := message.get("reasoning_content"):
                    message |= {"reasoning": thought, "thinking": thought}
            text = tokenizer.apply_chat_template(
                chat, tools=trajectory.tools or None, tokenize=False, add_generation_prompt=True
            )
        except Exception:  # noqa: BLE001 -- a template is foreign code and refuses with any exception
            continue
        # Both as text of ids: sampled tokens may cut it otherwise, and some tokens swallow the space beside them.
        asked, text = (
            tokenizer.decode(ids, skip_special_tokens=False)
            for ids in (list(request.prompt_ids), tokenizer.encode(text, add_special_tokens=False))
        )
        found.append(asked == text)
        if asked != text and "-v" in sys.argv:
            same = next(
                (i for i, (a, b) in enumerate(zip(asked, text, strict=False)) if a != b), min(len(asked), len(text))
            )
            print(
                f"  {trajectory.id}: {asked[same - 60 : same + 80]!r}\n    {text[same - 60 : same + 80]!r}",
                file=sys.stderr,
            )
    return found


def audit(family: str, episodes: int, seed: int) -> dict[str, Any] | None:
    """The figures of a family; None where no codec takes it."""
    try:
        codec = codec_for(families.load(family), families.kind(family))
    except (CodecError, ConfigError, ImportError, LookupError, MissingExtraError):
        return None
    canonical = asyncio.run(collect(family, codec, episodes // 4, seed, written_only=True))
    fuzzed = asyncio.run(collect(family, codec, episodes - len(canonical), seed, written_only=False))
    exact = [is_exact(*found, codec) for found in (*fuzzed, *canonical)]
    same = [each for found in canonical for each in rendered(family, *found)]
    segments = [len(trajectory.segments) for trajectory, _ in (*fuzzed, *canonical)]
    return {
        "codec": type(codec).__name__, "calls": codec.call_form, "episodes": len(exact), "exact": sum(exact),
        "prompts": len(same), "rendered": sum(same), "segments": round(statistics.mean(segments), 2),
    }  # fmt: skip


def costs(names: Sequence[str], rev: str, rounds: int = 3) -> dict[str, float]:
    """CPU milliseconds of a turn, here and at another commit, over the families that both take."""
    turns: dict[str, list[list[int]]] = {}
    for family in names:
        tokenizer = families.tokenizer(family)
        turns[family] = turns_of(tokenizer, codec_for(tokenizer), TOOLS)
    task = {"families": families.__file__, "tools": TOOLS, "episodes": 20}
    with checked_out(rev) as other, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "task.json"
        file.write_text(json.dumps({**task, "turns": {family: made for family, made in turns.items() if made}}))
        found = [
            (
                run_in(ROOT, "_exactness.py", str(file), "codec_for"),
                run_in(other, "_exactness.py", str(file), "TemplateCodec"),
            )
            for _ in range(rounds)
        ]
    both = set(found[0][0]).intersection(found[0][1])
    ratios = {name: statistics.median(new[name] / old[name] for new, old in found) for name in both}
    for name in sorted(ratios, key=lambda name: ratios[name]):
        print(f"{name:24} {ratios[name]:.2f}", file=sys.stderr)
    new, old = (
        statistics.median(sum(pair[side][name] for name in both) for pair in found) / len(both) for side in (0, 1)
    )
    return {"compared": len(both), "cost_ms": new, "cost_ms_rev": old, "cost_ratio": new / old}


def main() -> None:
    """Audit every family and print the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=1100, help="over all, installed or not (1100)")
    parser.add_argument("--rev", help="a commit to compare the cost of a turn with")
    parser.add_argument("--family", action="append", help="only this one")
    parser.add_argument("-v", action="store_true", help="show what differs")
    given = parser.parse_args()
    names = given.family or families.every()
    each = -(-given.episodes // len(names))
    found: dict[str, dict[str, Any]] = {}
    for seed, family in enumerate(names):
        if (figures := audit(family, each, seed)) is not None:
            found[family] = figures
        print(f"{family:24} {json.dumps(figures) if figures else 'no codec takes it'}", file=sys.stderr)
    total = {
        key: sum(figures[key] for figures in found.values()) for key in ("episodes", "exact", "prompts", "rendered")
    }
    plain = [name for name in found if name in families.MATRIX and families.kind(name) == "auto"]
    cost = {} if given.rev is None else costs(plain, given.rev)
    report(
        "exactness",
        {
            "families": len({families.lineage(name) for name in found}), "tokenizers": len(found),
            "episodes": total["episodes"], "exact_share": total["exact"] / total["episodes"],
            "rendered_share": total["rendered"] / total["prompts"], **cost,
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
