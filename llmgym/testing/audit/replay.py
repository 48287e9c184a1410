"""Episodes played again in another process, with other hashes: `python -m llmgym.testing.audit.replay`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from llmgym.messages import Message
from llmgym.rollout.config import EnvConfig
from llmgym.rollout.instances import Instances
from llmgym.testing.audit.stage import Solution, Stage
from llmgym.testing.playing import follow

_HASHSEED = "4711"
_SECONDS = 60


class Unplayable(Exception):
    """Why episodes were not played in another process."""


class Elsewhere:
    """Another process, which plays the solutions of a stage."""

    def __init__(self, stage: Stage, solutions: Sequence[Solution]) -> None:
        """Start it.

        Raises:
            Unplayable: The environment cannot be made there; says why.
        """
        spec = gymnasium.spec(stage.env_id)
        if not isinstance(spec.entry_point, str):
            raise Unplayable("it is registered with a class, not with its name")
        job = {
            "spec": EnvSpec(spec.id, spec.entry_point, kwargs=spec.kwargs).to_json(),
            "kwargs": stage.kwargs,
            "episodes": [[solution.task.id, solution.seed, solution.said] for solution in solutions],
        }
        try:
            given = json.dumps(job)
        except TypeError as error:
            raise Unplayable(f"its arguments are no JSON: {error}") from None
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "llmgym.testing.audit.replay"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": _HASHSEED, "PYTHONPATH": paths},
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it said of itself is read later
            self._process.stdin.write(given)
            self._process.stdin.close()
        self._process.stdin = None  # which `communicate` would flush

    def results(self) -> list[tuple[float | None, str]]:
        """Reward and digest of the opening of each episode.

        Raises:
            Unplayable: It failed; says how.
        """
        try:
            out, said = self._process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise Unplayable(f"it took over {_SECONDS} s") from None
        if self._process.returncode:
            raise Unplayable(said.strip().rpartition("\n")[2] or f"it exited with {self._process.returncode}")
        return [(reward, opening) for reward, opening in json.loads(out.strip().rpartition("\n")[2])]


def digest(opening: Sequence[Message]) -> str:
    """A hash of messages."""
    return hashlib.sha256(json.dumps(list(opening), sort_keys=True).encode()).hexdigest()[:16]


def main() -> None:
    """Play the episodes that standard input names."""
    job: dict[str, Any] = json.loads(sys.stdin.read())
    spec = EnvSpec.from_json(job["spec"])
    gymnasium.registry[spec.id] = spec
    with contextlib.redirect_stdout(sys.stderr):
        instances = Instances(EnvConfig(spec.id, job["kwargs"]))
        tasks = instances.sample.unwrapped.tasks  # type: ignore[union-attr]
        results = list[tuple[float | None, str]]()
        for task_id, seed, said in job["episodes"]:
            trajectory = follow(instances, tasks.get(task_id), lambda core, said=said: said, seed, stop=True)
            results.append((trajectory.reward, digest(trajectory.messages[: trajectory.opening])))
        instances.close()
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
