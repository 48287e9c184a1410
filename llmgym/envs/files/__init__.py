"""Files: jobs on a folder of files, by a shell that runs in the process."""

from __future__ import annotations

import asyncio
from typing import Any

from llmgym.env import Episode
from llmgym.envs.files.base import FolderEnv, said_of
from llmgym.envs.files.machine import SECONDS, Machine, load
from llmgym.errors import ConfigError
from llmgym.rewards import Reward
from llmgym.tasks import Task
from llmgym.tools import tool

_TOO_MUCH = ("totals",)  # its `sort` knows no options of one key


class Files(FolderEnv):
    """Do jobs on a folder of files by a shell.

    ## Description

    A folder has logs of services, tables of orders, settings, source code, notes, and files that nobody needs. A task
    has one job or several: find something out over many files, change a setting wherever it has some value, rename,
    move, delete, pack, or write a file. At the end the folder has to be exactly what was asked for, and one thing has
    to be told, such as how many lines were moved.

    The shell is [shellsim](https://pypi.org/project/shellsim/), which runs in the process: some fifty commands in the
    manner of BusyBox (grep, sed, awk, sort, find, tar ...), no other programs, no host and no network.
    `llmgym/Shell-v0` has the same jobs in a real system.

    ## Actions

    Calls of `shell(command)`, any number of them in a message; then a message without a call, which ends the episode
    and tells what was asked for: "Answer: ...", a box, or a reply of one line.

    ## Observations

    The task; then what each command prints, and its exit code where that is not 0. A command that takes more than 3
    seconds is stopped, and the shell stays.

    ## Rewards

    1 where the folder is what it should be (all paths and contents, but for line ends at the end of a file; the files
    in an archive; folders without files do not count) and the final message tells the right thing, else 0. How that was
    done does not count. Whoever uses up the machine's budget of computing, memory or output earns 0.

    Metrics: `folder` (1 where it is right), `told` (1 where the answer is right), `share` (of the files that were or
    should have been changed, those that are right), `missing`, `extra`, `changed`, `unsupported` (commands and options
    that the shell does not have), `tool_calls`, `tool_errors`.

    ## Episode End

    Terminates with the first message that calls no tool, or when the machine's budget is spent; truncates after
    `max_turns` messages.

    ## Arguments

    - `sorts`: sorts of jobs. There are copy, rename, append, count (of one file); count_level, sum_column, top_client,
      replace_setting, rename_ending, put_away, clean, report, extract, rename_function, merge, archive (of many; the
      default); checksum.
    - `jobs` (1): jobs of a task, 1 to 5; each finds what the one before has left, and the last asks.
    - `size` (3): size of the folder, 2 to 8, of some 10 files each.
    - `tasks`: a file of rows with `prompt`, `files` (an object of texts by path), `goal` (the same at the end) and
      `answer`, of which one of the last two may be absent.

    ## Registered Variants

    - `llmgym/Files-v0`: one job over many files.
    - `llmgym/Files-easy-v0`: one job on one file.
    - `llmgym/Files-hard-v0`: three jobs in a larger folder.

    ## Version History

    - v0: first version.
    """

    verify_in = "thread"  # reading the folder takes some 15 ms

    def __init__(self, **options: Any) -> None:
        """Make the environment, of the arguments that the base takes.

        Raises:
            ConfigError: An argument is out of range or unknown.
            MissingExtraError: shellsim is not there.
        """
        load()
        if too_much := set(options.get("sorts") or ()) & set(_TOO_MUCH):
            raise ConfigError(f"sorts has {too_much.pop()!r}, which this shell cannot do; llmgym/Shell-v0 can")
        super().__init__(**options)

    async def setup(self, task: Task) -> None:
        """Start a machine on the folder, off the event loop: it takes some 10 ms."""
        self.machine = await asyncio.to_thread(Machine, self._trees(task)[0])

    def teardown(self) -> None:
        """Let the machine go."""
        self.__dict__.pop("machine", None)

    @tool(blocking=True, serial=True)
    def shell(self, command: str) -> str:
        """Run a command of a shell (sh or bash) in the folder.

        Args:
            command: The command, of one line or several.
        """
        result = self.machine.run(command)
        if result.unsupported:
            self.count("unsupported", float(len(result.unsupported)))
        if self.machine.is_spent:
            self.finish()
            return f"The machine has stopped for good: {result.stop_reason or 'its budget is spent'}."
        note = f"\n[stopped after {SECONDS:g} seconds]" if result.interrupted else ""
        return said_of(result.stdout_text, result.stderr_text, result.returncode) + note

    def verify(self, episode: Episode) -> Reward:
        """Compare the folder and the answer with what they should be."""
        return self._judge(episode, self.machine.files())
