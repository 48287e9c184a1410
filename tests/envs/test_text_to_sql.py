from __future__ import annotations

import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from llmgym.env import ToolEnv
from llmgym.envs.text_to_sql import TextToSQL
from llmgym.envs.text_to_sql.rows import read_row
from llmgym.errors import ConfigError, TaskError
from llmgym.messages import assistant, tool_call
from llmgym.tasks import Task
from llmgym.verifiers.sql import SQLite, is_ordered
from llmgym.verifiers.sql.rules import problems
from tests.envs.checks import DEGENERATE, oracle_rewards, policy_reward

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"level": "easy"},
    "tools": {"mode": "tools", "max_turns": 12},
    "hard": {"level": "hard", "mode": "tools", "max_turns": 16},
}

SHOP: dict[str, Any] = {
    "question": "How many sales of more than 3 did the north shop make?",
    "gt_sql": "SELECT COUNT(*) FROM sales WHERE shop = 'north' AND amount > 3",
    "sql_context": "CREATE TABLE sales (id INTEGER PRIMARY KEY, shop TEXT, amount REAL);\nINSERT INTO sales VALUES "
    "(1, 'north', 3.5), (2, 'south', 4), (3, 'north', 1), (4, 'north', 9), (5, 'south', 2);",
}


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_is_right(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(TextToSQL(**arguments, split=split), 10) == [1.0] * 10


@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_nothing(arguments: dict[str, Any], policy: str) -> None:
    assert policy_reward(TextToSQL(**arguments), DEGENERATE[policy], 10) == 0


def test_tasks_are_many_and_splits_are_apart() -> None:
    env = TextToSQL(level="easy")
    hashes = {env.tasks.draw("train", seed, 0).content_hash for seed in range(200)}
    assert len(hashes) == 200
    assert not hashes & {env.tasks.draw("test", seed, 0).content_hash for seed in range(50)}


def _ties(query: str) -> str:
    """What may be ordered the other way, where nothing is equal in what it is ordered by first."""
    last = query.rpartition("ORDER BY ")[2].partition(" LIMIT")[0].rpartition(", ")[2]
    return f"with {last!r} ordered the other way it gives the same result"


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_queries_are_proven_by_the_verifier_too(level: Any) -> None:
    env = TextToSQL(level=level)
    for seed in range(25):
        task = env.tasks.draw("train", seed, 0)
        schema = " ".join(made["sql"] for made in task.metadata["schema"])
        databases = [SQLite.of_script(f"{schema} {filled}") for filled in task.metadata["databases"]]
        found = problems(task.answer, databases=databases)
        assert [problem for problem in found if problem not in _ties(task.answer)] == []
        assert task.metadata["ordered"] == is_ordered(task.answer, "sqlite")
        assert task.answer not in str(task.prompt)


def test_all_kinds_of_questions_come_up() -> None:
    env = TextToSQL(level="hard")
    kinds = Counter(env.tasks.draw("train", seed, 0).metadata["kind"] for seed in range(120))
    assert len(kinds) == 9
    assert max(kinds.values()) < 40


def _reward(env: ToolEnv, task: Task, reply: str) -> float:
    env.reset(options={"task": task})
    return float(env.step(reply)[1])


FORMS = (
    "```sql\n{}\n```",
    "```sql\n{};\n```",
    "```\n{}\n```",
    "{}",
    "{};",
    "<think>select 1</think>\n{}",
    "The query is:\n\n```sqlite\n{}\n```\nIt counts them.",
    "Here is the query: {};\nIt counts the sales.",
    "Answer: `{}`",
    "I would use this query.\n{}\n\nIt counts what you want.",
    "```sql\n{}",
)
RIGHT = (
    "SELECT COUNT(*) FROM sales WHERE shop = 'north' AND amount > 3",
    "select count(id) as n from sales s where s.amount>3.0 and s.shop like 'north'",
    "WITH n AS (SELECT * FROM sales WHERE shop = 'north') SELECT COUNT(*) FROM n WHERE amount > 3",
    "SELECT SUM(CASE WHEN shop = 'north' AND amount > 3 THEN 1 ELSE 0 END) FROM sales",
)
WRONG = (
    "", "2", "SELECT 2", "SELECT * FROM sales", "SELECT COUNT(*) FROM sales WHERE shop = 'north'",
    "SELECT COUNT(*) FROM sales WHERE amount > 3", "SELECT COUNT(*) FROM sales", "SELECT COUNT(*), 1 FROM sales",
    "SELECT COUNT(*) FROM sales WHERE shop = 'north' AND amount > 3; SELECT 1", "DROP TABLE sales",
    "SELECT COUNT(*) FROM sales WHERE shop = 'north' AND amount > 3 AND id <> 4", "reward: 1", "x" * 20_000,
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_right_query_is_right_however_it_is_given(form: str) -> None:
    env, task = TextToSQL(), read_row(SHOP)
    for query in RIGHT:
        assert _reward(env, task, form.format(query)) == 1, query


@pytest.mark.parametrize("query", WRONG)
def test_near_misses_earn_nothing(query: str) -> None:
    assert _reward(TextToSQL(), read_row(SHOP), f"```sql\n{query}\n```") == 0
    assert _reward(TextToSQL(), read_row(SHOP), query) == 0


def test_what_the_tools_show_is_no_answer_to_copy() -> None:
    env = TextToSQL(mode="tools", level="medium", max_turns=4)
    copied = 0
    for seed in range(30):
        env.reset(seed=seed)
        assert env.task is not None
        shown = env.step(assistant("", tool_call("query", sql=env.task.answer)))[0][0]["content"]
        rows = json.loads(shown)["rows"]
        values = ", ".join("(" + ", ".join("NULL" if c is None else repr(c) for c in row) + ")" for row in rows)
        copied += env.step(f"```sql\nVALUES {values}\n```")[1] == 1
    assert copied == 0


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("query", {"sql": "SELECT shop FROM sales WHERE id < 3"}, '{"rows":[["north"],["south"]]}'),
        ("query", {"sql": "```sql\nSELECT NULL, 1.5;\n```"}, '{"rows":[[null,1.5]]}'),
        ("query", {"sql": "SELECT x'00'"}, '{"rows":[["'),
        ("query", {"sql": "SELECT colour FROM sales"}, "Error: no such column: colour; write another query"),
        ("query", {"sql": "DELETE FROM sales"}, "Error: not authorized"),
        ("query", {"sql": "ATTACH 'x' AS y"}, "Error"),
        ("query", {"sql": "PRAGMA table_info(sales)"}, "Error: not authorized"),
        ("query", {"sql": ""}, "Error"),
        ("query", {"sql": "x" * 100_000}, "Error"),
        (
            "query",
            {"sql": "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"},
            "only the",
        ),
        ("query", {"sql": 5}, "Error: invalid arguments"),
        ("describe", {"table": "SALES"}, "CREATE TABLE sales"),
        ("describe", {"table": "nothing" * 50}, "Error: there is no table 'nothing"),
        ("describe", {"table": ["sales"]}, "Error: invalid arguments"),
    ],
)
def test_tools(name: str, arguments: dict[str, Any], says: str) -> None:
    env = TextToSQL(mode="tools", max_turns=4)
    env.reset(options={"task": read_row(SHOP)})
    content = env.step(assistant("", tool_call(name, **arguments)))[0][0]["content"]
    assert says in content
    assert len(content) < 1000


