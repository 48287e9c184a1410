"""When a mean is a finding, and the page that shows findings."""

from __future__ import annotations

import pytest

from llmgym.testing.audit import AuditReport, Finding, Play, Row, page
from llmgym.testing.audit.report import chance


def row(*rewards: float | None, ceiling: float = 1.0) -> Row:
    plays = tuple(Play(f"t{at}", reward, "said") for at, reward in enumerate(rewards))
    return Row("blind/x", "says x", plays, ceiling)


@pytest.mark.parametrize(
    ("hits", "count", "exceeds"), [(2, 40, False), (4, 40, False), (10, 40, True), (4, 4, True), (1, 4, False)]
)
def test_a_few_lucky_episodes_are_no_fault(hits: int, count: int, exceeds: bool) -> None:
    found = row(*[1.0] * hits, *[0.0] * (count - hits))
    assert found.exceeds(0.05, found.shares) is exceeds


def test_chance_is_that_of_so_many_hits_or_more() -> None:
    assert chance(2, 0, 0.5) == pytest.approx(1.0)
    assert chance(2, 1, 0.5) == pytest.approx(0.75)
    assert chance(5000, 0, 0.05) == pytest.approx(1.0)
    assert chance(10, 10, 0.1) == pytest.approx(1e-10)


def test_unscored_episodes_stand_apart() -> None:
    found = row(0.0, None, 2.0, ceiling=2.0)
    assert (found.mean, found.most, found.at_ceiling, found.unscored) == (1.0, 2.0, 1, 1)
    assert [play.task_id for play in found.paid()] == ["t2"]


def test_the_page_holds_hostile_text_as_text() -> None:
    said = "<script>alert(1)</script>\x00\ud800"
    finding = Finding("near/x", said, examples=(Play("t", 1.0, said),))
    text = page([AuditReport("a/B-v0", 1.0, {"train": 1}, (row(1.0),), (finding,), {"<b>": "&"})])
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "&lt;b&gt;" in text
    text.encode("utf-8")
    for outside in ("http:", "https:", "src=", "@import"):
        assert outside not in text


def test_an_allowed_finding_is_no_fault() -> None:
    found = [Finding("a", "x"), Finding("b", "x", allowed="it is so"), Finding("c", "x", grave=False)]
    report = AuditReport("a/B-v0", 1.0, {}, findings=tuple(found))
    assert [finding.status for finding in report.findings] == ["fault", "allowed", "note"]
    assert report.faults == (found[0],)
