"""What `llmgym data` costs the CPU beside loops of `json.loads` that do the same, on rows in the store's real format.

The rows are episodes that oracles play, each message after some words of thought, with the tokens that SmolLM2's
tokenizer gives them, made into as many as are wanted: 1,000,000 of them, or 100,000 with --short. Every figure is of a
process of its own, without what the same command takes for the repeats of one task: its start and its imports, which
are printed apart. Parquet is made with the index that the filters have left. Quality and pairs for DPO have to get by
with less than 1 GB of memory. The last line printed is one JSON object: the ratios, and megabytes per CPU-second.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from llmgym import Collector
from llmgym.messages import Message
from llmgym.records import dump_row
from llmgym.rollout import read_rollouts
from llmgym.trajectory import Segment, Trajectory, Turn, segment_of

ENVS = ["Calculator-v0", "Calculator-easy-v0", "Calculator-hard-v0", "MultipleChoice-v0", "Wordle-v0"]
REPEATS = 8
MOST_MEMORY = 1000  # MB, of quality and pairs
THOUGHT = 16  # words before each message
WHERE = "reward >= 0.8 and num_turns < 10"

LOOP = """
import json, sys
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
    for line in source:
        row = json.loads(line)
        if row["reward"] is not None and row["reward"] >= 0.8 and row["num_turns"] < 10:
            target.write(line)
"""

ARROW_LOOP = """
import base64, json, sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
SEGMENT = pa.struct([("ids", pa.list_(pa.int32())), ("sampled", pa.list_(pa.list_(pa.int32()))),
                     ("logprobs", pa.list_(pa.float32()))])
TYPES = {bool: pa.bool_(), str: pa.string(), int: pa.int64(), float: pa.float64(), type(None): pa.string()}
NESTED = {"counts", "timings", "usage", "tool_errors", "task", "responses_create_params", "output", "reward_parts",
          "metrics", "turns", "compactions", "branches", "model_calls", "failure"}
writer, rows = None, []
def flush():
    global writer
    if writer is None:
        schema = pa.schema([(name, pa.list_(SEGMENT) if name == "segments" else TYPES[type(value)])
                            for name, value in rows[0].items()])
        writer = pq.ParquetWriter(sys.argv[2], schema, compression="zstd")
    writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=writer.schema))
    rows.clear()
for line in open(sys.argv[1], "rb"):
    row = json.loads(line)
    for name in NESTED:
        row[name] = json.dumps(row[name])
    for segment in row["segments"]:
        segment["logprobs"] = np.frombuffer(base64.b64decode(segment["logprobs"]), "<f4")
    rows.append(row)
    if len(rows) == 8192:
        flush()
