"""Connections to servers of models: as many as there are requests, through the proxy that the environment names."""

from __future__ import annotations

import base64
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from llmgym.concurrency.descriptors import allow_descriptors
from llmgym.errors import MissingExtraError


def open_session(feature: str, extra: str, keep_alive: float, headers: Mapping[str, str] | None) -> Any:
    """Open an aiohttp session; the process's limit of open files is raised if it can be.

    Args:
        feature: What needs it, for the error.
        extra: The extra that brings aiohttp, for the error.
        keep_alive: Seconds that an idle connection is kept; less than the server keeps it.
        headers: Headers of each request.

    Raises:
        MissingExtraError: aiohttp is not installed.
    """
    try:
        import aiohttp
    except ImportError:
        raise MissingExtraError(feature, extra) from None
    allow_descriptors()
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, limit_per_host=0, keepalive_timeout=keep_alive),
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def backoff(first: float, failures: int, longest: float) -> float:
    """Seconds to wait before the next try: twice as many with each failure.

    Args:
        first: Seconds without a failure.
        failures: How many there were.
        longest: Most seconds.
    """
    return min(first * 2.0 ** min(failures, 64), longest)  # a few thousand doublings are beyond all numbers


def proxy_for(url: str) -> str | None:
    """The proxy for an address, by `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`; it may hold a password.

    aiohttp can look it up by itself, and would do so anew for each request.
    """
    parts = urllib.parse.urlsplit(url)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def basic(userinfo: str) -> str:
    """The header of a "user:password"."""
    return f"Basic {base64.b64encode(userinfo.encode('utf-8', 'replace')).decode()}"
