"""`python -m llmgym`."""

from __future__ import annotations

import os
import sys


def _forget_working_directory() -> None:
    """Take back what `-m` put first on the path: a file of the user's may have the name of a library."""
    try:
        folder = os.getcwd()
    except OSError:  # removed under the process
        folder = ""
    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", folder):
        sys.path.pop(0)


if __name__ == "__main__":
    _forget_working_directory()
    from llmgym.cli import main

    main()
