"""`llmgym view`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmgym.cli.data.options import SkipBad, told
from llmgym.cli.report import Runs, Threshold, Tokenizer

EXAMPLES = """
\b
Examples:
  llmgym view RUN
  llmgym view RUN --open
"""


def run(
    runs: Runs,
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="Where to listen; 0 for any.")] = 0,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    tokenizer: Tokenizer = None,
    threshold: Threshold = None,
    skip_bad: SkipBad = False,
) -> None:
    """Serve the page of a run, which grows while the run does.

    It is that of `llmgym report`. Ctrl-C ends it.
    """
    import webbrowser

    from llmgym.cli.verb import complain
    from llmgym.report import Report
    from llmgym.report.serving import Viewer

    report = Report(runs, tokenizer=tokenizer, threshold=threshold, skip_bad=skip_bad)
    viewer = Viewer(report, port=port, progress=told("reading"), complain=complain)
    print(viewer.url, flush=True)
    if open_:
        webbrowser.open(viewer.url)
    try:
        viewer.run()
    except KeyboardInterrupt:
        pass
    finally:
        viewer.close()
