"""`python -m llmgym`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # `-m` puts the working directory first, where a file of the user's may have the name of a library.
    if not sys.flags.safe_path and sys.path:
        sys.path.pop(0)
    from llmgym.cli import main

    main()
