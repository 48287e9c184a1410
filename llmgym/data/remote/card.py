"""The card of a dataset repository: its licence, what `load_dataset` finds, statistics, provenance.

It is written again at each push, from all manifests. What a person wrote around it, or added to its header, stays.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import yaml

from llmgym.data.comparison.document import Document, Table
from llmgym.data.remote.manifest import Manifest
from llmgym.errors import ConfigError
from llmgym.files import parse_yaml

_BEGIN = "<!-- llmgym: `llmgym data push` writes what is between these two lines -->"
_END = "<!-- llmgym: end -->"
_HEADER = re.compile(r"\A---\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_OURS = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
_SIZES = (("n<1K", 10**3), ("1K<n<10K", 10**4), ("10K<n<100K", 10**5), ("100K<n<1M", 10**6), ("1M<n<10M", 10**7))
# SPDX identifiers that the Hub knows too, in lower case.
_LICENCES = frozenset(
    {"apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "bsd-3-clause"}
)  # fmt: skip
_KINDS = {"run": "Rollouts", "rows": "Rows", "export": "Training data"}


def card_of(
    repo: str, manifests: Mapping[str, Manifest], before: str | None, licence: str | None, were: Collection[str] = ()
) -> str:
    """The text of a card.

    Args:
        repo: OWNER/NAME.
        manifests: Of all that is in the repository, by name.
        before: The card that is there; None where there is none.
        licence: The Hub's identifier of the data's licence; None for the one that all tasks have, if it is one.
        were: Files that are not there any more.

    Raises:
        ConfigError: The header of the card that is there is no YAML.
    """
    before = before or ""
    found = _HEADER.match(before)
    header: Any = (parse_yaml(found[1], f"the card of {repo}") if found else None) or {}
    if not isinstance(header, dict):
        raise ConfigError(f"the card of {repo}: its header is no mapping")
    if chosen := licence or header.get("license") or _licence(manifests.values()):
        header = {"license": chosen} | header | {"license": chosen}
    header["tags"] = [*dict.fromkeys([*_listed(header.get("tags")), "llmgym", "reinforcement-learning"])]
    header["size_categories"] = [_size(sum(manifest.facts.get("rows", 0) for manifest in manifests.values()))]
    names = configs(manifests.values())
    ours = {*(manifest.table for manifest in manifests.values()), *were}
    kept = [config for config in _listed(header.get("configs")) if not _is_of(config, ours, set(names))]
    header["configs"] = kept + [
        {"config_name": name, "data_files": [{"split": "train", "path": manifest.table}]}
        for name, manifest in names.items()
    ]
    if not header["configs"]:
        del header["configs"]
    text = before[found.end() :] if found else before
    body = f"{_BEGIN}\n\n{_body(repo, manifests, names)}\n{_END}"
    text = _OURS.sub(lambda _: body, text) if _OURS.search(text) else f"{text.rstrip()}\n\n{body}\n".lstrip()
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n{text}"


def configs(manifests: Collection[Manifest]) -> dict[str, Manifest]:
    """What `load_dataset` can ask for, by its name: that of the file, without its endings where that is enough."""
    tables = [manifest for manifest in manifests if manifest.table]
    stems = Counter(_stem(manifest) for manifest in tables)
    return {_stem(manifest) if stems[_stem(manifest)] == 1 else manifest.name: manifest for manifest in tables}


def licences(manifests: Collection[Manifest]) -> set[str]:
    """Those of the tasks; "" for what is not known."""
    return {
        found.get("licence", "")
        for manifest in manifests
        for found in manifest.facts.get("environments", {"": {}}).values()
    }


def _licence(manifests: Collection[Manifest]) -> str | None:
    found = {name.lower() for name in licences(manifests)}
    return found.pop() if len(found) == 1 and found <= _LICENCES else None


def _stem(manifest: Manifest) -> str:
    return (
        manifest.name
        if manifest.kind == "run"
        else re.sub(r"(\.(jsonl|json|parquet|atif|gz|zst))+$", "", manifest.name)
    )


def _size(rows: int) -> str:
    return next((name for name, most in _SIZES if rows < most), "10M<n<100M")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _is_of(config: Any, tables: Collection[str], names: Collection[str]) -> bool:
    """Whether a configuration is one that a push has written, or has the name of one."""
    if not isinstance(config, dict):
        return False
    files = _listed(config.get("data_files"))
    paths = {file.get("path") for file in files if isinstance(file, dict)}
    return config.get("config_name") in names or (bool(paths) and paths <= set(tables))


def _body(repo: str, manifests: Mapping[str, Manifest], names: Mapping[str, Manifest]) -> str:
    parts = [
        Document(repo, ["Pushed by llmgym, which makes environments of tasks and rolls models out in them."]).markdown()
    ]
    config = {manifest.name: name for name, manifest in names.items()}
    for manifest in manifests.values():
        parts.append(_section(manifest))
        if name := config.get(manifest.name):
            call = f'load_dataset("{repo}", "{name}", split="train")'
            parts.append(f"```python\nfrom datasets import load_dataset\n\n{call}\n```\n")
    parts.append(f"## As it was\n\n```bash\nllmgym data pull hf://datasets/{repo} -o {repo.rpartition('/')[2]}\n```\n")
    return "\n".join(parts)


def _section(manifest: Manifest) -> str:
    facts = manifest.facts
    rows = f"{facts['rows']:,} rows" if "rows" in facts else "a table"
    lines: list[str | Table] = [f"{_KINDS[manifest.kind]}: {rows}."]
    lines += _provenance(facts)
    if environments := facts.get("environments"):
        lines.append(_statistics(environments))
        lines.append(_licences_table(environments))
    if tokens := facts.get("tokens"):
        lines.append(f"Tokens of a row: median {tokens['median']:,}, longest {tokens['max']:,}.")
    text = Document(manifest.name, lines).markdown()
    return f"#{text}"  # a level below the title


def _provenance(facts: Mapping[str, Any]) -> list[str]:
    said: list[str] = []
    if facts.get("policy"):
        said.append(f"Policy: {facts['policy']}, model {facts.get('model') or 'unknown'}, split {facts.get('split')}, "
                    f"seed {facts.get('seed')}.")  # fmt: skip
    if sampling := facts.get("sampling"):
        said.append(
            "Sampling: " + ", ".join(f"{name} {value}" for name, value in sampling.items() if value != []) + "."
        )
    if versions := facts.get("versions"):
        said.append("Made with " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".")
    if sessions := facts.get("sessions"):
        said.append(f"Sessions: {len(sessions)}, the first at {sessions[0]}, the last at {sessions[-1]}.")
    if recipe := facts.get("recipe"):
        said.append(
            "Recipe: " + ", ".join(f"{name} {value}" for name, value in recipe.items() if value is not None) + "."
        )
    return said


def _statistics(environments: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = ("environment", "rows", "tasks", "scored", "reward", "95%", "pass@1", "turns", "sampled tokens")
    rows = [
        [
            env_id or "unknown", *(f"{found[name]:,}" for name in ("rows", "tasks", "scored")),
            _number(found["reward"]["mean"]), " to ".join(_number(found["reward"][end]) for end in ("low", "high")),
            _number(found["pass_at_1"]), f"{found['turns']:,}", f"{found['sampled_tokens']:,}",
        ]
        for env_id, found in environments.items()
    ]  # fmt: skip
    return Table(columns, rows)


def _licences_table(environments: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = [
        [env_id or "unknown", found.get("licence", "unknown"), found.get("origin", "unknown")]
        for env_id, found in environments.items()
    ]
    return Table(("environment", "licence of its tasks", "their origin"), rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
