"""The adapter in skyrl-gym, and its output against the form that SkyRL's trainer asks for."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("skyrl_gym")
pytest.importorskip("transformers")
pytest.importorskip("torch")

import skyrl_gym
from skyrl_gym.metrics import aggregate_for_environment

from llmgym.chat import Sampling
from llmgym.codec import codec_for
from llmgym.errors import ConfigError, PolicyError
from llmgym.messages import assistant, tool_call, user
from llmgym.rollout.config import EnvConfig
from llmgym.trainers import skyrl
from llmgym.trainers.common import Episodes, TaskRef
from llmgym.trajectory import Trajectory, Turn, segment_of
from tests.exactness import FuzzPolicy, Recording
from tests.rollouts import LETTERS, PLAIN
from tests.trainers.contract import BAD, GOOD, TROUBLE, Row, check, check_turn_rewards
from tests.trainers.tiny import tiny_tokenizer

CALL = '<tool_call>\n{"name": "shout", "arguments": {"letter": "a"}}\n</tool_call>'


@pytest.fixture
def registered() -> Iterator[None]:
    skyrl.register(max_attempts=1)
    yield
    skyrl_gym.registry.pop(skyrl.ENV_CLASS)


def make(task: str = "a", env: str = PLAIN, max_turns: int = 8, **kwargs: Any) -> Any:
    """As SkyRL's generator makes one."""
    text = TaskRef(EnvConfig(env, kwargs), task, 5).dumps()
    return skyrl_gym.make(skyrl.ENV_CLASS, env_config={}, extras={"task": text, "max_turns": max_turns})


# --- text ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("registered")
def test_an_episode_as_the_generator_plays_it() -> None:
    env = make()
    messages, info = env.init([user("from the dataset")])
    assert (info, [message["role"] for message in messages]) == ({}, ["system", "user"])
    assert messages[0]["content"].startswith("Be brief.\n\n# Tools")
    assert '"name": "shout"' in messages[0]["content"]
    step = env.step(CALL)
    assert step == {
        "observations": [user("<tool_response>\nA\n</tool_response>")], "reward": 0.25, "done": False,
        "metadata": {}, "postprocessed_action": None,
    }  # fmt: skip
    last = env.step("A")
    assert (last["observations"], last["reward"], last["done"]) == ([], 1.0, True)
    assert env.get_metrics() == {
        "llmgym/reward": 1.25, "llmgym/turns": 2.0, "llmgym/unscored": 0.0, "llmgym/failed": 0.0,
    }  # fmt: skip
    env.close()
    env.close()


@pytest.mark.usefixtures("registered")
def test_the_generators_limit_ends_and_scores_an_episode() -> None:
    env = make(max_turns=1)
    env.init([])
    step = env.step(CALL)
    assert (step["observations"], step["reward"], step["done"]) == ([], 0.25, True)
    assert env.get_metrics()["llmgym/unscored"] == 0.0


@pytest.mark.usefixtures("registered")
def test_environments_are_reused_and_never_shared() -> None:
    first, second = make("a"), make("b")
    for env in (first, second):
        env.init([])
    used = {id(env._episode._driver._env) for env in (first, second)}
    assert len(used) == 2
    assert (first.step("A")["reward"], second.step("B")["reward"]) == (1.0, 1.0)
    third = make("c")
    third.init([])
    assert id(third._episode._driver._env) in used
    assert third.step("C")["reward"] == 1.0


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(("fault", "failed"), [("setup raise", 1.0), ("verify raise", 1.0), ("verify unscored", 0.0)])
def test_a_failure_ends_one_episode_and_is_counted(fault: str, failed: float) -> None:
    for known, expected in ((None, 0.0), (0.75, 0.75)):
        env = make(faults={"a": fault})
        if known is not None:
            env.episodes.stand_ins.note(env._ref, known)
        messages, _ = env.init([user("from the dataset")])
        assert messages == ([user("from the dataset")] if fault == "setup raise" else messages)
        step = env.step("A")
        assert (step["observations"], step["reward"], step["done"]) == ([], expected, True)
        assert bool(step["metadata"]) == bool(failed)
        counted = env.get_metrics()
        assert (counted["llmgym/unscored"], counted["llmgym/failed"]) == (1.0, failed)
    assert aggregate_for_environment(skyrl.ENV_CLASS, [counted, counted]) == counted


