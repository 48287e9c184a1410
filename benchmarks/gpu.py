"""What llmgym does on a CUDA GPU, in one script without a network: with transformers alone, and vLLM if it is there.

With transformers (`_bare.py`), in less than eight minutes: whether episodes are exact to the token, how far
log-probabilities are from those of a plain forward pass, and tokens a second of a collector beside those of
transformers' own continuous batching. With vLLM for CUDA (`_gpu_vllm.py`): a collector against the bare engine. Weights
are random, models made on the spot. `--tiny` runs the first part small, on any machine.

Each part has a process of its own, so that one that fails costs the other nothing. The last line is one JSON object;
`--write` puts it into docs/benchmarks.md too.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import _bare
import _gpu_vllm
from _engine import SHAPES, engine_option
from _instant import report

DOCS = Path(__file__).parent.parent / "docs" / "benchmarks.md"
HEADING = "## On a GPU (`gpu.py`)"

#: Tiny models for `--tiny`, and what a GPU is given.
TINY = {"shape": "qwen3-tiny", "concurrency": [2, 4], "max_tokens": 128, "rounds": 1}
WHOLE = {"shape": "qwen3-0.6b", "concurrency": [64, 128, 256, 512], "max_tokens": 256, "rounds": 2}


async def bare(options: argparse.Namespace) -> dict[str, Any]:
    """The part without vLLM; loads for which no time is left are left out, and named."""
    import torch

    began = time.monotonic()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = _bare.tokenizer_here()
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else f"{os.cpu_count()} CPU cores",
        "shape": options.shape,
        "vocabulary": len(tokenizer),
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers")},
    }
    few = min(options.concurrency)
    exact = _bare.random_model("qwen3-tiny", tokenizer, device, "float32")
    found["logprobs"] = [await _bare.logprobs(exact, tokenizer, few, 64)]
    del exact
    model = _bare.random_model(options.shape, tokenizer, device, "bfloat16")
    found["exactness"] = await _bare.exactness(model, tokenizer, few, options.max_tokens)
    found["logprobs"].append(await _bare.logprobs(model, tokenizer, few, 64))
    print(found, flush=True)
    found["loads"], found["left_out"] = [], []
    for concurrency in options.concurrency:
        if time.monotonic() - began > options.seconds:
            found["left_out"].append(concurrency)
            continue
        load = await _bare.throughput(model, tokenizer, concurrency, options.max_tokens, options.rounds)
        found["loads"].append(load)
        print(load, flush=True)
    return found | {"seconds": round(time.monotonic() - began)}


def part(name: str) -> dict[str, Any]:
    """Run a part in a process of its own; what it says comes through."""
    command = [sys.executable, __file__, *sys.argv[1:], "--part", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line
    if process.returncode:
        return {"failed": f"exit {process.returncode}"}
    return json.loads(last)


def section(transformers: dict[str, Any], vllm: dict[str, Any]) -> str:
    """The section of the docs."""
    versions = ", ".join(f"{name} {version}" for name, version in transformers.get("versions", {}).items())
    machine = f"{transformers.get('device', vllm.get('gpu'))}, {os.cpu_count()} CPU cores"
    lines = [HEADING, "", f"{machine}, Python {platform.python_version()}, {versions}. Random weights.", ""]
    if "failed" not in transformers:
        lines += _transformers(transformers)
    if rows := vllm.get("rows"):
        lines += [
            "",
            "Beside raw vLLM; medians. GPU busy: share of the time, in the collector's runs and in the bare ones.",
            "",
            "| model | turns | episodes at once | tokens/s | raw vLLM | ratio | GPU busy |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {r['model']} | {r['turns']} | {r['concurrency']} | {r['tokens_per_s']:,} | {r['raw_tokens_per_s']:,} "
            f"| {r['ratio']:.3f} | {_percent(r['busy'])}, {_percent(r['raw_busy'])} |"
            for r in rows
        ]
    return "\n".join(lines) + "\n"


def _transformers(found: dict[str, Any]) -> list[str]:
    exact, errors = found["exactness"], found["logprobs"]
    worst = "; ".join(
        f"{e['mean_error']:.1e} on average and {e['max_error']:.1e} at most in {e['dtype']}" for e in errors
    )
    lines = [
        f"`TransformersPolicy` on {found['shape']}: {exact['exact_share']:.1%} of {exact['episodes']} episodes of four",
        f"turns exact. Log-probabilities are off a plain forward pass by {worst}.",
        "Tokens a second of a collector, and of transformers' own continuous batching, same prompts and lengths:",
        "",
        "| episodes at once | `TransformersPolicy` | transformers | ratio |",
        "|---|---|---|---|",
    ]
    for load in found["loads"]:
        own = load["transformers_tokens_per_s"]
        theirs = f"{own:,} | {load['ratio']:.2f}" if own else f"{load['why']} | "
        lines.append(f"| {load['concurrency']} | {load['tokens_per_s']:,} | {theirs} |")
    return lines


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.0%}"


def replaced(page: str, text: str) -> str:
    """A page with its GPU section replaced; at the end where it has none."""
    before, heading, rest = page.partition(HEADING + "\n")
    _, next_heading, after = rest.partition("\n## ")
    if not heading:
        return f"{page.rstrip()}\n\n{text}"
    return before + text + next_heading + after


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a dry run in a minute, on a CPU too")
    parser.add_argument("--shape", choices=list(SHAPES), help=f"of the random model ({WHOLE['shape']})")
    parser.add_argument("--concurrency", nargs="+", type=int, help="episodes at once (64 128 256 512)")
    parser.add_argument("--max-tokens", type=int, help="most tokens of a reply; the fewest are half of it (256)")
    parser.add_argument("--rounds", type=int, help="timed runs of each side; the fastest counts (2)")
    parser.add_argument("--seconds", type=float, default=330, help="no load without vLLM is begun after these (330)")
    parser.add_argument("--models", nargs="+", default=["qwen3-0.6b", "qwen3-1.7b", "qwen3-4b"], help="for vLLM")
    parser.add_argument("--vllm-concurrency", nargs="+", type=int, default=[256, 1024], help="for vLLM")
    engine_option(parser)
    parser.add_argument("--write", action="store_true", help=f"write the section of {DOCS.name}")
    parser.add_argument("--part", choices=["transformers", "vllm"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name, value in (TINY if options.tiny else WHOLE).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.part == "transformers":
        print(json.dumps(asyncio.run(bare(options))))
    elif options.part == "vllm":
        print(json.dumps(_gpu_vllm.rows(options)))
    else:
        _both(options)


def _both(options: argparse.Namespace) -> None:
    import torch

    if not options.tiny and not torch.cuda.is_available():
        print("gpu.py needs a CUDA GPU that torch finds; --tiny runs it small, on a CPU too", file=sys.stderr)
        sys.exit(2)
    lack = "--tiny" if options.tiny else _gpu_vllm.missing()
    transformers = part("transformers")
    vllm = {"left_out": lack} if lack else part("vllm")
    if options.write:
        DOCS.write_text(replaced(DOCS.read_text("utf-8"), section(transformers, vllm)), "utf-8")
    report("gpu", {"cpu_cores": os.cpu_count(), "transformers": transformers, "vllm": vllm})
    sys.exit("failed" in transformers or "failed" in vllm)


if __name__ == "__main__":
    main()
