"""One run on the machines of a Ray cluster: workers that run episodes, and one driver that stores them.

The driver leases tasks, as numbers, to workers. Each worker has a collector of its own, and gives back episodes as
lines that are ready for the run folder, a few dozen at once, so that the driver does next to nothing for each. Ray
repeats nothing: what a worker had is leased again when it is lost, and it is not asked again.
"""

from __future__ import annotations

from llmgym.distributed.cluster import ClusterError
from llmgym.distributed.collector import RayCollector

__all__ = ["ClusterError", "RayCollector"]
