"""Chat templates as transformers renders them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.codec import probes
from llmgym.codec.jinja import compiled
from tests.codec.families import MATRIX, template, templates, tokenizer

theirs: Any = pytest.importorskip("transformers.utils.chat_template_utils")


def outcome(render: Any) -> Any:
    try:
        return render()
    except Exception as error:  # noqa: BLE001  a template refuses with any
        return type(error).__name__, str(error)


def assert_same(text: str, messages: list[Any], tools: Any = None, ask: bool = True, **variables: Any) -> Any:
    mine = outcome(
        lambda: compiled(text).render(
            messages=messages, tools=tools, documents=None, add_generation_prompt=ask, **variables
        )
    )
    wanted = outcome(
        lambda: theirs.render_jinja_template(
            [messages], tools=tools, chat_template=text, add_generation_prompt=ask, **variables
        )[0][0]
    )
    assert mine == wanted
    return mine


def conversations() -> list[list[Any]]:
    made: list[list[Any]] = []
    for style in probes.STYLES:
        for roles in (("user",), ("tool",)):
            made += [[*before, said, *new] for before, said, new in probes.trials(roles, style)]
    made += [[*probes.history("none"), said, *probes.results(said)] for said in probes.calls()]
    return [[as_objects(message) for message in chat] for chat in made]


def as_objects(message: Any) -> Any:
    from llmgym.codec import formats

    calls = [formats.template_call(call) for call in message.get("tool_calls", ())]
    made = {**message, "tool_calls": calls} if calls else message
    # transformers 5.24 gives a template its reasoning by this name too.
    return {**made, "thinking": made["reasoning_content"]} if "reasoning_content" in made else made


@pytest.mark.parametrize("family", MATRIX)
def test_every_family_is_rendered_as_transformers_renders_it(family: str) -> None:
    text, variables = template(family), tokenizer(family).special_tokens_map
    shown = [
        assert_same(text, chat, tools, ask, **variables)
        for chat in conversations()
        for tools in (None, list(probes.TOOLS))
        for ask in (True, False)
    ]
    assert any(isinstance(each, str) for each in shown)


@pytest.mark.parametrize("path", sorted(templates().glob("*.jinja")), ids=lambda path: path.stem)
def test_every_template_of_trl_is(path: Any) -> None:
    for chat in conversations()[:4]:
        assert_same(path.read_text("utf-8"), chat, list(probes.TOOLS), bos_token="<s>", eos_token="</s>")


@pytest.mark.parametrize(
    "text",
    [
        "{{ messages | tojson }}|{{ messages | tojson(indent=2, sort_keys=true, ensure_ascii=true) }}",
        "{{ messages | tojson(separators=(',', ':')) }}",
        "{% for m in messages %}{% if loop.index == 2 %}{% break %}{% endif %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.content }}{% endfor %}",
        "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }} <b>{% endgeneration %}{{ x }}",
        "  {% generation %}\n  a\n{% endgeneration %}\n{%- if true %}\n b\n  {% endif %}\n",
        "{{ raise_exception('no') }}",
        "{{ strftime_now('%Y-%m') }}",
        "{{ messages.append(1) }}",
        "{{ messages.__class__.__mro__ }}",
        "{{ missing }}|{{ missing.deeper }}",
        "{{ tools }}|{{ documents }}|{{ add_generation_prompt }}",
        "{% if %}",
        "{{ '<' | e }}{{ '<&' }}{{ messages[0].content | upper | trim }}",
    ],
)
def test_what_templates_may_use(text: str) -> None:
    chat = [{"role": "user", "content": "é <b> & 'x' \u2028"}, {"role": "assistant", "content": " two "}]
    assert_same(text, chat)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=8,
)


@given(value=JSON, indent=st.sampled_from([None, 0, 2]), flags=st.tuples(st.booleans(), st.booleans()))
def test_json_is_written_as_there(value: Any, indent: int | None, flags: tuple[bool, bool]) -> None:
    text = "{{ value | tojson(ensure_ascii=a, indent=indent, sort_keys=b) }}|{{ value | tojson }}"
    assert_same(text, [], value=value, indent=indent, a=flags[0], b=flags[1])
