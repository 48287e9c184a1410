"""Take the pictures of a report in docs/images: `python docs/pictures.py RUN`, where RUN is a folder that has tokens.

With --all FOLDER, pictures of every page in every size and scheme go there too, to be looked at.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from llmgym.report import Report, write_report
from llmgym.rollout import read_rollouts
from tests.chromium import SIZES, chromium

LENGTH = 40  # sampled tokens of an episode that fits a picture

#: The token that surprises most: as if it were pointed at.
POINT = """(() => {
  const dark = (one) => +(one.style.backgroundColor.match(/[\\d.]+/g) ?? [0])[0];
  const tokens = [...document.querySelectorAll(".token.sampled[data-at]")];
  tokens.sort((one, other) => dark(other) - dark(one))[0].click();
  document.querySelector(".looked").scrollIntoView({ block: "center" });
})()"""


def shown(run: Path) -> int:
    """The row of an episode to show: one that was solved, in about as many tokens as fit."""
    rows = enumerate(read_rollouts(run))
    return max(rows, key=lambda row: (row[1].reward or 0, -abs(row[1].sampled_tokens - LENGTH)))[0]


async def take(page: Path, row: int, everything: Path | None) -> None:
    """Take the pictures."""
    views = {
        "overview": ("#/", ""),
        "episodes": ("#/episodes", ""),
        "tasks": ("#/tasks", ""),
        "transcript": (f"#/e/{row}", "1"),
        "tokens": (f"#/e/{row}", "2"),
        "details": (f"#/e/{row}", "3"),
    }
    async with chromium() as tab:

        async def picture(name: str, size: str, *, dark: bool) -> bytes:
            address, key = views[name]
            await tab.size(size, dark=dark)
            await tab.open(f"{page.as_uri()}{address}")
            if key:
                await tab.until("document.querySelector('[data-episode]')")
                await tab.press(key)
            if name == "tokens":
                await tab.until("document.querySelector('.token.sampled')")
                await tab.ask(POINT)
            await asyncio.sleep(0.5)  # what moves has come to rest
            return await tab.picture()

        images = ROOT / "docs" / "images"
        (images / "report_overview.png").write_bytes(await picture("overview", "laptop", dark=False))
        (images / "report_tokens.png").write_bytes(await picture("tokens", "laptop", dark=True))
        if everything:
            for name, size, dark in itertools.product(views, SIZES, (False, True)):
                file = everything / f"{name}-{size}-{'dark' if dark else 'light'}.png"
                file.write_bytes(await picture(name, size, dark=dark))
        assert not tab.errors, tab.errors


def main() -> None:
    """Build a page of the run, and take its pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    if options.all:
        options.all.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        page = write_report(Report([options.run]), Path(folder) / "report.html")
        asyncio.run(take(page, shown(options.run), options.all))


if __name__ == "__main__":
    main()
