#!/usr/bin/env bash
# datasets: a repository whose card has a JSONL configuration and a Parquet one cannot load the former.
#
# What happens: the builder of a repository is chosen once, by the endings of all its data files, and used for each
# configuration of the card. A JSONL file beside a Parquet file is opened as Parquet: "magic bytes not found". Alone it
# loads. One would have expected that a configuration that names its files is read by their ending.
# Why it matters: rollouts as JSONL and an export of them as Parquet, pushed to one repository, lose the former.
# Seen with datasets 5.2.0.
# In llmgym: `llmgym data push` puts a Parquet file beside each JSONL one, and the card's configurations name those.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet datasets==5.2.0
export HF_HUB_OFFLINE=1 HF_HOME="$folder/home" FOLDER="$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import os
import pathlib
import sys

import pyarrow
import pyarrow.parquet
from datasets import load_dataset

folder = pathlib.Path(os.environ["FOLDER"])
FILES = {"table": "table.parquet", "lines": "lines.jsonl"}


def repository(*names):
    """A repository of these configurations, by the card's text."""
    here = folder / "-".join(names)
    here.mkdir()
    said = ["---", "configs:"]
    for name in names:
        said += [f"- config_name: {name}", f"  data_files: {FILES[name]}"]
        if name == "table":
            pyarrow.parquet.write_table(pyarrow.table({"x": [1, 2]}), here / FILES[name])
        else:
            (here / FILES[name]).write_text('{"y": 1}\n{"y": 2}\n')
    (here / "README.md").write_text("\n".join([*said, "---", ""]))
    return str(here)


def rows(path, name):
    try:
        return load_dataset(path, name, split="train")[:]
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:60]


both = repository("table", "lines")
found = {
    "lines alone": rows(repository("lines"), "lines"),
    "table beside lines": rows(both, "table"),
    "lines beside table": rows(both, "lines"),
}
for name, said in found.items():
    print(f"{name}: {said}")
first, second, third = found.values()
as_seen = first == {"y": [1, 2]} and second == {"x": [1, 2]} and "Parquet magic bytes" in str(third)
sys.exit(0 if as_seen else "this is no longer so")
PYTHON
