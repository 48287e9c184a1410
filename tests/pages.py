"""The pages of the documentation as tests, by sybil: a block is one, and finds what those before it have made.

A page is followed in a folder of its own, with the files of `examples/capitals`. Its Python blocks share their names,
may `await` at top level, and find what hidden ones define (`<!-- invisible-code-block: python`). A block of text is
what the block before it prints. YAML and TOML are read as what they are. A comment before a block says more of it:

    <!-- file: shop.py -->           the reader has saved it under that name
    <!-- not run: why -->            it is only checked: names, arguments, flags, ids, extras, settings
    <!-- integration: why -->        the same, but `make test-integration` runs it
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import types
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from sybil import Document, Example, Region, Sybil
from sybil.example import SybilFailure
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer, FencedCodeBlockLexer

from llmgym import registry
from llmgym.errors import MissingExtraError
from tests.snippets import ROOT, Block, check, commands, run, same_output

PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if path.parent.name != "envs"),  # made by a script
]

_LEXERS = (
    FencedCodeBlockLexer(r"\w*"),
    DirectiveInHTMLCommentLexer("invisible-code-block", r"\w+", mapping={"arguments": "language", "source": "source"}),
)
_REMARK = re.compile(r"<!-- (file|not run|integration): (.+?) -->\s*\Z")


def parse(document: Document) -> Iterable[Region]:
    """Find the blocks of a page or docstring; a parser of sybil."""
    for lexer in _LEXERS:
        for region in lexer(document):
            source = region.lexemes["source"]
            remarks = {}
            before = document.text[: region.start]
            while remark := _REMARK.search(before):
                remarks[remark[1]], before = remark[2], before[: remark.start()]
            mark = next((mark for mark in ("not run", "integration") if mark in remarks), None)
            line = 1 + document.text[: region.start + source.offset].count("\n")
            where = str(Path(document.path).relative_to(ROOT))
            region.parsed = Block(where, line, region.lexemes["language"], str(source), mark, remarks.get("file"))
            region.evaluator = _evaluate
            yield region


def _close(names: dict[str, Any]) -> None:
    if "reader" in names:
        names.pop("reader").close()


SYBIL = Sybil([parse], patterns=["*.md", "*.py"], path=str(ROOT), teardown=_close)
_collect = SYBIL.pytest()


def collect(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The tests of a page."""
    return _collect(path, parent) if path in PAGES else None


def blocks_of(path: Path) -> list[Block]:
    """The blocks of a page, or of the docstrings of a module."""
    return [example.parsed for example in SYBIL.parse(path)]


class Reader:
    """Follows a page from top to bottom."""

    def __init__(self, document: Document) -> None:
        self.blocks: list[Block] = [example.parsed for example in document]
        self.followed = 0
        self.printed: str | None = None
        self.missing: MissingExtraError | None = None
        self._place = tempfile.TemporaryDirectory(prefix="page-")
        self._folder = Path(self._place.name)
        shutil.copytree(ROOT / "examples/capitals", self._folder, dirs_exist_ok=True)
        page = types.ModuleType("page")
        page.__file__ = str(self._folder / "page.py")
        self._modules = {"page": page}
        self._registered: list[dict[str, Any]] = [{}, {}]
        self.names: dict[str, Any] = vars(page)

    def close(self) -> None:
        """Remove the folder."""
        self._place.cleanup()

    def follow(self, block: Block) -> None:
        """Read on to a block, where that has not been read; a process of several need not begin at the top."""
        while self.followed <= self.blocks.index(block):
            one = self.blocks[self.followed]
            self.followed += 1
            if self.missing:
                continue
            try:
                with self._here():
                    self._read(one, {"not run"} if block.mark == "integration" else {"not run", "integration"})
            except MissingExtraError as error:
                self.missing = error
        if self.missing:
            pytest.skip(str(self.missing))

    def _read(self, block: Block, skipped: set[str]) -> None:
        if block.file:
            (self._folder / block.file).write_text(block.source, "utf-8")
        if block.language == "text" and self.printed is not None and not block.mark:
            if not same_output(block.source, self.printed):
                raise AssertionError(f"it prints\n{self.printed}")
        elif block.mark in skipped or _installs(block):
            self.printed = check(block, self.names)
        else:
            self.printed = run(block, self.names, self._folder)

    @contextmanager
    def _here(self) -> Generator[None]:
        """The working directory is the page's; so are the modules in it, and the ids that it has registered."""
        place, ids = os.getcwd(), (registry._entries, gymnasium.registry)
        known = [{**each} for each in ids]
        os.chdir(self._folder)
        sys.path.insert(0, str(self._folder))
        sys.modules |= self._modules
        for each, own in zip(ids, self._registered, strict=True):
            each |= own
        try:
            yield
        finally:
            os.chdir(place)
            sys.path.remove(str(self._folder))
            for name, module in [*sys.modules.items()]:
                if str(getattr(module, "__file__", None)).startswith(str(self._folder)):
                    self._modules[name] = sys.modules.pop(name)
            for each, own, before in zip(ids, self._registered, known, strict=True):
                own |= {name: each.pop(name) for name in each.keys() - before}


def _evaluate(example: Example) -> None:
    if "reader" not in example.namespace:
        example.namespace["reader"] = Reader(example.document)
    try:
        example.namespace["reader"].follow(example.parsed)
    except Exception as error:
        raise SybilFailure(example, f"{type(error).__name__}: {error}\n\n{example.parsed.source}") from error


def _installs(block: Block) -> bool:
    return block.language == "bash" and all(words[0] in ("pip", "make") for words in commands(block.source))
