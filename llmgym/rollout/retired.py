"""Which stored episodes no longer count, since their task was changed or removed: `retired.jsonl`.

Rows are never taken out of `rollouts.jsonl`. A line of `retired.jsonl` says that the episode of an id and a task's hash
does not count any more, or, where `why` is null, that it counts again. An episode is only stored again after the one
before it was retired, so the first so many episodes of an id and a hash are retired as lines say that they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from llmgym.errors import StoreError

#: Id of an episode and hash of its task's content.
Key = tuple[str, str]

FILE = "retired.jsonl"


class _Line(msgspec.Struct):
    id: str
    task_hash: str
    why: str | None


_decoder = msgspec.json.Decoder(_Line)


def read_retired(folder: Path) -> Counter[Key]:
    """How many episodes of each key are retired.

    Raises:
        StoreError: The file cannot be read, or a line is none of ours.
    """
    path = folder / FILE
    retired: Counter[Key] = Counter()
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break  # torn, or being written
                try:
                    read = _decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise StoreError(f"{path}:{number}: not a retired episode: {error}") from None
                retired[read.id, read.task_hash] += 1 if read.why is not None else -1
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    return +retired


def retired_lines(keys: Iterable[Key], why: str | None) -> bytes:
    """Lines that say that episodes do not count any more, or, without a reason, that they do again."""
    return b"".join(msgspec.json.encode(_Line(*key, why)) + b"\n" for key in keys)