@pytest.mark.usefixtures("registered")
def test_what_no_model_should_say_is_answered() -> None:
    env = make()
    env.init([])
    for said in (
        '<tool_call>{"name": "shout", "arguments": [1]}</tool_call>',
        "<tool_call>",
        CALL.replace('"a"', '"\ud800"'),
    ):
        step = env.step(said)
        assert not step["done"]
        assert step["observations"]
    assert env.step("")["done"]


def test_rows_hold_the_task_and_the_tools() -> None:
    rows = skyrl.rows(env_ids=[PLAIN], num_tasks=3, seed=1)
    for row in rows:
        assert (row["data_source"], row["env_class"]) == (LETTERS, "llmgym")
        assert "# Tools" in row["prompt"][0]["content"]
        assert TaskRef.loads(row["task"]).env.id == PLAIN
    assert len({row["task"] for row in rows}) == 3
    assert json.loads(json.dumps(rows)) == rows


@pytest.mark.usefixtures("registered")
def test_a_row_of_someone_else_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a task that llmgym wrote"):
        skyrl_gym.make(skyrl.ENV_CLASS, env_config={}, extras={})


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    monkeypatch.setattr("importlib.metadata.version", lambda _: "0.5.0")
    with pytest.raises(ConfigError, match=r"skyrl-gym 0.5.0 is installed; .*>=0.4,<0.5"):
        importlib.reload(skyrl)


# --- tokens -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_tokenizer()


@pytest.fixture
def episodes(tokenizer: Any) -> Iterator[Episodes]:
    made = Episodes(tokenizer, max_attempts=1, max_turns=4)
    yield made
    made.close()


def validate(output: dict[str, Any], prompts: int, *, step_wise: bool = False) -> None:
    """What SkyRL's `validate_generator_output` asks of an output."""
    rows = len(output["response_ids"])
    assert rows
    assert rows == len(output["prompt_token_ids"])
    assert step_wise or rows == prompts
    for name in ("loss_masks", "rewards", "rollout_logprobs", "stop_reasons"):
        assert len(output[name]) == rows
    for row in range(rows):
        assert isinstance(output["rewards"][row], list)
        lengths = {len(output[name][row]) for name in ("response_ids", "loss_masks", "rewards", "rollout_logprobs")}
        assert len(lengths) == 1
        assert lengths != {0}
    if step_wise:
        ids, last = [repr(name) for name in output["trajectory_ids"]], output["is_last_step"]
        assert len(ids) == len(last) == rows
        assert last == [row == rows - 1 or ids[row] != ids[row + 1] for row in range(rows)]
        starts = [ids[row] for row in range(rows) if row == 0 or ids[row] != ids[row - 1]]
        assert len(starts) == len(set(starts)) == prompts


@dataclass
class TrajectoryID:
    """As SkyRL's."""

    instance_id: str
    repetition_id: int


class Client:
    """SkyRL's inference client, as a generator sees it, over one of our policies."""

    def __init__(self, policy: Any, **changes: Any) -> None:
        self.policy, self.changes, self.params = policy, changes, list[dict[str, Any]]()

    async def generate(self, batch: dict[str, Any]) -> dict[str, Any]:
        assert batch["prompts"] is None
        (prompt,), (session,), params = batch["prompt_token_ids"], batch["session_ids"], batch["sampling_params"]
        self.params.append(params)
        sampling = Sampling(
            params["temperature"], params["top_p"], params["max_tokens"], tuple(params["stop_token_ids"]),
            stop=tuple(params.get("stop", ())),
        )  # fmt: skip
        reply = await self.policy.generate(prompt, sampling, request_id="", session_id=session)
        return {
            "responses": [""],
            "response_ids": [list(reply.token_ids)],
            "stop_reasons": [reply.finish_reason],
            "response_logprobs": [list(reply.logprobs)],
        } | self.changes


def fuzz(tokenizer: Any, seed: int = 0) -> FuzzPolicy:
    return FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, seed)


def generator(client: Client, tokenizer: Any, **changes: Any) -> skyrl.LLMGymGenerator:
    """As SkyRL makes one."""
    fields = {"max_turns": 4, "max_input_length": 3840, "step_wise_trajectories": False} | changes
    config = SimpleNamespace(**fields, sampling_params=SimpleNamespace(max_generate_length=256))
    return skyrl.LLMGymGenerator(config, client, tokenizer, max_attempts=1)


