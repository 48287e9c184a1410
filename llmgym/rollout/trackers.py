"""Experiment trackers: where the numbers of a run are sent while it goes on."""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from llmgym.errors import ConfigError
from llmgym.rollout.config import TrackConfig

PROJECT = "llmgym"  # unless the options have another


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of a run.

    Attributes:
        name: Name of its folder, or of its environments.
        folder: The folder; None where nothing is kept.
        config: Its settings as JSON data, without secrets.
    """

    name: str
    folder: Path | None
    config: Mapping[str, Any]


class Tracker(Protocol):
    """Takes numbers; all calls are made by one thread, and may block and fail."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Take numbers by name, after so many episodes."""
        ...

    def close(self) -> None:
        """End, with all that was taken written."""
        ...


def make_tracker(config: TrackConfig, run: TrackedRun) -> Callable[[], Tracker]:
    """How a tracker is made, in the thread that will call it.

    Raises:
        ConfigError: Its package is not installed.
    """
    cls, package = _TRACKERS[config.name]
    if importlib.util.find_spec(package) is None:
        raise ConfigError(f"track: {config.name} is not installed: pip install {package}")
    options = dict(config.options)
    return lambda: cls(run, options)


class WandbTracker:
    """Weights & Biases; the options are those of `wandb.init`, and WANDB_MODE=offline keeps all on this machine."""

    def __init__(self, run: TrackedRun, options: dict[str, Any]) -> None:
        """Begin a run."""
        import wandb  # pyright: ignore[reportMissingImports]

        given = {
            "project": PROJECT, "name": run.name, "dir": run.folder, "config": run.config,
            "settings": {"console": "off"},  # what is printed is the user's
            "reinit": "create_new",
        }  # fmt: skip
        self._run: Any = wandb.init(**given | options)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """See `Tracker`."""
        self._run.finish()


class MlflowTracker:
    """MLflow, where MLFLOW_TRACKING_URI or the option `tracking_uri` says; `experiment` is another option."""

    def __init__(self, run: TrackedRun, options: dict[str, Any]) -> None:
        """Begin a run."""
        from mlflow import MlflowClient  # pyright: ignore[reportMissingImports]
        from mlflow.entities import Param  # pyright: ignore[reportMissingImports]

        experiment = options.pop("experiment", PROJECT)
        self._client: Any = MlflowClient(**options)
        known = self._client.get_experiment_by_name(experiment)
        number = known.experiment_id if known else self._client.create_experiment(experiment)
        self._id = self._client.create_run(number, run_name=run.name).info.run_id
        params = [Param(name, str(value)[:500]) for name, value in run.config.items()]
        self._client.log_batch(self._id, params=params)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        from mlflow.entities import Metric  # pyright: ignore[reportMissingImports]

        now = int(time.time() * 1000)
        metrics = [Metric(re.sub(r"[^\w\-. :/]", "_", name), value, now, step) for name, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def close(self) -> None:
        """See `Tracker`."""
        self._client.set_terminated(self._id)


class TensorboardTracker:
    """TensorBoard, in `tensorboard/` of the run folder or where the option `logdir` says."""

    def __init__(self, run: TrackedRun, options: dict[str, Any]) -> None:
        """Begin to write events."""
        from tensorboard.summary import Writer  # pyright: ignore[reportMissingImports]

        folder = options.get("logdir") or (run.folder / "tensorboard" if run.folder else f"tensorboard/{run.name}")
        self._writer: Any = Writer(str(folder))

    def log(self, values: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """See `Tracker`."""
        self._writer.close()


class TrackioTracker:
    """Trackio; the options are those of `trackio.init`, and without a space all stays on this machine."""

    def __init__(self, run: TrackedRun, options: dict[str, Any]) -> None:
        """Begin a run."""
        import trackio  # pyright: ignore[reportMissingImports]

        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == "trackio":  # what it says is not for standard output, where the summary goes
                vars(module)["print"] = functools.partial(print, file=sys.stderr)
        given = {"project": PROJECT, "name": run.name, "config": run.config, "embed": False}
        self._run: Any = trackio.init(**given | options)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """See `Tracker`."""
        self._run.finish()


class PrometheusTracker:
    """A page for Prometheus to scrape while the run goes on, at the options `host` (127.0.0.1) and `port` (9464).

    What is counted for environments or kinds of failures has them as labels, and there are no others.
    """

    _LABELS: ClassVar = {"reward": "env", "failures": "kind"}

    def __init__(self, run: TrackedRun, options: dict[str, Any]) -> None:
        """Listen."""
        import prometheus_client as prometheus

        self._values: Mapping[str, float] = {}
        registry = prometheus.CollectorRegistry()
        registry.register(self)  # pyright: ignore[reportArgumentType] -- which asks for its base class
        host, port = options.pop("host", "127.0.0.1"), options.pop("port", 9464)
        self._server, self._thread = prometheus.start_http_server(port, host, registry, **options)

    def collect(self) -> Iterator[Any]:
        """The last numbers as Prometheus' client wants them."""
        from prometheus_client.metrics_core import GaugeMetricFamily

        families: dict[str, Any] = {}
        for name, value in self._values.items():
            kind, _, rest = name.partition("/")
            label = self._LABELS.get(kind) or ("env" if kind.startswith("pass_at_") else None)
            full = f"llmgym_run_{kind if label or not rest else f'{kind}_{rest}'}"
            if full not in families:
                families[full] = GaugeMetricFamily(full, f"{kind} of the run", labels=[label] if label else None)
            families[full].add_metric([rest] if label else [], value)
        yield from families.values()

    def log(self, values: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        self._values = values

    def close(self) -> None:
        """See `Tracker`."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


_TRACKERS: dict[str, tuple[Callable[[TrackedRun, dict[str, Any]], Tracker], str]] = {
    "wandb": (WandbTracker, "wandb"),
    "mlflow": (MlflowTracker, "mlflow"),
    "tensorboard": (TensorboardTracker, "tensorboard"),
    "trackio": (TrackioTracker, "trackio"),
    "prometheus": (PrometheusTracker, "prometheus_client"),
}
