"""Pushing: what is not there yet goes over, and a manifest after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from llmgym.data.converting import convert
from llmgym.data.dataset import Dataset
from llmgym.data.remote.attempts import Say
from llmgym.data.remote.facts import facts_of_export, facts_of_rows
from llmgym.data.remote.folder import Folder
from llmgym.data.remote.hub import Repository, is_hub
from llmgym.data.remote.item import Item, described_file, held, item_of
from llmgym.data.remote.manifest import SUFFIX, Manifest
from llmgym.data.remote.table import as_parquet
from llmgym.errors import ConfigError

#: Told how many bytes of how many have gone over.
Progress = Callable[[int, int], None]


def push(
    paths: Sequence[Path | str],
    url: str,
    *,
    force: bool = False,
    public: bool = False,
    licence: str | None = None,
    opened: Callable[[Path], Dataset] | None = None,
    progress: Progress | None = None,
    say: Say = lambda _: None,
) -> list[Manifest]:
    """Push run folders, files of rows and exports; what has arrived already is not sent again.

    On the Hub a push is one commit, with a Parquet file of each run and each file of rows, and a card, so that
    `load_dataset` finds them. Elsewhere the manifest of a thing is written last, and until then one says that it is not
    whole.

    Args:
        paths: What to push; each is called there as it is here.
        url: Where: hf://datasets/OWNER/NAME, s3://BUCKET/FOLDER or another URL of fsspec.
        force: Replace what is there under the same name, whatever it is, and send all of its files.
        public: Everybody may read a repository of the Hub, which is private else.
        licence: The Hub's identifier of the data's licence; None for the one that all tasks have, if it is one.
        opened: How rows are read for the Hub; None for `Dataset.open`.
        progress: Told how many bytes of how many have gone over.
        say: Told of what is tried again.

    Returns:
        The manifests.

    Raises:
        ConfigError: A path cannot be pushed, or the place is none for it.
        RemoteError: It cannot be reached, or does not allow it. The same command goes on.
    """
    items = [item_of(Path(path)) for path in paths]
    for number, item in enumerate(items):
        if other := next((one for one in items[:number] if one.name == item.name), None):
            raise ConfigError(f"{other.path} and {item.path} would both be {item.name} there; rename one")
    folder = Folder(url, say)
    repository = Repository(url, folder, say) if is_hub(url) else None
    with ExitStack() as stack:
        for item in items:
            stack.enter_context(held(item))
        there = folder.manifests() if repository is None else repository.open(public=public)
        manifests = [_manifest(item) for item in items]
        for manifest in manifests:
            _check_free(manifest, there.get(manifest.name), folder, force)
        sent = list(zip(manifests, [item.files for item in items], strict=True))
        if repository is None:
            _send(folder, sent, there, _Gone(manifests, progress), force=force)
        else:
            made = stack.enter_context(TemporaryDirectory(prefix="llmgym-push-"))
            open_ = opened or (lambda path: Dataset.open([path]))
            sent = [
                _with_table(item, manifest, None if force else there.get(manifest.name), Path(made), open_)
                for item, manifest in zip(items, manifests, strict=True)
            ]
            repository.commit(sent, there, licence, _Gone([manifest for manifest, _ in sent], progress), force=force)
        for item, manifest in zip(items, manifests, strict=True):
            _check_same(item, manifest)
    return [manifest for manifest, _ in sent]


def _manifest(item: Item) -> Manifest:
    return Manifest(item.name, item.kind, tuple(described_file(path, local) for path, local in item.files.items()))


def _check_free(manifest: Manifest, there: Manifest | None, folder: Folder, force: bool) -> None:
    if there is not None and there.complete and there.pulled != manifest.pulled and not force:
        raise ConfigError(f"{folder.url}/{manifest.name} is there already, and is another one; --force replaces it")


def _check_same(item: Item, manifest: Manifest) -> None:
    """See that a file has not grown meanwhile."""
    for file in manifest.files:
        if (local := item.files[file.path]).stat().st_size != file.size:
            raise ConfigError(f"{local} has changed while it was sent: push it again with --force")


class _Gone:
    """How many bytes have gone over."""

    def __init__(self, manifests: Sequence[Manifest], progress: Progress | None) -> None:
        self._total = sum(file.size for manifest in manifests for file in manifest.files)
        self._gone, self._progress = 0, progress

    def __call__(self, count: int) -> None:
        self._gone += count
        if self._progress:
            self._progress(self._gone, self._total)


def _with_table(
    item: Item, manifest: Manifest, there: Manifest | None, made: Path, opened: Callable[[Path], Dataset]
) -> tuple[Manifest, Mapping[str, Path]]:
    """The manifest with a table that `load_dataset` can read, which is made where there is none."""
    if there is not None and there.complete and there.pulled == manifest.pulled:
        return there, item.files
    if item.path.suffix == ".parquet":
        return msgspec.structs.replace(manifest, table=item.name, facts=facts_of_export(item)), item.files
    table = made / f"{item.name}.parquet"
    if item.kind == "export":
        facts = facts_of_export(item)
        as_parquet(item.path, table)
    else:
        data = opened(item.path)
        facts = facts_of_rows(item, data)
        if not facts["rows"]:
            return msgspec.structs.replace(manifest, facts=facts), item.files
        convert(data, table)
    file = described_file(f"data/{table.name}", table, derived=True)
    whole = msgspec.structs.replace(manifest, files=(*manifest.files, file), table=file.path, facts=facts)
    return whole, {**item.files, file.path: table}


def _send(
    folder: Folder,
    sent: Sequence[tuple[Manifest, Mapping[str, Path]]],
    there: Mapping[str, Manifest],
    gone: _Gone,
    *,
    force: bool,
) -> None:
    for manifest, files in sent:
        before = there.get(manifest.name)
        have = {file.path: file.sha256 for file in before.files} if before else {}
        trusted = {} if force and before and before.complete else have  # what is not complete has just been sent
        arrived = [f for f in manifest.files if trusted.get(f.path) == f.sha256 and folder.size(f.path) == f.size]
        for file in arrived:
            gone(file.size)
        if before == manifest and len(arrived) == len(manifest.files):
            continue
        name = f"{manifest.name}{SUFFIX}"
        for file in manifest.files:
            if file not in arrived:
                partial = msgspec.structs.replace(manifest, files=tuple(arrived), complete=False)
                folder.write(name, partial.dump())
                folder.put(file.path, files[file.path], gone)
                arrived.append(file)
        folder.write(name, manifest.dump())
        for path in have.keys() - {file.path for file in manifest.files}:
            folder.remove(path)