PARAMS = {"temperature": 0.7, "top_p": 0.9, "top_k": 20, "max_tokens": 200, "logprobs": None}


def batch_of(tasks: Sequence[tuple[str, int]], env: str = TROUBLE, **params: Any) -> dict[str, Any]:
    """As SkyRL's trainer asks for episodes."""
    return {
        "prompts": [[user("from the dataset")] for _ in tasks],
        "env_classes": [skyrl.ENV_CLASS for _ in tasks],
        "env_extras": [{"task": TaskRef(EnvConfig(env), task, 5).dumps()} for task, _ in tasks],
        "sampling_params": PARAMS | params,
        "trajectory_ids": [TrajectoryID(task, repeat) for task, repeat in tasks],
        "batch_metadata": None,
    }


def trajectories_of(made: skyrl.LLMGymGenerator, monkeypatch: pytest.MonkeyPatch) -> list[Trajectory]:
    """Where the generator's episodes will be."""
    found: list[Trajectory] = []
    run = made.episodes.run

    async def kept(*args: Any, **kwargs: Any) -> Trajectory:
        found.append(await run(*args, **kwargs))
        return found[-1]

    monkeypatch.setattr(made.episodes, "run", kept)
    return found


@pytest.mark.parametrize("step_wise", [False, True])
@pytest.mark.parametrize("seed", range(3))
async def test_output_is_what_the_engine_took_and_gave(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch, seed: int, step_wise: bool
) -> None:
    engine = Recording(fuzz(tokenizer, seed))
    made = generator(Client(engine), tokenizer, step_wise_trajectories=step_wise)
    found = trajectories_of(made, monkeypatch)
    tasks = [(task, repeat) for task in (*GOOD, *BAD) for repeat in range(3)]
    output = await made.generate(batch_of(tasks))
    made.episodes.close()
    validate(output, len(tasks), step_wise=step_wise)
    by_id = {(trajectory.task_id, trajectory.repeat): trajectory for trajectory in found}
    played = [by_id[name.instance_id, name.repetition_id] for name in output["trajectory_ids"]]
    fields = [output[key] for key in ("prompt_token_ids", "response_ids", "loss_masks", "rollout_logprobs", "rewards")]
    rows = [
        Row(of.id, of.group_id, prompt, response, mask, logprobs, of.reward, rewards)
        for of, prompt, response, mask, logprobs, rewards in zip(played, *fields, strict=True)
    ]
    check([row for row in rows if row.reward is not None], engine)
    check([Row(**{**vars(row), "rewards": None}) for row in rows if row.reward is None], engine)
    for row, of in zip(rows, played, strict=True):
        if of.reward is not None and len(of.segments) == 1:
            rewards = [turn.reward or 0.0 for turn in of.turns if turn.end > turn.start]
            if len(rewards) == len(of.turns):
                check_turn_rewards(row, engine.requests[row.session], rewards)
    assert output["rollout_metrics"]["llmgym/unscored"] == sum(t.reward is None for t in found) / len(found)


@pytest.mark.parametrize("step_wise", [False, True])
async def test_an_episode_of_several_segments_is_worth_what_it_earned(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch, step_wise: bool
) -> None:
    monkeypatch.setattr(type(codec_for(tokenizer)), "extend", lambda *_: None)  # each turn begins a segment
    made = generator(Client(fuzz(tokenizer)), tokenizer, step_wise_trajectories=step_wise)
    found = trajectories_of(made, monkeypatch)
    output = await made.generate(batch_of([(task, repeat) for task in GOOD for repeat in range(3)]))
    made.episodes.close()
    given: dict[tuple[str, int], float] = {}
    for name, rewards in zip(output["trajectory_ids"], output["rewards"], strict=True):
        key = name.instance_id, name.repetition_id
        given[key] = given.get(key, 0.0) + sum(rewards)
    assert any(len(of.segments) > 1 and of.turns[0].reward for of in found)
    assert given == {(of.task_id, of.repeat): pytest.approx(of.reward) for of in found}


