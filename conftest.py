"""Makes the code of the documentation tests: each block is one, in the order in which a reader meets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A page of the documentation is a file of tests."""
    if file_path.suffix != ".md" or file_path.is_relative_to(ROOT / "tests"):
        return None
    from tests.pages import collect  # not above: environments that run no page need no sybil

    return collect(file_path, parent)


def pytest_itemcollected(item: Any) -> None:
    """Blocks that need a model are integration tests."""
    example = getattr(item, "example", None)
    if example is not None and example.parsed.mark == "integration":
        item.add_marker(pytest.mark.integration)
        item.add_marker(pytest.mark.timeout(600))
