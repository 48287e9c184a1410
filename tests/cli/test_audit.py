"""`llmgym audit`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.command import llmgym

REGISTRY = """
environments:
  - id: zoo/Lenient-v0
    entry_point: tests.testing.zoo:PaysNear
    summary: A sum, nearly.
    domains: [math]
    max_turns: 2
    {allow}
    tasks: {{licence: CC0-1.0, origin: generated}}
"""


def registry(folder: Path, allow: str = "allow: {}") -> Path:
    path = folder / "registry.yaml"
    path.write_text(REGISTRY.format(allow=allow))
    return path


def test_a_fault_is_shown_with_its_episodes(tmp_path: Path) -> None:
    page = tmp_path / "audit.html"
    done = llmgym("audit", "zoo/Lenient-v0", "--registry", registry(tmp_path), "--num-tasks", "6", "--html", page)
    assert (done.returncode, done.stderr) == (1, "")
    assert "fault  near/one: a number off by one:" in done.stdout
    assert "The answer is " in done.stdout
    assert done.stdout.rstrip().endswith("zoo/Lenient-v0: 1 fault")
    assert "near/one" in page.read_text()


def test_what_is_allowed_is_shown_and_is_no_fault(tmp_path: Path) -> None:
    allowing = registry(tmp_path, "allow: {near/one: sums are told by ear}")
    done = llmgym("audit", "zoo/Lenient-v0", "--registry", allowing, "--num-tasks", "6", "--json")
    assert done.returncode == 0
    report = json.loads(done.stdout)["zoo/Lenient-v0"]
    finding = next(found for found in report["findings"] if found["name"] == "near/one")
    assert (finding["status"], finding["allowed"]) == ("allowed", "sums are told by ear")
    assert {row["name"] for row in report["policies"]} >= {"ceiling/oracle", "near/one", "blind/empty"}


def test_an_unknown_environment_is_one_line() -> None:
    done = llmgym("audit", "zoo/Nothing-v0")
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no environment 'zoo/Nothing-v0'")


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    done = llmgym("audit", "zoo/Lenient-v0", "--registry", registry(tmp_path), "--html", tmp_path / "no" / "a.html")
    assert done.returncode == 2
    assert "cannot write" in done.stderr
