"""`llmgym data convert`."""

from __future__ import annotations

import sys

from llmgym.cli.data.options import Force, Json, Output, Paths, SkipBad, opened, ticking
from llmgym.cli.output import print_json

EXAMPLES = """
\b
Examples:
  llmgym data convert runs/first -o first.parquet
  llmgym data convert first.parquet -o first.jsonl
  llmgym data convert runs/first -o first.jsonl.zst
  llmgym data convert runs/first -o first.atif.jsonl
"""


def run(
    paths: Paths,
    output: Output,
    skip_bad: SkipBad = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write rows in another form, by the name of the output.

    .parquet has typed scalars, tokens as lists, and JSON columns; .jsonl are rows of llmgym, whatever the input, with
    .gz or .zst behind it compressed; .atif.jsonl are ATIF trajectories. Rows of llmgym come back from all of them as
    they were.
    """
    from llmgym.data.converting import convert, form_of, restore
    from llmgym.data.output import check_free
    from llmgym.errors import ConfigError

    form_of(output)
    check_free(output, force=force, inputs=paths)
    parquet = [path for path in paths if path.suffix == ".parquet"]
    if parquet and len(parquet) < len(paths):
        raise ConfigError(f"{parquet[0]} is Parquet and other inputs are not; convert them one after the other")
    if parquet:
        count = restore(paths, output, force=force, told=ticking())
    else:
        count = convert(opened(paths, skip_bad=skip_bad), output, force=force, told=ticking())
    if json:
        print_json({"rows": count, "output": str(output), "bytes": output.stat().st_size})
    else:
        print(f"{count} rows, {output.stat().st_size / 1e6:.1f} MB: {output}", file=sys.stderr)