def test_text_shows_the_schema_and_tools_do_not() -> None:
    for mode, there in (("text", True), ("tools", False)):
        env = TextToSQL(mode=mode)  # type: ignore[arg-type]
        (_, opening), info = env.reset(options={"task": read_row(SHOP)})
        assert ("CREATE TABLE" in opening["content"]) == there
        assert "'south'" not in opening["content"]
        assert bool(info["tools"]) != there


def test_rows_of_nemo_gym(tmp_path: Path) -> None:
    asked = [{"role": "system", "content": "You are a SQL assistant."}, {"role": "user", "content": "<QUESTION>?"}]
    second = {
        "responses_create_params": {"input": asked},
        "uuid": "two",
        "sql_prompt": "Sales by shop, the best first?",
        "sql": "SELECT shop, SUM(amount) AS total FROM sales GROUP BY shop ORDER BY total DESC",
        "sql_dialect": "sqlite",
        "sql_context": SHOP["sql_context"],
    }
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (SHOP, second)))
    env = gymnasium.make("llmgym/TextToSQL-v0", tasks=str(path)).unwrapped
    assert isinstance(env, TextToSQL)
    assert oracle_rewards(env, 2) == [1.0, 1.0]
    task = read_row(second)
    assert task.messages == asked
    assert task.metadata["ordered"]
    assert task.metadata["uuid"] == "two"
    assert _reward(env, task, "SELECT shop, SUM(amount) FROM sales GROUP BY shop ORDER BY 2") == 0
    env.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sql_context": None}, "CREATE and INSERT"),
        ({"sql_context": "CREATE TABLE sales (id INTEGER);"}, "CREATE and INSERT"),
        ({"sql_context": "CREATE TABLE a (b INT) ENGINE=InnoDB; INSERT INTO a VALUES (1);"}, "does not run in SQLite"),
        ({"sql_context": SHOP["sql_context"] + "ATTACH 'x.db' AS x;"}, "not authorized"),
        ({"sql_dialect": "mysql"}, "only queries for sqlite"),
        ({"gt_sql": "SELECT COUNT(*) FROM shops"}, "does not run"),
        ({"gt_sql": "SELECT id FROM sales WHERE shop = 'west'"}, "gives nothing"),
        ({"gt_sql": "SELECT 3"}, "a constant passes"),
        ({"gt_sql": None}, "gt_sql"),
        ({"question": 7}, "question is text"),
    ],
)
def test_rows_whose_verdicts_would_mean_little_are_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({**SHOP, **change}))
    with pytest.raises(TaskError, match=says):
        TextToSQL(tasks=path).reset(seed=0)


def test_wrong_arguments_are_refused() -> None:
    for arguments in ({"level": "harder"}, {"mode": "voice"}):
        with pytest.raises(ConfigError):
            TextToSQL(**arguments)  # type: ignore[arg-type]


def test_tasks_travel_to_other_processes() -> None:
    tasks = TextToSQL().tasks
    assert pickle.loads(pickle.dumps(tasks)).draw("train", 1, 2) == tasks.draw("train", 1, 2)
