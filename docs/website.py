"""Make the site of the documentation in build/site, by MkDocs; with --check, by Zensical too, and follow every link.

The pages stay where a forge shows them. Here they come together in one folder: README.md is the first page, and what
they link to elsewhere in the repository (an example, the licence) becomes a page that shows it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "docs"  # the `docs_dir` of mkdocs.yml
SITE = ROOT / "build" / "site"  # its `site_dir`

#: Pages outside of docs/.
ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
LANGUAGES = {".py": "python", ".sh": "bash", ".yaml": "yaml", ".jsonl": "json", ".ipynb": "json"}

_FENCE = re.compile(r"(^ *(`{3,})[^`\n]*\n.*?^ *\2 *$\n?)", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")


def gather() -> None:
    """Bring all pages together in `PAGES`, with links that fit there."""
    shutil.rmtree(PAGES, ignore_errors=True)
    sources = {ROOT / name: PAGES / page for name, page in ELSEWHERE.items()}
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.suffix in (".css", ".ipynb", ".md", ".png"):
            page = PAGES / path.relative_to(ROOT / "docs")
            sources[path] = page.with_suffix(".md") if path.suffix == ".ipynb" else page
    shown: set[Path] = set()
    for source, page in sources.items():
        page.parent.mkdir(parents=True, exist_ok=True)
        if page.suffix == ".md":
            page.write_text(_moved(source, page, sources, shown), encoding="utf-8")
        else:
            shutil.copy(source, page)
    for path in sorted(shown):
        page = _page_of(path)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(_listing(path), encoding="utf-8")


def _moved(source: Path, page: Path, sources: dict[Path, Path], shown: set[Path]) -> str:
    """The text of a page with links from where it comes to be, and without its comments."""

    def place(match: re.Match[str]) -> str:
        target = (source.parent / unquote(match[1])).resolve()
        if not target.exists():
            sys.exit(f"{source.relative_to(ROOT)}: there is no {match[1]}")
        if target not in sources:
            shown.add(target)
        return os.path.relpath(sources.get(target) or _page_of(target), page.parent)

    text = source.read_text(encoding="utf-8")
    parts = _FENCE.split(_of_notebook(text) if source.suffix == ".ipynb" else text)  # text, a block, its fence, text
    if shallow := re.search(r"^ {1,3}```", text, re.MULTILINE):
        sys.exit(f"{source.relative_to(ROOT)}: indent blocks in lists by four blanks, not as {shallow[0]!r}")
    texts = [_LINK.sub(place, _COMMENT.sub("", text)) for text in parts[::3]]
    return "".join(text + block for text, block in zip(texts, [*parts[1::3], ""], strict=True))


def _of_notebook(text: str) -> str:
    """A notebook as a page: its cells, and the text that they gave."""
    made: list[str] = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            made.append(source)
            continue
        printed = "".join(line for out in cell["outputs"] for line in out.get("text") or out["data"]["text/plain"])
        made += [f"````python\n{source}\n````", f"````text\n{printed.rstrip()}\n````"]
    return "\n\n".join(made)


def _page_of(path: Path) -> Path:
    return PAGES / "source" / path.relative_to(ROOT).with_name(f"{path.name}.md")


def _listing(path: Path) -> str:
    """A file, or the files of a folder, as a page."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    lines = [f"# {path.relative_to(ROOT)}", ""]
    for file in (file for file in files if "__pycache__" not in file.parts):
        if file != path:
            lines += [f"## {file.relative_to(path)}", ""]
        lines += [f"````{LANGUAGES.get(file.suffix, 'text')}", file.read_text(encoding="utf-8").rstrip(), "````", ""]
    return "\n".join(lines)


def build(tool: str) -> None:
    """Make the site with "mkdocs" or "zensical", of which neither may have a warning."""
    program = Path(sys.executable).with_name(tool)
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # Zensical, which that advertises, is tried too
    if subprocess.run([program, "build", "--clean", "--strict"], cwd=ROOT, env=env, check=False).returncode:
        sys.exit(f"{tool} cannot make the site: see above")


class _Document(HTMLParser):
    """Which places a page has, and where it leads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.places: set[str] = {"", "__skip"}
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.places.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def dead_links() -> Iterator[str]:
    """Links of the site that lead nowhere in it."""
    pages = {path: _Document(path) for path in SITE.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links if path.name != "404.html" else ():
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (target in pages and unquote(parts.fragment) not in pages[target].places):
                yield f"{path.relative_to(SITE)}: {link}"


def main() -> None:
    """Make the site, or check it."""
    gather()
    for tool in ("zensical", "mkdocs") if "--check" in sys.argv else ("mkdocs",):
        build(tool)
        if dead := sorted(set(dead_links())):
            sys.exit(f"dead links, as {tool} makes the site:\n" + "\n".join(dead))


if __name__ == "__main__":
    main()
