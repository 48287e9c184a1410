from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmgym.envs.documentation_qa import DocumentationQA
from llmgym.envs.documentation_qa.facts import facts, stated
from llmgym.envs.documentation_qa.questions import SORTS
from llmgym.envs.documentation_qa.reference import Entry, entries
from llmgym.errors import ConfigError, TaskError
from llmgym.messages import assistant, tool_call
from tests.envs.checks import DEGENERATE, distinct_share, oracle_rewards, play, policy_reward, shared_contents

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"sorts": ["added", "default", "module", "class"], "preview": "text"},
    "hard": {
        "sorts": ["parameter_added", "which_parameter", "default", "exception", "only", "count"],
        "preview": "title",
        "max_turns": 24,
    },
}
ENTRIES = {entry.name: entry for entry in entries()}


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_earns_the_maximum(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(DocumentationQA(**arguments, split=split)) == [1.0] * 20


@pytest.mark.parametrize("policy", [*DEGENERATE, "3.8", "answers to others"])
def test_blind_policies_earn_little(arguments: dict[str, Any], policy: str) -> None:
    env = DocumentationQA(**arguments)
    others = [env.tasks.draw("train", seed, 1).answer for seed in range(100, 200)]
    act = {
        "3.8": lambda env, turn: "Answer: 3.8",
        "answers to others": lambda env, turn: f"Answer: {others.pop()}",
    }.get(policy) or DEGENERATE[policy]
    assert policy_reward(env, act) <= 0.1


def test_tasks_are_many_and_answers_spread(arguments: dict[str, Any]) -> None:
    env = DocumentationQA(**arguments)
    assert distinct_share(env) >= 0.7
    assert not shared_contents(env)
    tasks = [env.tasks.draw("train", seed, 0) for seed in range(1000)]
    ((_, most),) = Counter(task.answer for task in tasks).most_common(1)
    assert most <= 50


@pytest.mark.parametrize("sort", SORTS)
def test_splits_ask_for_different_facts(sort: str) -> None:
    known = [
        {(fact.subject, fact.detail) for each in facts(sort, testing).values() for fact in each}
        for testing in (False, True)
    ]
    assert not known[0] & known[1]
    assert len(known[0]) > 3 * len(known[1]) > 10


def test_the_snapshot_is_what_documents_show() -> None:
    assert len(ENTRIES) > 8000
    assert all(Entry.of_document(entry.name, entry.shown) == entry for entry in entries())
    assert not [name for name in ENTRIES if ".." in name or name.startswith(".")]


@pytest.mark.parametrize(
    ("sort", "name", "detail", "answer"),
    [
        ("added", "math.dist", "", "3.8"),
        ("added", "os.sync", "", "3.3"),
        ("added", "subprocess.Popen", "", None),
        ("parameter_added", "bisect.bisect_left", "key", "3.10"),
        ("parameter_added", "asyncio.open_connection", "loop", None),
        ("which_parameter", "tkinter.font.nametofont", "3.10", "root"),
        ("default", "gzip.open", "mode", "'rb'"),
        ("default", "argparse.ArgumentParser", "formatter_class", "argparse.HelpFormatter"),
        ("exception", "collections.deque.pop", "If no elements are present, raises a(n) ____.", "IndexError"),
        ("exception", "types.MappingProxyType.get", "never", None),
    ],
)
def test_facts_that_descriptions_state(sort: str, name: str, detail: str, answer: str | None) -> None:
    assert stated(sort, ENTRIES[name], detail) == answer


@pytest.mark.parametrize("testing", [False, True])
def test_answers_are_more_than_punctuation(testing: bool) -> None:
    assert not {"('=', ':')", "';, t'"} & {*facts("default", testing)}


@pytest.mark.parametrize("testing", [False, True])
def test_answers_do_not_stand_in_questions(testing: bool) -> None:
    for sort in SORTS:
        for answer, known in facts(sort, testing).items():
            for fact in known:
                words = f"{fact.subject} {fact.detail}".replace(".", " ").split()
                assert answer not in words or answer.isdigit(), fact


def test_what_is_beside_a_name_says_what_it_is() -> None:
    """As a person would: "the `msg` parameter", "`ssl.SSLError`"."""
    env = DocumentationQA(sorts=("which_parameter", "exception", "only"))
    for seed in range(30):
        env.reset(seed=seed)
        assert env.task is not None
        sort, subject = env.task.metadata["sort"], env.task.metadata["subject"]
        name = env.task.answer
        said = {
            "which_parameter": f"the `{name}` parameter",
            "exception": f"`{'.'.join([*subject.split('.')[:-1], name])}`",
            "only": f"the {env.task.metadata['detail'].split()[0]} `{name}`",
        }[sort]
        assert play(env, [f"Answer: {said}"]) == 1
        env.reset(seed=seed)
        assert play(env, [f"Answer: no{said}"]) == 0


def test_an_episode() -> None:
    env = DocumentationQA()
    env.reset(seed=0)
    ((found, listed, shown, wrong), *_) = env.step(
        assistant(
            "",
            tool_call("search", query="Where is `collections.namedtuple` from?", k=1),
            tool_call("find", passage="new in version 3.8", page=2),
            tool_call("open", name="[collections.namedtuple]"),
            tool_call("open", name="no.such"),
        )
    )
    assert found["content"].startswith("[collections.namedtuple] ")
    assert "page 2:" in listed["content"]
    assert "rename=False, defaults=None, module=None)" in shown["content"]
    assert "there is no document 'no.such'" in wrong["content"]
    assert env.metrics["tool_errors"] == 1


@pytest.mark.parametrize(
    "form", ["Answer: {}", "`{}`", "\\boxed{{{}}}", "The answer is **{}**.", "<think>x</think>{}", "Answer: `{}()`"]
)
def test_names_are_read_in_any_form(form: str) -> None:
    env = DocumentationQA(sorts=["only"])
    env.reset(seed=3)
    assert env.task is not None
    module = env.task.metadata["subject"]
    assert play(env, [form.format(env.task.answer)]) == 1
    env.reset(seed=3)
    assert play(env, [form.format(f"{module}.{env.task.answer}")]) == 1
    env.reset(seed=3)
    assert play(env, [form.format(f"{env.task.answer}x")]) == 0


@pytest.mark.parametrize("wrong", ["3.1", "3.100", "3.9 or 3.10", "3", "310", "3.10 and 3.11", "4.10"])
def test_versions_are_exact(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(orjson.dumps({"prompt": "Since when?", "answer": "3.10", "kind": "version"}))
    env = DocumentationQA(tasks=path)
    for reply in ["3.10", "Answer: Python 3.10", "It was added in version 3.10."]:
        env.reset(seed=0)
        assert play(env, [reply]) == 1
    env.reset(seed=0)
    assert play(env, [f"Answer: {wrong}"]) == 0


@pytest.mark.parametrize("row", [{"prompt": "x", "answer": "soon", "kind": "version"}, {"prompt": "x", "answer": "``"}])
def test_malformed_rows(tmp_path: Path, row: dict[str, Any]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(orjson.dumps(row))
    with pytest.raises(TaskError, match="the reference"):
        DocumentationQA(tasks=path).reset(seed=0)


@pytest.mark.parametrize("arguments", [{"sorts": []}, {"sorts": ["riddle"]}, {"preview": "all"}])
def test_arguments_out_of_range(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DocumentationQA(**arguments)
