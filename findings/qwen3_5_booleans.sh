#!/usr/bin/env bash
# A boolean argument does not survive Qwen3.5's chat template and the parser that `renderers` has for it.
#
# What happens: the template writes the values of a call that are no objects or lists as Jinja's `string` does, so that
# false becomes `False`. `renderers` reads that back, with the tool's schema at hand, as the text "False", and calls it
# invalid JSON. One would have expected false: the schema says boolean, and the history shows the model that form.
# Why it matters: a model that writes what its own history shows calls its tool with a text, which a strict tool refuses
# and a lax one takes as true.
# Seen with renderers 0.1.12, transformers 5.19.0, and the template of trl 1.16.0 (qwen3_5_think.jinja).
# In llmgym: `llmgym/codec/readers.py` reads `True` and `False` as booleans where the schema says so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet renderers==0.1.12 transformers==5.19.0 httpx==0.28.1 jinja2
"$folder/venv/bin/pip" install --quiet --no-deps trl==1.16.0
"$folder/venv/bin/python" - <<'PYTHON'
import pathlib
import sys
import sysconfig

from renderers import Qwen35RendererConfig, create_renderer
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
backend = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
backend.decoder = decoders.ByteLevel()
control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
           "<|video_pad|>"]
markup = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in control])
backend.add_tokens([AddedToken(text, special=False, normalized=False) for text in markup])
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")
templates = pathlib.Path(sysconfig.get_path("purelib")) / "trl" / "chat_templates"
tokenizer.chat_template = (templates / "qwen3_5_think.jinja").read_text("utf-8")

switch = {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}
tools = [{"type": "function", "function": {"name": "light", "description": "Switch it.", "parameters": switch}}]
call = {"id": "call_1", "type": "function", "function": {"name": "light", "arguments": {"on": False}}}
chat = [{"role": "user", "content": "Dark, please."}, {"role": "assistant", "content": "", "tool_calls": [call]}]
text = tokenizer.apply_chat_template(chat, tools=tools, tokenize=False)
written = text[text.index("<tool_call>", text.index("Dark, please.")) : text.rindex("<|im_end|>")]
print("the template writes", repr(written))

renderer = create_renderer(tokenizer, Qwen35RendererConfig())
ids = tokenizer.encode("</think>\n\n" + written, add_special_tokens=False)
prompt = tokenizer.encode("<|im_start|>assistant\n<think>\n", add_special_tokens=False)
[read] = renderer.parse_response(ids, prompt_ids=prompt, tools=tools).tool_calls
print("renderers reads", read.arguments, "with the status", str(read.status))
same = "\nFalse\n" in written and read.arguments == {"on": "False"} and str(read.status) == "invalid_json"
sys.exit(0 if same else "this is no longer so")
PYTHON
