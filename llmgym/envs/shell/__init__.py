"""Shell: jobs on a folder of files, in a real system behind the sandbox's wall."""

from __future__ import annotations

from llmgym.env import Episode
from llmgym.envs.files.base import FolderEnv, said_of
from llmgym.envs.files.folders import MAX_FILE
from llmgym.errors import ToolError
from llmgym.rewards import Reward
from llmgym.sandbox import Limits, Sandbox
from llmgym.tasks import Task
from llmgym.tools import tool

_LIMITS = Limits(wall=900.0, cpu=60.0, processes=32)
_SECONDS = 10.0  # that a command may take
_MAX_COMMAND = 50_000


class Shell(FolderEnv):
    """Do jobs on a folder of files by the shell of a real system.

    ## Description

    The folders and jobs of `llmgym/Files-v0`, and others that need more: what customers' orders come to, checksums. The
    shell is the system's own, in llmgym's sandbox, with the programs of the machine (awk, sort, find, sed, tar, Python
    where it is there), without a network, and with a folder of its own.

    ## Actions

    Calls of `shell(command)`, any number of them in a message; then a message without a call, which ends the episode
    and tells what was asked for: "Answer: ...", a box, or a reply of one line.

    ## Observations

    The task; then what each command prints, and its exit code where that is not 0. A command that takes more than 10
    seconds is stopped, and the shell stays.

    ## Rewards

    1 where the folder is what it should be (all paths and contents, but for line ends at the end of a file; the files
    in an archive; folders without files do not count; a link is no file) and the final message tells the right thing,
    else 0. How that was done does not count. The folder is read from outside of the sandbox.

    Metrics: `folder` (1 where it is right), `told` (1 where the answer is right), `share` (of the files that were or
    should have been changed, those that are right), `missing`, `extra`, `changed`, `tool_calls`, `tool_errors`.

    ## Episode End

    Terminates with the first message that calls no tool; truncates after `max_turns` messages.

    ## Arguments

    - `sorts`, `jobs` (1), `size` (3), `tasks`: as in `llmgym/Files-v0`, with totals as a further sort; by default
      all jobs over many files.

    ## Registered Variants

    - `llmgym/Shell-v0`: one job over many files.
    - `llmgym/Shell-easy-v0`: one job on one file.
    - `llmgym/Shell-hard-v0`: three jobs in a larger folder.

    ## Version History

    - v0: first version.
    """

    sandbox = Sandbox(least="landlock")
    default_sorts = (*FolderEnv.default_sorts, "totals", "checksum")

    async def setup(self, task: Task) -> None:
        """Start a shell in a sandbox on the folder."""
        tree, _ = self._trees(task)
        files = {path: said.encode() for path, said in tree.items()}
        assert self.sandbox is not None
        self.session = await self.sandbox.shell(files=files, limits=_LIMITS).__aenter__()

    async def teardown(self) -> None:
        """End the shell."""
        session = self.__dict__.pop("session", None)
        if session is not None:
            await session.aclose()

    @tool(serial=True, timeout=_SECONDS + 20)
    async def shell(self, command: str) -> str:
        """Run a command of a shell (/bin/sh) in the folder; it may take 10 seconds.

        Args:
            command: The command, of one line or several.
        """
        if "\0" in command or len(command) > _MAX_COMMAND:
            raise ToolError(f"a command has no NUL character, and at most {_MAX_COMMAND:,} characters")
        result = await self.session.run(command, timeout=_SECONDS)
        if result.status == "lost":
            self.finish()
            return "The shell has ended for good, and with it the episode."
        note = {"timeout": f"\n[stopped after {_SECONDS:g} seconds]", "output": "\n[more was printed than is kept]"}
        return said_of(result.stdout, result.stderr, result.exit_code) + note.get(result.status, "")

    def verify(self, episode: Episode) -> Reward:
        """Compare the folder and the answer with what they should be."""
        return self._judge(episode, {name: self._content(name) for name in self.session.names()})

    def _content(self, name: str) -> bytes | None:
        try:
            content = self.session.read(name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return content if content is None or len(content) <= MAX_FILE else None
