"""A taskset in which everything goes wrong that a taskset can do to its worker."""

import asyncio
import os
import subprocess
import sys
import time

import verifiers as vf

print("importing says this")


async def keep(state, text):
    state.setdefault("notes", []).append(text)
    print("kept", text, flush=True)
    os.write(1, b"straight to the descriptor\n")
    subprocess.run([sys.executable, "-c", "print('and from a process')"], check=True)
    return str(len(state["notes"]))


async def die(state):
    print("no more memory", file=sys.stderr, flush=True)
    os._exit(9)


async def wait(state, seconds):
    await asyncio.sleep(seconds)
    return "waited"


async def block(state, seconds):
    time.sleep(seconds)
    return "blocked"


async def huge(state, characters):
    return "x" * characters


async def read(state):
    return sys.stdin.read() or "nothing"


async def process(state):
    return str(os.getpid())


async def right(answer, said):
    last = said[-1]  # there is one always
    if last == "raise":
        raise RuntimeError("no key for the judge")
    return float("nan") if last == "nan" else float(last == answer)


async def length(said):
    return float(len(said))


def load_environment(size=40, fails="", test=0):
    if fails == "download":
        raise ConnectionError("cannot reach the Hub")
    if fails == "exit":
        sys.exit(3)
    if fails.startswith("again:"):  # all but the first time
        if os.path.exists(fails[6:]):
            raise KeyError("not again")
        open(fails[6:], "w").close()
    if fails == "die":
        os._exit(1)
    if fails == "raise":
        raise KeyError("no such level")
    rows = [{"prompt": [{"role": "user", "content": f"Say {i}."}], "answer": str(i), "info": i} for i in range(size)]
    tools = [keep, die, wait, block, huge, read, process]
    rubric = vf.Rubric([right, length], [1.0, 0.0])
    rubric.has_group_rewards = fails == "group"
    return vf.Environment(rows[test:], rubric, tools, rows[:test] or None)
