"""`llmgym serve`: what runs here, for programs elsewhere."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from llmgym.cli.settings import assign
from llmgym.cli.verb import Several, verb
from llmgym.errors import ConfigError
from llmgym.files import read_yaml
from llmgym.rollout.problems import problems

app = typer.Typer(no_args_is_help=True, help="Serve environments to other processes.")

ENV_EXAMPLES = """
\b
Examples:
  llmgym serve env llmgym/Calculator-v0
  llmgym serve env llmgym/Calculator-v0 llmgym/Wordle-v0 --port 9000
  llmgym serve env llmgym/Calculator-v0 --front openenv
  LLMGYM_TOKEN=... llmgym serve env --config served.yaml --host 0.0.0.0
"""


@app.callback()
def options() -> None:
    """Serve environments to other processes."""


def env(
    env_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Environments.", show_default=False)
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="YAML of settings, which flags override.")
    ] = None,
    front: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose clients are served at the root too: nemo_gym, openenv, ors."),
    ] = None,
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Where to listen (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(metavar="N", help="Where to listen (8300); 0 for any.")] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the token that clients show; else the variable LLMGYM_TOKEN."),
    ] = None,
    open_: Annotated[
        bool, typer.Option("--no-token", help="Let every program on this machine in; only for its own addresses.")
    ] = False,
    sessions: Annotated[int | None, typer.Option(metavar="N", help="Most sessions at once (10000).")] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Processes that share the work, each with a port of its own (1).")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting; the value is YAML. May be given again."),
    ] = None,
) -> None:
    """Serve environments over HTTP and WebSocket.

    Clients are `gymnasium.make("llmgym/Remote-v0", url=...)`, and programs in any language: /openapi.json describes the
    requests. Where no token is given, one is made and shown. Ctrl-C or SIGTERM ends the server, once it has answered
    what is under way.
    """
    from llmgym.serve import EnvServer, ServeConfig, Workers
    from llmgym.serve.listening import run

    settings: dict[str, Any] = read_yaml(config)[0] if config else {}
    for text in set_ or ():
        assign(settings, text)
    given = {
        "env_ids": env_ids, "front": front, "host": host, "port": port, "sessions": sessions, "workers": workers,
    }  # fmt: skip
    settings |= {name: value for name, value in given.items() if value is not None}
    if wrong := list(problems(settings, ServeConfig)):
        raise Several(wrong)
    token = None if open_ else _token(token_file) or secrets.token_urlsafe(18)
    served = msgspec.convert({**settings, "token": token}, ServeConfig)

    def listening(url: str) -> None:
        print(f"{url}  serves {', '.join(env.name for env in served.environments)}", flush=True)
        if token is not None and not _token(token_file):
            print(f"token: {token}", flush=True)

    if served.workers > 1:
        Workers(served).serve(listening)
    else:
        run(EnvServer(served).serve(listening))


def _token(file: Path | None) -> str | None:
    """The token that was given; None where none was.

    Raises:
        ConfigError: The file cannot be read, or is empty.
    """
    try:
        token = os.environ.get("LLMGYM_TOKEN") if file is None else file.read_text().strip()
    except OSError as error:
        raise ConfigError(f"--token-file {file}: {error.strerror}") from error
    if token == "" or (token is not None and not token.isascii()):
        raise ConfigError(
            "the token is empty or has letters beyond ASCII: write one such as `openssl rand -hex 16` gives"
        )
    return token


app.command("env", epilog=ENV_EXAMPLES)(verb(env, user_code=True))
