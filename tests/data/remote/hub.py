"""A hub of one's own: the Hub's HTTP protocol for dataset repositories, as far as the real client speaks it.

`faults` says which requests fail: a pattern of "METHOD PATH", what happens, and how often. A status is answered; "drop"
breaks the connection, "lost" does so after the work was done, "stall" does so after a while.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

OWNER, READER = "hf_owner", "hf_reader"  # tokens: one may write, one may not


@dataclass
class Repo:
    private: bool
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=lambda: [("0" * 40, {})])

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1][1]


@dataclass
class FakeHub:
    """What it has, and what it was asked."""

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    faults: list[list[Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)
    stalled: threading.Event = field(default_factory=threading.Event)
    going: threading.Event = field(default_factory=threading.Event)

    def fail(self, pattern: str, how: int | str, times: int = 1) -> None:
        self.faults.append([re.compile(pattern), how, times])

    def stall(self, pattern: str) -> None:
        """Keep the next such request waiting, until `resume`."""
        self.going.clear()
        self.fail(pattern, "stall")

    def resume(self) -> None:
        self.stalled.clear()
        self.going.set()

    def fault(self, request: str) -> int | str | None:
        with self.lock:
            self.asked.append(request)
            for fault in self.faults:
                if fault[0].search(request) and fault[2] > 0:
                    fault[2] -= 1
                    return fault[1]
        return None

    def count(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, request)) for request in self.asked)


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    hub = FakeHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Refused(Exception):
    def __init__(self, status: int, code: str = "", said: str = "") -> None:
        super().__init__(said)
        self.status, self.code, self.said = status, code, said


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(length)
        path = unquote(urlsplit(self.path).path)
        fault = self.hub.fault(f"{self.command} {path}")
        if fault == "stall":
            self.hub.stalled.set()
            self.hub.going.wait(60)
        if fault in ("drop", "stall"):
            self.close_connection = True
            self.connection.close()
            return
        if isinstance(fault, int):
            self._send(fault, json.dumps({"error": "so it was told"}).encode())
            return
        try:
            status, found, headers = self._do(path, body)
        except _Refused as refused:
            said = {"X-Error-Code": refused.code, "X-Error-Message": refused.said}
            self._send(refused.status, b"", {name: text for name, text in said.items() if text})
            return
        if fault == "lost":
            self.close_connection = True
            self.connection.close()
            return
        self._send(status, found if isinstance(found, bytes) else json.dumps(found).encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # --- what it can do ---------------------------------------------------------------------------

    def _do(self, path: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
        hub = self.hub
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in ("", OWNER, READER) and not path.startswith("/lfs/"):
            raise _Refused(401, said="Invalid credentials")
        if path == "/api/validate-yaml":
            return self._validate(json.loads(body))
        if path.startswith("/lfs/"):
            oid = path.rpartition("/")[2]
            assert hashlib.sha256(body).hexdigest() == oid
            hub.blobs[oid] = body
            return 200, {}, {}
        writes = self.command == "POST" and "/paths-info/" not in path
        if writes and not token:
            raise _Refused(401, said="Invalid username or password.")
        if writes and token != OWNER:
            raise _Refused(403, said="You don't have the rights required")
        if path == "/api/repos/create":
            made = json.loads(body)
            name = f"{made['organization']}/{made['name']}" if made.get("organization") else f"me/{made['name']}"
            assert made["type"] == "dataset"
            if name in hub.repos:
                return 409, {"error": "You already created this dataset repo", "url": f"{hub.url}/datasets/{name}"}, {}
            hub.repos[name] = Repo(made.get("visibility") == "private" or bool(made.get("private")))
            return 200, {"url": f"{hub.url}/datasets/{name}", "name": name}, {}
        found = re.fullmatch(r"/(?:api/)?datasets/([^/]+/[^/]+?)(?:\.git)?(?:/(.*))?", path)
        if found is None:
            raise _Refused(404)
        repo = hub.repos.get(found[1])
        if repo is None or (repo.private and not token):
            raise _Refused(401 if not token else 404, "RepoNotFound", "Repository not found")
        return self._of_repo(found[1], repo, found[2] or "", body)

    def _of_repo(self, name: str, repo: Repo, rest: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
        what, _, more = rest.partition("/")
        revision, _, path = more.partition("/")
        if what == "info":
            return 200, self._batch(json.loads(body)), {"Content-Type": "application/vnd.git-lfs+json"}
        commit, files = self._at(repo, revision or "main")
        match what:
            case "" | "revision":
                siblings = [{"rfilename": path} for path in files]
                info = {
                    "_id": "1",
                    "id": name,
                    "sha": commit,
                    "private": repo.private,
                    "siblings": siblings,
                    "tags": [],
                }
                return 200, info, {}
            case "preupload":
                return 200, self._preupload(json.loads(body), files), {}
            case "commit":
                return self._commit(name, repo, body)
            case "tree":
                return 200, self._tree(files, path, "recursive=true" in self.path.lower()), {}
            case "paths-info":
                asked = json.loads(body)["paths"] if body.startswith(b"{") else []
                folders = {parent for path in files for parent in _parents(path)}
                found = [_entry(path, files[path]) for path in asked if path in files]
                found += [_folder(path) for path in asked if path in folders]
                return 200, found, {}
            case "resolve":
                return self._resolve(files, path, commit)
        raise _Refused(404)

    def _at(self, repo: Repo, revision: str) -> tuple[str, dict[str, bytes]]:
        for commit, files in repo.commits[::-1]:
            if revision in ("main", commit):
                return commit, files
        raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    def _validate(self, asked: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        header = yaml.safe_load(re.match(r"---\n(.*?)\n---", asked["content"], re.DOTALL)[1])
        licence = header.get("license")
        known = {None, "mit", "apache-2.0", "cc0-1.0", "cc-by-4.0", "other"}
        errors = [] if licence in known else [{"message": f'"license" must be one of [...], not {licence}'}]
        return (400 if errors else 200), {"errors": errors, "warnings": []}, {}

    def _preupload(self, asked: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
        def mode(file: dict[str, Any]) -> str:
            large = file["path"].endswith((".parquet", ".zst", ".gz")) or file["size"] > 10_000
            return "lfs" if large else "regular"

        return {
            "files": [
                {"path": file["path"], "uploadMode": mode(file), "shouldIgnore": False,
                 "oid": _oid(files[file["path"]]) if file["path"] in files else None}
                for file in asked["files"]
            ]
        }  # fmt: skip

    def _batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        objects = []
        for wanted in asked["objects"]:
            found: dict[str, Any] = {**wanted, "authenticated": True}
            if wanted["oid"] not in self.hub.blobs:
                found["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{wanted['oid']}", "header": {}}}
            objects.append(found)
        return {"transfer": "basic", "objects": objects}

    def _commit(self, name: str, repo: Repo, body: bytes) -> tuple[int, Any, dict[str, str]]:
        files = dict(repo.files)
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            match line["key"]:
                case "header":
                    if value.get("parentCommit") not in (None, repo.commits[-1][0]):
                        raise _Refused(412, said="A commit has happened since. Please refresh and try again.")
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.hub.blobs[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        oid = hashlib.sha1(f"{len(repo.commits)}".encode()).hexdigest()
        repo.commits.append((oid, files))
        return 200, {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/datasets/{name}/commit/{oid}"}, {}

    def _tree(self, files: dict[str, bytes], folder: str, recursive: bool) -> list[dict[str, Any]]:
        prefix = f"{folder}/" if folder else ""
        inside = [path for path in files if path.startswith(prefix)]
        if folder and not inside:
            raise _Refused(404, "EntryNotFound", f"{folder} does not exist")
        folders = {parent for path in inside for parent in _parents(path) if parent.startswith(prefix)}
        return [
            *(_folder(path) for path in sorted(folders) if recursive or "/" not in path[len(prefix) :]),
            *(_entry(path, files[path]) for path in inside if recursive or "/" not in path[len(prefix) :]),
        ]

    def _resolve(self, files: dict[str, bytes], path: str, commit: str) -> tuple[int, Any, dict[str, str]]:
        if path not in files:
            raise _Refused(404, "EntryNotFound", "Entry not found")
        data = files[path]
        headers = {"ETag": f'"{_oid(data)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if part := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, end = int(part[1]), int(part[2] or len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{min(end, len(data) - 1)}/{len(data)}"
            return 206, data[start : end + 1], headers
        return 200, data, headers


def _oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _entry(path: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(data), "oid": _oid(data)}


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]
