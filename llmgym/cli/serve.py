"""`llmgym serve`: what runs here, for programs elsewhere."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import typer

from llmgym.cli.settings import assign
from llmgym.cli.verb import Several, verb
from llmgym.errors import ConfigError
from llmgym.rollout.config import load_config
from llmgym.rollout.problems import problems

if TYPE_CHECKING:
    from llmgym.serve.door import Door

D = TypeVar("D", bound="Door")
app = typer.Typer(no_args_is_help=True, help="Serve environments or a policy to other processes.")

ENV_EXAMPLES = """
\b
Examples:
  llmgym serve env llmgym/Calculator-v0
  llmgym serve env llmgym/Calculator-v0 llmgym/Wordle-v0 --port 9000
  llmgym serve env llmgym/Calculator-v0 --front openenv
  LLMGYM_TOKEN=... llmgym serve env --config served.yaml --host 0.0.0.0
"""


GATEWAY_EXAMPLES = """
\b
Examples:
  llmgym serve gateway --output runs/mine
  llmgym serve gateway --policy vllm:Qwen/Qwen3-0.6B --set responses_create_params.temperature=0.7
"""

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="YAML of settings, which flags override.")
]
Host = Annotated[str | None, typer.Option(metavar="ADDRESS", help="Where to listen (127.0.0.1).")]
TokenFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="File with the token that clients show; else the variable LLMGYM_TOKEN."),
]
NoToken = Annotated[
    bool, typer.Option("--no-token", help="Let every program on this machine in; only for its own addresses.")
]
Most = Annotated[int | None, typer.Option("--sessions", metavar="N", help="Most sessions at once (10000).")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any other setting; the value is YAML. May be given again."),
]


@app.callback()
def options() -> None:
    """Serve environments or a policy to other processes."""


def env(
    env_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Environments.", show_default=False)
    ] = None,
    config: ConfigFile = None,
    front: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose clients are served at the root too: nemo_gym, openenv, ors."),
    ] = None,
    host: Host = None,
    port: Annotated[int | None, typer.Option(metavar="N", help="Where to listen (8300); 0 for any.")] = None,
    token_file: TokenFile = None,
    open_: NoToken = False,
    sessions: Most = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Processes that share the work, each with a port of its own (1).")
    ] = None,
    set_: Assignments = None,
) -> None:
    """Serve environments over HTTP and WebSocket.

    Clients are `gymnasium.make("llmgym/Remote-v0", url=...)`, and programs in any language: /openapi.json describes the
    requests. Where no token is given, one is made and shown. Ctrl-C or SIGTERM ends the server, once it has answered
    what is under way.
    """
    from llmgym.serve import EnvServer, ServeConfig, Workers
    from llmgym.serve.listening import run

    given = {
        "env_ids": env_ids, "front": front, "host": host, "port": port, "sessions": sessions, "workers": workers,
    }  # fmt: skip
    served = _settings(config, set_, given, token_file, open_, ServeConfig)
    listening = _teller(f"serves {', '.join(env.name for env in served.environments)}", served, token_file)
    if served.workers > 1:
        Workers(served).serve(listening)
    else:
        run(EnvServer(served).serve(listening))


def gateway(
    policy: Annotated[
        str | None, typer.Option(metavar="POLICY", help="What answers, as in a rollout (smollm2); one with tokens.")
    ] = None,
    output: Annotated[
        str | None, typer.Option(metavar="DIR", help="Run folder that sessions are written to when they end.")
    ] = None,
    config: ConfigFile = None,
    host: Host = None,
    port: Annotated[int | None, typer.Option(metavar="N", help="Where to listen (8400); 0 for any.")] = None,
    token_file: TokenFile = None,
    open_: NoToken = False,
    sessions: Most = None,
    set_: Assignments = None,
) -> None:
    """Serve a policy to agent programs, and record what they have it say, with its exact tokens.

    For those who have a loop of their own round an agent; `llmgym rollout --agent` has one. POST /sessions begins a
    session, and answers with the addresses that the agent takes for OpenAI's and Anthropic's. POST
    /sessions/SESSION/end ends it, with a reward, and answers with its trajectory.
    """
    from llmgym.serve.gateway.service import GatewayConfig, GatewayServer
    from llmgym.serve.listening import run

    given = {"policy": policy, "output": output, "host": host, "port": port, "sessions": sessions}
    served = _settings(config, set_, given, token_file, open_, GatewayConfig)
    run(GatewayServer(served).serve(_teller(f"serves {served.policy}", served, token_file)))


def _settings(
    config: Path | None, assignments: list[str] | None, flags: dict[str, Any], token_file: Path | None, open_: bool,
    kind: type[D],
) -> D:  # fmt: skip
    """The configuration of a server: flags go over `--set`, and both over the file."""
    settings = load_config(config) if config else {}
    for text in assignments or ():
        assign(settings, text)
    if "token" in settings:
        raise ConfigError("token: secrets are no settings: give it by --token-file, or as the variable LLMGYM_TOKEN")
    settings |= {name: value for name, value in flags.items() if value is not None}
    if wrong := list(problems(settings, kind)):
        raise Several(wrong)
    token = None if open_ else _token(token_file) or secrets.token_urlsafe(18)
    return msgspec.convert({**settings, "token": token}, kind)


def _teller(what: str, served: Door, token_file: Path | None) -> Callable[[str], None]:
    """Says where a server listens, and a token that was made for it."""
    made = None if _token(token_file) else served.token

    def tell(url: str) -> None:
        print(f"{url}  {what}", flush=True)
        if made is not None:
            print(f"token: {made}", flush=True)

    return tell


def _token(file: Path | None) -> str | None:
    """The token that was given; None where none was.

    Raises:
        ConfigError: The file cannot be read, or holds what no header does.
    """
    try:
        token = os.environ.get("LLMGYM_TOKEN") if file is None else file.read_text("utf-8", "replace").strip()
    except OSError as error:
        raise ConfigError(f"--token-file {file}: {error.strerror}") from error
    if token is not None and not (token and token.isascii() and token.isprintable()):
        raise ConfigError(
            "the token is empty, or has line breaks or letters beyond ASCII: write one such as `openssl rand -hex 16` "
            "gives"
        )
    return token


app.command("env", epilog=ENV_EXAMPLES)(verb(env, user_code=True))
app.command("gateway", epilog=GATEWAY_EXAMPLES)(verb(gateway, user_code=True))
