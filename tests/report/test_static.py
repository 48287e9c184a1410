"""The files of the page as they are shipped."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from llmgym.report import page

STATIC = files("llmgym.report").joinpath("static")


def test_uplot_is_what_npm_has() -> None:
    for line in STATIC.joinpath("uPlot.sha256").read_text("utf-8").splitlines():
        digest, name = line.split()
        assert hashlib.sha256(STATIC.joinpath(name).read_bytes()).hexdigest() == digest


def test_every_file_is_used() -> None:
    about = {"uPlot.LICENSE", "uPlot.sha256"}
    assert {one.name for one in STATIC.iterdir()} - about == {*page._STYLES, *page._SCRIPTS}


def test_no_markup_is_made_from_text() -> None:
    for name in page._SCRIPTS[1:]:
        text = STATIC.joinpath(name).read_text("utf-8")
        assert not [
            word for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(") if word in text
        ]
        assert "</script" not in text
