from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from llmgym.data.output import replacing
from llmgym.errors import ConfigError


def test_only_files_are_replaced(tmp_path: Path) -> None:
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="pipe is a device or a pipe"), replacing(pipe, force=True) as temporary:
        temporary.write_text("new")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    file.write_text("old")
    with replacing(file, force=True) as temporary:
        temporary.write_text("new")
    assert file.read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 2
