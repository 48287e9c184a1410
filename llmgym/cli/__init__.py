"""The command line: one module per verb."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from llmgym.cli import (
    audit,
    check,
    compare,
    data,
    doctor,
    export,
    info,
    models,
    new,
    play,
    report,
    rollout,
    schema,
    serve,
    show,
    summary,
    tool,
    verify,
    view,
)
from llmgym.cli import list as list_
from llmgym.cli.ending import end_in_time
from llmgym.cli.verb import EXIT_CODES, Registry, Traceback, begin, failing, verb

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)


def _version(wanted: bool) -> None:
    if wanted:
        from llmgym import __version__

        print(f"llmgym {__version__}")
        raise typer.Exit


@app.callback()
def options(
    registry: Registry = None,
    traceback: Traceback = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Tool-using tasks for language models as Gymnasium environments, and exact rollouts of them.

    Start with `llmgym list`, look at one with `llmgym info ID`, play it with `llmgym play ID`, and collect
    episodes of it with `llmgym rollout --env ID`.
    """
    with failing():
        begin(registry, traceback)


app.command("list", epilog=list_.EXAMPLES)(verb(list_.run))
app.command("info", epilog=info.EXAMPLES)(verb(info.run, user_code=True))
app.command("new", epilog=new.EXAMPLES)(verb(new.run))
app.command("check", epilog=check.EXAMPLES)(verb(check.run, user_code=True))
app.command("audit", epilog=audit.EXAMPLES)(verb(audit.run, user_code=True))
app.command("play", epilog=play.EXAMPLES)(verb(play.run, user_code=True))
app.command("rollout", epilog=rollout.EXAMPLES + EXIT_CODES)(verb(rollout.run, user_code=True))
app.command("summary", epilog=summary.EXAMPLES)(verb(summary.run))
app.command("schema", epilog=schema.EXAMPLES)(verb(schema.run, user_code=True))
app.command("verify", epilog=verify.EXAMPLES)(verb(verify.run, user_code=True, writes=True))
app.command("compare", epilog=compare.EXAMPLES)(verb(compare.run, writes=True))
app.command("tool", epilog=tool.EXAMPLES)(verb(tool.run))
app.command("show", epilog=show.EXAMPLES)(verb(show.run))
app.command("report", epilog=report.EXAMPLES)(verb(report.run, writes=True))
app.command("view", epilog=view.EXAMPLES)(verb(view.run, writes=True))
app.command("doctor", epilog=doctor.EXAMPLES)(verb(doctor.run))
app.add_typer(models.app, name="models")
app.add_typer(export.app, name="export")
app.add_typer(data.app, name="data")
app.add_typer(serve.app, name="serve")


def main() -> None:
    """Run the command line; an error that llmgym raises on purpose is one line, not a traceback."""
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115 -- as long as the process
        elif hasattr(stream, "reconfigure"):  # tasks have letters that not every locale can show
            stream.reconfigure(errors="replace" if name == "stdin" else "backslashreplace")
    try:
        app()
    except SystemExit as end:
        end_in_time(end.code)
        raise
