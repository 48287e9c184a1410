"""A task: what one episode is about."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from llmgym.errors import MessageError, TaskError
from llmgym.messages import Message, read_messages, scrub, user
from llmgym.tasks.copies import lazy_value
from llmgym.tasks.hashing import content_digest
from llmgym.tasks.plain import plain

_encode = msgspec.json.Encoder(order="deterministic").encode


class Task(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One problem for an environment, in JSON data: a set turns NumPy's values into it, and refuses what is none.

    Attributes:
        id: Unique in its set; made from the content where a row has none.
        prompt: Opening text of the user, or the opening messages.
        answer: What the verifier compares with.
        metadata: Whatever else the environment needs.
    """

    id: str = ""
    prompt: str | list[Message] = ""
    answer: Any = None
    metadata: dict[str, Any] = {}

    @property
    def messages(self) -> list[Message]:
        """The opening messages, as fresh dicts."""
        return [user(self.prompt)] if isinstance(self.prompt, str) else plain(self.prompt, "the prompt of a task")

    @property
    def content_hash(self) -> str:
        """Hash of prompt, answer and metadata: equal tasks have equal hashes, whatever their ids.

        It is made once. A copy that an episode has got keeps that of its task, whatever the episode makes of it.

        Raises:
            TaskError: The content has what JSON cannot hold.
        """
        # Beside the fields, so that neither equality nor an encoder sees it.
        known = vars(self)
        if "hash" not in known:
            origin = known.get("origin")
            known["hash"] = _hash(self) if origin is None else origin.content_hash
        return known["hash"]


def _hash(task: Task) -> str:
    try:
        return content_digest(content_of(task))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return content_digest(content_of(settled(task)))


def content_of(task: Task) -> bytes:
    """All that a task holds besides its id, as JSON that is the same for equal tasks."""
    return _encode((task.prompt, task.answer, task.metadata))


def settled(task: Task) -> Task:
    """The same task as JSON data that nobody else holds.

    Raises:
        TaskError: A field holds what JSON cannot, or the wrong kind of value; says which.
    """
    _expect_task(task)
    metadata: Any = {} if task.metadata is None else task.metadata
    if not isinstance(metadata, dict):
        raise TaskError(f"the metadata of a task is {metadata!r:.100}; it is a dict")
    return Task(
        id=read_id(task.id),
        prompt=_opening(task.prompt),
        answer=plain(task.answer, "the answer of a task"),
        metadata=plain(metadata, "the metadata of a task"),
    )


def _expect_task(given: Any) -> None:
    if type(given) is not Task:
        raise TaskError(f"{given!r:.100} is not a Task; what a task has besides its fields goes to `metadata`")


def read_id(given: Any) -> str:
    """The id that a row or a function gives to a task; empty where it gives none.

    Raises:
        TaskError: It is neither text nor an integer.
    """
    if type(given) is str:
        return scrub(given)
    found = plain(given, "the id of a task")
    if found is None:
        return ""
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise TaskError(f"the id of a task is {given!r:.100}; it is text or an integer")
    return str(found)


def _opening(prompt: Any) -> str | list[Message]:
    if isinstance(prompt, str):
        return scrub(str.__str__(prompt))
    try:
        return read_messages(prompt)
    except MessageError as error:
        raise TaskError(f"the prompt of a task: {error}") from None


def lazy_copy(task: Task) -> Task:
    """A copy for an episode, which may change it; it costs what the episode reads of it.

    Args:
        task: It must not be changed while the copy is in use, unless it is such a copy itself.

    Raises:
        TaskError: It is no task.
    """
    _expect_task(task)
    copied = Task(
        id=task.id,
        prompt=cast("list[Message]", lazy_value(task.prompt)),
        answer=lazy_value(task.answer),
        metadata=lazy_value(task.metadata),
    )
    vars(copied)["origin"] = vars(task).get("origin", task)
    return copied
