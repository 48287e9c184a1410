#!/usr/bin/env bash
# gpt-oss's chat template writes the first call of a message; the others vanish without an error.
#
# What happens: an assistant message with two calls and two results is rendered. The first call is there, the second is
# not, and both results stand under the name of the first tool. One would have expected both calls, or a refusal, as
# Llama's template gives.
# Why it matters: an SFT row with parallel calls trains on results that nobody asked for, and a history that is rendered
# afresh is not what was sampled.
# Seen with transformers 5.19.0 and the template of trl 1.16.0 (gptoss.jinja).
# In llmgym: an episode never goes on in one segment behind several such calls (`Turn.keeps_calls`).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.19.0 jinja2
"$folder/venv/bin/pip" install --quiet --no-deps trl==1.16.0
"$folder/venv/bin/python" - <<'PYTHON'
import pathlib
import sys
import sysconfig

from transformers.utils.chat_template_utils import render_jinja_template

templates = pathlib.Path(sysconfig.get_path("purelib")) / "trl" / "chat_templates"
template = (templates / "gptoss.jinja").read_text("utf-8")
names = ("north", "south")
calls = [{"id": name, "type": "function", "function": {"name": name, "arguments": {"n": 1}}} for name in names]
results = [{"role": "tool", "tool_call_id": name, "name": name, "content": f"from the {name}"} for name in names]
chat = [{"role": "user", "content": "Look."}, {"role": "assistant", "content": "", "tool_calls": calls}, *results]
text = render_jinja_template([chat], chat_template=template)[0][0]
turn = text[text.index("Look.") :]
print(turn)
found = [turn.count(f"to=functions.{name}") for name in names], turn.count("functions.north to=assistant")
sys.exit(0 if found == ([1, 0], 2) and "from the south" in turn else "this is no longer so")
PYTHON
