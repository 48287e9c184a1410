#!/usr/bin/env bash
# The same chat is another prompt for gpt-oss with transformers 5.24 than with 5.19: one forgets what the model thought.
#
# What happens: an assistant message has the field `reasoning_content`, as servers give it, and a call; the tool's result
# follows. gpt-oss's template reads `thinking`. Version 5.19.0 passes the message on as it is, and the thought is not in
# the prompt; version 5.24.0 passes it by both names, and it is. Neither warns. One would have expected one prompt for
# one chat and one template.
# Why it matters: where the engine samples with one version and the trainer renders with the other, what is trained is
# not what was sampled; and an SFT row of an agent loses its thoughts, or keeps them, by the version that is installed.
# Seen with transformers 5.19.0 and 5.24.0, and the template of trl 1.16.0 (gptoss.jinja).
# In llmgym: a message has its thoughts by the name that the template reads, with any version.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 5.19.0 5.24.0; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet "transformers==$version" jinja2
    "$folder/$version/bin/pip" install --quiet --no-deps trl==1.16.0
    "$folder/$version/bin/python" - >"$folder/$version.txt" <<'PYTHON'
import pathlib
import sysconfig

from transformers.utils.chat_template_utils import render_jinja_template

template = (pathlib.Path(sysconfig.get_path("purelib")) / "trl/chat_templates/gptoss.jinja").read_text("utf-8")
call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": {"where": "north"}}}
chat = [
    {"role": "user", "content": "Is there a door?"},
    {"role": "assistant", "content": "", "reasoning_content": "I have to look first.", "tool_calls": [call]},
    {"role": "tool", "tool_call_id": "1", "name": "look", "content": "a wall"},
]
text = render_jinja_template([chat], chat_template=template, add_generation_prompt=True)[0][0]
print(text[text.index("Is there a door?") :])
PYTHON
    printf '%s: ' "$version"
    cat "$folder/$version.txt"
done
if grep -q "I have to look first" "$folder/5.19.0.txt" || ! grep -q "I have to look first" "$folder/5.24.0.txt"; then
    echo "this is no longer so" >&2
    exit 1
fi
