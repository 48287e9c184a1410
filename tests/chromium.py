"""Chromium, driven over its own protocol: pages are opened, asked and photographed as a person would see them."""

from __future__ import annotations

import asyncio
import base64
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SIZES = {"phone": (390, 844, 2, True), "laptop": (1280, 800, 1, False), "wide": (1920, 1080, 1, False)}


def found() -> str | None:
    """Where Chromium is."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """A tab; what went wrong in it is in `errors`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.errors: list[str] = []
        self._socket, self._ids = socket, itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._loaded = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            data = message.json()
            if "id" in data:
                self._waiting.pop(data["id"]).set_result(data)
            elif data["method"] == "Page.loadEventFired":
                self._loaded.set()
            elif data["method"] == "Runtime.exceptionThrown":
                details = data["params"]["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description") or details["text"])
            elif data["method"] == "Runtime.consoleAPICalled" and data["params"]["type"] in ("error", "warning"):
                self.errors.append(str([one.get("value") for one in data["params"]["args"]]))
            elif data["method"] == "Log.entryAdded" and data["params"]["entry"]["level"] == "error":
                self.errors.append(data["params"]["entry"]["text"])
            elif data["method"] == "Page.javascriptDialogOpening":
                self.errors.append(f"dialog: {data['params']['message']}")
                asyncio.get_running_loop().create_task(self.send("Page.handleJavaScriptDialog", accept=True))

    async def send(self, method: str, **params: Any) -> Any:
        """Send a command."""
        number = next(self._ids)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        answer = self._waiting[number]
        await self._socket.send_json({"id": number, "method": method, "params": params})
        data = await asyncio.wait_for(answer, 60)
        if "error" in data:
            raise RuntimeError(f"{method}: {data['error']}")
        return data["result"]

    async def open(self, url: str, ready: str = "document.body.dataset.ready === 'yes'") -> None:
        """Go to a page, and wait until it is ready."""
        for place in ("about:blank", url):  # to another `#` alone it would be the same page
            self._loaded.clear()
            await self.send("Page.navigate", url=place)
            await asyncio.wait_for(self._loaded.wait(), 60)
        await self.until(ready)

    async def ask(self, expression: str) -> Any:
        """The value of an expression in the page."""
        got = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in got:
            raise RuntimeError(got["exceptionDetails"])
        return got["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        for _ in range(750):
            if await self.ask(f"Boolean({expression})"):
                return
            await asyncio.sleep(0.02)
        raise TimeoutError(f"{expression}; the page says {await self.ask('document.body.innerText.slice(0, 500)')!r}")

    async def go(self, address: str, ready: str) -> None:
        """Go to another part of the page."""
        await self.ask(f"location.hash = {address!r}; 1")
        await self.until(ready)

    async def press(self, key: str) -> None:
        """Press a key."""
        text = key if len(key) == 1 else ""
        await self.send("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        await self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def size(self, name: str, *, dark: bool = False) -> None:
        """Make it as large as a device."""
        width, height, scale, mobile = SIZES[name]
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self) -> bytes:
        """What is seen, as PNG."""
        got = await self.send("Page.captureScreenshot", format="png")
        return base64.b64decode(got["data"])


@asynccontextmanager
async def chromium() -> AsyncIterator[Page]:
    """A tab of a Chromium of its own."""
    binary = found()
    assert binary is not None
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            binary, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
            f"--user-data-dir={profile}", "--no-first-run", "--disable-dev-shm-usage", "--hide-scrollbars",
            "about:blank", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port = await _port(Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                    pages = [one for one in await answer.json() if one["type"] == "page"]
                async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    page = Page(socket)
                    for domain in ("Page", "Runtime", "Log"):
                        await page.send(f"{domain}.enable")
                    yield page
                    page._reader.cancel()
        finally:
            process.terminate()
            await process.wait()


async def _port(file: Path) -> int:
    for _ in range(1500):
        if port := _written(file):
            return port
        await asyncio.sleep(0.02)
    raise TimeoutError("Chromium does not answer")


def _written(file: Path) -> int | None:
    lines = file.read_text().split("\n") if file.exists() else []
    return int(lines[0]) if len(lines) > 1 else None


def browse(work: Callable[[Page], Awaitable[None]]) -> None:
    """Do something in a tab."""

    async def run() -> None:
        async with chromium() as page:
            await work(page)

    asyncio.run(run())
