"""`llmgym models`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmgym.cli.output import print_field, print_json
from llmgym.cli.verb import verb

if TYPE_CHECKING:
    from llmgym.codec import ChatCodec

app = typer.Typer(no_args_is_help=True, help="Fetch models, and look at how one is spoken to.")


@app.callback()
def options() -> None:
    """Fetch models, and look at how one is spoken to."""


def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", hidden=True)] = "smollm2",
) -> None:
    """Download a model, verify it by hash, and print its folder.

    NAME is its short name (smollm2). A model that is there already is only verified. Models are kept in
    ~/.cache/llmgym, or where LLMGYM_CACHE says.
    """
    from llmgym.policies import models

    print(models.fetch(name, progress=lambda text: print(text, file=sys.stderr, flush=True)))


def inspect(
    model: Annotated[str, typer.Argument(metavar="MODEL", hidden=True)],
    codec: Annotated[str, typer.Option(metavar="KIND", help="renderer, template, template:FORM, or auto.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how a model is spoken to, and how its calls are read.

    MODEL is a folder, a Hub id or a short name (smollm2), with or without "transformers:" or "vllm:" before it. Only
    its tokenizer is loaded.
    """
    from llmgym.codec import codec_for, describe
    from llmgym.policies.models import load_tokenizer, resolve

    folder = resolve(model.removeprefix("transformers:").removeprefix("vllm:"))
    tokenizer = load_tokenizer(folder, "llmgym models inspect")
    made = codec_for(tokenizer, codec)
    if json:
        print_json(describe(made, tokenizer))
    else:
        show(made, tokenizer)


def show(codec: ChatCodec, tokenizer: Any) -> None:
    """Print what a codec does with a model."""
    from llmgym.codec import describe

    report = describe(codec, tokenizer)
    example = report.pop("example")
    for name, value in report.items():
        print_field(name, ", ".join(value) if isinstance(value, list) else str(value), 16)
    print_field("example", example.splitlines(), 16)


app.command("fetch")(verb(fetch))
app.command("inspect")(verb(inspect))
