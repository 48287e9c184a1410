"""What `llmgym report` costs, and how fast its page is in Chromium, from disk.

The rows are those of `data.py`: 100,000 of them, or 20,000 with --short. Times in the page are medians of a few visits.
The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.data import episodes, write
from tests.chromium import Page, chromium, found

VISITS = 5

#: When the columns are there, and the table of episodes with them.
WATCH = """
new MutationObserver(() => {
  const there = document.body?.dataset.ready && document.querySelector(".tr");
  if (there && !window.usable) window.usable = performance.now();
}).observe(document, { subtree: true, childList: true, attributes: true });
"""

OPEN = """(async () => {
  const before = performance.now();
  location.hash = "#/e/%d";
  while (!document.querySelector("[data-episode]")) await new Promise((go) => setTimeout(go, 1));
  await new Promise((go) => requestAnimationFrame(go));
  return performance.now() - before;
})()"""

SEARCH = """(async () => {
  const box = document.querySelector(".search"), note = document.querySelector(".page .note");
  const before = performance.now(), said = note.textContent;
  box.value = "%s";
  box.dispatchEvent(new Event("input"));
  while (note.textContent === said) await new Promise((go) => setTimeout(go, 1));
  return performance.now() - before;
})()"""


def build(rows: Path, page: Path) -> dict[str, Any]:
    """Build the page in a process of its own."""
    command = [sys.executable, "-m", "llmgym", "report", rows, "--tokenizer", "smollm2", "-o", page, "--force"]
    before = time.perf_counter()
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    size = page.stat().st_size + sum(one.stat().st_size for one in page.parent.rglob("*.js"))
    return {
        "build_s": round(time.perf_counter() - before, 1),
        "build_cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "build_memory_mb": round(used.ru_maxrss / 1024),
        "html_mb": round(page.stat().st_size / 1e6, 2),
        "all_mb": round(size / 1e6),
    }


async def look(page: Path, count: int) -> dict[str, Any]:
    """Visit the page."""
    times: dict[str, list[float]] = {"first_paint_ms": [], "table_ms": [], "episode_ms": [], "search_ms": []}
    async with chromium() as tab:
        await tab.send("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        await tab.size("laptop")
        for visit in range(VISITS):
            await tab.open(f"{page.as_uri()}#/episodes", "window.usable")
            times["first_paint_ms"].append(await _paint(tab))
            times["table_ms"].append(await tab.ask("window.usable"))
            times["search_ms"].append(await tab.ask(SEARCH % f"find {visit}"))
            times["episode_ms"].append(await tab.ask(OPEN % (count * (2 * visit + 1) // (2 * VISITS))))
        assert not tab.errors, tab.errors
    return {name: round(statistics.median(values)) for name, values in times.items()}


async def _paint(tab: Page) -> float:
    name = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    await tab.until(name)
    return await tab.ask(name)


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="20,000 rows.")
    parser.add_argument("--rows", type=int, help="So many rows.")
    options = parser.parse_args()
    count = options.rows or (20_000 if options.short else 100_000)
    folder = Path(tempfile.mkdtemp(prefix="llmgym-report-"))
    try:
        rows, page = folder / "rows.jsonl", folder / "page" / "report.html"
        write(rows, count, episodes(folder / "run"))
        figures = {"rows": count, "rows_mb": round(rows.stat().st_size / 1e6), **build(rows, page)}
        print(json.dumps(figures), flush=True)
        if found() is None:
            print("no Chromium is installed: the page was not looked at", file=sys.stderr)
        else:
            figures |= asyncio.run(look(page, count))
        print(json.dumps(figures))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
