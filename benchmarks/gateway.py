"""What the gateway of agent programs costs the CPU per call, and how that grows with the conversation.

A program in another process has a conversation over Chat Completions: each reply is 200 sampled tokens with a call,
each result a kilobyte, and the whole conversation is sent every time, so bodies grow to 600 KB. Counted is the CPU time
of the gateway's process, with the server, the codec and the record; the policy has its replies ready. The last line is
one JSON object. Runs on one core.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from typing import Any

from _instant import InstantPolicy, call, one_core, qwen3_codec, report, template_codec

from llmgym.chat import Sampling
from llmgym.codec import ChatCodec
from llmgym.policies import Generation
from llmgym.serve.gateway.server import Gateway
from llmgym.trajectory import Trajectory

CONVERSATIONS, CALLS, EVERY = 2, 331, 10
KILOBYTES = (50, 150, 300, 600)  # of bodies: the first are those up to 50 KB, then those between

# The program. Its arguments are dumped again, with keys in another order, as many frameworks do it.
CLIENT = f"""
import http.client, json, sys, urllib.parse
url = urllib.parse.urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(url.hostname, url.port)
tool = {{"type": "function", "function": {{"name": "add", "description": "Add.", "parameters": {{"type": "object"}}}}}}
messages = [{{"role": "system", "content": "Use the tools. " * 50}}, {{"role": "user", "content": "Add it all up."}}]
sizes = []
for number in range({CALLS}):
    body = json.dumps({{"model": "m", "messages": messages, "tools": [tool], "temperature": 1.0}})
    connection.request("POST", url.path + "/v1/chat/completions", body, {{"Content-Type": "application/json"}})
    said = json.load(connection.getresponse())["choices"][0]["message"]
    sizes.append(len(body))
    for call in said["tool_calls"]:
        arguments = json.loads(call["function"]["arguments"])
        call["function"]["arguments"] = json.dumps(dict(reversed(arguments.items())))
    messages.append(said)
    messages.append({{"role": "tool", "tool_call_id": call["id"], "content": f"{{number}} " + "and so on " * 100}})
print(json.dumps(sizes))
"""


class Clock(InstantPolicy):
    """Reads the CPU time of the process now and then: reading it each time would cost more than the gateway."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.calls, self.read = 0, dict[int, float]()

    async def generate(self, *args: Any, **kwargs: Any) -> Generation:
        """The reply of this turn."""
        if self.calls % EVERY == 0:
            self.read[self.calls] = time.process_time()
        self.calls += 1
        return await super().generate(*args, **kwargs)


async def conversation(tokenizer: Any, codec: ChatCodec) -> list[tuple[int, float]]:
    """Bytes of the last body of some calls, and the CPU seconds of each of these calls."""
    policy = Clock(tokenizer, [call("add", a=17, b=25)], 200, codec.stop_token_ids[0])
    gateway: Any = Gateway(policy, codec)
    async with gateway.serving() as url:
        session = gateway.open("e", Sampling(max_tokens=256, stop_token_ids=codec.stop_token_ids))
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CLIENT, url + session.path, stdout=subprocess.PIPE
        )
        sizes = json.loads((await client.communicate())[0])
        recording = await gateway.close(session)
    recording.fill(trajectory := Trajectory("", "", 0, 0))
    assert len(trajectory.segments) == 1
    assert trajectory.sampled_tokens == 200 * CALLS
    pairs = zip(policy.read.items(), [*policy.read.items()][1:], strict=False)
    return [(sizes[end], (after - before) / EVERY) for (_, before), (end, after) in pairs]


def main() -> None:
    """Measure conversations, and show the cost by the size of bodies, in both event loops that gateways run in."""
    import uvloop

    one_core()
    template, renderer = template_codec(), qwen3_codec()
    cases = {
        "": (template, uvloop.new_event_loop),  # of `llmgym serve gateway`
        "_renderer": (renderer, uvloop.new_event_loop),
        "_rollout": (template, asyncio.new_event_loop),  # of `llmgym rollout --agent`
    }
    figures: dict[str, Any] = {"calls": CONVERSATIONS * CALLS}
    for name, (made, loop) in cases.items():
        told: list[tuple[int, float]] = []
        for number in range(CONVERSATIONS + 1):
            with asyncio.Runner(loop_factory=loop) as runner:
                found = runner.run(conversation(*made))
            told += found if number else []  # the first one learns the template
        for low, high in zip((0, *KILOBYTES), KILOBYTES, strict=False):
            spent = [seconds for size, seconds in told if low * 1000 < size <= high * 1000]
            key = f"cpu_ms_per_call{name}" if not low else f"cpu_ms_{low}_to_{high}_kb{name}"
            figures[key] = 1e3 * statistics.mean(spent)
    report("gateway", figures)


if __name__ == "__main__":
    main()
