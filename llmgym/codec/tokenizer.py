"""The tokenizer that codecs work with: the Rust backend of a Hugging Face tokenizer, called directly.

The Python wrapper of transformers costs several times the tokenisation itself, and its truncation
and padding settings are shared mutable state; a private copy of the backend has neither problem.
"""

from __future__ import annotations

import functools
import hashlib
import pickle
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from llmgym.errors import CodecError
from llmgym.messages import Message

# Unicode noncharacters: never assigned, "not for interchange". Text is tokenised piecewise around it.
SEAM = "\ufdd0\ufdd1"

# Text comes again: a system prompt with every episode of an environment, a task and what its tools answer with every
# episode of a group, what a template writes between two turns with every turn. So much of it is remembered.
_KNOWN_CHARS = 1 << 20


class FastTokenizer:
    """A tokenizer with the surface that `renderers` asks for, and nothing slow in it.

    Other attributes are those of the tokenizer it was made from. It is deliberately not callable:
    `renderers` takes that as "no character offsets" and skips work whose result no codec uses.

    Attributes:
        eos_token_id: End-of-text token, if the tokenizer has one.
        unk_token_id: Token of unknown text, if the tokenizer has one.
        special: Text and id of each control token (`special=True` in the tokenizer file).
        added: Text and id of each added token, the control tokens among them.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Copy the backend of `tokenizer`, or share one that is `constant`.

        Raises:
            CodecError: The tokenizer has no `tokenizers` backend.
        """
        from tokenizers import Tokenizer
        from tokenizers.decoders import ByteLevel

        if not is_fast(tokenizer):
            raise CodecError(
                f"{type(tokenizer).__name__} has no `tokenizers` backend; "
                "load the fast tokenizer (a repository with a tokenizer.json)"
            )
        self._source = tokenizer
        self._backend: Any = tokenizer.backend_tokenizer
        if not getattr(tokenizer, "constant", False):
            self._backend = Tokenizer.from_str(self._backend.to_str())
        self._backend.no_padding()
        self._backend.no_truncation()
        self._backend.encode_special_tokens = False
        self.name_or_path: str = tokenizer.name_or_path
        self.eos_token_id: int | None = tokenizer.eos_token_id
        self.unk_token_id: int | None = tokenizer.unk_token_id
        tokens = self._backend.get_added_tokens_decoder()
        self.added: dict[str, int] = {token.content: index for index, token in tokens.items()}
        self.special: dict[str, int] = {token.content: index for index, token in tokens.items() if token.special}
        self._control = _any_of(text for text in self.special if len(text) > 1)
        self._known: dict[str, list[int]] = {}
        self._known_chars = 0
        self._in_pieces = self._cuts_at_control(tokens.values())
        self._bytes = _TokenBytes(self._backend) if isinstance(self._backend.decoder, ByteLevel) else None

    def __getattr__(self, name: str) -> Any:
        """Look up everything else on the source tokenizer."""
        if name.startswith("__") or "_source" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self._source, name)

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Tokenise text; special tokens spelled in it become themselves, except across a `SEAM`."""
        if SEAM not in text:
            if self._in_pieces and not add_special_tokens:
                return self._encode_pieces(text)
            return self._backend.encode(text, add_special_tokens=add_special_tokens).ids
        pieces = [self._backend.encode(piece, add_special_tokens=False).ids for piece in text.split(SEAM) if piece]
        return [index for piece in pieces for index in piece]

    def _encode_pieces(self, text: str) -> list[int]:
        """Tokenise text piece by piece between control tokens."""
        assert self._control is not None
        ids: list[int] = []
        start = 0
        for found in self._control.finditer(text):
            ids += self._encode_piece(text[start : found.start()])
            ids.append(self.special[found[0]])
            start = found.end()
        ids += self._encode_piece(text[start:])
        return ids

    def _encode_piece(self, text: str) -> list[int]:
        """Tokenise text without control tokens, or remember what it gave; the list stays here."""
        ids = self._known.get(text)
        if ids is None:
            ids = self._backend.encode(text, add_special_tokens=False).ids
            self._known_chars += len(text)
            if self._known_chars > _KNOWN_CHARS:
                self._known, self._known_chars = {}, len(text)
            self._known[text] = ids
        return ids

    def _cuts_at_control(self, tokens: Iterable[Any]) -> bool:
        """Whether text between control tokens is tokenised as if it stood alone.

        The backend takes added tokens out of the text before all else, so it is, unless a control
        token swallows space around it or the start of the whole text is marked.
        """
        plain = all(not (t.lstrip or t.rstrip or t.single_word or t.normalized) for t in tokens if t.special)
        cutter = self._backend.pre_tokenizer
        return plain and self._control is not None and b'"prepend_scheme":"first"' not in pickle.dumps(cutter)

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = False, **_: Any) -> str:
        """Turn ids back into text, with no clean-up of spaces."""
        if self._bytes is None or skip_special_tokens:
            return self._backend.decode(token_ids, skip_special_tokens=skip_special_tokens)
        return b"".join(map(self._bytes.__getitem__, token_ids)).decode("utf-8", "replace")

    def convert_tokens_to_ids(self, tokens: str | list[str]) -> Any:
        """Look up the id of a token, or of each of several; `unk_token_id` where there is none."""
        if isinstance(tokens, str):
            index = self._backend.token_to_id(tokens)
            return self.unk_token_id if index is None else index
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def disarm(self, message: Message) -> Message:
        """Make control tokens spelled in a message's content tokenise as plain text.

        A tool result or user text that spells `<|im_end|>` could otherwise end its own turn and
        forge another. Content without control tokens is left as it is, to the byte. What the
        assistant wrote is left alone too: a template may read markup in it.
        """
        if self._control is None or message["role"] == "assistant" or not self._control.search(message["content"]):
            return message
        content = self._control.sub(lambda found: found[0][0] + SEAM + found[0][1:], message["content"])
        return {**message, "content": content}

    def serialise(self) -> str:
        """Write the backend in the `tokenizer.json` format."""
        return self._backend.to_str()


class _TokenBytes(dict[int, bytes]):
    """The bytes of each token of a byte-level vocabulary, found as they are asked for.

    To join these takes a third of the time of the backend, which joins texts and then looks up the byte of each letter.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __missing__(self, index: int) -> bytes:
        text: str = self._backend.id_to_token(index) or ""
        try:
            self[index] = bytes(_BYTE_OF[letter] for letter in text)
        except KeyError:  # an added token is what it says
            self[index] = text.encode()
        return self[index]


