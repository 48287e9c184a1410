"""One measurement of whatever llmgym is on the path, for `versus.py`; speaks what two years of commits understand."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _instant import InstantPolicy, call, measure, one_core, template_codec

from llmgym.policies.scripted import ScriptedPolicy
from llmgym.rollout import Collector, RunStore

ENV = "llmgym/Calculator-v0"
CALLS = [call("add", a=17 + i, b=25) for i in range(8)]


def instant() -> tuple[InstantPolicy, Any]:
    """The policy and codec of `overhead.py`."""
    tokenizer, codec = template_codec()
    return InstantPolicy(tokenizer, [*CALLS, "The answer is 42."], 200, codec.stop_token_ids[0]), codec


def fill(folder: Path, policy: Any, codec: Any, episodes: int) -> list[bytes]:
    """Collect episodes; gives their rows."""
    settings: dict[str, Any] = {} if codec is None else {"codec": codec}
    collector = Collector([ENV], policy, output=folder, num_tasks=episodes, max_turns=16, **settings)
    asyncio.run(collector.collect())
    return (folder / "rollouts.jsonl").read_bytes().splitlines(keepends=True)


def cpu(episodes: int) -> dict[str, float]:
    """CPU milliseconds of a turn."""
    policy, codec = instant()
    measure(ENV, policy, codec, 20, seed=1, max_turns=16)
    found = measure(ENV, policy, codec, episodes, max_turns=16)
    return {"cpu": 1e3 * found["cpu_s"] / found["turns"]}


def rows(episodes: int) -> dict[str, float]:
    """Bytes of a row, with tokens and of a chat policy that says the same."""
    policy, codec = instant()
    texts = [policy.tokenizer.decode(reply.token_ids, skip_special_tokens=True) for reply in policy.replies]

    def say(messages: Any, tools: Any) -> str:
        return texts[sum(message["role"] == "assistant" for message in messages)]

    with tempfile.TemporaryDirectory() as folder:
        tokens = fill(Path(folder) / "tokens", policy, codec, episodes)
        chat = fill(Path(folder) / "chat", ScriptedPolicy(say), None, episodes)
    return {"row_bytes": sum(map(len, tokens)) / episodes, "chat_row_bytes": sum(map(len, chat)) / episodes}


def open_(episodes: int) -> dict[str, float]:
    """CPU seconds of opening a folder of so many rows, which are copies of a few under other ids."""
    policy, codec = instant()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        lines = fill(folder, policy, codec, 20)
        ids = [json.loads(line)["id"].split("/")[-2].encode() for line in lines]
        with (folder / "rollouts.jsonl").open("wb") as file:
            for index in range(episodes):
                known = ids[index % len(ids)]
                file.write(lines[index % len(lines)].replace(known, b"train-%016x" % index))
        identity = json.loads((folder / "run.json").read_bytes())["identity"]
        began = time.process_time()
        store = RunStore(folder, identity, {}, 0)
        spent = time.process_time() - began
        assert len(store.records) == episodes
        store.close()
    return {"open": spent}


def memory(episodes: int) -> dict[str, float]:
    """Resident bytes of an episode that waits for its second reply, tokens and all."""
    tokenizer, codec = template_codec()
    waits = iter([0.0] * episodes)
    replies = [CALLS[0], "The answer is 42."]
    policy = InstantPolicy(tokenizer, replies, 48, codec.stop_token_ids[0], lambda: next(waits, 3600.0))
    settings: dict[str, Any] = {"num_tasks": episodes, "num_samples_in_parallel": episodes}
    collector = Collector([ENV], policy, codec=codec, **settings)

    async def live() -> int:
        task = asyncio.create_task(collector.collect())
        while policy.waiting < episodes or next(waits, None) is not None:  # noqa: ASYNC110  not to be paid for
            await asyncio.sleep(0.05)
        gc.collect()
        used = resident()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return used

    gc.collect()
    before = resident()
    return {"memory": (asyncio.run(live()) - before) / episodes}


def resident() -> int:
    """Resident bytes of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


if __name__ == "__main__":
    one_core()
    kinds = {"cpu": cpu, "rows": rows, "open": open_, "memory": memory}
    print(json.dumps(kinds[sys.argv[1]](int(sys.argv[2]))))
