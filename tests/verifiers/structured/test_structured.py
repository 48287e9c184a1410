from __future__ import annotations

import contextlib
import csv
import io
import json
import socket
import sys
import threading
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmgym.errors import MissingExtraError, TaskError
from llmgym.verifiers.structured import FAULTS, Syntax, check, prove
from llmgym.verifiers.structured.schemas import _compile
from tests.verifiers.test_trees import trees

pytest.importorskip("jsonschema_rs")
pytest.importorskip("defusedxml")

SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "when": {"type": "string", "format": "date"},
        "size": {"enum": ["S", "M"]},
        "prices": {"type": "array", "items": {"type": "number", "multipleOf": 0.01}},
        "open": {"type": ["boolean", "null"]},
        "at": {"$ref": "#/$defs/place"},
    },
    "required": ["id"],
    "$defs": {"place": {"type": "object", "properties": {"city": {"type": "string", "pattern": "^[A-Z]"}}}},
}
VALUE = {"id": 7, "when": "2024-01-05", "size": "M", "prices": [19.99, 5], "open": True, "at": {"city": "Bonn"}}
REFERENCE = {"schema": SCHEMA, "value": VALUE}
WRITTEN: dict[Syntax, str] = {
    "json": json.dumps(VALUE),
    "yaml": "id: 7\nwhen: 2024-01-05\nsize: M\nprices: [19.99, 5.0]\nopen: yes\nat:\n  city: Bonn\n",
    "toml": 'id = 7\nwhen = 2024-01-05\nsize = "M"\nprices = [19.99, 5]\nopen = true\nat.city = "Bonn"\n',
    "xml": "<order><id>7</id><when>2024-01-05</when><size>M</size><prices>19.99</prices><prices>5</prices>"
    "<open>true</open><at><city>Bonn</city></at></order>",
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("syntax", list(WRITTEN))
def test_the_right_values_in_each_syntax(syntax: Syntax, strict: bool) -> None:
    verdict = check(WRITTEN[syntax], REFERENCE, syntax=syntax, strict=strict)
    assert verdict.score == 1, verdict
    assert verdict.metrics == {**dict.fromkeys(FAULTS, 0), "leaves": 1}
    assert check(WRITTEN[syntax], {"value": VALUE}, syntax=syntax)
    assert check(f"```{syntax}\n{WRITTEN[syntax]}\n```", REFERENCE, syntax=syntax)
    for other in WRITTEN.keys() - {syntax}:
        assert check(WRITTEN[syntax], REFERENCE, syntax=other).score == (
            0 if (syntax, other) != ("json", "yaml") else 1
        )


@pytest.mark.parametrize(
    ("change", "fault", "where"),
    [
        ({"id": None}, "missing", "$"),
        ({"id": "7"}, "type", "$.id"),
        ({"id": True}, "type", "$.id"),
        ({"id": 7.5}, "type", "$.id"),
        ({"when": "5 Jan"}, "format", "$.when"),
        ({"at": {"city": "bonn"}}, "format", "$.at.city"),
        ({"at": {"city": "Bonn", "zip": 1}}, "extra", "$.at"),
        ({"size": "XL"}, "enum", "$.size"),
        ({"prices": [19.999, 5]}, "limit", "$.prices[0]"),
        ({"more": 1}, "extra", "$"),
    ],
)
def test_kinds_of_faults(change: dict[str, Any], fault: str, where: str) -> None:
    data = VALUE | change
    if data["id"] is None:
        del data["id"]
    verdict = check(json.dumps(data), REFERENCE, strict=True)
    assert (verdict.score, verdict.reason) == (0, "wrong")
    assert {key: value for key, value in verdict.metrics.items() if value and key != "leaves"} == {fault: 1}
    assert f"{where}: {fault}" in verdict.detail
    assert verdict.metrics["leaves"] < 1


def test_values_count_beside_the_schema() -> None:
    near = json.dumps(VALUE | {"prices": [19.99, 6]})
    verdict = check(near, REFERENCE)
    assert (verdict.score, verdict.detail) == (0, "values differ")
    assert verdict.metrics["leaves"] == pytest.approx(6 / 7)
    assert check(near, {"schema": SCHEMA})
    assert check(near, REFERENCE, tolerance=0.2)
    swapped = json.dumps(VALUE | {"prices": [5, 19.99]})
    assert not check(swapped, REFERENCE)
    assert check(swapped, REFERENCE, ordered=False)
    assert check(json.dumps(VALUE | {"id": 7.0}), REFERENCE)


@pytest.mark.parametrize(
    ("text", "same"),
    [("new york ", True), ("New  York", True), ("ＮＥＷ YORK", True), ("Newyork", False), ("New York.", False)],
)
def test_texts_may_differ_in_case_and_blanks(text: str, same: bool) -> None:
    reference = {"value": {"at": ["New York"]}}
    assert check(json.dumps({"at": [text]}), reference, strings="normalized").score == same
    assert check(json.dumps({"at": [text]}), reference).score == 0
    with pytest.raises(ValueError, match="none of exact"):
        check("{}", reference, strings="any")  # type: ignore[arg-type]


def test_strict_closes_objects_unless_the_schema_says_otherwise() -> None:
    inner = {"properties": {"a": {}, "b": {}}, "required": ["a"], "additionalProperties": True}
    either = {"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}
    both = {"properties": {"a": {}}, "allOf": [{"properties": {"b": {}}}]}
    for schema, data, right in (
        (SCHEMA, {"id": 1}, True),
        (SCHEMA, {"id": 1, "at": {}}, False),
        (inner, {"a": 1, "c": 2}, True),
        ({"properties": {"x": inner}}, {"x": {"a": 1, "c": 2}}, True),
        ({"properties": {"x": inner}}, {"x": {"a": 1}, "y": 2}, False),
        ({"items": {"properties": {"a": {}}}}, [{"a": 1}, {}], False),
        (either, {"a": 1}, True),
        (either, {"c": 1}, False),
        (both, {"a": 1, "b": 2}, True),
        (both, {"a": 1, "b": 2, "c": 3}, False),
        ({"properties": {"properties": {"properties": {"a": {}}}}}, {"properties": {"a": 1}}, True),
    ):
        assert bool(check(json.dumps(data), {"schema": schema}, strict=True)) is right, (schema, data)


@pytest.mark.parametrize(
    ("text", "strict", "lenient"),
    [
        ("{}", True, True),
        ("```json\n{}\n```", True, True),
        ("  ```\n{}\n```\n\n", True, True),
        ("~~~ JSON\n{}\n~~~", True, True),
        ("Here it is:\n```json\n{}\n```", False, True),
        ("```json\n{}\n```\nDone.", False, True),
        ("```json\n[]\n```\n```json\n{}\n```", False, True),
        ("```python\n{}\n```", False, False),
        ("```json\n{}\n```\n```python\nx\n```", False, True),
        ("```json\n{}", False, False),
        ("```json {}```", False, False),
        ("Sure: {}", False, False),
        ("```json\n```", False, False),
        ('{"a": "```\\n"}', True, True),
    ],
)
def test_one_block_or_the_whole_text(text: str, strict: bool, lenient: bool) -> None:
    reference = {"schema": {"type": "object"}}
    for right, option in ((strict, False), (lenient, True)):
        verdict = check(text, reference, lenient=option)
        assert verdict.reason == ("correct" if right else "unparsable")
        assert verdict.metrics["parse"] == (not right)


@pytest.mark.parametrize(
    ("syntax", "text"),
    [
        ("json", '{"t": 10:30}'),
        ("json", '{"a": 1/2}'),
        ("json", '{"a": 1_000}'),
        ("json", '{"a": 1} and {"a": 2}'),
        ("json", '{"a": 1, "a": 1}'),
        ("json", "NaN"),
        ("json", "[1e400]"),
        ("json", '"\\ud800"'),
        ("json", "[" * 65_000),
        ("yaml", "a: &x [1]\nb: *x"),
        ("yaml", "a: 1\na: 1"),
        ("yaml", "1: 2"),
        ("yaml", "a: .inf"),
        ("yaml", "a: !!python/name:os.system"),
        ("yaml", "!!set {a, b}"),
        ("yaml", '!!int ""'),
        ("yaml", "!!bool x"),
        ("yaml", "--- 1\n--- 2"),
        ("yaml", "- " * 30_000),
        ("yaml", "9" * 60_000),
        ("yaml", "a: [\ud800]"),
        ("toml", "a = 1\na = 1"),
        ("toml", "a = nan"),
        ("toml", "a = " + "[" * 60_000),
        ("toml", "a" + ".a" * 32_000 + " = 1"),
        ("toml", "x = {a" + " . a" * 16_000 + " = 1}"),
        ("xml", "<!DOCTYPE a [<!ENTITY b 'x'>]><a>&b;</a>"),
        ("xml", "<!DOCTYPE a SYSTEM 'file:///etc/hostname'><a/>"),
        ("xml", "<a>" * 9_000 + "</a>" * 9_000),
        ("xml", "<a><b></a>"),
        ("xml", "<a>\ud800</a>"),
        ("csv", 'a,b\n"1,2'),
        ("csv", 'a,b\n"1"2,3'),
        ("csv", "a,a\n1,2"),
        ("csv", "a,b\n1"),
    ],
)
def test_what_readers_disagree_on_or_break_at_is_unparsable(syntax: Syntax, text: str) -> None:
    verdict = check(text, {"schema": True}, syntax=syntax)
    assert (verdict.score, verdict.reason, verdict.metrics["parse"]) == (0, "unparsable", 1)


def test_yaml_is_read_by_its_rules_and_fails_where_text_was_wanted() -> None:
    reference = {"schema": {"additionalProperties": {"type": "string"}}}
    assert check("time: 21:30\nday: 2026-01-02\nlap: 1:30.5", reference, syntax="yaml")
    for text in ("country: no", "code: 012"):
        assert check(text, reference, syntax="yaml").metrics["type"] == 1
        assert check(text.replace(": ", ": '", 1) + "'", reference, syntax="yaml")


def test_xml_as_objects_and_lists() -> None:
    value = {
        "@id": 3,
        "tags": ["a"],
        "note": {"#text": "hi", "@lang": "en"},
        "empty": None,
        "nested": [{"x": 1}, {"x": 2}],
    }
    text = """<doc id="3"><tags><item>a</item></tags><note lang="en">hi</note><empty/>
      <nested><x>1</x></nested><nested><x>2</x></nested></doc>"""
    assert check(text, {"value": value}, syntax="xml").score == 1
    assert check(text.replace("<item>a</item>", "a"), {"value": value}, syntax="xml").score == 1
    assert check(text.replace('id="3"', 'id="4"'), {"value": value}, syntax="xml").score == 0
    assert check("<r><item>1</item><item>2</item></r>", {"value": [1, 2]}, syntax="xml").score == 1


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("<tags><tag>a</tag><tag>b</tag></tags><nested><one><x>1</x></one></nested>", True),
        ("<tags><tag>a</tag><tag>b</tag></tags><nested><x>1</x></nested>", True),
        ("<tags>\n<t>a</t>\n<t>b</t>\n</tags>\n<nested><item><x>1</x></item></nested>", True),
        ("<tags><a>a</a><b>b</b></tags><nested><x>1</x></nested>", False),
        ("<tags>a<tag>b</tag></tags><nested><x>1</x></nested>", False),
        ("<tags><tag>a</tag><tag>b</tag></tags><nested><x>1</x><x>2</x></nested>", False),
    ],
)
def test_items_of_lists_have_a_name_of_their_own_in_xml(text: str, right: bool) -> None:
    value = {"tags": ["a", "b"], "nested": [{"x": 1}]}
    assert bool(check(f"<doc>{text}</doc>", {"value": value}, syntax="xml")) is right


