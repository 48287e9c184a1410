"""A library that episodes share: short documents, searched by words (SQLite's FTS5) or by an exact passage."""

from __future__ import annotations

import re
import sqlite3
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from llmgym.errors import ToolError

MAX_QUERY = 300  # characters of a query; words past it say nothing more
MAX_RESULTS = 10
PAGE = 10  # documents that `find` names at once
_WORD = re.compile(r"\w+")
_FEW = 50  # documents that are ranked at once in any case
_COMMON = 0.06  # the share of documents from which on a word is common
_SEARCH = """SELECT rowid - 1, snippet(texts, 1, '', '', ' ... ', 16) FROM texts WHERE texts MATCH ?
ORDER BY rank, rowid LIMIT ?"""


@dataclass(frozen=True, slots=True)
class Document:
    """A document.

    Attributes:
        id: What it is opened by.
        title: Its title.
        text: All of it.
    """

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found, and the passage of it that fits best."""

    document: Document
    passage: str


class Library:
    """Documents and their index, in memory; nothing in it changes, so that all episodes of a process can share it."""

    def __init__(self, documents: Iterable[Document]) -> None:
        """Index them."""
        self.documents = tuple(documents)
        self._by_id = {document.id: document for document in self.documents}
        self._folded = [" ".join(f"{document.title} {document.text}".casefold().split()) for document in self.documents]
        self._titles = {_bare(document.title): at for at, document in enumerate(self.documents)}
        # SQLite's own locks let several threads read.
        self._index = sqlite3.connect(":memory:", check_same_thread=False)
        weakref.finalize(self, self._index.close)
        self._index.execute("CREATE VIRTUAL TABLE texts USING fts5(title, text, tokenize='porter unicode61')")
        rows = ((document.title, document.text) for document in self.documents)
        self._index.executemany("INSERT INTO texts(title, text) VALUES (?, ?)", rows)
        self._index.execute("INSERT INTO texts(texts, rank) VALUES ('rank', 'bm25(10.0, 1.0)')")
        self._index.commit()
        self._count = lru_cache(maxsize=4096)(self._count_of)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the documents; they are indexed anew."""
        return Library, (self.documents,)

    def _count_of(self, word: str) -> int:
        """How many documents have a word."""
        return self._index.execute("SELECT count(*) FROM texts WHERE texts MATCH ?", (f'"{word}"',)).fetchone()[0]

    def search(self, query: str, k: int) -> list[Hit]:
        """The documents whose titles a query names, then those that share most words with it, rare ones above all.

        Raises:
            ToolError: The query has no word, or the number is out of range.
        """
        if not 1 <= k <= MAX_RESULTS:
            raise ToolError(f"k must be from 1 to {MAX_RESULTS}")
        words = list(dict.fromkeys(_WORD.findall(query[:MAX_QUERY].casefold())))
        if not words:
            raise ToolError("the query has no word in it; write the words to look for")
        # Words of many documents say little, and ranking all that have one takes most of the time.
        words = [word for word in words if self._count(word) <= max(_FEW, len(self.documents) * _COMMON)] or words
        match = " OR ".join(f'"{word}"' for word in words)
        found = dict(self._index.execute(_SEARCH, (match, k)).fetchall())
        named = dict.fromkeys(
            at for name in (query, *query.split()) if (at := self._titles.get(_bare(name))) is not None
        )
        hits = [Hit(self.documents[at], found.get(at, "")) for at in {**named, **found}]
        return hits[:k]

    def open(self, name: str) -> Document:
        """The document of an id.

        Raises:
            ToolError: There is none.
        """
        if (document := self._by_id.get(name.strip("[] \n"))) is not None:
            return document
        raise ToolError(
            f"there is no document {name[:40]!r}; ids look like {self.documents[0].id!r}, and `search` gives them"
        )

    def find(self, passage: str, page: int) -> tuple[int, list[Document]]:
        """How many documents hold a passage word by word, whatever its case, and those of one page of them.

        Raises:
            ToolError: The passage is too short or too long, or there is no such page.
        """
        wanted = " ".join(passage.split()).casefold()
        if not 3 <= len(wanted) <= MAX_QUERY:
            raise ToolError(f"the passage has {len(wanted)} characters; write from 3 to {MAX_QUERY}")
        whole = re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)")
        found = [at for at in self._near(wanted) if whole.search(self._folded[at])]
        pages = max(1, -(-len(found) // PAGE))
        if not 1 <= page <= pages:
            raise ToolError(f"there is no such page; {len(found)} documents hold it, on the pages 1 to {pages}")
        return len(found), [self.documents[at] for at in found[(page - 1) * PAGE : page * PAGE]]

    def _near(self, passage: str) -> list[int]:
        """The documents that have the words of a passage side by side, whatever stands between them."""
        if not (words := _WORD.findall(passage)):
            raise ToolError("the passage has no word in it; write words as they stand in a document")
        match = f'"{" ".join(words)}"'
        return [
            at
            for (at,) in self._index.execute("SELECT rowid - 1 FROM texts WHERE texts MATCH ? ORDER BY rowid", (match,))
        ]


def _bare(name: str) -> str:
    return name[:MAX_QUERY].casefold().strip(" \n`'\"?!.,:;()[]")
