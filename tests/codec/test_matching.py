"""Which renderers are tried."""

from __future__ import annotations

import subprocess
import sys
import typing
from typing import Any

import pytest

from llmgym.codec import matching
from tests.codec import families

renderers: Any = pytest.importorskip("renderers")


class Vocabulary:
    """A tokenizer that has every token but some."""

    name_or_path, unk_token_id, eos_token_id, chat_template = "x", None, 0, None

    def __init__(self, *absent: str) -> None:
        self._absent, self._ids = absent, dict[str, int]()

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        return None if tokens in self._absent else self._ids.setdefault(tokens, len(self._ids))

    def encode(self, text: str, **_: Any) -> list[int]:
        index = self.convert_tokens_to_ids(text)
        return [1, 2] if index is None else [index]

    def decode(self, token_ids: Any, **_: Any) -> str:
        return ""


def names() -> list[str]:
    classes = typing.get_args(typing.get_args(renderers.RendererConfig)[0])
    found = {cls.model_fields["name"].default for cls in classes} - matching._GENERIC
    return sorted(found)


@pytest.mark.parametrize("name", names())
def test_each_renderer_insists_on_one_of_the_marks(name: str) -> None:
    if name == "gpt-oss":  # it loads its own vocabulary
        try:
            families.harmony()
        except LookupError as error:
            pytest.skip(str(error))
    config = renderers.configs.config_from_name(name)
    renderers.create_renderer(Vocabulary(), config)
    with pytest.raises((AssertionError, ValueError, TypeError)):
        renderers.create_renderer(Vocabulary(*matching._MARKS), config)


@pytest.mark.slow
def test_without_a_mark_the_package_is_not_imported() -> None:
    code = (
        "import sys\n"
        "from llmgym.codec import codec_for\n"
        "from tests.codec.families import tokenizer\n"
        "codec_for(tokenizer('smollm2'))\n"
        "assert 'renderers' not in sys.modules\n"
        "codec_for(tokenizer('qwen3'))\n"
        "assert 'renderers' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
