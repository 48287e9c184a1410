"""How templates without renderers write calls: the same reader of JSON in every format."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.codec.formats import FORMATS, HERMES, LLAMA, MISTRAL, PYTHONIC, ToolFormat, arguments_of
from llmgym.messages import tool_call

TEXT = st.sampled_from(
    ["[TOOL_CALLS]", "[ARGS]", "</tool_call>", "<tool_call>", '"', "\\", "}{][", "[CALL_ID]"]
) | st.text(max_size=4)
ARGUMENTS = st.dictionaries(TEXT, TEXT | st.integers() | st.none() | st.lists(TEXT, max_size=2), max_size=3)
LLAMA_BROKEN = tool_call("", '{"name": "f", "parameters": {"a": 1,}}')
BIG = '{"n": 123456789012345678901234567890}'


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@given(st.lists(ARGUMENTS, min_size=1, max_size=3))
def test_calls_are_read_as_they_are_written(form: ToolFormat, several: list[dict[str, Any]]) -> None:
    if form is LLAMA:
        del several[1:]
    calls = [tool_call("look", json.dumps(given)) for given in several]
    if form is MISTRAL:  # which writes them as one list
        texts = [form.write(call).removeprefix("[TOOL_CALLS]") for call in calls]
        text = f"[TOOL_CALLS][{', '.join(texts)}]"
    else:
        text = "\n".join(map(form.write, calls))
    content, found = form.parse(text)
    assert content.strip() == ""
    if form is PYTHONIC:
        assert [(call["function"]["name"], arguments_of(call)) for call in found] == [("look", one) for one in several]
    else:
        assert found == calls


@given(st.lists(ARGUMENTS, min_size=1, max_size=3), st.sampled_from([None, "a1B2c3D4e"]))
def test_mistral_with_names_before_the_arguments(several: list[dict[str, Any]], call_id: str | None) -> None:
    calls = [tool_call("look", json.dumps(given), call_id) for given in several]
    mark = "" if call_id is None else f"[CALL_ID]{call_id}"
    text = "".join(f"[TOOL_CALLS]look{mark}[ARGS]{call['function']['arguments']}" for call in calls)
    assert MISTRAL.parse(f"so {text}") == ("so", calls)


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        (HERMES, f'<tool_call>{{"name": "f", "parameters": {BIG}}}', [tool_call("f", BIG)]),
        (LLAMA, f'{{"name": "f", "arguments": {BIG}}}', [tool_call("f", BIG)]),
        (LLAMA, '{"name": "f", "parameters": null}', [tool_call("f")]),
        (LLAMA, '<|python_tag|>{"name": "f", "parameters": {"a": 1,}}', [LLAMA_BROKEN]),
        (LLAMA, '{"name": "f", "parameters": {"a": 1}', [tool_call("", '{"name": "f", "parameters": {"a": 1}')]),
        (LLAMA, '{"name": "Bob"}', []),
        (MISTRAL, f'[TOOL_CALLS][{{"name": "f", "arguments": {BIG}, "id": "c"}}]', [tool_call("f", BIG, "c")]),
        (MISTRAL, '[TOOL_CALLS] [{"name": "f", "arguments": "{}"}]', [tool_call("f")]),
        (MISTRAL, "[TOOL_CALLS][{'name'", [tool_call("", "[{'name'")]),
        (MISTRAL, '[TOOL_CALLS][{"name": "f"}] so', [tool_call("", '[{"name": "f"}] so')]),
        (MISTRAL, "[TOOL_CALLS]f[ARGS]{'a", [tool_call("f", "{'a")]),
        (MISTRAL, "[TOOL_CALLS]", [tool_call("", "")]),
        (MISTRAL, "none", []),
    ],
)
def test_what_models_write(form: ToolFormat, text: str, expected: Any) -> None:
    content, calls = form.parse(text)
    assert calls == expected
    assert content == ("" if calls else text)
