"""YAML that is read as it was meant, or refused with its line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from llmgym.errors import ConfigError, RegistryError
from llmgym.files import parse_yaml, read_yaml

NUMBER = re.compile(r"[-+.\d]+[eE][-+]?\d+")  # as text, PyYAML writes it without quotes
TEXT = st.text(max_size=8).filter(lambda text: not NUMBER.fullmatch(text))
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
DATA = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | st.integers(), inner, max_size=4),
    max_leaves=20,
)


@given(DATA)
def test_what_is_written_is_read(data: Any) -> None:
    assert parse_yaml(yaml.safe_dump(data), "f") == data
    assert parse_yaml(yaml.safe_dump(data, default_flow_style=True), "f") == data


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("aeE.1-+ "),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("aeE.1"), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
@example([1e-5, 1e22])
def test_json_is_read_as_json(data: Any) -> None:
    assert parse_yaml(json.dumps(data), "f") == data


def test_numbers_may_have_exponents() -> None:
    assert parse_yaml("[1e-3, 1E5, -2.5e+3, .5e1]", "f") == [0.001, 1e5, -2500.0, 5.0]
    assert parse_yaml("['1e5', 1e, e5, 1e5x, 1e5-2]", "f") == ["1e5", "1e", "e5", "1e5x", "1e5-2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "f:3: the key 'a' is there already, in line 1"),
        ("{a: 1, a: 1}", "f:1: the key 'a' is there already, in line 1"),
        (
            "x:\n  - y: {deep: 1}\n  - y:\n      deep: 1\n      deep: 2",
            "f:5: the key 'deep' is there already, in line 4",
        ),
        ("1: a\n1: b", "f:2: the key '1' is there already"),
        ("yes: a\ntrue: b", "f:2: the key 'true' is there already"),
        ("x: &x {p: 1}\ny:\n  <<: *x\n  <<: *x", "f:4: the key '<<' is there already, in line 3"),
        ("? [1, 2]\n: 3", "f:1: not YAML: found unhashable key"),
        ("a: [", "f:2: not YAML"),
        ("a: b: c", "f:1: not YAML: mapping values"),
        ("--- a\n--- b", "f:2: not YAML"),
        ("a: !odd 1", "f:1: not YAML"),
        ("a: *b", "f:1: not YAML: found undefined alias"),
        ("a: 2024-13-01", "f: not YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_yaml(text, "f")
    assert str(error.value).startswith(said)


def test_merges_and_anchors_are_read() -> None:
    assert parse_yaml("x: &x {p: 1, q: 2}\ny: {<<: *x, q: 3}", "f")["y"] == {"p": 1, "q": 3}
    assert parse_yaml("", "f") is None
    held = parse_yaml("a: &a [*a]", "f")["a"]
    assert held[0] is held


@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ("{a: ", "}")])
def test_depth_is_bounded(open_: str, close: str) -> None:
    assert parse_yaml(open_ * 64 + "1" + close * 64, "f")
    with pytest.raises(ConfigError, match="f:1: nested more than 64 levels deep"):
        parse_yaml(open_ * 65 + "1" + close * 65, "f")


def test_depth_is_bounded_through_anchors_too() -> None:
    def chain(length: int) -> str:
        return "a0: &a0 []\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, length))

    assert parse_yaml(chain(60), "f")
    with pytest.raises(ConfigError, match=r"f:\d+: nested more than 64 levels deep"):
        parse_yaml(chain(100), "f")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*absent\.yaml: No such file"):
        read_yaml(tmp_path / "absent.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff")
    with pytest.raises(RegistryError, match=r"bytes\.yaml: not YAML"):
        read_yaml(tmp_path / "bytes.yaml", RegistryError)
    (tmp_path / "good.yaml").write_text("a: 1\n")
    assert read_yaml(tmp_path / "good.yaml") == ({"a": 1}, "a: 1\n")