def test_csv_by_its_header() -> None:
    value = [{"name": "a, b", "n": 1, "ok": True, "x": None}, {"name": "", "n": 2.5, "ok": False, "x": 3}]
    assert check('n,name,ok,x\n1,"a, b",true,\n2.5,,false,3\n', {"value": value}, syntax="csv").score == 1
    assert check('n,name,ok,x\n2.5,,false,3\n1,"a, b",true,\n', {"value": value}, syntax="csv").score == 0
    assert (
        check('n,name,ok,x\n2.5,,false,3\n1,"a, b",true,\n', {"value": value}, syntax="csv", ordered=False).score == 1
    )
    assert check('n, name, ok, x\n1, "a, b", True,\n2.5, , False, 3\n', {"value": value}, syntax="csv").score == 1
    assert check("n,name\n", {"value": []}, syntax="csv").score == 1


def test_patterns_are_linear_and_ascii() -> None:
    reference = {"schema": {"pattern": r"^(a+)+$"}}
    assert check(json.dumps("a" * 60_000 + "!"), reference).metrics["format"] == 1
    digits = {"schema": {"pattern": r"^\d+$"}}
    assert check('"12"', digits)
    assert not check('"12\\n"', digits)
    assert not check('"١٢"', digits)


def test_nothing_is_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        asked: list[object] = []

        def listen() -> None:
            with contextlib.suppress(TimeoutError):
                asked.append(server.accept())

        listener = threading.Thread(target=listen)
        listener.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        for reference in (url, "file:///etc/hostname", "other.json"):
            verdict = check("{}", {"schema": {"$ref": reference}})
            assert (verdict.score, verdict.reason) == (None, "invalid_reference")
        listener.join()
    assert not asked


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ({}, "this is {}"),
        ({"scheme": {}}, "and nothing else"),
        ({"schema": None}, "neither"),
        ({"schema": [1]}, "a schema is an object"),
        ({"schema": {"type": "strin"}}, "no schema"),
        ({"schema": {"pattern": "(?=a)b"}}, "no schema"),
        ({"schema": {"minimum": {1}}}, "no JSON"),
        ({"schema": SCHEMA, "value": {"id": "7"}}, "does not fit the schema: .*id: type"),
        ({"value": {1: 2}}, "type of JSON"),
        ({"value": float("nan")}, "number"),
    ],
)
def test_references_that_cannot_be_matched_are_found(reference: dict[str, Any], why: str) -> None:
    with pytest.raises(TaskError, match=why):
        prove(reference)
    verdict = check("{}", reference)
    assert (verdict.score, verdict.reason) == (None, "invalid_reference")


