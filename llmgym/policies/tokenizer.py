"""Tokenizers without transformers, whose import alone takes four seconds and four hundred megabytes.

What is read here is what transformers would read: the same ids, the same template, the same fingerprint. Where that is
not certain, `NeedsTransformers` says why.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from llmgym.policies.tokenizer_classes import CLASSES, PLAIN, Made, class_of

# Files of a tokenizer, and the model's configuration, which decides what transformers makes of them.
_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
    "chat_template.jinja",
    "additional_chat_templates/*.jinja",
)
_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# Settings that transformers follows and this module does not.
_BEYOND = ("fast_tokenizer_files", "fix_mistral_regex", "init_inputs", "response_template", "split_special_tokens")
# A BPE model of which nothing is set.
_BARE = {
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}


class NeedsTransformers(Exception):
    """A tokenizer of which only transformers knows what it is; says why."""


class LightTokenizer:
    """A tokenizer of a model, with what codecs ask of one.

    Attributes:
        backend_tokenizer: Of `tokenizers`, without truncation and padding.
        constant: True: nobody changes the backend, so that it can be shared.
        name_or_path: Folder or Hub id.
        chat_template: Jinja text, texts by name, or None.
        special_tokens_map: Named tokens, such as `eos_token`; each is an attribute too, and so is its id.
        response_template: None: a tokenizer with one is left to transformers.
    """

    bos_token: str | None
    bos_token_id: int | None
    eos_token: str | None
    eos_token_id: int | None
    pad_token: str | None
    pad_token_id: int | None
    unk_token: str | None
    unk_token_id: int | None
    response_template = None
    constant = True

    def __init__(
        self, backend: Any, name: str, template: str | dict[str, str] | None, tokens: Mapping[str, str]
    ) -> None:
        self.backend_tokenizer = backend
        self.name_or_path = name
        self.chat_template = template
        self.special_tokens_map = dict(tokens)
        for key in {*_NAMES, *tokens}:
            text = tokens.get(key)
            setattr(self, key, text)
            setattr(self, f"{key}_id", None if text is None else backend.token_to_id(text))

    def __len__(self) -> int:
        return self.backend_tokenizer.get_vocab_size()

    def __call__(self, text: str, *, add_special_tokens: bool = True, **_: Any) -> dict[str, Any]:
        """Tokenise, with the place in the text from which each token comes."""
        made = self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return {"input_ids": made.ids, "offset_mapping": made.offsets}

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Tokenise."""
        return self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = False, **_: Any) -> str:
        """Turn ids back into text, with no clean-up of spaces."""
        return self.backend_tokenizer.decode(token_ids, skip_special_tokens=skip_special_tokens)

    def convert_tokens_to_ids(self, tokens: str | list[str]) -> Any:
        """Look up the id of a token, or of each of several; `unk_token_id` where there is none."""
        if isinstance(tokens, str):
            index = self.backend_tokenizer.token_to_id(tokens)
            return self.unk_token_id if index is None else index
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def get_vocab(self) -> dict[str, int]:
        """Text and id of every token."""
        return self.backend_tokenizer.get_vocab()

    def get_chat_template(self, chat_template: str | None = None) -> str:
        """The chat template.

        Args:
            chat_template: Name of one, or Jinja text, which is given back; None for the default.

        Raises:
            ValueError: There is none.
        """
        named = self.chat_template if isinstance(self.chat_template, dict) else {"default": self.chat_template}
        found = named.get(chat_template or "default", chat_template)
        if found is None:
            raise ValueError(
                "there is none called default" + "".join(f", but {name!r}" for name in self.chat_template or ())
            )
        return found


