"""Which language a text is in, of those that instructions ask for."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from llmgym.errors import MissingExtraError

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_CODES = (
    "af ar bg bn ca cs cy da de el en es et fa fi fr gu he hi hr hu id it ja kn ko lt lv mk ml mr ne nl no pa pl pt ro "
    "ru sk sl so sq sv sw ta te th tl tr uk ur vi zh"
)
#: Codes of the languages that are told apart: those that the original's detector knows. Of more, short texts are
#: often taken for one that nobody asks for.
LANGUAGES = frozenset(_CODES.split())

_READ = 20_000  # characters: more tell nothing new
_lock = threading.Lock()


def detect(text: str) -> str | None:
    """The code of the language of a text, in upper case or not; None if it has no letter.

    Raises:
        MissingExtraError: `py3langid` is not installed.
    """
    text = text[:_READ]
    if not any(map(str.isalpha, text)):
        return None
    with _lock:
        identifier = _identifier()
    return identifier.classify(text)[0]


@cache
def _identifier() -> LanguageIdentifier:
    try:
        from py3langid import langid
    except ImportError:
        raise MissingExtraError("telling languages apart", "verifiers") from None
    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE)
    identifier.set_languages(LANGUAGES)
    return identifier
