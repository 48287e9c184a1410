"""A model server that answers as `Recorded` does, started as `vllm serve` is: `python -m tests.distributed.engine`."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from tests.distributed.recorded import Letters
from tests.policies.test_server import Server, sampled
from tests.rollouts import shout_first


class Shouting(Server):
    """Takes its time, calls the tool and says what that said, and appends each answer to a file."""

    def __init__(self, host: str, port: int, model: str, record: Path, seconds: float) -> None:
        super().__init__(model=model, length=4096)
        self.host, self.port, self.mode, self.latency, self.record = host, port, "processed", seconds, record
        self.codec = Letters()

    async def answer(self, request: web.Request, api: str) -> web.StreamResponse:
        answer = await super().answer(request, api)
        body = orjson.loads(await request.read())
        if not body["request_id"].startswith("llmgym-probe"):
            ids, logprobs = self.sample(body)
            entry = [os.getpid(), request.headers["X-Session-ID"], body["token_ids"], ids, logprobs]
            with self.record.open("ab") as file:
                file.write(orjson.dumps(entry) + b"\n")
        return answer

    def sample(self, body: dict[str, Any]) -> tuple[list[int], list[float]]:
        if body["request_id"].startswith("llmgym-probe"):
            return sampled(body)
        ids = [*self.codec.ids(shout_first(self.codec.text(body["token_ids"]))), 0]
        return ids, [-0.5 - i for i in range(len(ids))]


def model_folder(folder: Path) -> Path:
    """What workers need of a model: some tokenizer."""
    folder.mkdir(exist_ok=True)
    model = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    (folder / "tokenizer.json").write_bytes(orjson.dumps({"version": "1.0", "added_tokens": [], "model": model}))
    (folder / "tokenizer_config.json").write_bytes(orjson.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    return folder


async def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--host", "--served-model-name"):
        parser.add_argument(name)
    parser.add_argument("--port", type=int)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--fail", action="store_true")
    parser.add_argument("--deaf", action="store_true")
    given, _ = parser.parse_known_args()
    if given.fail:
        raise SystemExit("there is no memory for this")
    if given.deaf:
        print("I hear nothing", flush=True)
        await asyncio.Event().wait()
    await Shouting(given.host, given.port, given.served_model_name, given.record, given.seconds).up()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
