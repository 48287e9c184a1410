"""The environment keeps to what llmgym promises of one, and rewards what is right."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import pytest
from llmgym import Task, assistant, register_envs, tool_call
from llmgym.testing import check_text_env

register_envs(Path(__file__).parents[1] / "scaffolded" / "registry.yaml")
TABLES = [
    [
        {"id": 1, "shop": "north", "item": "tea", "pieces": 3, "price": 5},
        {"id": 2, "shop": "south", "item": "tea", "pieces": 8, "price": 6},
        {"id": 3, "shop": "north", "item": "salt", "pieces": 2, "price": 1},
    ],
    [
        {"id": 1, "shop": "north", "item": "tea", "pieces": 4, "price": 4},
        {"id": 2, "shop": "west", "item": "tea", "pieces": 1, "price": 9},
        {"id": 3, "shop": "west", "item": "tea", "pieces": 7, "price": 2},
    ],
]
QUERY = "select shop, sum(pieces) from sales where item = 'tea' group by shop"
TASK = Task(prompt="How many pieces of tea did each shop sell?", answer=QUERY, metadata={"tables": TABLES})


@pytest.mark.parametrize("env_id", ["scaffolded/Scaffolded-v0", "scaffolded/Scaffolded-long-v0"])
def test_it_conforms(env_id: str) -> None:
    check_text_env(env_id, num_tasks=20)


@pytest.mark.parametrize(
    ("said", "reward"),
    [
        (QUERY, 1),
        ("```sql\nSELECT s.shop, SUM(s.pieces) FROM sales AS s WHERE s.item = 'tea' GROUP BY 1 ORDER BY 2;\n```", 1),
        ("select 'north', 3 union select 'south', 8", 0),
        ("select shop, sum(pieces) from sales group by shop", 0),
        ("select shop, pieces from sales where item = 'tea'", 0),
        ("drop table sales", 0),
        ("north 3, south 8", 0),
    ],
)
def test_what_a_query_earns(said: str, reward: float) -> None:
    env = gymnasium.make("scaffolded/Scaffolded-v0")
    env.reset(options={"task": TASK})
    assert env.step(said)[1] == reward


def test_the_tool_shows_rows_and_errors() -> None:
    env = gymnasium.make("scaffolded/Scaffolded-v0")
    env.reset(options={"task": TASK})
    calls = assistant("", tool_call("query", query=QUERY), tool_call("query", query="select stock from sales"))
    results, *_ = env.step(calls)
    assert results[0]["content"] == "north, 3\nsouth, 8\n(2 rows)"
    assert "no such column: stock" in results[1]["content"]
