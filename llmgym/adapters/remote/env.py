"""An environment at a server of `llmgym serve env`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from llmgym.adapters.packages import expect_packages
from llmgym.adapters.remote.host import Host
from llmgym.adapters.remote.lifecycle import RemoteLifecycle
from llmgym.adapters.remote.session import RemoteSession
from llmgym.adapters.remote.tasks import RemoteTasks
from llmgym.env import Episode, ToolEnv
from llmgym.messages import Message
from llmgym.tasks import Task
from llmgym.tools import Tool


class Remote(ToolEnv, lifecycle=RemoteLifecycle):
    """An environment that another process serves.

    ## Description

    Any environment of `llmgym serve env`, on this machine or on another one. Tasks, tools, prompts, answers and rewards
    are those of that environment, and so are seeds: a run here has the tasks, messages and rewards that it has there.

    ## Actions

    Those of the environment there.

    ## Observations

    Those of the environment there.

    ## Rewards

    Those of the environment there. A server that cannot be reached, that was started again in the middle of an episode,
    or that answers nonsense leaves the episode unscored. A lost connection costs nothing: what was under way is asked
    for again, and the server does nothing twice.

    ## Episode End

    As in the environment there, and after `max_turns` messages, of which the server decides.

    ## Arguments

    - `url`: where the server is, such as `http://127.0.0.1:8300`.
    - `env_id`: which of its environments; the only one where it has one.
    - `token`: its token; by default that in the variable `LLMGYM_TOKEN`, which no run stores.
    - `timeout`: seconds that the server has for an answer.
    - `max_turns`: counts where it is less than the server's.
    """

    transport = ("url", "token", "timeout")

    def __init__(
        self,
        *,
        url: str,
        env_id: str = "",
        token: str | None = None,
        timeout: float = 600.0,
        max_turns: int | None = None,
        **options: Any,
    ) -> None:
        """Ask the server what it has.

        Raises:
            ConfigError: That is no address, or the server has no such environment.
            EnvironmentFailure: The server cannot be reached.
            MissingExtraError: The extra `remote` is not installed.
        """
        expect_packages(type(self).__name__, "remote", "aiohttp")
        host = Host.at(url, token or os.environ.get("LLMGYM_TOKEN"))
        info = host.environment(env_id)
        self.session = RemoteSession(host, info, timeout)
        self.tools = {schema["function"]["name"]: Tool.of_schema(schema, _elsewhere) for schema in info.tools}
        beside = {name: given for name, given in (("wrappers", info.wrappers), ("models", info.models)) if given}
        self.oracle_kind, self.identity = info.oracle, {"served": {"id": info.id, **info.arguments, **beside}}
        turns = info.max_turns if max_turns is None else max_turns
        super().__init__(tasks=RemoteTasks(host, info), max_turns=min(turns, info.max_turns), **options)

    async def setup(self, task: Task, **options: Any) -> None:
        """The server does it."""

    def verify(self, episode: Episode) -> Any:
        """The server does it."""

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """What the oracle there says."""
        return self.session.oracle()


def _elsewhere(env: Any, /, **arguments: Any) -> str:
    raise NotImplementedError("tools run at the server")
