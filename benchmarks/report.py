"""What `llmgym report` costs, and how fast its page is in Chromium, from disk.

The rows are those of `data.py`: 100,000 of them, or 20,000 with --short. Times in the page are medians of a few visits.
With --inspect PYTHON, which has `inspect-ai`, the same Chromium visits a bundle of Inspect's viewer with the messages
and rewards of the same episodes, or of the first --inspect-rows of them, over HTTP, since from disk it shows nothing.
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
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import aiohttp.web as http

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.data import episodes, write
from llmgym.records import load_row
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

#: When Inspect lists samples, and how one of them is opened: by its link, until the model's words are there.
INSPECT_WATCH = """
new MutationObserver(() => {
  if (!window.usable && document.querySelector(SAMPLE)) window.usable = performance.now();
}).observe(document, { subtree: true, childList: true, attributes: true });
const SAMPLE = "a[role=row][href*='/samples/sample/']";
"""

INSPECT_OPEN = """(async () => {
  const before = performance.now(), row = document.querySelectorAll("a[role=row][href*='/samples/sample/']")[%d];
  location.hash = new URL(row.href).hash;
  while (!document.body.innerText.includes("Let me see.")) await new Promise((go) => setTimeout(go, 1));
  await new Promise((go) => requestAnimationFrame(go));
  return performance.now() - before;
})()"""


def build(rows: Path, page: Path) -> dict[str, Any]:
    """Build the page in a process of its own."""
    command = [sys.executable, "-m", "llmgym", "report", rows, "--tokenizer", "smollm2", "-o", page, "--force"]
    used = ran(command)
    size = page.stat().st_size + sum(one.stat().st_size for one in page.parent.rglob("*.js"))
    return {**used, "html_mb": round(page.stat().st_size / 1e6, 2), "all_mb": round(size / 1e6)}


def ran(command: Sequence[Any]) -> dict[str, Any]:
    """What a command takes, as a process of its own."""
    before = time.perf_counter()
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return {
        "build_s": round(time.perf_counter() - before, 1),
        "build_cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "build_memory_mb": round(used.ru_maxrss / 1024),
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


def bundle(python: str, rows: Path, count: int, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Bundle a log of Inspect with the first episodes, in a process of its own."""
    folder.mkdir()
    lines = folder / "lines.jsonl"
    with rows.open("rb") as source, lines.open("w") as target:
        for line in islice(source, count):
            found = load_row(line)
            row = {"id": found.group_id, "epoch": found.repeat + 1, "messages": found.messages, "reward": found.reward}
            target.write(json.dumps(row) + "\n")
    used = ran([python, Path(__file__).with_name("_inspect.py"), lines, folder])
    size = sum(one.stat().st_size for one in (folder / "bundle").rglob("*") if one.is_file())
    return folder / "bundle", {"rows": count, **used, "all_mb": round(size / 1e6)}


@asynccontextmanager
async def served(folder: Path) -> AsyncGenerator[str]:
    """The address of a folder over HTTP, parts of files too."""
    application = http.Application()
    application.router.add_static("/", folder)
    runner = http.AppRunner(application)
    await runner.setup()
    await http.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "http://127.0.0.1:{1}".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


async def look_at_inspect(folder: Path) -> dict[str, Any]:
    """Visit the bundle."""
    times: dict[str, list[float]] = {"first_paint_ms": [], "table_ms": [], "episode_ms": []}
    async with served(folder) as address, chromium() as tab:
        await tab.send("Page.addScriptToEvaluateOnNewDocument", source=INSPECT_WATCH)
        await tab.size("laptop")
        for visit in range(VISITS):
            await tab.open(f"{address}/index.html#/tasks/rollouts.eval", "window.usable")
            times["first_paint_ms"].append(await _paint(tab))
            times["table_ms"].append(await tab.ask("window.usable"))
            times["episode_ms"].append(await tab.ask(INSPECT_OPEN % visit))
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
    parser.add_argument("--inspect", metavar="PYTHON", help="A Python that has inspect-ai.")
    parser.add_argument("--inspect-rows", type=int, help="So many episodes in its log; all.")
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
            if options.inspect:
                made, beside = bundle(options.inspect, rows, options.inspect_rows or count, folder / "inspect")
                figures["inspect"] = beside | asyncio.run(look_at_inspect(made))
        print(json.dumps(figures))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