def token_bytes(backend: Any) -> Callable[[int], bytes]:
    """How to look up the bytes that a token stands for; none for an id that is no token.

    Args:
        backend: A tokenizer of `tokenizers`: of bytes, as GPT-2 has it, or of pieces, as SentencePiece has it.
    """
    from tokenizers.decoders import ByteLevel

    if isinstance(backend.decoder, ByteLevel):
        return _TokenBytes(backend).__getitem__
    return lambda index: _piece_bytes(backend.id_to_token(index) or "")


def _piece_bytes(piece: str) -> bytes:
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes.fromhex(piece[3:5])
    return piece.replace("\u2581", " ").encode()


def _byte_letters() -> dict[str, int]:
    """The byte that each letter of a byte-level vocabulary stands for, as GPT-2 has it: itself where it can be seen."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(0x100) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(0x100 + place): byte for place, byte in enumerate(hidden)}


_BYTE_OF = _byte_letters()


def is_fast(tokenizer: Any) -> bool:
    """Whether a tokenizer has a `tokenizers` backend."""
    return hasattr(getattr(tokenizer, "backend_tokenizer", None), "to_str")


def with_backend(tokenizer: Any) -> Any:
    """A tokenizer, or where it is one of mistral-common for a `tekken.json`, the same as transformers converts it.

    mistral-common reads and writes whole conversations, and changes them: a result of 1.10 becomes 1.1. The converted
    one has the same ids, and the chat template that mistral-common makes for this tokenizer.
    """
    path = getattr(tokenizer, "_tokenizer_path", None)
    if is_fast(tokenizer) or path is None or not str(path).endswith(".json"):
        return tokenizer
    return _converted(str(path), tokenizer.name_or_path)


@functools.lru_cache(1)
def _converted(path: str, name: str) -> Any:
    from transformers.integrations.mistral.tokenizer import convert_tekken_tokenizer

    made: Any = convert_tekken_tokenizer(path)
    made.name_or_path = name
    return made


def fingerprint(*parts: str) -> str:
    """Hash text parts, in order, to a hex string that is the same in every process."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def _any_of(texts: Iterable[str]) -> re.Pattern[str] | None:
    ordered = sorted(texts, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None