@pytest.mark.parametrize("package", ["jsonschema_rs", "defusedxml"])
def test_a_package_that_is_missing_is_no_score(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    _compile.cache_clear()
    reference = REFERENCE if package == "jsonschema_rs" else {"value": VALUE}
    with pytest.raises(MissingExtraError, match=r"llmgym\[verifiers\]"):
        check(WRITTEN["xml"], reference, syntax="xml")


def test_details_tell_no_right_value() -> None:
    secret = {
        "schema": {"properties": {"a": {"const": "swordfish"}}, "required": ["plover"]},
        "value": {"a": "swordfish", "plover": 1},
    }
    assert "swordfish" not in (detail := check('{"a": "x"}', secret).detail)
    assert "plover" not in detail


def test_answers_that_are_empty_or_too_long() -> None:
    assert check(" \n", {"schema": True}).reason == "no_answer"
    assert check("1" * 70_000, {"schema": True}).reason == "too_long"
    with pytest.raises(ValueError, match="'ini' is none of json"):
        check("1", {"schema": True}, syntax="ini")  # type: ignore[arg-type]


@given(trees)
def test_a_value_is_right_as_json_and_as_yaml(value: object) -> None:
    reference = {"value": value}
    prove(reference)
    written = json.dumps(value)
    assert check(written, reference).score == 1
    assert check(written, reference, ordered=False, strict=True).score == 1
    assert check(f"```json\n{json.dumps(value, indent=2)}\n```", reference).score == 1
    # The few escapes and numbers that YAML reads otherwise are another matter.
    if all(mark not in written for mark in ("\\", "e", "E")):
        assert check(written, reference, syntax="yaml").reason in ("correct", "unparsable")


cells = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)


