"""Dataset repositories of the Hugging Face Hub: all of a push is one commit, and its large files go before it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from llmgym.data.remote.attempts import FORBIDDEN, RemoteError, Say, attempt, reason, status_of
from llmgym.data.remote.card import card_of
from llmgym.data.remote.folder import Folder, Moved
from llmgym.data.remote.manifest import SUFFIX, Manifest
from llmgym.errors import ConfigError

_URL = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+?)(?:@([^/]+))?/?")
_CARD = "README.md"


def is_hub(url: str) -> bool:
    """Whether a URL is of the Hub's repositories."""
    return url.startswith("hf://") and not url.startswith("hf://buckets/")


class Repository:
    """A dataset repository that is pushed to.

    Attributes:
        url: Where it is.
        repo: OWNER/NAME.
    """

    def __init__(self, url: str, folder: Folder, say: Say) -> None:
        """Know where it is; nothing is asked yet.

        Raises:
            ConfigError: It is no URL of a dataset repository, or there is no token.
        """
        from huggingface_hub import HfApi, constants, get_token
        from huggingface_hub.utils import disable_progress_bars

        found = _URL.fullmatch(url)
        if found is None:
            raise ConfigError(f"{url}: what is pushed to the Hub goes to hf://datasets/OWNER/NAME[@BRANCH]")
        if constants.HF_HUB_OFFLINE:
            raise ConfigError(f"{url}: HF_HUB_OFFLINE is set, so nothing can be pushed")
        if get_token() is None:
            raise ConfigError(f"{url}: there is no token of the Hub: `hf auth login`, or set HF_TOKEN")
        disable_progress_bars()
        self.url, self.repo, self._branch = folder.url, found[1], found[2]
        self._folder, self._say, self._api = folder, say, HfApi()
        self._head: str | None = None

    def open(self, *, public: bool) -> dict[str, Manifest]:
        """See that it may be pushed to; it is made where it is not there.

        Args:
            public: Whether everybody may read it.

        Returns:
            What has been pushed there, by name.

        Raises:
            ConfigError: Everybody may read it, and should not; or it has no such branch.
            RemoteError: It may not be pushed to.
        """
        info = self._info(None)
        if info is None:
            make = self._asking(self._api.create_repo, private=not public, exist_ok=True)
            self._attempt(f"making {self.url}", make)
            info = self._info(None)
            if info is None:
                raise RemoteError(f"{self.url}: it cannot be seen with this token")
        if not info.private and not public:
            raise ConfigError(f"{self.url} can be read by everybody: --public says that it may, or choose another")
        if self._branch is not None:
            info = self._info(self._branch)
            if info is None:
                raise ConfigError(f"{self.url}: there is no branch {self._branch!r}")
        self._head = info.sha
        return self._folder.manifests()

    def _info(self, revision: str | None) -> Any:
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        def ask() -> Any:
            with suppress(RepositoryNotFoundError, RevisionNotFoundError):
                return self._api.repo_info(self.repo, repo_type="dataset", revision=revision)
            return None

        return self._attempt(f"looking at {self.url}", ask)

    def commit(
        self,
        pushed: Sequence[tuple[Manifest, Mapping[str, Path]]],
        there: Mapping[str, Manifest],
        licence: str | None,
        moved: Moved,
        *,
        force: bool = False,
    ) -> None:
        """Send what is not there yet, and the card.

        Args:
            pushed: Manifests, and where their files are here, by path.
            there: What has been pushed there, by name.
            licence: See `card_of`.
            moved: Told how many bytes have gone over.
            force: Send all files, those too that manifests there have already.

        Raises:
            RemoteError: It failed; what has gone over is not sent again by the next push.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[Any] = []
        gone: list[str] = []
        for manifest, files in pushed:
            before = there.get(manifest.name)
            have = {file.path: file.sha256 for file in before.files} if before else {}
            for file in manifest.files:
                if have.pop(file.path, None) != file.sha256 or force:
                    adding = CommitOperationAdd(file.path, files[file.path])
                    self._attempt(
                        f"sending {self.url}/{file.path}",
                        self._asking(self._api.preupload_lfs_files, additions=[adding], revision=self._branch),
                    )
                    operations.append(adding)
                moved(file.size)
            gone += have
            if before != manifest or force:
                operations.append(CommitOperationAdd(f"{manifest.name}{SUFFIX}", manifest.dump()))
        operations += [CommitOperationDelete(path) for path in gone]
        card = self._card()
        manifests = {**there, **{manifest.name: manifest for manifest, _ in pushed}}
        text = card_of(self.repo, dict(sorted(manifests.items())), card, licence, gone)
        if "\nlicense:" not in text:
            self._say(f"the card of {self.url} names no licence: --licence ID does")
        if text != card:
            operations.append(CommitOperationAdd(_CARD, text.encode()))
        if operations:
            names = ", ".join(manifest.name for manifest, _ in pushed)
            commit = self._asking(
                self._api.create_commit, operations=operations, commit_message=f"llmgym data push: {names}",
                revision=self._branch, parent_commit=self._head,
            )  # fmt: skip
            self._attempt(f"committing to {self.url}", commit)

    def _card(self) -> str | None:
        if self._folder.size(_CARD) is None:
            return None
        return self._folder.read(_CARD).decode(errors="replace")

    def _asking(self, call: Callable[..., Any], **arguments: Any) -> Callable[[], Any]:
        return lambda: call(repo_id=self.repo, repo_type="dataset", **arguments)

    def _attempt(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return attempt(what, call, self._say)
        except RemoteError as error:
            cause = error.__cause__
            if cause is not None and status_of(cause) == FORBIDDEN:
                raise RemoteError(f"{what}: {reason(cause)}: does the token have the right to write there?") from cause
            raise