async def test_the_engine_is_asked_as_skyrl_says(tokenizer: Any) -> None:
    client = Client(fuzz(tokenizer))
    await generator(client, tokenizer, max_turns=1).generate(batch_of([("a", 0)], PLAIN))
    stops = list(codec_for(tokenizer).stop_token_ids)
    assert client.params == [PARAMS | {"logprobs": 0, "stop_token_ids": stops}]


async def test_stop_strings_of_skyrl_end_messages(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Said(FuzzPolicy):
        def _reply(self) -> list[int]:
            return self.tokenizer.encode("so be it")

    made = generator(Client(Said(tokenizer, codec_for(tokenizer).stop_token_ids, 0)), tokenizer, max_turns=1)
    seen = trajectories_of(made, monkeypatch)
    output = await made.generate(batch_of([("a", 0)], PLAIN, stop=[" be"]))
    (trajectory,) = seen
    assert trajectory.messages[trajectory.opening]["content"] == "so"
    assert tokenizer.decode(output["response_ids"][0]) == "so be"
    assert all(output["loss_masks"][0])


async def test_replies_end_where_the_generators_length_does(tokenizer: Any) -> None:
    client = Client(fuzz(tokenizer))
    tight = generator(client, tokenizer, max_input_length=1)
    output = await tight.generate(batch_of([("a", 0)], PLAIN, max_tokens=8))
    assert (client.params, output["stop_reasons"], output["loss_masks"]) == ([], ["length"], [[0]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"response_logprobs": None}, "gave no log-probabilities"), ({"stop_reasons": ["abort"]}, "abort")],
)
async def test_an_engine_that_gives_nothing_to_train_on(tokenizer: Any, changes: dict[str, Any], message: str) -> None:
    client = Client(fuzz(tokenizer), **changes)
    with pytest.raises(PolicyError, match=f"none of 2 episodes got a reply.*{message}"):
        await generator(client, tokenizer).generate(batch_of([("a", 0), ("a", 1)], PLAIN))


async def test_a_generator_refuses_rows_of_someone_else(tokenizer: Any) -> None:
    client = Client(fuzz(tokenizer))
    with pytest.raises(ConfigError, match="not a task that llmgym wrote"):
        await generator(client, tokenizer).generate(batch_of([("a", 0)]) | {"env_extras": [{}]})


def trajectory(repeat: int, reward: float | None, task: str = "a") -> Trajectory:
    made = Trajectory("env", task, repeat, 0, reward=reward)
    made.segments = [segment_of([1, 2, 3, 4, 5], [(1, 2), (3, 5)], [-1.0] * 3)]
    made.turns = [Turn(0.25, "stop", 0.0, 0.0, 0, 1, 2), Turn(reward, "stop", 0.0, 0.0, 0, 3, 5)]
    if reward is None:
        made.status = "env_error"
    return made


def test_an_unscored_episode_leaves_the_baseline_to_the_others(episodes: Episodes) -> None:
    found = [trajectory(0, 1.0), trajectory(1, None), trajectory(2, 0.5), trajectory(0, None, "b")]
    output = skyrl.to_generator_output(found, episodes)
    validate(output, 4)
    assert output["trajectory_ids"] is None
    assert output["rewards"][0] == [0.25, 0.0, 0.0, 1.0]
    assert output["rewards"][1] == [0.0, 0.0, 0.0, 0.75]
    assert output["rewards"][3] == [0.0, 0.0, 0.0, 0.0]
    assert [sum(mask) for mask in output["loss_masks"]] == [3, 0, 3, 0]


def test_an_episode_without_tokens_has_a_row_that_trains_nothing(episodes: Episodes) -> None:
    empty = Trajectory("env", "a", 0, 0, status="env_error", messages=[user("hi")], opening=1)
    output = skyrl.to_generator_output([empty, trajectory(1, 0.5)], episodes)
    validate(output, 2)
    assert output["loss_masks"][0] == [0]
    assert output["rewards"][0] == [0.5]


def test_calls_and_replies_are_read_the_same_way() -> None:
    """The text that the tools are described with asks for calls as `assistant` messages are parsed."""
    from llmgym.messages import as_assistant

    call = tool_call("shout", letter="a")
    assert as_assistant(CALL)["tool_calls"][0]["function"]["name"] == call["function"]["name"]
    assert json.loads(as_assistant(CALL)["tool_calls"][0]["function"]["arguments"]) == {"letter": "a"}
    assert as_assistant("A") == assistant("A")
