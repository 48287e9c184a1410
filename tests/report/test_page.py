"""The page in Chromium, from disk: what is seen, what the keys do, and that no text of a run is ever more than text."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmgym.messages import assistant, tool_call, user
from llmgym.report import Report, write_report
from llmgym.report.serving import Viewer
from llmgym.rollout import RunStore
from llmgym.trajectory import Turn
from tests import chromium
from tests.chromium import Page
from tests.data.rows import episode
from tests.report import runs

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(chromium.found() is None, reason="no Chromium is installed"),
]

EPISODE = "document.querySelector('[data-episode]')"
ROWS = "document.querySelectorAll('.tr').length"


def page_of(tmp_path: Path, *made: Path) -> str:
    return write_report(Report(made), tmp_path / "report.html", force=True).as_uri()


def visit(work: Callable[[Page], Awaitable[None]]) -> None:
    """Do something in a tab, in which nothing goes wrong."""

    async def run(page: Page) -> None:
        await work(page)
        assert page.errors == []

    chromium.browse(run)


def test_a_run(tmp_path: Path) -> None:
    url = page_of(tmp_path, runs.store(tmp_path / "run", [*runs.plain(), *runs.crowd(), runs.failing(1)]))

    async def look(page: Page) -> None:
        await page.size("wide")
        await page.open(url)
        text = await page.ask("document.body.innerText")
        for part in ("Reward", "pass@1", "pass@3", "Learning", "Groups"):
            assert part in text
        await page.until("document.querySelectorAll('.u-wrap canvas').length >= 5")  # drawn a frame later
        await page.go("#/episodes", f"{ROWS} === 15")
        await page.press("/")
        await page.ask(
            "document.activeElement.value = 'turns>1 t2'; document.activeElement.dispatchEvent(new Event('input')); 1"
        )
        await page.until(f"{ROWS} === 3")
        await page.press("Escape")
        await page.press("j")
        await page.press("j")
        await page.press("Enter")
        await page.until(f"{EPISODE}?.dataset.episode === 'test/Say-v0/t2/1'")
        assert await page.ask("document.querySelectorAll('.call .result').length") == 1
        assert await page.ask("document.querySelectorAll('.earned').length") == 1
        await page.press("j")
        await page.until(f"{EPISODE}?.dataset.episode === 'test/Say-v0/t2/2'")
        await page.press("2")
        await page.until("document.querySelectorAll('.stream .token.sampled').length === 6")
        assert await page.ask("[...document.querySelectorAll('.badge')].map(one => one.textContent)") == [
            "turn 1 · weights 2", "weights 3", "turn 2 · weights 2", "weights 3",
        ]  # fmt: skip
        assert "Ids stand for texts" in await page.ask("document.body.innerText")
        await page.press("Escape")
        await page.until(f"{ROWS} === 3")
        await page.go("#/tasks", f"{ROWS} >= 6")
        await page.ask("document.querySelector('.tr').click()")
        await page.until("document.querySelectorAll('.column').length === 3")
        await page.go("#/failures", "document.querySelector('.failure')")
        assert "in verify" in await page.ask("document.querySelector('.failure').textContent")

    visit(look)


def test_agents_have_a_lane_each(tmp_path: Path) -> None:
    url = page_of(tmp_path, runs.store(tmp_path / "run", [*runs.plain(1), *runs.crowd()]))

    async def look(page: Page) -> None:
        await page.open(f"{url}#/e/3")
        await page.until(EPISODE)
        assert await page.ask("[...document.querySelectorAll('.lanename')].map(one => one.textContent)") == [
            "black",
            "white",
        ]
        assert await page.ask("[...document.querySelectorAll('.column .env')].map(one => one.textContent)") == [
            "black",
            "white",
        ]
        width = "one.offsetWidth - one.firstChild.offsetWidth - one.lastChild.offsetWidth"
        empty = await page.ask(f"[...document.querySelectorAll('.cell')].map(one => {width})")
        assert max(empty) <= 1
        turns = await page.ask("[...document.querySelectorAll('[data-turn]')].map(one => one.id)")
        assert len(set(turns)) == len(turns) == 2  # each has a cell that leads to it

    visit(look)


def test_tokens_that_are_not_trained_are_told_apart(tmp_path: Path) -> None:
    game = runs.crowd()
    game[1].trainable, game[1].policy = False, "frozen"
    url = page_of(tmp_path, runs.store(tmp_path / "run", [*game, episode("unscored", reward=None), episode("scored")]))
    legends = "[...document.querySelectorAll('.legend')].map(one => one.firstChild.textContent)"

    async def look(page: Page) -> None:
        await page.open(f"{url}#/e/0")
        await page.until(EPISODE)
        await page.press("2")
        await page.until("document.querySelectorAll('.legend').length === 2")
        assert await page.ask(legends) == ["sampledin the loss", "samplednot trained: an opponent's"]
        assert await page.ask("document.querySelectorAll('.segment.untrained').length") == 1
        for place, said in ((2, "samplednot trained: unscored"), (3, "sampledin the loss")):
            await page.go(f"#/e/{place}", f"{EPISODE}?.dataset.episode.includes('scored')")
            await page.until(f"{legends}[0] === {said!r}")

    visit(look)


@pytest.mark.parametrize("agents", [1, 2])
def test_many_turns_fit_in_a_lane(tmp_path: Path, agents: int) -> None:
    rows = [episode("long", turns=300, agent=agent, agents=agents) for agent in ("black", "white")[:agents]]
    url = page_of(tmp_path, runs.store(tmp_path / "run", rows))

    async def look(page: Page) -> None:
        await page.size("phone")
        await page.open(f"{url}#/e/0")
        await page.until("document.querySelectorAll('.cell').length >= 300")
        ends = "[...document.querySelectorAll('.cell')].map(one => one.getBoundingClientRect().right)"
        assert await page.ask(f"Math.max(...{ends}) <= document.querySelector('.lanes').getBoundingClientRect().right")

    visit(look)


@pytest.mark.parametrize("device", ["phone", "wide"])
def test_what_a_program_had_beside_its_conversation(tmp_path: Path, device: str) -> None:
    url = page_of(tmp_path, runs.store(tmp_path / "run", [runs.branching()]))

    async def look(page: Page) -> None:
        await page.size(device)
        await page.open(f"{url}#/e/0")
        await page.until(EPISODE)
        said = "[...document.querySelectorAll('.context summary')].map(one => one.innerText.split('\\n').join('|'))"
        assert await page.ask(said) == [
            "Another context of the agent|trained|after 1 message of the conversation|b",
            "Beside the agent|not trained|begun by itself|Saying a",
            "Reply that was dropped for another|not trained|after 1 message of the conversation|look()",
            "Reply that reached nobody|not trained|after 1 message of the conversation|c",
        ]
        await page.ask("document.querySelectorAll('details').forEach(one => one.open = true); 1")
        shown = "[...document.querySelectorAll('.context')].map(one => one.querySelectorAll('.message').length)"
        assert await page.ask(shown) == [1, 2, 1, 1]
        assert "What the environment saw" in await page.ask("document.body.innerText")
        assert await page.ask("document.documentElement.scrollWidth <= innerWidth")
        await page.press("2")
        await page.until("document.querySelectorAll('.segment').length === 5")
        assert await page.ask("document.querySelectorAll('.segment.untrained .token.sampled').length") == 6
        assert await page.ask("document.querySelectorAll('.badge').length") == 5

    visit(look)


def test_a_search_finds_what_was_said_in_any_context(tmp_path: Path) -> None:
    url = page_of(tmp_path, runs.store(tmp_path / "run", [*runs.plain(2), runs.branching()]))

    async def look(page: Page) -> None:
        await page.open(f"{url}#/episodes")
        await page.until(f"{ROWS} === 7")
        await page.ask("document.querySelector('.deep input').click()")
        await page.ask("document.querySelector('.search').value = '\"a title\"'; 1")
        await page.ask("document.querySelector('.search').dispatchEvent(new Event('input'))")
        await page.until(f"{ROWS} === 1")

    visit(look)


def test_numbers_of_calls_are_as_they_were_written(tmp_path: Path) -> None:
    call: Any = {
        "id": "1",
        "type": "function",
        "function": {"name": "f", "arguments": '{"a": 18446744073709551617, "b": 1.10}'},
    }
    row = episode(messages=[user("say"), assistant("", call)])
    url = page_of(tmp_path, runs.store(tmp_path / "run", [row]))

    async def look(page: Page) -> None:
        await page.open(f"{url}#/e/0")
        await page.until(EPISODE)
        said = await page.ask("[...document.querySelectorAll('dl.arguments dd')].map(one => one.textContent)")
        assert said == ["18446744073709551617", "1.10"]

    visit(look)


def test_calls_have_their_own_results(tmp_path: Path) -> None:
    said: list[Any] = [user("look")]
    for place in "abc":  # of which the first is what had been said before
        said.append(assistant("", {"id": "1", **tool_call("look", at=place)}))
        said.append({"role": "tool", "tool_call_id": "1", "name": "look", "content": f"nothing in {place}"})
    row = episode(messages=[*said, assistant("", {"id": "1", **tool_call("look", at="d")})], turns=1)
    row.opening, row.turns = 3, [Turn(0.0, "stop", 0, 0)] * 3
    url = page_of(tmp_path, runs.store(tmp_path / "run", [row]))

    async def look(page: Page) -> None:
        await page.open(f"{url}#/e/0")
        await page.until(EPISODE)
        parts = "[...one.querySelectorAll('dd, .result')].map(part => part.lastChild.textContent)"
        calls = f"[...document.querySelectorAll('.call')].map(one => {parts})"
        assert await page.ask(calls) == [
            ["a", "nothing in a"], ["b", "nothing in b"], ["c", "nothing in c"], ["d", "no result"],
        ]  # fmt: skip
        assert await page.ask("document.querySelectorAll('.message.tool').length") == 0

    visit(look)


def test_runs_that_differ_in_what_they_have(tmp_path: Path) -> None:
    one = runs.store(tmp_path / "one", [*runs.plain(2, 2), runs.failing(1)])
    others = [replace(episode("t", repeat, 1.0), env_id="test/Else-v0") for repeat in range(3)]
    other = runs.store(tmp_path / "other", [*runs.plain(2, 3), *others])
    url = page_of(tmp_path, one, other)
    parts = "[...one.querySelectorAll('.label, .value')].map(part => part.textContent).join(' ')"
    tiles = f"[...document.querySelectorAll('.tile')].map(one => {parts})"

    async def look(page: Page) -> None:
        await page.open(url)
        assert {"pass@2 1 0.889", "Episodes 4 9", "Failures 1 0"} <= set(await page.ask(tiles))
        await page.ask("document.querySelector('select').value = 'test/Else-v0'; 1")
        await page.ask("document.querySelector('select').dispatchEvent(new Event('change'))")
        assert {"Reward – 1", "pass@3 – 1", "Episodes – 3", "Failures 0 0"} <= set(await page.ask(tiles))
        assert await page.ask("document.querySelectorAll('.tile .interval:not(.other)').length") == 0

    visit(look)


def test_a_run_in_which_all_failed(tmp_path: Path) -> None:
    rows = [*map(runs.failing, range(3)), replace(runs.failing(3), env_id="test/Else-v0")]
    url = page_of(tmp_path, runs.store(tmp_path / "run", rows))
    tiles = "[...document.querySelectorAll('.tile')].map(one => one.innerText.replaceAll('\\n', ' '))"

    async def look(page: Page) -> None:
        await page.open(url)
        shown = await page.ask(tiles)
        assert {"Reward – mean", "Episodes 0 of 30", "Time – an episode"} <= set(shown)
        assert "Failures 4 see what went wrong" in shown
        await page.ask("document.querySelector('select').value = 'test/Else-v0'; 1")
        await page.ask("document.querySelector('select').dispatchEvent(new Event('change'))")
        assert "Failures 1 see what went wrong" in await page.ask(tiles)
        await page.go("#/failures", "document.querySelector('.failure')")
        assert await page.ask("document.querySelector('.failure .count').textContent") == "1"
        assert await page.ask("document.querySelectorAll('.failure .link').length") == 1

    visit(look)


def test_a_page_of_any_name_finds_its_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmgym.report.page.WITHIN", 0)
    report = Report([runs.store(tmp_path / "run", runs.plain())])
    url = write_report(report, tmp_path / "100%41 of #1?.html").as_uri()

    async def look(page: Page) -> None:
        await page.open(f"{url}#/e/0")
        await page.until(EPISODE)

    visit(look)


def test_two_runs(tmp_path: Path) -> None:
    one = runs.store(tmp_path / "before", runs.plain(4, 2))
    other = runs.store(
        tmp_path / "after", (episode(f"t{task}", repeat, 1.0) for task in range(3) for repeat in range(2))
    )
    url = page_of(tmp_path, one, other)

    async def look(page: Page) -> None:
        await page.open(f"{url}#/tasks")
        await page.until(f"{ROWS} === 4")
        assert "3 tasks in both: 3 better, 0 worse, 0 equal" in await page.ask("document.body.innerText")
        await page.ask("document.querySelector('.tr').click()")
        await page.until("document.querySelectorAll('.column').length === 4")
        assert await page.ask("document.querySelectorAll('.column .chip.other').length") == 2
        await page.go("#/", "document.querySelector('.kinds')")
        for name, kind in (("h4", ["before", "after"]), (".kinds b", ["mixed", "solved"])):
            shown = f"[...document.querySelectorAll('.ofrun')].map(one => one.querySelector('{name}').textContent)"
            assert await page.ask(shown) == kind
        below = await page.ask("[...document.querySelectorAll('.tile .below')].map(one => one.textContent)")
        assert {"8 completed / 6 completed", "2 episodes each"} <= set(below)

    visit(look)


def test_nothing_in_a_run_is_more_than_text(tmp_path: Path) -> None:
    lost = [runs.failing(number, text) for number, text in enumerate(runs.HOSTILE[:-1])]
    folder = tmp_path / "<img src=x onerror=window.ran=1>"
    url = page_of(tmp_path, runs.store(folder, [*runs.hostile(), *lost]))
    count = len(runs.HOSTILE)

    async def look(page: Page) -> None:
        await page.open(url)
        for place in ("#/", "#/episodes", "#/tasks", "#/failures"):
            await page.go(place, "document.querySelector('main').childElementCount > 0")
            await page.ask("document.querySelectorAll('details').forEach(one => { one.open = true }); 1")
        for number in range(count + len(lost)):
            await page.go(f"#/e/{number}", f"location.hash === '#/e/{number}' && {EPISODE}")
            await page.ask("document.querySelectorAll('details').forEach(one => { one.open = true }); 1")
            for tab in "321":
                await page.press(tab)
        assert await page.ask("window.ran") is None
        assert await page.ask("document.querySelectorAll('main img, main script, main svg, main iframe').length") == 0
        await page.go("#/e/6", f"{EPISODE}?.dataset.episode.includes('6 ')")
        assert "␛" in await page.ask("document.querySelector('.mark').textContent")
        await page.go("#/e/7", f"{EPISODE}?.dataset.episode.includes('7 ')")
        assert await page.ask("document.querySelector('.mark').textContent") == "U+202E"
        assert await page.ask("getComputedStyle(document.querySelector('.text')).unicodeBidi") == "plaintext"
        await page.press("m")
        await page.until("!document.querySelector('.mark')")
        await page.go(f"#/e/{count - 1}", "document.querySelector('button.more')")
        await page.ask("document.querySelector('button.more').click()")
        assert await page.ask("document.querySelector('.text').textContent.length") == 200_000

    visit(look)


def test_scripts_that_are_put_into_the_page_are_refused(tmp_path: Path) -> None:
    url = page_of(tmp_path, runs.store(tmp_path / "run", runs.plain(1, 1)))

    async def look(page: Page) -> None:
        await page.open(url)
        await page.ask("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran=1\">'); 1")
        await page.ask(
            "const s = document.createElement('script'); s.textContent = 'window.ran=1'; document.body.append(s); 1"
        )
        await page.until("true")
        assert await page.ask("window.ran") is None
        assert any("Content Security Policy" in error for error in page.errors)

    chromium.browse(look)


def test_words_are_found_in_all_that_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmgym.report.page.WITHIN", 0)
    monkeypatch.setattr("llmgym.report.report.ROWS", 7)
    said = [user("say"), assistant("I look for a NEEDLE here"), user("and then?"), assistant("done")]
    hidden = [episode(f"x{at}", 0, float(at), messages=said, turns=0) for at in range(2)]
    url = page_of(tmp_path, runs.store(tmp_path / "run", [*runs.plain(), *hidden]))
    ask = "document.activeElement.value = {!r}; document.activeElement.dispatchEvent(new Event('input')); 1"

    async def look(page: Page) -> None:
        await page.size("wide")
        await page.open(f"{url}#/episodes")
        await page.until(f"{ROWS} === 14")
        await page.press("/")
        await page.ask(ask.format('"a needle" reward>0'))
        await page.until(f"{ROWS} === 0")
        await page.ask("document.querySelector('.deep input').click()")
        await page.until(f"{ROWS} === 1")
        assert "I look for a NEEDLE here" in await page.ask("document.querySelector('.tr').innerText")
        await page.until("document.querySelector('.note').textContent === '1 of 7'")
        await page.ask("document.querySelector('.tr').click()")
        await page.until(f"{EPISODE}?.dataset.episode === 'test/Say-v0/x1/0'")
        await page.press("Escape")
        await page.until(f"{ROWS} === 1")
        await page.press("/")
        await page.ask(ask.format("look"))  # the name of a tool, and a word
        await page.until("document.querySelector('.note').textContent === '14 of 14'")

    visit(look)


def test_a_folder_beside_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmgym.report.page.WITHIN", 0)
    url = page_of(tmp_path, runs.store(tmp_path / "run", runs.plain(100)))

    async def look(page: Page) -> None:
        await page.open(f"{url}#/e/299")
        await page.until(EPISODE)

    visit(look)


@pytest.mark.parametrize("device", chromium.SIZES)
def test_nothing_is_wider_than_the_page(tmp_path: Path, device: str) -> None:
    url = page_of(tmp_path, runs.store(tmp_path / "run", [*runs.plain(), *runs.hostile(), runs.failing(1)]))

    async def look(page: Page) -> None:
        await page.size(device)
        await page.open(url)
        for place in ("#/", "#/episodes", "#/tasks", "#/failures", "#/e/0", "#/e/13", "#/e/22"):
            await page.go(place, "document.querySelector('main').childElementCount > 0")
            wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert await page.ask(wide) <= 0, place

    visit(look)


def test_what_is_on_its_way_when_a_run_goes_on_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = Viewer(Report([runs.store(tmp_path / "run", runs.plain(1))]))
    given = viewer.pack

    def slow(number: int) -> str | None:
        time.sleep(0.3)
        return given(number)

    monkeypatch.setattr(viewer, "pack", slow)
    thread = threading.Thread(target=viewer.run)
    thread.start()

    async def look(page: Page) -> None:
        await page.open(viewer.url)
        asked = "R.episode(0).then(row => { window.arrived = row.id })"
        await page.ask(f"{asked}; R.live(R.summary, document.getElementById('index').textContent)")
        await page.until("window.arrived === 'test/Say-v0/t0/0'")

    try:
        visit(look)
    finally:
        viewer.close()
        thread.join()


def test_it_goes_on_while_the_run_does(tmp_path: Path) -> None:
    viewer = Viewer(Report([runs.store(tmp_path / "run", runs.plain(1))]))
    thread = threading.Thread(target=viewer.run)
    thread.start()

    async def look(page: Page) -> None:
        await page.open(f"{viewer.url}#/episodes")
        await page.until(f"{ROWS} === 3")
        store = RunStore(tmp_path / "run", {"environments": []}, runs.CONFIG, 0.0)
        for row in runs.plain(1, start=5):
            store.append(row)
        store.close()
        await page.until(f"{ROWS} === 6")
        await page.go("#/e/5", EPISODE)

    try:
        visit(look)
    finally:
        viewer.close()
        thread.join()


def test_what_is_looked_at_stays_while_a_run_goes_on(tmp_path: Path) -> None:
    viewer = Viewer(Report([runs.store(tmp_path / "run", [*runs.plain(20), runs.failing(1)])]))
    thread = threading.Thread(target=viewer.run)
    thread.start()

    async def grown(page: Page, task: int) -> None:
        before = await page.ask("R.columns.rows")
        store = RunStore(tmp_path / "run", {"environments": []}, runs.CONFIG, 0.0)
        for row in runs.plain(1, start=task):
            store.append(row)
        store.close()
        await page.until(f"R.columns.rows > {before}")

    async def look(page: Page) -> None:
        await page.size("laptop")
        await page.open(f"{viewer.url}#/episodes")
        await page.press("j")
        await page.press("j")
        await page.ask("document.querySelector('.tscroll').scrollTop = 700; 1")
        await grown(page, 30)
        await page.until("document.querySelector('.note').textContent === '64 of 64'")
        assert await page.ask("document.querySelector('.tscroll').scrollTop") == 700
        await page.press("j")
        await page.until("document.querySelector('.tr.chosen').dataset.row === '2'")
        await page.go("#/failures", "document.querySelector('.failure').open")
        await page.ask(
            "document.querySelector('.failure').open = false; document.querySelector('.failure').dataset.old = 1"
        )
        await grown(page, 40)
        await page.until("document.querySelector('.failure:not([data-old])')")
        assert not await page.ask("document.querySelector('.failure').open")

    try:
        visit(look)
    finally:
        viewer.close()
        thread.join()
