"""The files of a report: one HTML, and where there are many episodes, a folder of packs beside it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from llmgym.data.memory import steady
from llmgym.data.output import replacing
from llmgym.errors import ConfigError
from llmgym.report.report import Progress, Report, encoded

#: Bytes of packs up to which they are in the HTML itself, which is then all there is to pass on.
WITHIN = 4_000_000

_STYLES = ("uPlot.min.css", "report.css")
_SCRIPTS = (
    "uPlot.iife.min.js", "data.js", "dom.js", "colors.js", "charts.js", "table.js", "transcripts.js", "tokens.js",
    "messages.js", "episode.js", "overview.js", "lists.js", "app.js",
)  # fmt: skip


def write_report(report: Report, path: Path, *, force: bool = False, progress: Progress | None = None) -> Path:
    """Write a page that opens from disk.

    Args:
        report: Runs that were named, and not read yet.
        path: The HTML. A folder of the same name with `.files` behind it is made where it has many episodes.
        force: Whether a file that is there may be replaced.
        progress: Told how much was read.

    Returns:
        The HTML.

    Raises:
        ConfigError: There is a file already, or it cannot be written.
        LLMGymError: A row cannot be used; names file and line.
    """
    with replacing(path, force=force, inputs=[source.path for source in report.sources]) as temporary:
        beside = path.with_name(f"{path.name}.files")
        folder = beside / secrets.token_hex(4)  # the page before has its own until it is replaced
        kept: dict[int, bytes] | None = {}
        size = 0

        def sink(number: int, data: bytes) -> None:
            nonlocal kept, size
            size += len(data)
            if kept is not None:
                kept[number] = data
                if size <= WITHIN:
                    return
                folder.mkdir(parents=True)
                for each, held in kept.items():
                    (folder / f"{each}.js").write_text(pack_script(each, held), "ascii")
                kept = None
                return
            (folder / f"{number}.js").write_text(pack_script(number, data), "ascii")

        try:
            with steady():
                report.update(sink, progress)
            place = None if kept is not None else f"{quote(os.fsencode(beside.name))}/{folder.name}/"
            temporary.write_text(page(report, packs=kept or {}, place=place), "utf-8")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                beside.rmdir()
            raise
    if beside.is_dir():
        for other in beside.iterdir():
            if other.name != folder.name:
                shutil.rmtree(other, ignore_errors=True)
        with suppress(OSError):
            beside.rmdir()  # where nothing is left
    return path


def pack_script(number: int, data: bytes) -> str:
    """A pack as a script, which is what a page may load from disk."""
    return f'R.pack({number},"{encoded(data)}")\n'


def page(report: Report, *, packs: dict[int, bytes], place: str | None, live: str | None = None) -> str:
    """The HTML.

    Args:
        report: What it shows.
        packs: Those that are in it.
        place: Where the others are, from the page on; None where there are none.
        live: The state that a server shows; None of a page on disk.
    """
    summary: dict[str, Any] = {**report.summary(), "place": place, "live": live}
    title = " and ".join(run["name"] for run in summary["runs"])
    styles = [_text(name) for name in _STYLES]
    scripts = [_text(name) for name in _SCRIPTS]
    policy = (
        f"default-src 'none'; script-src 'self' file: {_hashes(scripts)}; style-src {_hashes(styles)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    head = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">',
        f"<title>{html.escape(title)} · llmgym</title>",
        *(f"<style>{style}</style>" for style in styles),
        "</head><body>",
        '<div id="app"></div>',
        "<noscript>This report needs JavaScript.</noscript>",
        _holder("summary", script_json(summary)),
        *(f"<script>{script}</script>" for script in scripts),
        _holder("index", report.index()),
        *(_holder(f"pack-{number}", encoded(data)) for number, data in packs.items()),
        "</body></html>\n",
    ]
    return "\n".join(head)


def script_json(data: Any) -> str:
    """JSON that can stand in a script: nothing in it ends the script or begins a comment."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _holder(name: str, text: str) -> str:
    return f'<script type="text/plain" id="{name}">{text}</script>'


@cache
def _text(name: str) -> str:
    return files("llmgym.report").joinpath("static", name).read_text("utf-8")


def _hashes(texts: Sequence[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def default_path(runs: Sequence[Path]) -> Path:
    """Where the report of a run is, unless it is said: in its folder.

    Raises:
        ConfigError: It is no folder, or there is none, or there are two runs, whose reports are in them.
    """
    path = runs[0]
    if len(runs) > 1:
        raise ConfigError("two runs have no folder in common: say where the report goes, with --output FILE.html")
    if not path.exists():
        raise ConfigError(f"{path}: there is no such file or folder")
    if not path.is_dir():
        raise ConfigError(f"{path} is no run folder: say where the report goes, with --output FILE.html")
    return path / "report.html"