def read_tokenizer(source: Path | str) -> LightTokenizer:
    """Read the tokenizer of a folder or of a Hub id.

    Raises:
        NeedsTransformers: It takes more than its `tokenizer.json`, or what it takes is not known here.
        ImportError: A package is not installed.
    """
    from tokenizers import Tokenizer

    folder = _folder(source)
    config, model = _read(folder / "tokenizer_config.json"), _read(folder / "config.json")
    class_name = _class(folder, config, model)
    backend: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    made = None if class_name == PLAIN else CLASSES[class_name](config)
    settings = _Settings(folder, config, backend, made)
    if made is not None:
        _remake(backend, made, settings)
    backend.add_tokens(settings.tokens(backend.get_added_tokens_decoder().values()))
    if made is not None:
        _number(backend, made, settings)
    if backend.post_processor is None:
        from tokenizers.processors import TemplateProcessing

        backend.post_processor = TemplateProcessing(single="$A:0", pair="$A:0 $B:1", special_tokens=[])
    backend.no_padding()
    backend.no_truncation()
    tokens = {key: str(token) for key, token in settings.named.items()}
    return LightTokenizer(backend, str(source), _template(folder, config), tokens)


def _folder(source: Path | str) -> Path:
    folder = Path(source)
    if folder.is_dir():
        return folder
    import huggingface_hub

    hub: Any = huggingface_hub  # partly typed
    return Path(hub.snapshot_download(str(source), allow_patterns=list(_FILES)))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8")) if path.exists() else {}
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path.name}: it holds {found!r:.100}, which is no object")  # noqa: TRY004
    return cast("dict[str, Any]", found)