flush()
writer.close()
"""


def episodes(folder: Path) -> list[Trajectory]:
    """Episodes of oracles, with tokens."""
    from tokenizers import Tokenizer

    from llmgym.policies.models import resolve

    tokenizer = Tokenizer.from_file(str(Path(resolve("smollm2")) / "tokenizer.json"))
    asyncio.run(Collector([f"llmgym/{name}" for name in ENVS], "oracle", num_tasks=40, output=folder).collect())
    return [tokenised(trajectory, tokenizer) for trajectory in read_rollouts(folder)]


def tokenised(trajectory: Trajectory, tokenizer: Any) -> Trajectory:
    """An episode with tokens, as ChatML has its messages."""
    ids: list[int] = []
    turns: list[Turn] = []
    messages = [thoughtful(message, trajectory) for message in trajectory.messages]
    for at, message in enumerate(messages):
        ids += tokenizer.encode(f"<|im_start|>{message['role']}\n").ids
        start = len(ids)
        ids += tokenizer.encode(f"{said(message)}<|im_end|>").ids
        if at >= trajectory.opening and message["role"] == "assistant":
            turns.append(dataclasses.replace(trajectory.turns[len(turns)], start=start, end=len(ids)))
    spans = [(turn.start, turn.end) for turn in turns]
    count = sum(end - start for start, end in spans)
    segment = segment_of(ids, spans, np.zeros(count, np.float32))
    return dataclasses.replace(trajectory, messages=messages, turns=turns, segments=[segment])


def thoughtful(message: Message, trajectory: Trajectory) -> Message:
    """A message of the model with some thought before it, as models write them and oracles do not."""
    if message["role"] != "assistant":
        return message
    words = trajectory.messages[trajectory.opening - 1]["content"].split()[:THOUGHT]
    return {**message, "content": f"I am asked: {' '.join(words)}. Let me see.\n{message['content']}"}


def said(message: Message) -> str:
    """What a message comes to in a prompt."""
    return message["content"] + json.dumps(message.get("tool_calls", ""))


def write(path: Path, count: int, made: list[Trajectory]) -> None:
    """Write rows: the repeats of many tasks, which differ in a reply, rewards, metrics and log-probabilities."""
    rng = np.random.default_rng(0)
    with path.open("wb", buffering=1 << 20) as file:
        for number in range(count):
            source = made[number // REPEATS % len(made)]
            reward = float(rng.choice([0.0, 0.0, 0.0, 0.5, 1.0, 1.0]))
            segments = [varied(segment, rng) for segment in source.segments]
            messages = list(source.messages)
            reply = messages[source.opening]
            messages[source.opening] = {**reply, "content": f"Try {number % REPEATS}. {reply['content']}"}
            metrics = {**source.metrics, "accuracy": reward, "score": float(rng.random())}
            row = dataclasses.replace(
                source, task_id=f"train-{number // REPEATS:08x}", repeat=number % REPEATS, reward=reward,
                metrics=metrics, segments=segments, seed=number, messages=messages,
            )  # fmt: skip
            file.write(dump_row(row))


def varied(segment: Segment, rng: np.random.Generator) -> Segment:
    """The same with other log-probabilities."""
    logprobs = np.where(segment.sampled, -rng.exponential(0.3, len(segment.ids)), 0).astype(np.float32)
    return dataclasses.replace(segment, logprobs=logprobs)


def cpu(*command: str | Path) -> tuple[float, float]:
    """CPU-seconds of a command, and the megabytes of memory that it had at most."""
    process = subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


class Figures:
    """CPU and memory of what was run, of which the work on one task is the start."""

    def __init__(self, path: Path, one: Path) -> None:
        self.path, self.one = path, one
        self.megabytes = path.stat().st_size / 1e6
        self.cpu: dict[str, float] = {}
        self.memory: dict[str, int] = {}

    def take(self, name: str, *command: str | Path, fresh: bool = False) -> None:
        """Run a command, in which `PATH` is the file; `fresh` without an index of it."""
        figures: list[tuple[float, float]] = []
        for path in (self.one, self.one, self.path):
            if fresh:
                shutil.rmtree(path.with_name(f".{path.name}.index"), ignore_errors=True)
            figures.append(cpu(*(path if word == "PATH" else word for word in command)))
        start = min(figures[:2])[0]
        seconds, memory = figures[-1]
        self.cpu[name], self.memory[name] = seconds - start, round(memory)
        rate = self.megabytes / self.cpu[name]
        print(f"{name:14} {self.cpu[name]:6.2f} cpu-s  {rate:6.0f} MB/cpu-s  {memory:5.0f} MB  start {start:.2f} cpu-s")

    def ratio(self, name: str, loop: str) -> float:
        """How many times cheaper something is than a loop."""
        return round(self.cpu[loop] / self.cpu[name], 1)


def measured(folder: Path, count: int) -> dict[str, Any]:
    """Measure all of it."""
    path, one, out, loop, parquet = (folder / f"{name}.jsonl" for name in ("rows", "one", "out", "loop", "parquet"))
    parquet, pairs = parquet.with_suffix(".parquet"), folder / "pairs.parquet"
    made = episodes(folder / "run")
    write(path, count, made)
    write(one, REPEATS, made)
    figures = Figures(path, one)
    print(f"{count} rows, {figures.megabytes:.0f} MB")
    filter_ = ("-m", "llmgym", "data", "filter", "PATH", "--where", WHERE, "-o", out, "--force")
    figures.take("loop", "-c", LOOP, "PATH", loop)
    figures.take("filter_first", *filter_, fresh=True)
    assert subprocess.run(["cmp", out, loop], check=False).returncode == 0, "other rows than the loop's"
    figures.take("filter_cached", *filter_)
    loop.unlink()
    out.unlink()
    figures.take("parquet_loop", "-c", ARROW_LOOP, "PATH", parquet)
    figures.take("parquet", "-m", "llmgym", "data", "convert", "PATH", "-o", parquet, "--force")
    figures.take("quality", "-m", "llmgym", "data", "quality", "PATH", "--json", fresh=True)
    figures.take("quality_cached", "-m", "llmgym", "data", "quality", "PATH", "--json")
    figures.take("dpo", "-m", "llmgym", "data", "export", "dpo", "PATH", "--to", "trl", "-o", pairs, "--force")
    for name in ("quality", "quality_cached", "dpo"):
        assert figures.memory[name] < MOST_MEMORY, f"{name} takes {figures.memory[name]} MB"
    return {
        "rows": count,
        "megabytes": round(figures.megabytes),
        "filter_first_ratio": figures.ratio("filter_first", "loop"),
        "filter_cached_ratio": figures.ratio("filter_cached", "loop"),
        "parquet_ratio": figures.ratio("parquet", "parquet_loop"),
        "megabytes_per_cpu_second": {name: round(figures.megabytes / seconds) for name, seconds in figures.cpu.items()},
        "memory_megabytes": figures.memory,
    }


def main() -> None:
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="100,000 rows.")
    parser.add_argument("--rows", type=int, help="So many rows.")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="llmgym-data-"))
    try:
        print(json.dumps(measured(folder, options.rows or (100_000 if options.short else 1_000_000))))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
