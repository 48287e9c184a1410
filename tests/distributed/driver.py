"""A driver in a process of its own: `python -m tests.distributed.driver ADDRESS RUN RECORD`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from llmgym.distributed import RayCollector
from tests.distributed.recorded import Recorded
from tests.rollouts import LETTERS, shout_first


async def main(address: str, run: str, record: str) -> None:
    policy = Recorded(shout_first, Path(record), 0.2)
    summary = await RayCollector(
        [LETTERS], policy, codec=policy.codec, output=run, address=address, num_workers=2, num_repeats=4,
        num_samples_in_parallel=16,
    ).collect()  # fmt: skip
    assert summary["finished"] == summary["planned"]


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
