"""What stock clients have said, said again; `record.py` writes the transcripts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("uvicorn")

from llmgym.serve import EnvServer
from tests.serve.fronts.dialogues import DIALOGUES
from tests.serve.fronts.transcripts import Replay


@pytest.mark.parametrize("name", DIALOGUES)
def test_stock_clients_are_answered_as_they_were(serve: Callable[..., EnvServer], name: str) -> None:
    replay = Replay(name)
    server = serve(*replay.recorded["env_ids"], front=replay.recorded["front"])
    replay.run(server.url)
    assert len(server.sessions) == 0
