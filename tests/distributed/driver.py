"""A driver in a process of its own, with engines where it is told of some: `python -m tests.distributed.driver ...`."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from llmgym.distributed import RayCollector, collector
from tests.distributed.engine import model_folder
from tests.distributed.recorded import Letters, Recorded
from tests.rollouts import LETTERS, shout_first


async def main(given: argparse.Namespace) -> None:
    policy: Any = Recorded(shout_first, given.record, given.seconds)
    options: dict[str, Any] = {}
    if given.engines:
        collector.SERVER = "tests.distributed.engine"
        policy = f"vllm:{model_folder(given.record.with_name('model'))}"
        options = {"num_engines": given.engines, "policy_options": {"record": str(given.record)}}
    summary = await RayCollector(
        [LETTERS], policy, codec=Letters(), output=given.run, address=given.address, num_workers=2,
        num_repeats=given.repeats, num_samples_in_parallel=16, patience=given.patience, **options,
    ).collect()  # fmt: skip
    assert summary["finished"] == summary["planned"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("run", type=Path)
    parser.add_argument("record", type=Path)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--patience", type=float, default=60.0)
    parser.add_argument("--engines", type=int, default=0)
    asyncio.run(main(parser.parse_args()))
