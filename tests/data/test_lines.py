from __future__ import annotations

import io
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.data import lines as lines_module
from llmgym.data.lines import Span, copy, fetch, read_lines
from llmgym.data.problems import UnreadableError

pieces = st.lists(st.tuples(st.binary(max_size=9).filter(lambda b: b"\n" not in b), st.sampled_from([b"\n", b"\r\n"])))


@given(pieces, st.data())
def test_lines_are_found_where_they_stand_and_copied_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("lines") / "file"
    path.write_bytes(b"".join(text + end for text, end in made))
    lines = list(read_lines(path))
    bom = b"\xef\xbb\xbf"
    texts = [text + end[:-1] for text, end in made]
    if texts and made[0][0].startswith(bom):
        texts[0] = texts[0][3:]
    assert [line.data for line in lines] == texts
    assert [line.number for line in lines] == list(range(1, len(made) + 1))
    chosen = [line for line in lines if data.draw(st.booleans())]
    spans = [Span(line.position, len(line.data)) for line in chosen]
    assert list(fetch(path, spans)) == [line.data for line in chosen]
    target = io.BytesIO()
    with patch.object(lines_module, "_BUFFER", data.draw(st.sampled_from([1, 4, 16, 1 << 20]))):
        copy(path, spans, target)
    assert target.getvalue() == b"".join(line.data + b"\n" for line in chosen)


def test_a_line_that_is_being_written_has_no_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b'{"a":1}\n\n{"b"')
    assert [(line.data, line.whole) for line in read_lines(path)] == [(b'{"a":1}', True), (b"", True), (b'{"b"', False)]
    assert [line.number for line in read_lines(path, 8, 2)] == [2, 3]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xef\xbb\xbf{}\n{}\n")
    assert [tuple(line) for line in read_lines(path)] == [(1, 3, b"{}", True), (2, 6, b"{}", True)]


def test_what_is_not_there_any_more_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc\n")
    with pytest.raises(UnreadableError, match=r"file: it is shorter than when it was read"):
        list(fetch(path, [Span(2, 9)]))
    with pytest.raises(UnreadableError, match="No such file"):
        copy(tmp_path / "none", [], io.BytesIO())