@given(st.lists(st.fixed_dictionaries({"a b": cells, 'c"': st.integers() | cells.map("x".__add__)}), min_size=1))
@example([{"a b": " ", 'c"': 0}])
def test_a_table_is_right_as_csv(rows: list[dict[str, object]]) -> None:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    reference = {
        "schema": {
            "items": {
                "properties": {"a b": {"type": "string"}, 'c"': {"anyOf": [{"type": "integer"}, {"type": "string"}]}}
            }
        },
        "value": [{name: str(cell) for name, cell in row.items()} for row in rows],
    }
    assert check(file.getvalue(), reference, syntax="csv").score == 1


@given(st.text(), st.sampled_from(("json", "yaml", "xml", "toml", "csv")), st.booleans())
def test_no_text_raises(text: str, syntax: Syntax, lenient: bool) -> None:
    for reference in (REFERENCE, {"schema": SCHEMA}, {"value": VALUE}):
        assert check(text, reference, syntax=syntax, lenient=lenient).score is not None


PIECES = st.sampled_from(
    [
        "<a>",
        "</a>",
        "<item>",
        "[",
        "]",
        "{",
        "}",
        ":",
        ",",
        "- ",
        "\n",
        " ",
        '"',
        "'",
        "id",
        "1",
        "=",
        "a",
        "&",
        "*",
        "#",
        "```",
        "|",
        "!",
        "%",
        ">",
        "\\",
    ]
)


@given(st.lists(PIECES, max_size=30).map("".join), st.sampled_from(("json", "yaml", "xml", "toml", "csv")))
def test_no_pieces_of_syntax_raise(text: str, syntax: Syntax) -> None:
    assert check(text, REFERENCE, syntax=syntax, ordered=False).score is not None


@pytest.mark.parametrize("syntax", ["json", "yaml", "xml", "toml", "csv"])
@pytest.mark.parametrize(
    "piece",
    [
        "[",
        "{",
        "- ",
        "? ",
        "a: ",
        "&a ",
        "<a>",
        "<a/>",
        '"',
        "'",
        "a.",
        "[a]\n",
        "a\n",
        ",",
        "\n",
        "1",
        "\\",
        "```\n",
        "k: v\n",
    ],
)
def test_long_hostile_text_is_read_in_time(piece: str, syntax: Syntax) -> None:
    """The limit of a test is what fails here where a reader takes quadratic time."""
    text = piece * (65_000 // len(piece))
    for around in (text, f"<r>{text}</r>", f"a = {text}", f"[{text}]"):
        assert check(around, REFERENCE, syntax=syntax, ordered=False, lenient=True).score == 0
