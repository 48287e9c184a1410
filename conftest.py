"""Makes the code of the documentation tests: each block is one, in the order in which a reader meets it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent


class Page(pytest.File):
    """A page of the documentation, read where its tests are asked for: environments that run none need no sybil."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """The blocks of the page."""
        from tests.pages import collect

        assert self.parent is not None
        document = collect(self.path, self.parent)
        return document.collect() if document else ()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A page of the documentation is a file of tests."""
    if file_path.suffix != ".md" or file_path.is_relative_to(ROOT / "tests"):
        return None
    return Page.from_parent(parent, path=file_path)


def pytest_itemcollected(item: Any) -> None:
    """Blocks that need a model are integration tests."""
    example = getattr(item, "example", None)
    if example is not None and example.parsed.mark == "integration":
        item.add_marker(pytest.mark.integration)
        item.add_marker(pytest.mark.timeout(600))
