"""Makes the snapshot of Python's library reference that DocumentationQA asks about.

    apt-get download python3.11-doc && dpkg-deb -x python3.11-doc_*.deb doc
    python benchmarks/tools/python_docs.py doc/usr/share/doc/python3.11/html/_sources llmgym/envs/documentation_qa

Each description of a function, class, method, exception, attribute or constant becomes a document of plain text;
tutorials and examples of code are left out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

_KINDS = (
    "function", "method", "class", "exception", "attribute", "data", "decorator", "classmethod", "staticmethod",
    "coroutinemethod", "coroutinefunction", "abstractmethod", "awaitablefunction", "awaitablemethod",
)  # fmt: skip
_ENTRY = re.compile(rf"(?P<indent> *)\.\. (?:py:)?(?P<kind>{'|'.join(_KINDS)})::[ ]+(?P<name>.+)")
_DIRECTIVE = re.compile(r"(?P<indent> *)\.\. (?P<name>[\w:-]+)::[ ]*(?P<rest>.*)")
_MODULE = re.compile(r"\.\. (?:py:)?(?:module|currentmodule)::[ ]+(?P<name>[\w.]+)")
_ROLE = re.compile(r":[\w:+-]+:`(?P<content>[^`]+)`")
_TARGET = re.compile(r"^(?P<text>.*?)\s*<[^<>]+>$", re.DOTALL)
_SAID = {
    "versionadded": "New in version {}",
    "versionchanged": "Changed in version {}",
    "deprecated": "Deprecated since version {}",
    "deprecated-removed": "Deprecated since version {}, will be removed in version {}",
}
_PROSE = {
    "note": "Note:",
    "warning": "Warning:",
    "important": "Important:",
    "caution": "Caution:",
    "impl-detail": "CPython:",
}
_INLINE = {"availability": "Availability: {}", "audit-event": "Raises an auditing event {}"}
_CHANGES = """library.jsonl.gz, beside this file, is a modified version of the Library Reference of Python 3.11.2's
documentation, as packaged by Debian (python3.11-doc 3.11.2-6+deb12u8). Summary of the changes: each description of a
function, class, method, exception, attribute or constant was made a document of plain text; all else, and examples of
code, were left out. What follows is the notice of that documentation.
"""


def main() -> None:
    """Write the snapshot and its licence."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path, help="the folder _sources of the documentation")
    parser.add_argument("folder", type=Path, help="where the snapshot goes")
    given = parser.parse_args()
    entries: dict[str, dict[str, str]] = {}
    for page in sorted((given.sources / "library").glob("*.rst.txt")):
        for entry in _entries(page.read_text().splitlines()):
            # A class may be named first, and described further down.
            if len(entry["text"]) > len(entries.get(entry["name"], {"text": ""})["text"]):
                entries[entry["name"]] = entry
    written = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries.values())
    packed = gzip.compress(written.encode(), mtime=0)
    (given.folder / "library.jsonl.gz").write_bytes(packed)
    (given.folder / "LICENSE-PSF.txt").write_text(_licence(given.sources))
    print(f"{len(entries)} documents, {len(written):,} characters, {len(packed):,} bytes")


def _licence(sources: Path) -> str:
    """The notice beside the snapshot: what was changed, whose it is, and on what terms."""
    _, _, terms = (sources / "license.rst.txt").read_text().partition("Terms and conditions for accessing")
    terms, _, _ = terms.partition("Licenses and Acknowledgements for Incorporated Software")
    _, _, owners = (sources / "copyright.rst.txt").read_text().partition("Python and this documentation is:")
    owners, _, _ = owners.partition("-------")
    return f"{_CHANGES}\n{'-' * 116}\n{owners}\nTerms and conditions for accessing{terms.rstrip()}\n"


