"""Where a run on a cluster stops growing: a simulation of 1,000 GPUs and 1,000,000 live episodes, by measured costs.

Each episode is simulated, turn by turn: engines answer after a time drawn for each turn, a worker's core takes what a
turn costs it, in the order in which replies come; what has ended crosses the network, is taken in by the driver and
written to the run folder, and then its place is granted to another one. A station that always has work is the
bottleneck: the cluster is given enough of it, and so on until only engines are waited for.

The costs are those that `ray_scale.py` printed for docs/scaling.md, or are read from its output by `--costs`, with the
points that it ran: each is simulated, beside what was measured. The last line printed is one JSON object. Some minutes
on one core, 200 MB.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

TURNS = 9
TICK_S = 0.05
FULL = 0.97  # a station that is busy for more than this is waited for
ROOMY = 0.7  # and one that is given enough is busy for this


@dataclass(frozen=True)
class Costs:
    """What was measured; of `ray_scale.py` unless it says otherwise.

    Attributes:
        worker_ms: CPU of a worker for a turn.
        driver_ms: CPU of the driver for an episode.
        row_kb: A line of the run folder.
        disk_mb_s: What a run folder takes in a second, flushed.
        network_mb_s: What the driver's machine takes from the network in a second: 25 Gbit/s, not measured.
    """

    worker_ms: float = 0.3
    driver_ms: float = 0.084
    row_kb: float = 32.6
    disk_mb_s: float = 400.0
    network_mb_s: float = 3000.0

    @property
    def of_episode(self) -> dict[str, float]:
        """What an episode takes of the driver's stations, in milliseconds."""
        disk, network = self.row_kb / self.disk_mb_s, self.row_kb / self.network_mb_s
        return {"driver": self.driver_ms, "disk": disk, "network": network}


@dataclass(frozen=True)
class Cluster:
    """What a run has.

    Attributes:
        live: Episodes at once.
        turn_s: Mean time that engines take for a reply at that load; exponential beyond its half.
        workers: Cores that run episodes.
        drivers: Drivers, each with a run folder of its own; more than one would be sharded journals.
        cores: That workers and driver share, where they have none of their own; None for a core each.
    """

    live: int
    turn_s: float
    workers: int
    drivers: int = 1
    cores: int | None = None


class Queue:
    """Servers that each take what comes to them in order.

    Attributes:
        free: When each has done all that it was given, in seconds.
        busy: Seconds of work that each has had.
    """

    def __init__(self, servers: int) -> None:
        """Begin idle."""
        self.servers, self.free, self.busy = servers, np.zeros(servers), np.zeros(servers)

    def take(self, server: np.ndarray, now: float, seconds: float) -> np.ndarray:
        """Give each item to a server; says when each is done."""
        order = np.argsort(server, kind="stable")
        ours = server[order]
        first = np.searchsorted(ours, ours)
        done = np.empty(len(server))
        done[order] = np.maximum(self.free[ours], now) + (np.arange(len(ours)) - first + 1) * seconds
        np.maximum.at(self.free, server, done)
        np.add.at(self.busy, server, seconds)
        return done


