"""Templates that take only part of a conversation: handled as they are, or refused with what to do."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from llmgym.codec import TemplateCodec, codec_for
from llmgym.errors import CodecError
from llmgym.messages import Message, assistant, system, tool_call, user
from tests.codec import families
from tests.codec.conversations import TOOLS, results

TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}"
CALLS = "{% for c in m.tool_calls or [] %}<tool_call>\n{{ c.function | tojson }}\n</tool_call>{% endfor %}<|im_end|>\n"
END = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
SHOWN = "{% for t in tools or [] %}{{ t | tojson }}\n{% endfor %}"


def tokenizer(template: str) -> Any:
    return families.build(families.CHATML, families.HERMES, "<|im_end|>", None, template, "test")


def chat(*before: str, after: str = TURN + CALLS) -> Any:
    return tokenizer(f"{''.join(before)}{{% for m in messages %}}{after}{{% endfor %}}{END}")


def test_tools_that_are_shown_beside_a_system_message_alone() -> None:
    codec = codec_for(chat("{% if messages[0].role == 'system' %}", SHOWN, "{% endif %}"))
    assert (codec.native_tools, codec.call_form) == (True, "hermes")
    shown = codec.open([system("Be brief."), user("Where?")], TOOLS)
    assert '"look"' in codec._tokenizer.decode(shown)  # type: ignore[attr-defined]
    with pytest.raises(
        CodecError, match=r"does not show the tool 'look' beside messages .*\['user'\].*a system message"
    ):
        codec.open([user("Where?")], TOOLS)
    assert codec.open([user("Where?")], ())


def test_tools_that_are_left_out_behind_the_first_turn() -> None:
    codec = codec_for(chat("{% if messages | length < 6 %}", SHOWN, "{% endif %}"))
    said = [user("a"), assistant("b")] * 3
    assert codec.open([*said[:2], user("c")], TOOLS)
    with pytest.raises(CodecError, match="does not show the tool 'look'"):
        codec.open([*said, user("c")], TOOLS)


@pytest.mark.parametrize(
    ("after", "what"),
    [
        ("{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}", "refuses calls or their results"),
        ("{% if m.tool_calls %}{{ raise_exception('no calls') }}{% endif %}", "refuses calls or their results"),
        ("{% if m.role == 'tool' %}{% continue %}{% endif %}", "leaves their results out"),
    ],
)
def test_tools_that_are_shown_and_not_heard(after: str, what: str) -> None:
    with pytest.raises(CodecError, match=f"'test' shows tools, but {what}; pass a template that takes .* role 'tool'"):
        codec_for(chat(SHOWN, after=after + TURN + CALLS))


def test_a_template_that_raises_on_a_role_says_which_and_what_to_do() -> None:
    after = "{% if m.role not in ('user', 'assistant') %}{{ raise_exception('only users') }}{% endif %}"
    codec = codec_for(chat(after=after + TURN + "<|im_end|>\n"))
    opened = codec.open([system("Be brief."), user("Where?")], TOOLS)  # in front of the user's message
    assert "user\nBe brief." in codec._tokenizer.decode(opened)  # type: ignore[attr-defined]
    with pytest.raises(CodecError, match=r"roles \['user', 'system'\]: TemplateError: only users; change the messages"):
        codec.open([user("Where?"), system("Be brief.")], ())


def test_a_template_that_needs_a_variable_says_so_and_takes_it() -> None:
    made = chat("{% if not mood is defined %}{{ raise_exception('mood is missing') }}{% endif %}{{ mood }}")
    with pytest.raises(CodecError, match=r"mood is missing; .*the variables that this one needs as `template_kwargs`"):
        codec_for(made)
    happy, sad = (TemplateCodec(made, template_kwargs={"mood": mood}) for mood in ("happy", "sad"))
    assert made.decode(happy.open([user("a")], ())).startswith("happy")
    assert happy.fingerprint != sad.fingerprint


def test_a_tokenizer_without_a_template_is_refused() -> None:
    made = tokenizer("")
    made.chat_template = None
    with pytest.raises(CodecError, match="'test' has no chat template; pass `template=`"):
        codec_for(made)


def test_a_run_over_midnight_has_one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        today = datetime(2026, 12, 31, 23, 59)

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return cls.today

    monkeypatch.setattr("llmgym.codec.chat_template.datetime", Clock)
    made = chat("Today is {{ strftime_now('%d %b %Y') }}.\n")
    codec = codec_for(made)
    prompt = codec.open([user("a")], ())
    assert made.decode(prompt).startswith("Today is 31 Dec 2026.")
    Clock.today = datetime(2027, 1, 1)
    assert codec.open([user("a")], ()) == prompt
    said = [*made.encode("b"), codec.stop_token_ids[0]]
    assert codec.extend(prompt, said, [user("c")], ()) is not None
    assert codec_for(made).fingerprint == codec.fingerprint


@pytest.mark.parametrize("family", ["gemma4-v4", "gemma4"])
def test_what_gemma_says_beside_calls_starts_a_segment(family: str) -> None:
    pytest.importorskip("renderers")
    made = families.tokenizer(family)
    codec = codec_for(made)
    call = '<|tool_call>call:look{where:<|"|>x<|"|>}<tool_call|>'
    prompt, new = codec.open([user("Where?")], TOOLS), results(1, "here")
    end = made.convert_tokens_to_ids("<|tool_response>")
    alone, beside = ([*made.encode(text + call, add_special_tokens=False), end] for text in ("", "I look."))
    extension = codec.extend(prompt, alone, new, TOOLS)
    assert extension is not None
    said: Message = assistant("", {"id": "call00000", **tool_call("look", where="x")})
    assert prompt + alone + extension == codec.open([user("Where?"), said, *new], TOOLS)
    assert codec.extend(prompt, beside, new, TOOLS) is None


def test_results_that_say_no_name_are_not_taken_for_those_that_do() -> None:
    """This template looks a name up where the message has none."""
    named = "{{ m.name or 'of ' ~ (messages | selectattr('tool_calls') | list | last).tool_calls[0].function.name }}"
    after = "{% if m.role == 'tool' %}<|im_start|>" + named + "\n{{ m.content }}<|im_end|>\n{% continue %}{% endif %}"
    made = chat(SHOWN, after=after + TURN + CALLS)
    codec = codec_for(made)
    call = '<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>'
    prompt, said = codec.open([user("a")], TOOLS), [*made.encode(call), codec.stop_token_ids[0]]
    extension = codec.extend(prompt, said, results(1, "here"), TOOLS)
    assert extension is not None
    assert "<|im_start|>look\nhere" in made.decode(extension)
    nameless: list[Message] = [{"role": "tool", "content": "here"}]
    assert codec.extend(prompt, said, nameless, TOOLS) is None
