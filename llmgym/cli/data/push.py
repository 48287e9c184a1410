"""`llmgym data push`."""

from __future__ import annotations

import functools
import sys
from typing import Annotated

import msgspec
import typer

from llmgym.cli.data.options import Json, Paths, SkipBad, opened, told
from llmgym.cli.output import print_json

EXAMPLES = """
\b
Examples:
  llmgym data push runs/first sft.parquet hf://datasets/me/runs
  llmgym data push runs/first s3://mine/runs
  llmgym data push runs/first file:///mnt/shared/runs
"""

Url = Annotated[
    str,
    typer.Argument(metavar="URL", help="hf://datasets/OWNER/NAME, s3://BUCKET/FOLDER, or another URL of fsspec."),
]


def run(
    paths: Paths,
    url: Url,
    licence: Annotated[
        str | None,
        typer.Option(
            "--licence",
            "--license",
            metavar="ID",
            help="On the Hub: of the data; else that of its tasks, if it is one.",
        ),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="On the Hub: everybody may read it.")] = False,
    skip_bad: SkipBad = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what has the same name there, and send all of its files.")
    ] = False,
    json: Json = False,
) -> None:
    """Push run folders, files of rows and exports.

    What stopped in the middle goes on when the command is repeated. On the Hub a push is one commit to a dataset
    repository, which is made, and private, where it is not there; its card has statistics, provenance and licence, and
    `load_dataset` reads it. `llmgym data pull` brings everything back as it was.
    """
    from llmgym.data.remote import push

    pushed = push(
        paths, url, force=force, public=public, licence=licence, say=complain, progress=told("sent"),
        opened=lambda path: opened([path], skip_bad=skip_bad),
    )  # fmt: skip
    if json:
        print_json(msgspec.to_builtins(pushed))
        return
    for manifest in pushed:
        size = sum(file.size for file in manifest.files) / 1e6
        print(f"{manifest.name}: {len(manifest.files)} files, {size:,.1f} MB")


complain = functools.partial(print, file=sys.stderr, flush=True)