def _class(folder: Path, config: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """The class that transformers would take."""
    if not (folder / "tokenizer.json").exists():
        raise NeedsTransformers("it has no tokenizer.json")
    if "auto_map" in config:
        raise NeedsTransformers("it brings code of its own")
    if beyond := [key for key in _BEYOND if config.get(key)]:
        raise NeedsTransformers(f"its configuration has {', '.join(beyond)}")
    if config.get("backend", "tokenizers") != "tokenizers":
        raise NeedsTransformers(f"its backend is {config['backend']}")
    named = config.get("tokenizer_class") or model.get("tokenizer_class")
    found = class_of(model.get("model_type"), named)
    if found is None:
        raise NeedsTransformers(f"llmgym does not know the tokenizers of {model.get('model_type')!r} models")
    if found != PLAIN and found not in CLASSES:
        raise NeedsTransformers(f"it is a {found}")
    return found


class _Settings:
    """The tokens of a tokenizer, as its configuration has them.

    Attributes:
        numbered: Id and token of each added token.
        named: Tokens by the name of their role.
        extra: Further special tokens.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], backend: Any, made: Made | None) -> None:
        given: dict[str, Any] = {**(made.tokens if made else {}), **config}
        given["extra_special_tokens"] = given.get("extra_special_tokens") or given.get("additional_special_tokens")
        if "added_tokens_decoder" in config:
            self.numbered = {int(index): _added(token) for index, token in config["added_tokens_decoder"].items()}
        else:
            self._read_old_files(folder, given)
            self.numbered = backend.get_added_tokens_decoder()
        if backend.padding:
            given.setdefault("pad_token", backend.padding["pad_token"])
        roles = {key: token for key, token in given.items() if key.endswith("_token")}
        roles = {key: token for key, token in roles.items() if token is not None and not isinstance(token, bool)}
        extra = given["extra_special_tokens"] or []
        if isinstance(extra, dict):
            roles, extra = {**roles, **extra}, []
        if not isinstance(extra, list):
            raise NeedsTransformers(f"its configuration has the special tokens {extra!r}")
        self.named = {key: _token(roles[key]) for key in sorted(roles, key=_rank)}
        self.extra = [_token(token) for token in extra]

    def _read_old_files(self, folder: Path, given: dict[str, Any]) -> None:
        """Take in the files in which tokens stood before they had a place in the configuration."""
        if (folder / "added_tokens.json").exists():
            raise NeedsTransformers("it has an added_tokens.json")
        for key, token in _read(folder / "special_tokens_map.json").items():
            if key.endswith("special_tokens"):
                if given["extra_special_tokens"] not in (None, token):
                    raise NeedsTransformers("its two files name different special tokens")
                given["extra_special_tokens"] = token
            else:
                given[key] = _added({**token, "special": True}) if isinstance(token, dict) else token

    def tokens(self, known: Iterable[Any] = ()) -> list[Any]:
        """What to add to a vocabulary, in order: all numbered tokens, then the special ones that are new to it.

        Args:
            known: Tokens that were added to it before.
        """
        from tokenizers import AddedToken

        roles = {str(token) for token in self.named.values()}
        made = [token for _, token in sorted(self.numbered.items())]
        known = {token.content for token in [*known, *made]}
        for token in [*self.named.values(), *self.extra]:
            if str(token) not in known:
                made.append(AddedToken(token, special=True) if isinstance(token, str) else token)
                known.add(str(token))
        for token in made:
            token.special = token.special or token.content in roles
        return made


def _token(given: Any) -> Any:
    """A token as configurations write one: its text, or all of its flags."""
    from tokenizers import AddedToken

    if isinstance(given, dict) and given.get("__type") == "AddedToken":
        return _added({key: value for key, value in given.items() if key != "__type"})
    if not isinstance(given, str | AddedToken):
        raise NeedsTransformers(f"its configuration has the token {given!r}")
    return given


def _added(flags: dict[str, Any]) -> Any:
    from tokenizers import AddedToken

    return AddedToken(**flags)


def _rank(key: str) -> int:
    return _NAMES.index(key) if key in _NAMES else len(_NAMES)


def _remake(backend: Any, made: Made, settings: _Settings) -> None:
    """Bring what the file describes to what a class makes of its vocabulary and merges."""
    from tokenizers.models import BPE

    model = backend.model
    if not isinstance(model, BPE) or model.continuing_subword_prefix or model.end_of_word_suffix:
        raise NeedsTransformers("its vocabulary is of another kind than its class")
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        setattr(backend, part, getattr(made, part))
    for name, value in {**_BARE, **made.model}.items():
        setattr(model, name, value)
    if model.unk_token is not None:
        model.unk_token = str(settings.named.get("unk_token"))


def _number(backend: Any, made: Made, settings: _Settings) -> None:
    """See that added tokens have the ids that a class gives them, one after the other behind the bare vocabulary."""
    model, free = backend.model, backend.get_vocab_size(with_added_tokens=False)
    numbered, ids = dict[int, str](), dict[str, int]()
    for token in settings.tokens():
        index = ids.get(token.content, model.token_to_id(token.content))
        index = free if index is None else index
        free = max(free, index + 1)
        ids[token.content], numbered[index] = index, repr(token)
    if numbered != {index: repr(token) for index, token in backend.get_added_tokens_decoder().items()}:
        raise NeedsTransformers("its added tokens stand in other places than its class puts them")
    if made.marks_special:
        special = [*settings.named.values(), *settings.extra]
        backend.add_tokens([_added({"content": str(token), "special": True}) for token in special])


def _template(folder: Path, config: Mapping[str, Any]) -> str | dict[str, str] | None:
    """The chat templates: files come before the configuration."""
    files = {"default": folder / "chat_template.jinja"}
    files |= {path.stem: path for path in (folder / "additional_chat_templates").glob("*.jinja")}
    texts = {name: path.read_text("utf-8") for name, path in files.items() if path.exists()}
    found: Any = texts or config.get("chat_template")
    if isinstance(found, list) and all(isinstance(each, dict) for each in cast("list[Any]", found)):
        found = {each.get("name"): each.get("template") for each in cast("list[dict[str, Any]]", found)}
    parts = cast("dict[Any, Any]", found).items() if isinstance(found, dict) else [("default", found or "")]
    if not all(isinstance(name, str) and isinstance(text, str) for name, text in parts):
        raise ValueError(f"its chat_template is neither text nor texts by name: {found!r:.100}")
    return texts["default"] if texts.keys() == {"default"} else cast("str | dict[str, str] | None", found)
