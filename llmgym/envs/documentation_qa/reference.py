"""Python's library reference: a snapshot of the descriptions in it, and their index."""

from __future__ import annotations

import gzip
import re
from functools import cache
from pathlib import Path

import msgspec

from llmgym.envs.library import Document, Library


class Entry(msgspec.Struct, frozen=True):
    """The description of something that a module has.

    Attributes:
        name: What it is imported by, such as "os.path.join".
        module: Its module; "" for what is built in.
        kind: "function", "method", "class", "exception", "attribute", "data" or "decorator".
        signature: How it is called, in several forms at times.
        text: What is said of it, a paragraph on each line.
    """

    name: str
    module: str
    kind: str
    signature: str
    text: str

    @property
    def last(self) -> str:
        """The last part of its name."""
        return self.name.rpartition(".")[2]

    @property
    def shown(self) -> str:
        """The document that is made of it."""
        where = f"module {self.module}" if self.module else "built in"
        return f"{self.kind} {self.signature}, {where}\n{self.text}"

    @classmethod
    def of_document(cls, name: str, shown: str) -> Entry:
        """The description that a document was made of."""
        match = _SHOWN.fullmatch(shown)
        assert match is not None
        return cls(name, match["module"] or "", match["kind"], match["signature"], match["text"])


_SHOWN = re.compile(r"(?P<kind>\w+) (?P<signature>.*), (?:module (?P<module>\S+)|built in)\n(?P<text>[\s\S]*)")


@cache
def entries() -> tuple[Entry, ...]:
    """All descriptions."""
    packed = Path(__file__).with_name("library.jsonl.gz").read_bytes()
    return tuple(msgspec.json.decode(line, type=Entry) for line in gzip.decompress(packed).splitlines())


@cache
def library() -> Library:
    """All descriptions, to be searched."""
    return Library(Document(entry.name, entry.name, entry.shown) for entry in entries())