def simulate(cluster: Cluster, costs: Costs, seconds: float, rng: np.random.Generator) -> dict[str, Any]:
    """Run a cluster for a while, of which the second half counts: by then it has come to its pace.

    Returns:
        `episodes_per_minute`, `busy`, the share of its time for which each station has work, and `wait_ms`, what a turn
        waits for its worker and is worked on, at the median and at 99 of 100.
    """
    slow = slowdown(cluster, costs)
    takes = {name: each * slow / 1e3 for name, each in costs.of_episode.items()}
    stations = {"workers": Queue(cluster.workers), **{name: Queue(cluster.drivers) for name in takes}}
    worker = np.arange(cluster.live) % cluster.workers
    left = rng.integers(1, TURNS + 1, cluster.live)
    due = np.ceil(rng.random(cluster.live) * cluster.turn_s / TICK_S).astype(np.int32)  # the tick of its next reply
    ticks = int(seconds / TICK_S)
    ended, waits, before = 0, [], {}
    for tick in range(ticks):
        now = tick * TICK_S
        if tick == ticks // 2:
            ended, waits, before = 0, [], {name: station.busy.sum() for name, station in stations.items()}
        who = np.flatnonzero(due == tick)
        if not len(who):
            continue
        done = stations["workers"].take(worker[who], now, costs.worker_ms * slow / 1e3)
        waits.append(np.percentile(done - now, [50, 99]))
        left[who] -= 1
        over = left[who] == 0
        if over.any():
            at = worker[who[over]] % cluster.drivers
            done[over] = np.max([done[over], *(stations[name].take(at, now, each) for name, each in takes.items())], 0)
            ended += len(at)
            left[who[over]] = TURNS
        reply = cluster.turn_s * (0.5 + rng.exponential(0.5, len(who)))
        due[who] = np.maximum(np.ceil((done + reply) / TICK_S), tick + 1)
    span = (ticks - ticks // 2) * TICK_S
    busy = {name: (station.busy.sum() - before[name]) / span / station.servers for name, station in stations.items()}
    return {
        "episodes_per_minute": round(60 * ended / span),
        "busy": {name: round(min(1.0, float(share)), 3) for name, share in busy.items()},
        "wait_ms": [round(1e3 * float(part), 1) for part in np.median(waits, 0)],
    }


def slowdown(cluster: Cluster, costs: Costs) -> float:
    """How much longer all takes where workers and driver have to share cores, if workers always have work."""
    driver = min(1.0, cluster.workers * costs.driver_ms / (TURNS * costs.worker_ms))
    return 1.0 if cluster.cores is None else max(1.0, (cluster.workers + driver) / cluster.cores)


def grown(cluster: Cluster, costs: Costs, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Simulate a cluster, give it enough of what it lacks, and again, until only the engines are waited for."""
    wanted = cluster.live / (TURNS * cluster.turn_s)  # episodes a second, if nothing but engines took time
    while True:
        found = simulate(cluster, costs, 3 * TURNS * cluster.turn_s, rng)
        lacking = max(found["busy"], key=found["busy"].__getitem__)
        is_enough = found["busy"][lacking] < FULL
        yield {**asdict(cluster), **found, "bottleneck": "engines" if is_enough else lacking}
        if is_enough:
            return
        if lacking == "workers":
            cluster = replace(cluster, workers=math.ceil(wanted * TURNS * costs.worker_ms / 1e3 / ROOMY))
        else:
            cluster = replace(cluster, drivers=math.ceil(wanted * costs.of_episode[lacking] / 1e3 / ROOMY))


def main() -> None:
    """Simulate what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--costs", type=Path, metavar="JSON", help="what ray_scale.py printed, for its costs and points"
    )
    parser.add_argument("--gpus", type=int, default=1000, help="engines, of 1,000 live episodes each")
    parser.add_argument("--turn-s", type=float, nargs="+", default=[60, 20, 5, 2], help="mean seconds of a reply")
    given = parser.parse_args()
    measured = json.loads(given.costs.read_text().splitlines()[-1]) if given.costs else {}
    costs = Costs()
    if measured:
        costs = Costs(measured["worker_cpu_ms_per_turn"], measured["driver_cpu_ms_per_episode"])
    rng = np.random.default_rng(0)
    checked = []
    for point in measured.get("points", ()):
        cluster = Cluster(point["live"], point["turn_s"], point["workers"], cores=measured["cores"])
        said = simulate(cluster, costs, 60, rng)["episodes_per_minute"]
        checked.append({**point, "simulated": said, "ratio": said / point["episodes_per_minute"]})
        print(json.dumps(checked[-1]), flush=True)
    steps = []
    for turn_s in given.turn_s:
        for step in grown(Cluster(1000 * given.gpus, turn_s, workers=16), costs, rng):
            steps.append(step)
            print(json.dumps(step), flush=True)
    most = 60e3 / max(costs.of_episode.values())
    print(json.dumps({"benchmark": "scale_sim", "costs": asdict(costs), "one_driver_episodes_per_minute": round(most),
                      "checked": checked, "steps": steps}))  # fmt: skip


if __name__ == "__main__":
    main()
