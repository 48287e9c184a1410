"""What is shown of a codec."""

from __future__ import annotations

import pytest

from llmgym.codec import codec_for, describe
from tests.codec import families


@pytest.mark.parametrize(
    ("family", "calls", "tools", "users"),
    [
        ("smollm2", "hermes", "described in the system message", "one segment"),
        ("qwen2.5", "hermes", "written by the template", "one segment"),
        ("lfm2.5", "pythonic", "written by the template", "a new segment"),
    ],
)
def test_a_model_is_described(family: str, calls: str, tools: str, users: str) -> None:
    tokenizer = families.tokenizer(family)
    report = describe(codec_for(tokenizer), tokenizer)
    assert (report["codec"], report["calls"], report["tools"]) == ("TemplateCodec", calls, tools)
    assert (report["results"], report["users"]) == ("one segment", users)
    assert report["stops"][0] == "<|im_end|>"
    assert report["example"].index("2 + 3") < report["example"].index("5")


def test_a_renderer_is_described() -> None:
    pytest.importorskip("renderers")
    tokenizer = families.tokenizer("qwen3.5-think")
    report = describe(codec_for(tokenizer), tokenizer)
    assert (report["codec"], report["calls"]) == ("RendererCodec", "renderers:qwen3.5")
    assert "<function=add>" in report["example"]
