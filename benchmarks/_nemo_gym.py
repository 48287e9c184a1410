"""NeMo Gym on the endpoint of `endpoints.py`: servers, collector, and the CPU that all of its processes take."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from _endpoint import CALLS, PROMPT, QUESTION

MARK = "LLMGYM_BENCHMARK_OF_NEMO_GYM"  # in the environment of all that NeMo Gym starts, Ray's processes too
SERVERS = (
    "resources_servers/example_multi_step",
    "responses_api_agents/simple_agent",
    "responses_api_models/vllm_model",
    "environment_servers/legacy_agent",
)
TICK = os.sysconf("SC_CLK_TCK")


class NemoGym:
    """An installed NeMo Gym with its servers up."""

    def __init__(self, venv: Path, folder: Path) -> None:
        self._venv, self._gym, self._folder, self._runs = venv, venv / "bin/gym", folder, 0
        self._env = {**os.environ, MARK: str(os.getpid()), "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    @contextmanager
    def up(self, url: str, patience: float = 180.0) -> Iterator[None]:
        """Start the servers, each in the one virtual environment, and end them and all that they started."""
        for server in SERVERS:
            (self._folder / "venvs" / server).mkdir(parents=True)
            (self._folder / "venvs" / server / ".venv").symlink_to(self._venv)
        log = self._folder / "servers.log"
        with log.open("w") as file:
            servers = subprocess.Popen(
                [self._gym, "env", "start", "--resources-server", "example_multi_step", "--model-type", "vllm_model",
                 "--model", "m", "--model-url", url, "--model-api-key", "key", "+skip_venv_if_present=true",
                 f"+uv_venv_dir={self._folder / 'venvs'}"],
                stdout=file, stderr=subprocess.STDOUT, cwd=self._folder, env=self._env, start_new_session=True,
            )  # fmt: skip
            try:
                began = time.monotonic()
                while f"All {len(SERVERS)} / {len(SERVERS)} servers ready" not in log.read_text(errors="replace"):
                    if servers.poll() is not None or time.monotonic() - began > patience:
                        sys.exit(f"NeMo Gym's servers did not start:\n{log.read_text(errors='replace')[-2000:]}")
                    time.sleep(0.2)
                yield
            finally:
                for process in self._processes():
                    process.end()
                servers.wait()

    def collect(self, episodes: int) -> float:
        """Collect episodes; CPU seconds of all processes."""
        self._runs += 1
        rows, output = self._folder / "rows.jsonl", self._folder / f"run{self._runs}.jsonl"
        rows.write_text(json.dumps(ROW) + "\n")
        children, before = _children(), self._seconds()
        done = subprocess.run(
            [self._gym, "eval", "run", "--no-serve", "--agent", "example_multi_step_simple_agent", "--input", rows,
             "--output", output, "--num-repeats", str(episodes), "--concurrency", "64", "--disable-aggregation",
             "--no-health-check"],
            cwd=self._folder, env=self._env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"NeMo Gym's collector failed:\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}")
        spent = _children() - children + self._seconds() - before
        made = [len(json.loads(line)["response"]["output"]) for line in output.read_text().splitlines()]
        assert made == [3 * CALLS + 1] * episodes, made  # message, call and result of each turn but the last
        return spent

    def _seconds(self) -> float:
        return sum(process.cpu for process in self._processes())

    def _processes(self) -> list[Process]:
        found = (Process.of(int(name), self._env[MARK]) for name in os.listdir("/proc") if name.isdigit())
        return [process for process in found if process is not None]


class Process:
    """One of NeMo Gym's."""

    def __init__(self, pid: int, cpu: float) -> None:
        self.pid, self.cpu = pid, cpu

    @classmethod
    def of(cls, pid: int, mark: str) -> Process | None:
        """The process of an id, if it carries the mark."""
        try:
            if f"{MARK}={mark}".encode() not in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return None
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return cls(pid, (int(fields[11]) + int(fields[12])) / TICK)

    def end(self) -> None:
        """Kill it."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def _children() -> float:
    """CPU seconds of processes that this one started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _schema(name: str, argument: str, kind: dict[str, Any], description: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {argument: kind}, "required": [argument]}
    return {"type": "function", "name": name, "description": description, "strict": True,
            "parameters": {**parameters, "additionalProperties": False}}  # fmt: skip


ROW = {
    "id": 0,
    "responses_create_params": {
        "input": [{"role": "system", "content": PROMPT}, {"role": "user", "content": QUESTION}],
        "tools": [
            _schema("get_synonym_value", "synonym",
                    {"type": "string", "description": "The synonym to get the value for."},
                    "Get the synonym value for a synonym."),
            _schema("extract_synonym_values", "synonym_values",
                    {"type": "array", "items": {"type": "integer"},
                     "description": "The synonym values corresponding to the term for the user query."},
                    "Extract the synonym values you retrieved for the term that is relevant to the user query."),
        ],
        "parallel_tool_calls": False,
    },
    "expected_synonyms": ["Synonym 0"],
    "expected_synonym_values": [1],
    "minefield_label": "Hot",
    "minefield_label_value": 2,
}  # fmt: skip
