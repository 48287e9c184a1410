"""The sides of `endpoints.py`, each in a process of its own; speaks what two years of commits understand.

    python benchmarks/_endpoint.py chat        serves chat completions, and prints its address
    python benchmarks/_endpoint.py vllm MODEL  serves what `vllm serve MODEL` does, and prints its address
    python benchmarks/_endpoint.py turns URL EPISODES
                                               prints CPU milliseconds for each turn of the llmgym on the path

Servers end with their input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CALLS = 8  # of a tool in an episode; then a message without one
TOKENS = 200  # of a reply
FILLER = " ".join(["and"] * TOKENS)
PROMPT = "You extract the values of synonyms. Ask for the value of each, then give all of them.\n\n" + "\n".join(
    f"The term 'Term {place}' has a synonym 'Synonym {place}'." for place in range(50)
)
QUESTION = "Which values do the synonyms have?"


# --- servers ------------------------------------------------------------------------------------


def reply(asked: dict[str, Any]) -> dict[str, Any]:
    """A text of so many tokens, and a call while there were too few."""
    turn = sum(message["role"] == "assistant" for message in asked["messages"])
    message: dict[str, Any] = {"role": "assistant", "content": FILLER}
    if turn < CALLS:
        function = {"name": "get_synonym_value", "arguments": json.dumps({"synonym": f"Synonym {turn}"})}
        message["tool_calls"] = [{"id": f"call_{turn}", "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if turn < CALLS else "stop"}
    usage = {"prompt_tokens": 700, "completion_tokens": TOKENS, "total_tokens": 700 + TOKENS}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice],
            "usage": usage}  # fmt: skip


async def serve_chat() -> None:
    """Serve chat completions that come at once."""
    from aiohttp import web

    async def chat(request: web.Request) -> web.StreamResponse:
        return web.json_response(reply(await request.json()))

    async def models(request: web.Request) -> web.StreamResponse:
        return web.json_response({"object": "list", "data": [{"id": "m", "object": "model"}]})

    app = web.Application(client_max_size=1 << 26)
    app.add_routes([web.post("/v1/chat/completions", chat), web.get("/v1/models", models)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    await until_end(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
    await runner.cleanup()


async def serve_vllm(model: str) -> None:
    """Serve what a vLLM server does, from the tokenizer of a model and tokens out of the hat."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.policies.test_server import Server

    server = Server(length=8192)
    server.root = model
    await server.up()
    await until_end(server.address)
    await server.down()


async def until_end(address: str) -> None:
    """Print the address and wait for the end of the input."""
    print(address, flush=True)
    await asyncio.to_thread(sys.stdin.read)


# --- clients ------------------------------------------------------------------------------------


def turns(url: str, episodes: int) -> float:
    """CPU milliseconds of a turn of an `openai:` policy, with everything on."""
    import gymnasium

    from llmgym.env import ToolEnv
    from llmgym.policies.openai import OpenAIPolicy
    from llmgym.rewards import Reward
    from llmgym.rollout import Collector
    from llmgym.tasks import Task, TaskSet
    from llmgym.tools import tool

    class Synonyms(ToolEnv):
        """What NeMo Gym's example_multi_step does."""

        tasks = TaskSet.generated(lambda rng: Task(prompt=QUESTION, answer=str(rng.integers(1 << 30))))
        system_prompt = PROMPT
        max_turns = 12

        @tool
        def get_synonym_value(self, synonym: str) -> dict[str, int]:
            """Get the synonym value for a synonym.

            Args:
                synonym: The synonym to get the value for.
            """
            return {"synonym_value": sum(map(ord, synonym))}

        @tool
        def extract_synonym_values(self, synonym_values: list[int]) -> dict[str, bool]:
            """Extract the synonym values you retrieved for the term that is relevant to the user query.

            Args:
                synonym_values: The synonym values corresponding to the term for the user query.
            """
            return {"success": True}

        def verify(self, episode: Any) -> Reward:
            """Nothing was extracted."""
            return Reward(correct=0.0)

    gymnasium.register("bench/Synonyms-v0", entry_point=Synonyms, kwargs={"max_turns": 12})

    async def run(output: str, count: int, seed: int) -> float:
        policy = OpenAIPolicy("m", base_url=url, api_key="key")
        collector = Collector(["bench/Synonyms-v0"], policy, output=output, num_tasks=count, seed=seed,
                              num_samples_in_parallel=64)  # fmt: skip
        began = time.process_time()
        summary = await collector.collect()
        spent = time.process_time() - began
        await policy.close()
        assert (summary["finished"], summary["turns"]) == (count, count * (CALLS + 1)), summary
        return spent

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(os.path.join(folder, "warm"), 16, 1))
        return 1e3 * asyncio.run(run(os.path.join(folder, "run"), episodes, 0)) / (episodes * (CALLS + 1))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["chat"]:
            asyncio.run(serve_chat())
        case ["vllm", model]:
            asyncio.run(serve_vllm(model))
        case ["turns", url, episodes]:
            print(json.dumps(turns(url, int(episodes))))
        case _:
            sys.exit(__doc__)
