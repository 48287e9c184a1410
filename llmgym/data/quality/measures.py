"""What the texts and tokens of rows say, as columns beside those of the index.

Rows are read once, by a decoder that skips their token ids, and what is found is kept: all that is asked later is SQL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from llmgym.data.index import Index, Progress
from llmgym.data.lines import Span
from llmgym.data.memory import steady_columns
from llmgym.data.output import replacing
from llmgym.data.quality.degenerate import LOOP, is_refusal, tail_repeat
from llmgym.data.quality.excerpts import Excerpt, excerpt
from llmgym.data.quality.shingles import WIDTH, require_minhash, shingles, signatures
from llmgym.data.scalars import MEASURED
from llmgym.errors import LLMGymError
from llmgym.messages import Message

_FORM = 2  # of the files
_BATCH = 2048  # rows

_arguments = msgspec.json.Decoder(dict[str, msgspec.Raw])

#: What changes the distribution that tokens are drawn from, and the value at which it does not.
_PLAIN = {
    "temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}  # fmt: skip


def measured_files(index: Index, progress: Progress | None = None) -> list[str]:
    """The Parquet files with the measures of a file's rows, made where they are not there yet.

    Args:
        index: Of the file.
        progress: Told how many bytes of how many have been read.

    Raises:
        UnreadableError: The file is another one by now.
    """
    require_minhash()
    shards = [shard.name for shard in index.meta.shards] or [None]
    names = {f"measured{_FORM}-{shard or 'none.parquet'}": shard for shard in shards}
    for stale in set(index.folder.glob("measured*.parquet")) - {index.folder / name for name in names}:
        stale.unlink(missing_ok=True)  # of rows that are in another shard now
    for name, shard in names.items():
        if not (index.folder / name).exists():
            with steady_columns():
                _measure(index, index.folder / shard if shard else None, index.folder / name, progress)
    return [str(index.folder / name) for name in names]


def _measure(index: Index, source: Path | None, target: Path, progress: Progress | None) -> None:
    """Write the measures of the rows of a shard, or of none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    with replacing(target, force=True) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for lines, spans in _places(source) if source else ():
            rows = list(_rows(index, lines, spans))
            columns = {name: [row.get(name) for row in rows] for name in schema.names}
            writer.write_batch(pa.RecordBatch.from_pydict(columns, schema=schema))
            if progress:
                progress(sum(spans[-1]), index.meta.size)


