"""A run folder with what episodes earn now, beside the one that they are of."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from llmgym.errors import ConfigError, StoreError
from llmgym.rollout.description import FILE, read_description
from llmgym.rollout.folder import open_records, summarize_folder
from llmgym.rollout.store import RunStore

REPORT = "verification.json"

#: Takes the rows of scored episodes, and at the end the report, as JSON data.
Take = tuple[Callable[[bytes], None], Callable[[dict[str, Any]], None]]


@contextmanager
def rescored_run(source: Path, target: Path) -> Generator[Take]:
    """Write a run folder for rows that were scored again; it is there once the block has ended, and else not at all.

    Args:
        source: The run that they are of.
        target: The new one; not there yet.

    Raises:
        ConfigError: The one is no run folder, or the other is there already.
        StoreError: It cannot be written.
    """
    description = read_description(source) if source.is_dir() else None
    if description is None:
        raise ConfigError(f"--write makes a run folder of another one, and {source} is none: it has no {FILE}")
    if target.exists():
        raise ConfigError(f"{target} is there already; name a folder that is not")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with closing(RunStore(temporary, description.identity, description.config, 1.0)) as store:
            store.confirm(description.confirmed)

            def report(data: dict[str, Any]) -> None:
                made = {"source": str(source), **data}
                (temporary / REPORT).write_bytes(msgspec.json.format(msgspec.json.encode(made)) + b"\n")

            yield lambda row: store.append_lines([row]), report
            store.write_summary(summarize_folder(open_records(temporary)))
        temporary.rename(target)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
