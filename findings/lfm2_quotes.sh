#!/usr/bin/env bash
# LFM2.5's chat template writes text in calls without escaping it: an apostrophe ends the text.
#
# What happens: the template writes calls as Python, `say(text='...')`, and puts the text between the quotes as it is.
# `it's` gives a call that is no Python, and a backslash and an n come out as what Python reads as a line break. One would
# have expected what `repr` gives.
# Why it matters: the history shows the model calls that no parser of Python reads, and a call that it copies from there
# has other arguments than were meant.
# Seen with transformers 5.19.0 and the template of trl 1.16.0 (lfm2_2_5.jinja).
# In llmgym: such a call keeps its text and is answered as no call; its own writer (`llmgym/codec/formats.py`) escapes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.19.0 jinja2
"$folder/venv/bin/pip" install --quiet --no-deps trl==1.16.0
"$folder/venv/bin/python" - <<'PYTHON'
import ast
import pathlib
import sys
import sysconfig

from transformers.utils.chat_template_utils import render_jinja_template

templates = pathlib.Path(sysconfig.get_path("purelib")) / "trl" / "chat_templates"
template = (templates / "lfm2_2_5.jinja").read_text("utf-8")


def written(text):
    """The call, between its marks, as the template writes it."""
    call = {"type": "function", "function": {"name": "say", "arguments": {"text": text}}}
    chat = [{"role": "user", "content": "Speak."}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    rendered = render_jinja_template([chat], chat_template=template, bos_token="")[0][0]
    return rendered.partition("<|tool_call_start|>")[2].partition("<|tool_call_end|>")[0]


def read(call):
    """The text that Python reads in a call; None where it is no Python."""
    try:
        return ast.literal_eval(ast.parse(call, mode="eval").body.elts[0].keywords[0].value)
    except SyntaxError:
        return None


found = {text: read(written(text)) for text in ("plain", "it's", r"a\nb")}
for text, back in found.items():
    print(f"{text!r:8} is written {written(text)} and read {back!r}")
sys.exit(0 if found == {"plain": "plain", "it's": None, r"a\nb": "a\nb"} else "this is no longer so")
PYTHON
