"""TextVectorEnv: it means what Gymnasium's vectors mean, and no step is lost or taken twice."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

import llmgym
from llmgym.env import ToolEnv
from llmgym.errors import ConfigError, LLMGymError, MessageError, RegistryError, TaskError, VectorError
from llmgym.messages import assistant, tool_call, user
from llmgym.registry import make_core
from llmgym.tasks import Task
from llmgym.vector import TextVectorEnv
from llmgym.wrappers import FilterTasks
from tests.environments import Adder, SuspendingAdder

MODES = ["NextStep", "SameStep", "Disabled"]
CALL = assistant("", tool_call("add", a=1))
N = 3


def same(a: Any, b: Any) -> bool:
    """Equal, types included, where NaN is equal to itself."""
    if isinstance(a, np.ndarray) and a.dtype == np.float64:
        return isinstance(b, np.ndarray) and b.dtype == a.dtype and np.array_equal(a, b, equal_nan=True)
    if isinstance(a, np.ndarray) and a.dtype == object:
        return isinstance(b, np.ndarray) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return bool(data_equivalence(a, b))


# --- Gymnasium ----------------------------------------------------------------------------------


IDS = [f"test/{name}-v0" for name in ("Adder", "SuspendingAdder", "BlockingAdder", "Chat")]
_ALONE = [entry for entry in llmgym.list_envs() if "judge" not in entry.needs]
IDS += [entry.id for entry in _ALONE if entry.id == entry.base]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("env_id", IDS)
def test_it_means_what_gymnasiums_vector_means(env_id: str, mode: str) -> None:
    ours = gymnasium.make_vec(env_id, num_envs=N, autoreset_mode=mode, max_turns=6)
    theirs = SyncVectorEnv([functools.partial(gymnasium.make, env_id, max_turns=6)] * N, autoreset_mode=mode)
    assert isinstance(ours, TextVectorEnv)
    assert ours.metadata == theirs.metadata
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    theirs.action_space.seed(5)
    assert same(ours.reset(seed=7), theirs.reset(seed=7))
    task_id = ours.envs[0].task.id  # type: ignore[union-attr]
    options: dict[str, Any] = {"task_id": task_id}
    assert same(ours.reset(seed=[1, 2, 3], options=options), theirs.reset(seed=[1, 2, 3], options=options))
    ends, turns = 0, 100 if env_id.startswith("test/") else 12
    for turn in range(turns):
        actions = [said if (turn + i) % 7 else "the end" for i, said in enumerate(theirs.action_space.sample())]
        results = ours.step(actions), theirs.step(actions)
        assert same(*results)
        observations, _, terminations, truncations, infos = results[0]
        assert observations in ours.observation_space
        over = terminations | truncations
        ends += over.sum()
        if mode == "SameStep" and over.any():
            assert infos["_final_obs"].tolist() == infos["_final_info"].tolist() == over.tolist()
        if mode == "Disabled" and over.any():
            options = {"reset_mask": over}
            assert same(ours.reset(options=options), theirs.reset(options=options.copy()))
            assert list(options) == ["reset_mask"]
    assert ends > turns / 5
    ours.close()
    theirs.close()


@pytest.mark.parametrize("env_id", [entry.id for entry in _ALONE])
def test_every_registered_id_has_an_entry_point_of_its_own(env_id: str) -> None:
    vector = gymnasium.make_vec(env_id, num_envs=2, max_turns=2)
    assert isinstance(vector, TextVectorEnv)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert vector.get_attr("scope") == (env_id,) * 2
    assert vector.get_attr("max_turns") == (2, 2)
    assert vector.spec is not None
    again = gymnasium.make_vec(EnvSpec.from_json(vector.spec.to_json()))
    assert again.spec == vector.spec
    assert again.num_envs == 2
    assert same(vector.reset(seed=0), again.reset(seed=0))
    vector.close()
    again.close()


def test_an_enum_is_a_mode_too() -> None:
    assert TextVectorEnv(Adder, autoreset_mode=AutoresetMode.DISABLED).metadata["autoreset_mode"].value == "Disabled"
    with pytest.raises(AttributeError, match="no attribute 'test/None-v0'"):
        getattr(llmgym.vector, "test/None-v0")
    assert TextVectorEnv(Adder, np.int64(2)).num_envs == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"num_envs": 0}, "num_envs must be a whole number, at least 1; it is 0"), ({"num_envs": -3}, "-3"),
        ({"num_envs": 2.5}, "2.5"), ({"num_envs": "4"}, "'4'"), ({"num_envs": True}, "True"),
        ({"num_envs": None}, "None"), ({"num_envs": math.nan}, "nan"),
        ({"autoreset_mode": "Sometimes"}, "'NextStep', 'SameStep', 'Disabled'; it is 'Sometimes'"),
        ({"autoreset_mode": None}, "None"), ({"autoreset_mode": ["SameStep"]}, "SameStep"),
        ({"max_episode_steps": 3}, "max_episode_steps=3.*max_turns"), ({"max_turns": 0}, "max_turns .* 0"),
        ({"max_turns": -1}, "-1"), ({"max_turns": 2.5}, "2.5"), ({"max_turns": "many"}, "many"),
        ({"tool_timeout": 0}, "tool_timeout .* 0"), ({"hook_timeout": -2}, "hook_timeout .* -2"),
        ({"tasks": 3}, "3"),
    ],
)  # fmt: skip
def test_numbers_and_names_that_make_no_sense_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(LLMGymError, match=said):
        TextVectorEnv(Adder, **arguments)
    with pytest.raises(LLMGymError, match=said):
        TextVectorEnv("test/Adder-v0", **arguments)


def test_an_argument_that_the_environment_does_not_have() -> None:
    with pytest.raises(RegistryError, match="unexpected keyword argument 'size'"):
        gymnasium.make_vec("test/Adder-v0", size=3)
    with pytest.raises(TypeError, match="size"):
        TextVectorEnv(Adder, size=3)


def test_groups_by_repeated_seeds() -> None:
    vector = TextVectorEnv(Adder, 4)
    _, infos = vector.reset(seed=[1, 1, 2, 2])
    for _ in range(3):
        a, b, c, d = infos["task_id"]
        assert a == b != c == d
        *_, infos = vector.step(["end"] * 4)


def test_a_task_for_each_slot_and_options_are_left_alone() -> None:
    vector = TextVectorEnv(Adder, 3)
    ids = ["train-00c0ffee00c0ffee", None, "test-00c0ffee00c0ffee"]
    options = {"task_id": ids}
    _, infos = vector.reset(seed=4, options=options)
    assert options == {"task_id": ids}
    assert infos["task_id"].tolist()[::2] == ids[::2]
    task = Task(id="mine", prompt="1 + 1?", answer=2)
    _, infos = vector.reset(options={"task": [task, task, None]})
    assert infos["task_id"].tolist()[:2] == ["mine", "mine"]


class Levelled(Adder):
    """Has a level, which is an option of its resets."""

    def setup(self, task: Task, level: Any = 1, map: Any = None) -> None:  # type: ignore[override]
        super().setup(task)
        self.level, self.map = level, map


def test_options_of_the_environments_own() -> None:
    vector = TextVectorEnv(Levelled, 2)
    vector.reset(options={"level": 3, "map": [4, 5]})  # for all, as Gymnasium has it: a list is no list of slots
    assert vector.get_attr("level") == (3, 3)
    assert vector.get_attr("map") == ([4, 5], [4, 5])
    each = [{"level": 2, "task_id": "train-00c0ffee00c0ffee"}, None]
    _, infos = vector.reset(options=each)
    assert each == [{"level": 2, "task_id": "train-00c0ffee00c0ffee"}, None]
    assert vector.get_attr("level") == (2, 1)
    assert infos["task_id"][0] == "train-00c0ffee00c0ffee" != infos["task_id"][1]


class Judged(Adder):
    """Needs a model."""

    roles = ("judge",)


OK = "train-00c0ffee00c0ffee"


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"options": {"task_id": [OK, "x", OK]}}, TaskError, "unknown task 'x'"),
        ({"options": {"task_id": [OK, OK, 3]}}, TaskError, "not 3"), ({"options": {"task_id": "x"}}, TaskError, "'x'"),
        ({"options": {"task": [None, "mine", None]}}, TaskError, "not 'mine'"),
        ({"options": {"tusk": 3}}, TaskError, "unknown reset option 'tusk'"),
        ({"options": [None, {"task_id": OK}, {"tusk": 3}]}, TaskError, "unknown reset option 'tusk'"),
        ({"options": [{}, {"task_id": "x"}, {}]}, TaskError, "unknown task 'x'"),
        ({"options": [{}, {"reset_mask": [True] * 3}, {}]}, TaskError, "reset_mask"),
        ({"options": [{}, {}]}, VectorError, "2 values of 'options' for 3"),
        ({"options": [{}, 3, {}]}, VectorError, "3"), ({"options": 3}, VectorError, "3"),
        ({"options": {"task_id": ["x"]}}, VectorError, "1 values of 'task_id' for 3"),
        ({"options": {"reset_mask": [True]}}, VectorError, "3 booleans"),
        ({"options": {"reset_mask": [False] * 3}}, VectorError, "at least one"),
        ({"options": {"reset_mask": np.array([1, 0, 1])}}, VectorError, "3 booleans"),
        ({"options": {"reset_mask": np.array([False, True, True]), "task_id": [OK, OK, "x"]}}, TaskError, "'x'"),
        ({"seed": [1, 2]}, VectorError, "2 seeds for 3"), ({"seed": -1}, VectorError, "-1"),
        ({"seed": 1.5}, VectorError, "1.5"), ({"seed": [1, 2.5, 3]}, VectorError, "2.5"),
        ({"seed": [1, -2, 3]}, VectorError, "-2"), ({"seed": "1"}, VectorError, "'1'"),
        ({"seed": True}, VectorError, "True"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("cls", [Adder, SuspendingAdder])
def test_a_reset_that_is_refused_touches_no_slot(
    cls: type[ToolEnv], arguments: dict[str, Any], error: type[Exception], said: str
) -> None:
    vector, other = TextVectorEnv(cls, 3), TextVectorEnv(cls, 3)
    for one in (vector, other):
        one.reset(seed=0)
        one.step([CALL] * 3)
    with pytest.raises(error, match=said):
        vector.reset(**arguments)
    for said_next in ([CALL] * 3, ["end"] * 3, [CALL] * 3):  # the episodes go on, and so do the streams of tasks
        assert same(vector.step(said_next), other.step(said_next))
    vector.close()
    other.close()


def test_a_task_of_a_slot_that_is_not_reset_does_not_matter() -> None:
    vector = TextVectorEnv(Adder, 2)
    vector.reset(seed=0)
    mask = np.array([True, False])
    _, infos = vector.reset(options={"reset_mask": mask, "task_id": [OK, "x"]})
    assert infos["task_id"].tolist() == [OK, None]


def test_a_split_and_a_model_that_are_not_there_are_found_first() -> None:
    vector = TextVectorEnv(Adder, 2)
    vector.reset(seed=0)
    vector.envs[1].unwrapped.split = "dev"  # type: ignore[attr-defined]
    with pytest.raises(TaskError, match="unknown split 'dev'"):
        vector.reset()
    assert vector.step([CALL, CALL])[4]["_task_id"].all()
    with pytest.raises(TaskError, match="unknown split 'dev'"):
        TextVectorEnv(Adder, 2, split="dev").reset()
    judged = TextVectorEnv(Judged, 2)
    with pytest.raises(ConfigError, match="needs a model for the role 'judge'"):
        judged.reset()
    with pytest.raises(ResetNeeded):
        judged.step([CALL, CALL])
    judged.close()


def test_seeds_of_any_form() -> None:
    vector = TextVectorEnv(Adder, 2)
    given = [5, np.int64(5), [5, 6], (5, 6), np.array([5, 6]), np.array([5, 6], dtype=np.uint8)]
    openings = [vector.reset(seed=seed) for seed in given]  # type: ignore[arg-type]
    assert all(same(opening, openings[0]) for opening in openings)
    vector.reset(seed=[None, 2**70])


def test_only_masked_slots_are_reset() -> None:
    vector = TextVectorEnv(Adder, 3, autoreset_mode="Disabled")
    vector.reset(seed=0)
    before, *_ = vector.step([CALL, CALL, "end"])
    with pytest.raises(ResetNeeded, match="slot 2"):
        vector.step([CALL] * 3)
    after, infos = vector.reset(options={"reset_mask": np.array([False, False, True])})
    assert after[:2] == before[:2]
    assert after[0][0] is not before[0][0]
    assert infos["_task_id"].tolist() == [False, False, True]
    assert [len(env.transcript) for env in vector.envs] == [4, 4, 2]


def test_a_slot_that_is_over_needs_no_action() -> None:
    vector = TextVectorEnv(Adder, 2, autoreset_mode="NextStep")
    vector.reset(seed=0)
    vector.step(["end", CALL])
    observations, rewards, terminations, _, _ = vector.step([None, CALL])
    assert [message["role"] for message in observations[0]] == ["system", "user"]
    assert (rewards.tolist(), terminations.tolist()) == ([0, 0], [False, False])
    with pytest.raises(MessageError, match="slot 0: not an assistant message"):
        vector.step([None, CALL])


@pytest.mark.parametrize(
    "actions",
    [
        [CALL, user("hi")],
        [CALL],
        "text",
        "ab",
        b"ab",
        CALL,
        None,
        {CALL["content"], "x"},
        iter([CALL, CALL]),
        [CALL, {"role": "assistant", "content": 3}],
    ],
)
def test_a_batch_with_an_action_that_is_none_changes_nothing(actions: Any) -> None:
    vector = TextVectorEnv(Adder, 2)
    with pytest.raises(ResetNeeded):
        vector.step([CALL, CALL])
    vector.reset(seed=0)
    for act in (vector.step, vector.send):
        with pytest.raises(ValueError, match=r"not an assistant message|one action for each of 2"):
            act(actions)
    assert [len(env.transcript) for env in vector.envs] == [2, 2]


def test_gymnasiums_vector_wrappers() -> None:
    vector = DictInfoToList(RecordEpisodeStatistics(TextVectorEnv(Adder, 2, autoreset_mode="Disabled")))
    vector.reset(seed=0)
    vector.step([CALL, CALL])
    *_, infos = vector.step(["end", CALL])
    assert infos[0]["episode"]["l"] == 2
    assert "episode" not in infos[1]
    vector.reset(options={"reset_mask": np.array([True, False])})
    *_, infos = vector.step([CALL, "end"])
    assert infos[1]["episode"]["l"] == 3  # its own vectors forget those that are not reset


def test_slots_read_their_rows_once(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).write_text(
            f'{{"prompt": "{name}?", "answer": "1"}}\n{{"prompt": "{name}!", "answer": "2"}}\n'
        )
    envs = TextVectorEnv("llmgym/Calculator-v0", 3, tasks=str(tmp_path / "one"))
    assert len({id(env.tasks) for env in envs.envs}) == 1
    envs.reset(seed=0)
    assert {env.task.prompt[:3] for env in envs.envs if env.task} == {"one"}
    envs.close()
    words = TextVectorEnv("llmgym/Wordle-v0", 2)
    assert words.envs[0].tasks is words.envs[1].tasks
    words.close()
    names = iter(["one", "other"])
    apart = TextVectorEnv(lambda: make_core("llmgym/Calculator-v0", tasks=str(tmp_path / next(names))), 2)
    apart.reset(seed=0)
    assert [env.task.prompt[:3] for env in apart.envs if env.task] == ["one", "oth"]
    apart.close()


def test_slots_choose_among_their_rows_once(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(
        "".join(f'{{"prompt": "{n}?", "answer": "{n}", "metadata": {{"kind": "{n % 2}"}}}}\n' for n in range(9))
    )

    def some(**chosen: Any) -> FilterTasks:
        return FilterTasks(make_core("llmgym/Calculator-v0", tasks=str(tmp_path / "rows.jsonl")), **chosen)

    envs = TextVectorEnv(lambda: some(metadata={"kind": "1"}), 3)
    assert len({id(env.tasks) for env in envs.envs}) == 1
    envs.reset(seed=0)
    assert {env.task.metadata["kind"] for env in envs.envs if env.task} == {"1"}
    envs.close()
    kinds = iter("01")
    apart = TextVectorEnv(lambda: some(metadata={"kind": next(kinds)}), 2)
    apart.reset(seed=0)
    assert [env.task.metadata["kind"] for env in apart.envs if env.task] == ["0", "1"]
    apart.close()
