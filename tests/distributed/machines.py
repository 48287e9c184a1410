"""A Ray cluster whose machines are processes of this one, so that they can be killed and stopped."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import psutil

_STORE = 80 << 20  # the least that Ray takes


class Machines:
    """A head that runs nothing, and nodes.

    Attributes:
        address: Of the head.
        nodes: All but the head, the oldest first.
    """

    def __init__(self, nodes: int, num_cpus: int) -> None:
        from ray.cluster_utils import Cluster

        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        self._num_cpus = num_cpus
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _STORE}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address: str = self._cluster.address
        self.nodes: list[Any] = []
        for _ in range(nodes):
            self.add()

    def add(self) -> None:
        """Start another node."""
        self.nodes.append(self._cluster.add_node(num_cpus=self._num_cpus, object_store_memory=_STORE))

    def renew(self) -> None:
        """Replace all nodes, as what was done to them may show later."""
        number = max(2, len(self.nodes))
        for node in [*self.nodes]:
            self.kill(node)
        for _ in range(number):
            self.add()

    def processes(self, node: Any) -> list[psutil.Process]:
        """The raylet of a node, and all that it has started."""
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        return [raylet, *raylet.children(recursive=True)]

    def find(self, what: str) -> list[psutil.Process]:
        """Processes of the cluster whose command names something."""
        found: list[psutil.Process] = []
        for node in [self._cluster.head_node, *self.nodes]:
            for process in self.processes(node):
                with suppress(psutil.NoSuchProcess):
                    if what in " ".join(process.cmdline()) and process.name() != "sh":
                        found.append(process)
        return found

    def stop(self, node: Any) -> None:
        """Let nothing of a node run, as where its machine stands still."""
        for process in self.processes(node):
            process.suspend()

    def go_on(self, node: Any) -> None:
        """Let it run again."""
        for process in self.processes(node):
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def kill(self, node: Any) -> None:
        """End a node and all that it runs, at once."""
        self.nodes.remove(node)
        for process in self.processes(node):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        """End all."""
        for node in [*self.nodes]:
            self.kill(node)
        self._cluster.shutdown()