def _places(shard: Path) -> Iterator[tuple[list[int], list[Span]]]:
    """The lines of a shard's rows, and where they stand, so many at a time."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(shard) as file:
        for batch in file.iter_batches(_BATCH, columns=["line", "byte_position", "byte_length"]):
            lines, positions, lengths = (column.to_pylist() for column in batch.columns)
            yield lines, list(map(Span, positions, lengths))


def _schema() -> Any:
    import pyarrow as pa

    types = dict.fromkeys(MEASURED, pa.int32()) | {
        "tool_error_kinds": pa.map_(pa.string(), pa.int32()), "refusal": pa.bool_(), "runaway": pa.bool_(),
        "no_counts": pa.bool_(), "capture_mismatch": pa.string(), "prompt_hash": pa.int64(), "reply_hash": pa.int64(),
        "signature": pa.binary(WIDTH), "mean_logprob": pa.float64(), "min_logprob": pa.float64(),
        "is_entropy": pa.bool_(), "turn_tokens": pa.list_(pa.int32()), "turn_logprobs": pa.list_(pa.float32()),
        "unreadable": pa.string(),
    }  # fmt: skip
    return pa.schema([("line", pa.int64()), *types.items()])


def _rows(index: Index, lines: Sequence[int], spans: Sequence[Span]) -> Iterator[dict[str, Any]]:
    """The measures of rows, by their columns."""
    rows: list[dict[str, Any]] = []
    said: list[set[str]] = []
    for number, data in zip(lines, index.fetch(spans), strict=True):
        row: dict[str, Any] = {"line": number}
        text = ""
        try:
            found = excerpt(index.shape, data, f"{index.path}:{number}")
            text = _said(found.replies)
            row |= measures(found, text)
        except LLMGymError as error:
            row["unreadable"] = str(error).removeprefix(f"{index.path}:{number}: ")
        rows.append(row)
        said.append(shingles(text))
    for row, one, mark in zip(rows, said, signatures(said), strict=True):
        yield row | ({"signature": mark.tobytes()} if one else {})


def measures(found: Excerpt, said: str) -> dict[str, Any]:
    """What the texts and tokens of a row say, under the names of its columns; `said` is all that the policy said."""
    replies = found.replies
    calls = [call["function"] for reply in replies for call in reply.get("tool_calls", ())]
    loops = [_loop(reply) for reply in replies]
    cut = [turn.finish_reason == "length" for turn in found.turns]
    last = replies[-1] if replies else None
    return {
        "num_chars": sum(len(reply["content"]) + len(reply.get("reasoning_content", "")) for reply in replies),
        "num_calls": len(calls),
        "num_malformed_calls": sum(not call["name"] or not _is_object(call["arguments"]) for call in calls),
        "num_hollow": sum(not reply["content"].strip() and not reply.get("tool_calls") for reply in replies),
        "num_cut_off": sum(cut),
        "tool_error_kinds": found.tool_errors,
        "tail_repeat": max(loops, default=0),
        "refusal": last is not None and not last.get("tool_calls") and is_refusal(last["content"]),
        "runaway": any(off and loop >= LOOP for off, loop in zip(cut, loops, strict=False)),
        "capture_mismatch": _mismatch(found, len(replies)),
        "prompt_hash": _hash(found.prompt),
        "reply_hash": _hash(said),
        **_tokens(found, bool(replies)),
    }


def _said(replies: Sequence[Message]) -> str:
    """What the policy said, its calls included."""
    parts: list[str] = []
    for reply in replies:
        parts.append(reply["content"])
        parts += [f"{call['function']['name']} {call['function']['arguments']}" for call in reply.get("tool_calls", ())]
    return "\n".join(parts)


def _loop(reply: Message) -> int:
    return max(tail_repeat(reply["content"]), tail_repeat(reply.get("reasoning_content", "")))


def _is_object(arguments: str) -> bool:
    try:
        _arguments.decode(arguments)
    except (ValueError, RecursionError):
        return False
    return True


def _hash(text: str) -> int:
    """The same for texts that differ in spaces and case alone."""
    normal = " ".join(text.lower().split())
    return int.from_bytes(hashlib.blake2b(normal.encode(), digest_size=8).digest(), signed=True)


# --- tokens --------------------------------------------------------------------------------------


def _tokens(found: Excerpt, answered: bool) -> dict[str, Any]:
    """What is known of the tokens that were sampled, and are trained."""
    usage = found.usage.get("agent")
    logprobs = [tokens.logprobs for tokens in found.segments if tokens.trained and len(tokens.logprobs)]
    if not logprobs:
        return {"no_counts": answered and not (usage and usage.output_tokens)}
    count, least = sum(map(len, logprobs)), min(float(one.min()) for one in logprobs)
    by_turn = [_of_turn(found, turn) for turn in found.turns]
    return {
        "no_counts": False,
        "mean_logprob": sum(float(one.sum(dtype=np.float64)) for one in logprobs) / count,
        "min_logprob": least,
        "is_entropy": is_entropy(found.sampling),
        "turn_tokens": [len(one) for one in by_turn],
        "turn_logprobs": [float(one.sum(dtype=np.float64)) for one in by_turn],
    }


def is_entropy(sampling: Mapping[str, Any]) -> bool:
    """Whether the mean of -log p over sampled tokens estimates the entropy of what they were drawn from.

    It does where the log-probabilities are of that distribution: after temperature and the like, or where none is used.
    """
    if str(sampling.get("logprobs_mode", "")).startswith("processed"):
        return True
    return all(sampling.get(name, plain) == plain for name, plain in _PLAIN.items())


def _of_turn(found: Excerpt, turn: Any) -> Any:
    """The log-probabilities of what was sampled in a turn."""
    if turn.segment >= len(found.segments):
        return np.zeros(0)
    spans, logprobs, _ = found.segments[turn.segment]
    before = 0
    for start, end in spans:
        if start <= turn.start and turn.end <= end:
            at = before + turn.start - start
            return logprobs[at : at + turn.end - turn.start]
        before += end - start
    return logprobs[:0]


def _mismatch(found: Excerpt, replies: int) -> str | None:
    """In what tokens and messages of a row disagree."""
    if found.turns and len(found.turns) != replies:
        return f"{len(found.turns)} turns, {replies} assistant messages"
    for number, (spans, logprobs, _) in enumerate(found.segments):
        sampled = sum(end - start for start, end in spans)
        if sampled != len(logprobs):
            return f"segment {number}: {sampled} sampled tokens, {len(logprobs)} log-probabilities"
    for number, turn in enumerate(found.turns):
        if turn.end > turn.start and len(_of_turn(found, turn)) != turn.end - turn.start:
            return f"turn {number}: its tokens are not those that segment {turn.segment} has as sampled"
    return None
