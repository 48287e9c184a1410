"""Models in the roles that environments have: any policy can chat, a token policy through its codec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from llmgym.chat import ChatGeneration, ChatPolicy, Sampling, Usage
from llmgym.codec.base import ChatCodec
from llmgym.errors import ConfigError
from llmgym.messages import Message, ToolSchema
from llmgym.policies import Policy, TokenPolicy, make_policy
from llmgym.policies.base import gives_tokens
from llmgym.policies.stop_strings import before_stop

OWN = "policy"  # as a model, the run's own policy


class TokenChat:
    """A token policy that chats: its codec renders messages, and reads replies."""

    def __init__(self, policy: TokenPolicy, codec: ChatCodec | str = "auto") -> None:
        """Join them; where there is but a kind of codec, it is made of the policy's tokenizer."""
        self.name, self.model = policy.name, policy.model
        self._policy, self._codec = policy, codec

    async def start(self) -> None:
        """Start the policy, and make the codec."""
        await self._policy.start()
        if isinstance(self._codec, str):
            from llmgym.codec import codec_for

            self._codec = codec_for(self._policy.tokenizer, self._codec)

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
        assert not isinstance(codec, str), "await start() first"
        prompt = codec.open(messages, tools)
        sampling = replace(sampling, stop_token_ids=codec.stop_token_ids)
        found = await self._policy.generate(prompt, sampling, request_id=request_id, session_id=session_id)
        usage = Usage(len(prompt), len(found.token_ids), calls=1)
        read = before_stop(self._policy.tokenizer, found, sampling)
        return ChatGeneration(codec.parse(read, prompt, tools), found.finish_reason, usage)


def chat_policy(policy: Policy | str, codec: ChatCodec | str = "auto") -> ChatPolicy:
    """A policy that chats.

    Args:
        policy: A policy of either kind, or its short form.
        codec: Codec of a token policy, or the kind of it.

    Raises:
        ConfigError: It is no policy.
    """
    policy = make_policy(policy) if isinstance(policy, str) else policy
    if callable(getattr(policy, "chat", None)):
        return cast("ChatPolicy", policy)
    if gives_tokens(policy):
        return TokenChat(policy, codec)
    raise ConfigError(f"{policy!r:.100} is no policy: it has neither `chat` nor `generate`")


def cast_roles(
    models: Mapping[str, Policy | str], own: Policy, codec: ChatCodec | str = "auto"
) -> dict[str, ChatPolicy]:
    """The models of a run's roles, each model once.

    Args:
        models: Policies by role; "policy" is the run's own.
        own: The run's policy.
        codec: Its codec, or the kind of it.

    Raises:
        ConfigError: One is no policy; names the role.
    """
    made: dict[str, ChatPolicy] = {}
    found: dict[str, ChatPolicy] = {}
    for role, model in models.items():
        try:
            if isinstance(model, str):
                if model not in made:
                    made[model] = chat_policy(own, codec) if model == OWN else chat_policy(model)
                found[role] = made[model]
            else:
                found[role] = chat_policy(model)
        except ConfigError as error:
            raise ConfigError(f"models: {role!r}: {error}") from None
    return found
