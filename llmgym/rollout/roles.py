"""Models in the roles that environments have: any policy can chat, a token policy through its codec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmgym.chat import ChatGeneration, ChatPolicy, Sampling, Usage
from llmgym.codec.base import ChatCodec
from llmgym.errors import ConfigError
from llmgym.messages import Message, ToolSchema
from llmgym.policies import Policy, TokenPolicy, make_policy

OWN = "policy"  # as a model, the run's own policy


class TokenChat:
    """A token policy that chats: its codec renders messages, and reads replies."""

    def __init__(self, policy: TokenPolicy, codec: ChatCodec | None = None) -> None:
        """Join them; the codec is made of the policy's tokenizer where there is none."""
        self.name, self.model = policy.name, policy.model
        self._policy, self._codec = policy, codec

    async def start(self) -> None:
        """Start the policy, and make the codec."""
        await self._policy.start()
        if self._codec is None:
            from llmgym.codec import codec_for

            self._codec = codec_for(self._policy.tokenizer)

    async def close(self) -> None:
        """Close the policy."""
        await self._policy.close()

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        sampling: Sampling,
        *,
        request_id: str,
        session_id: str,
    ) -> ChatGeneration:
        """See `ChatPolicy.chat`."""
        codec = self._codec
        assert codec is not None, "await start() first"
        prompt = codec.open(messages, tools)
        sampling = replace(sampling, stop_token_ids=codec.stop_token_ids)
        found = await self._policy.generate(prompt, sampling, request_id=request_id, session_id=session_id)
        usage = Usage(len(prompt), len(found.token_ids), calls=1)
        return ChatGeneration(codec.parse(found.token_ids, prompt, tools), found.finish_reason, usage)


def chat_policy(policy: Policy | str, codec: ChatCodec | None = None) -> ChatPolicy:
    """A policy that chats.

    Args:
        policy: A policy of either kind, or its short form.
        codec: Codec of a token policy, where there is one already.

    Raises:
        ConfigError: It is no policy.
    """
    policy = make_policy(policy) if isinstance(policy, str) else policy
    if isinstance(policy, ChatPolicy):
        return policy
    if isinstance(policy, TokenPolicy):
        return TokenChat(policy, codec)
    raise ConfigError(f"{policy!r:.100} is no policy: it has neither `chat` nor `generate`")


def cast_roles(models: Mapping[str, Policy | str], own: Policy) -> dict[str, ChatPolicy]:
    """The models of a run's roles, each model once.

    Args:
        models: Policies by role; "policy" is the run's own.
        own: The run's policy.
    """
    made: dict[str, ChatPolicy] = {}
    found: dict[str, ChatPolicy] = {}
    for role, model in models.items():
        if isinstance(model, str):
            made.setdefault(model, chat_policy(own if model == OWN else model))
            found[role] = made[model]
        else:
            found[role] = chat_policy(model)
    return found
