"""Reference lines beside a model: the oracle, which knows the answer, and a random policy, which knows nothing."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from llmgym.chat import ChatGeneration, Sampling
from llmgym.errors import EnvironmentFailure, PolicyError
from llmgym.loading import described
from llmgym.messages import Message, ToolSchema, as_assistant


class OraclePolicy:
    """Each environment's own oracle plays it; what a perfect score is, and data for supervised fine-tuning.

    It cannot be asked with messages alone, since an oracle knows the task: whatever runs an episode sees that its
    policy is this one, and takes the messages from `oracle_replies` of the environment.

    Attributes:
        name: "oracle".
        model: "oracle".
    """

    name = "oracle"
    model = "oracle"

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to free."""


class OracleEnvironment(Protocol):
    """What `oracle_replies` needs of an environment."""

    @property
    def task(self) -> Any:
        """The task of the running episode."""
        ...

    def oracle(self, task: Any) -> Any:
        """See `ToolEnv.oracle`."""
        ...


async def oracle_replies(core: OracleEnvironment) -> AsyncIterator[Message]:
    """Give the assistant messages of an environment's oracle for the episode that is running, one by one.

    The oracle may be anything that gives messages: a list, a generator, a coroutine that returns either, or an
    asynchronous generator. A generator goes on when the next message is asked for, so that it can look at what the
    environment answered. Whoever asks takes a step with each message before the next; where the messages end before
    the episode does, the oracle is wrong.

    Args:
        core: The environment, reset.

    Raises:
        PolicyError: There is no oracle, it raised, or it gave something that is no assistant message.
        EnvironmentFailure: Something that the environment needs is not there.
    """
    name = type(core).__name__
    try:
        messages = core.oracle(core.task)
        if inspect.isawaitable(messages):
            messages = await messages
        if isinstance(messages, str | dict):
            raise TypeError("it gave a single message; put it in a list")
        if hasattr(messages, "__aiter__"):
            async for message in messages:
                yield as_assistant(message)
        else:
            for message in messages:
                yield as_assistant(message)
    except NotImplementedError:
        raise PolicyError(f"{name} has no oracle; write its `oracle(task)`, or take another policy") from None
    except EnvironmentFailure:
        raise
    except (Exception, SystemExit) as error:  # an oracle is its author's code
        raise PolicyError(f"the oracle of {name} failed: {described(error)}") from error


class RandomPolicy:
    """Random calls of the tools that are offered, with arguments that fit their schemas, and now and then some words.

    What guessing earns. A request gives the same message whenever it is asked again, in any process.

    Attributes:
        name: "random".
        model: "random", with the seed where it is not 0.
    """

    def __init__(self, *, seed: int = 0) -> None:
        """Choose the stream of messages.

        Args:
            seed: Another one gives other messages.
        """
        self.name = "random"
        self.model = f"random:{seed}" if seed else "random"
        self._seed = seed

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to free."""

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        sampling: Sampling,
        *,
        request_id: str,
        session_id: str,
    ) -> ChatGeneration:
        """Sample a message from `AssistantSpace`; the request's id is its seed."""
        from llmgym.spaces import AssistantSpace

        text = f"{self._seed}/{sampling.seed}/{request_id}"
        seed = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
        return ChatGeneration(AssistantSpace(tools, seed=seed).sample(), "stop")
