"""One episode as NeMo Gym asks for it: calls and a verdict, or steps."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from llmgym.adapters.remote.protocol import Opened, Stepped
from llmgym.errors import EnvironmentFailure
from llmgym.failures import NEMO_GYM
from llmgym.messages import Message, assistant, tool_call
from llmgym.responses import from_items, to_input, to_tools
from llmgym.rollout.reference import TaskRef
from llmgym.serve.fronts import web
from llmgym.serve.session import Session, encode
from llmgym.serve.sessions import Sessions
from llmgym.serve.trouble import ServeError

_UNSCORED = "the environment leaves this episode unscored"


class Episode:
    """The episode of a session.

    Attributes:
        session: The session.
        steps: Whether it goes by `/step`, which takes calls too.
        name: What the client calls it.
        closed: Whether the client is done with it.
    """

    def __init__(self, sessions: Sessions, session: Session, *, steps: bool = False, name: str = "") -> None:
        """Nothing has been asked."""
        self.session, self.steps, self.name, self.closed = session, steps, name, False
        self._sessions = sessions
        self._paid = 0.0  # NaN once something left it unscored
        self._last: Stepped | None = None
        self._failure: EnvironmentFailure | None = None
        self._asked: tuple[Any, asyncio.Future[Any]] | None = None

    async def once(self, key: Any, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do what was not asked for just before: NeMo Gym asks again where a connection was lost."""
        if key is None or self._asked is None or self._asked[0] != key:
            self._asked = key, asyncio.ensure_future(work())
        return await asyncio.shield(self._asked[1])

    async def call(self, name: str, arguments: dict[str, Any]) -> str:
        """Call a tool, if there is one of this name; gives what the model is shown.

        Raises:
            EnvironmentFailure: The environment failed. The model is shown that, and the verdict says so too.
        """
        found = await self._do(self.session.call(tool_call(name, encode(arguments).decode()), same=False))
        return "\n".join(message["content"] for message in found.messages)

    async def step(self, body: dict[str, Any]) -> dict[str, Any]:
        """Take a response of the model.

        Raises:
            EnvironmentFailure: The environment failed, or leaves the episode unscored; the protocol has no other word.
        """
        message = _message(web.field(web.field(body, "response", dict), "output", list))
        found = await self._do(self.session.step(message or assistant("")))
        if found.reward is None:
            raise EnvironmentFailure(_UNSCORED, kind="verdict", stage="verify")
        results = [said for said in found.messages if said["role"] == "tool"]
        said = [message["content"] for message in found.messages if message["role"] != "tool"]
        outputs = [{"call_id": each.get("tool_call_id", ""), "output": each["content"]} for each in results]
        return {
            "observation": "\n".join(said) or None,
            "reward": found.reward,
            "terminated": found.terminated,
            "truncated": found.truncated,
            "info": {**found.info, "tool_outputs": outputs},
        }

    async def verify(self, body: dict[str, Any], said: LastWords, *, masks: bool) -> dict[str, Any]:
        """Say what the model said last, and give the verdict.

        Args:
            body: A row with the `response`.
            said: Of the response.
            masks: Whether the client knows `mask_sample`, of 0.7. Any reward is one to those that do not.

        Raises:
            EnvironmentFailure: There is no reward, and no other word for that.
        """
        try:
            if self._failure is None and not self._over:
                await self._finish(*said)
        except EnvironmentFailure:
            pass  # noted
        except ServeError as error:
            if error.wrong != "unknown_session":
                raise
            self._failure = EnvironmentFailure(str(error), kind="abandoned")
        finally:
            await self.close()
        failure = self._failure
        if failure is None and math.isnan(self._paid):
            failure = EnvironmentFailure(_UNSCORED, kind="verdict", stage="verify")
        if failure is None:
            info = {} if self._last is None else self._last.info
            parts = {"reward_components": info["reward_parts"]} if info.get("reward_parts") else {}
            return {**info.get("metrics", {}), **parts, **body, "reward": self._paid}
        if not masks:
            raise failure
        told = {"mask_sample": True, "failure_kind": NEMO_GYM[failure.kind], "failure_reason": str(failure)}
        return {**body, "reward": 0.0, **told}

    async def close(self) -> dict[str, Any]:
        """Give the session back."""
        self.closed = True
        await self._sessions.close(self.session.id)
        return {}

    @property
    def _over(self) -> bool:
        return self._last is not None and (self._last.terminated or self._last.truncated)

    async def _finish(self, message: Message | None, whole: bool) -> None:
        """Take the last message, and end the episode where that does not."""
        if whole:
            await self._do(self.session.step(message))
        if not self._over:
            await self._do(self.session.end(None if whole else message))

    async def _do(self, work: Awaitable[Stepped]) -> Stepped:
        try:
            self._last = found = await self._sessions.use(self.session, work)
        except EnvironmentFailure as failure:
            self._failure = failure
            raise
        self._paid += math.nan if found.reward is None else found.reward
        return found


def row_of(opened: Opened, ref: TaskRef) -> dict[str, Any]:
    """The row of an episode, as those that `llmgym.trainers.nemo_gym` makes."""
    tools = [{"description": "", "strict": False, **tool} for tool in to_tools(opened.tools)]
    return {
        "responses_create_params": {"input": to_input(opened.messages), "tools": tools},
        "verifier_metadata": {"llmgym": ref.dumps()},
    }


class LastWords(NamedTuple):
    """What a model said after the results of its last calls.

    Attributes:
        message: Its message, if there is one.
        whole: Whether that is one to step with: calls that are left were not run, and a message may be cut off.
    """

    message: Message | None
    whole: bool


def last_words(response: dict[str, Any]) -> LastWords:
    """The end of a whole response.

    Raises:
        MessageError, ServeError: It is no response.
    """
    items = web.field(response, "output", list)
    from_items(items)
    results = [place for place, item in enumerate(items) if item.get("type") == "function_call_output"]
    message = _message(items[results[-1] + 1 :] if results else items)
    cut = message is None or "tool_calls" in message or response.get("status") == "incomplete"
    return LastWords(message, not cut)


def _message(items: Sequence[Any]) -> Message | None:
    """What the model says in the items of a response, as one message; None where it says nothing."""
    found = [message for message in from_items(items) if message["role"] == "assistant"]
    if not found:
        return None
    message = found[0]
    for other in found[1:]:
        message["content"] += other["content"]
        if calls := [*message.get("tool_calls", ()), *other.get("tool_calls", ())]:
            message["tool_calls"] = calls
    return message
