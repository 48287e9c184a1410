"""Which of the package's two generations a taskset is of."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from inside.classic import Classic
from inside.faults import Fault
from inside.tasksets import V1Taskset


def load(name: str, args: dict[str, Any], tested: dict[str, list[str]]) -> tuple[Classic | V1Taskset, str]:
    """Load a taskset.

    Args:
        name: Its name, which is that of a module.
        args: Its arguments.
        tested: For each generation, the first version that was tested, and the first that was not.

    Raises:
        Fault: It cannot be loaded.
    """
    try:
        found = version("verifiers")
    except PackageNotFoundError:
        raise Fault("missing", "verifiers is not installed") from None
    for generation, (first, beyond) in tested.items():
        if _numbers(first) <= _numbers(found) < _numbers(beyond):
            return (Classic if generation == "classic" else V1Taskset)(name, args), found
    raise Fault("version", found)


def _numbers(text: str) -> list[int]:
    return list(map(int, re.findall(r"\d+", text)[:3]))
