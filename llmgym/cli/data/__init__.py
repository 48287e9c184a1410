"""`llmgym data`: from rollouts to training data, a module per verb."""

from __future__ import annotations

import typer

from llmgym.cli.data import columns, convert, curate, export, filter, prepare, pull, push, quality, split
from llmgym.cli.verb import verb

app = typer.Typer(no_args_is_help=True, help="Measure, filter, convert, export and share rollouts.")


@app.callback()
def options() -> None:
    """Measure, filter, convert and export rollouts.

    PATH is a run folder, or a file of rows: of llmgym, NeMo Gym or verifiers, ATIF trajectories, or chats, compressed
    or not. An index of it is kept beside it.
    """


app.command("validate", epilog=prepare.VALIDATE)(verb(prepare.validate, user_code=True))
app.command("prepare", epilog=prepare.PREPARE)(verb(prepare.run, user_code=True, writes=True))
app.command("filter", epilog=filter.EXAMPLES)(verb(filter.run, writes=True))
app.command("quality", epilog=quality.EXAMPLES)(verb(quality.run, writes=True))
app.command("convert", epilog=convert.EXAMPLES)(verb(convert.run, writes=True))
app.command("columns", epilog=columns.EXAMPLES)(verb(columns.run, writes=True))
app.command("curate", epilog=curate.EXAMPLES)(verb(curate.run, writes=True))
app.command("split", epilog=split.EXAMPLES)(verb(split.run, writes=True))
app.command("export", epilog=export.EXAMPLES)(verb(export.run, writes=True))
app.command("push", epilog=push.EXAMPLES)(verb(push.run, writes=True))
app.command("pull", epilog=pull.EXAMPLES)(verb(pull.run, writes=True))