def _entries(lines: list[str]) -> Iterator[dict[str, str]]:
    """The descriptions on a page, each with the name that it is imported by."""
    module, classes = "", list[tuple[int, str]]()
    for at, line in enumerate(lines):
        if found := _MODULE.match(line):
            module, classes = found["name"], []
        if not (found := _ENTRY.match(line)):
            continue
        indent = len(found["indent"])
        classes = [(depth, name) for depth, name in classes if depth < indent]
        signatures, rest = _signatures(found["name"], lines[at + 1 :], indent)
        own = re.sub(r"^(?:class|async)\s+", "", signatures[0])
        name = re.match(r"[\w.]*", own)[0]  # type: ignore[index]
        around = f"{classes[-1][1]}." if classes and not name.startswith(f"{classes[-1][1]}.") else ""
        # "datetime.combine" is of the class `datetime`, not of the module.
        of_module = name.startswith(f"{module}.") and not (
            found["kind"].endswith(("method", "attribute")) and name.count(".") == 1
        )
        full = name if module and of_module else f"{module}.{around}{name}".lstrip(".")
        if found["kind"] in ("class", "exception"):
            classes.append((indent, f"{around}{name}"))
        kind = re.sub("coroutine|awaitable|abstract", "", found["kind"])
        yield {
            "name": full,
            "module": module,
            "kind": {"classmethod": "method", "staticmethod": "method"}.get(kind, kind),
            "signature": re.sub(r"\s+", " ", "; ".join(signatures)),
            "text": _text(_block(rest, indent)),
        }


def _signatures(first: str, lines: list[str], indent: int) -> tuple[list[str], list[str]]:
    """The signatures of a description, one on a line, and what follows them."""
    found = [first]
    for at, line in enumerate(lines):
        if found[-1].endswith("\\"):
            found[-1] = found[-1][:-1] + line.strip()
        elif line.strip() and len(line) - len(line.lstrip()) > indent and not line.lstrip().startswith((":", "..")):
            found.append(line.strip())
        else:
            return [signature.replace("\\", "") for signature in found], lines[at:]
    return found, []


def _block(lines: list[str], indent: int) -> list[str]:
    """The lines that belong to a description, without those of descriptions inside of it."""
    kept, inner = list[str](), None
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if line.strip() and depth <= indent:
            break
        if inner is not None and line.strip() and depth <= inner:
            inner = None
        if inner is None and _ENTRY.match(line):
            inner = depth
        if inner is None:
            kept.append(line)
    return kept


def _text(lines: list[str]) -> str:
    """Plain text of reStructuredText: paragraphs, without code and directives that say nothing."""
    said, hidden = list[str](), None
    code = False
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if hidden is not None and line.strip() and depth <= hidden:
            hidden = None
        if hidden is not None:
            continue
        if re.match(r"\s+:[\w-]+:", line) and not _ROLE.match(line.strip()):
            continue
        if found := _DIRECTIVE.match(line):
            name, rest = found["name"], found["rest"].strip()
            if name in _SAID:
                versions = rest.split()
                count = _SAID[name].count("{}")
                tail = " ".join(versions[count:])
                said += ["", _SAID[name].format(*versions[:count]) + (f": {tail}" if tail else ".")]
            elif name in _PROSE:
                said += ["", f"{_PROSE[name]} {rest}"]
            elif name in _INLINE:
                said += ["", _INLINE[name].format(_audited(rest) if name == "audit-event" else rest)]
            else:
                hidden = depth
            continue
        if line.lstrip().startswith((">>> ", "... ", ".. ")):
            hidden = depth if line.lstrip().startswith(".. ") else None
            continue
        code = line.rstrip().endswith("::")
        said.append(re.sub(r"::$", ":", line.rstrip()))
        if code:
            hidden = depth
    joined = _paragraphs(said)
    return re.sub(r" {2,}", " ", _plain("\n".join(joined)))


def _paragraphs(lines: list[str]) -> list[str]:
    """Each paragraph on a line of its own."""
    found = [""]
    for line in lines:
        if not line.strip():
            found.append("")
        elif found[-1] and not line.lstrip().startswith(("* ", "- ", "+", "|")):
            found[-1] += " " + line.strip()
        else:
            found.append(line.strip())
    joined = [line for line in found if line]
    # "New in version 3.1." stands alone; what is said of it follows a colon.
    return [
        re.sub(r"^((?:Changed in|New in|Deprecated since) version [\d.]+\d)[.:]+ +", r"\1: ", line) for line in joined
    ]


def _audited(rest: str) -> str:
    name, *more = rest.split()
    arguments = more[0] if more else ""
    return f"{name} with arguments {', '.join(arguments.split(','))}." if arguments else f"{name}."


def _plain(text: str) -> str:
    text = _ROLE.sub(lambda match: _shown(match["content"]), text)
    return text.replace("``", "`").replace("\\", "")


def _shown(content: str) -> str:
    if target := _TARGET.match(content):
        return target["text"]
    return "`" + content.lstrip("!~") + "`"


if __name__ == "__main__":
    main()
