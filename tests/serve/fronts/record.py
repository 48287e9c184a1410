"""Record what the stock clients of other protocols say to a server of ours: `record.py [NAME]`, see `DIALOGUES`.

They are those of `make install-servers`, but for `nemo_gym_0_5`: for that, PYTHONPATH has the unpacked wheels of
nemo-gym 0.5.1 and openai 2.7.2. What is written is what `test_transcripts.py` says again.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

from llmgym.serve import EnvServer, ServeConfig
from tests.serve.fronts.dialogues import DIALOGUES, talk
from tests.serve.fronts.transcripts import Recorder


class Recorded(EnvServer):
    """A server that notes what is said."""

    def application(self) -> Any:
        """The application, within a recorder."""
        self.recorder = Recorder(super().application())
        return self.recorder


def record(name: str) -> None:
    """Write the transcript of a dialogue."""
    dialogue = DIALOGUES[name]
    front: Any = dialogue.front
    server = Recorded(ServeConfig(env_ids=list(dialogue.env_ids), front=front, port=0))
    listening = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(lambda _: listening.set())))
    thread.start()
    try:
        listening.wait(30)
        talk(name, server.url)
    finally:
        server.stop()
        thread.join(30)
    server.recorder.store(name, front=front, env_ids=list(dialogue.env_ids))


if __name__ == "__main__":
    for each in sys.argv[1:] or [name for name in DIALOGUES if name != "nemo_gym_0_5"]:
        record(each)
