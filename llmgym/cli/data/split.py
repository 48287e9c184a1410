"""`llmgym data split`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmgym.cli.data.filter import show
from llmgym.cli.data.options import Force, Json, Paths, Seed, SkipBad, Where, opened
from llmgym.errors import ConfigError

EXAMPLES = """
\b
Examples:
  llmgym data split runs/first -o parts
  llmgym data split runs/first --part train=0.8 --part val=0.1 --part test=0.1 -o three
"""


def run(
    paths: Paths,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for a file of each part.")],
    part: Annotated[
        list[str] | None, typer.Option(metavar="NAME=SHARE", help="A part, again for each (train=0.9, val=0.1).")
    ] = None,
    where: Where = None,
    seed: Seed = 0,
    skip_bad: SkipBad = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Part rows so that no task is in two parts.

    A task, with all of its repeats and whatever its id, is where a hash of its content and the seed put it: the same in
    every run and on every machine, so shares are met about, and more rows move none. Parts are OUTPUT/NAME.jsonl, byte
    for byte; the counts are in OUTPUT/manifest.json.
    """
    from llmgym.data.curation import split
    from llmgym.data.filtering import conditions, manifest, write_rows
    from llmgym.data.output import check_free

    shares = _shares(part or ["train=0.9", "val=0.1"])
    files = {name: output / f"{name}.jsonl" for name in shares}
    counted = output / "manifest.json"
    check_free(*files.values(), counted, force=force, inputs=paths)
    data = opened(paths, skip_bad=skip_bad, where=where)
    asked = conditions(where=where)
    kept, counts = data.narrow(asked)
    parts = split(data, kept, shares, seed)
    dropped = dict(zip([condition.name for condition in asked], counts, strict=True))
    made = manifest(data, kept, dropped, {"parts": shares, "where": where, "seed": seed, "skip_bad": skip_bad})
    outputs = [(files[name], selection) for name, selection in parts.items()]
    show(write_rows(data, outputs, made, counted, force=force), json=json)


def _shares(parts: list[str]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for text in parts:
        name, _, share = text.partition("=")
        try:
            shares[name] = float(share)
        except ValueError:
            raise ConfigError(f"--part {text!r} is not NAME=SHARE, such as train=0.9") from None
        if not name or Path(name).name != name:
            raise ConfigError(f"--part {text!r} has no name that a file can have")
    if len(shares) < len(parts):
        raise ConfigError(f"a part is named twice: {', '.join(parts)}")
    return shares
