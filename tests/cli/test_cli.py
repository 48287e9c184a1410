"""The command line in processes of its own: what it prints, how it fails, and how it is stopped."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.rollouts import LETTERS, PLAIN, ROOT, environ, llmgym

VERBS = ["list", "info", "check", "play", "rollout", "models", "models fetch", "export"]
VERBS += ["export verl-config", "export verl-data", "export verl-tools"]


def rollout(script: str, output: Path | None, *args: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return llmgym(*command(script, output, *args), **options)


def command(script: str, output: Path | None, *args: object) -> list[object]:
    where = ["--output", output] if output else []
    return ["rollout", "--env", PLAIN, "--policy", f"script:tests.rollouts.{script}", *where, *args]


def ids(folder: Path) -> Counter[str]:
    return Counter(orjson.loads(line)["id"] for line in (folder / "rollouts.jsonl").read_bytes().splitlines())


def whole(num_repeats: int = 1) -> Counter[str]:
    return Counter(f"{LETTERS}/{chr(c)}/{r}" for c in range(ord("a"), ord("z") + 1) for r in range(num_repeats))


# --- looking around -----------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help(verb: str) -> None:
    done = llmgym(*verb.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: python -m llmgym {verb}".rstrip())
    assert "<str>" not in done.stdout
    assert "--registry FILE" in done.stdout or verb in ("models", "export")
    assert "..." not in done.stdout.partition("Commands:")[2]  # each summary fits


def test_version() -> None:
    done = llmgym("--version")
    assert re.fullmatch(r"llmgym \d+\.\d+\.\d+\n", done.stdout)


def test_list(registry: Path) -> None:
    done = llmgym("--registry", registry, "list", "--domain", "spelling")
    assert done.stdout.splitlines()[0].strip() == "1 environment"
    assert len(done.stdout.splitlines()) == 3  # in a pipe, no line is wrapped
    assert "mine/Letters-v0" in done.stdout
    [entry] = json.loads(llmgym("--registry", registry, "list", "--domain", "spelling", "--json").stdout)
    assert (entry["id"], entry["max_turns"], entry["tasks"]["licence"]) == ("mine/Letters-v0", 4, "CC0-1.0")
    assert json.loads(llmgym("list", "--json").stdout)


def test_list_into_head() -> None:
    shell = f"{sys.executable} -m llmgym list | head -1; echo ${{PIPESTATUS[0]}}"
    for _ in range(3):
        done = subprocess.run(
            ["bash", "-c", shell], env=environ(), capture_output=True, text=True, timeout=60, check=False
        )
        assert "environments" in done.stdout
        assert done.stderr == ""
    shell = f"{sys.executable} -m llmgym list | true; {sys.executable} -m llmgym list --json | true"
    done = subprocess.run(["bash", "-c", shell], env=environ(), capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""


def test_info(registry: Path) -> None:
    done = llmgym("--registry", registry, "info", "mine/Letters-v0")
    assert "splits  train=26, test=1" in done.stdout
    for part in (
        'shout {"letter": "..."}', "Give the capital of a letter.", "letter: string", "[system] Be brief.",
        "answer  none: Letters has no oracle",
    ):  # fmt: skip
        assert part in done.stdout
    found = json.loads(llmgym("--registry", registry, "info", "mine/Letters-v0", "--json").stdout)
    assert found["splits"] == {"train": 26, "test": 1}
    assert [message["role"] for message in found["example"]["opening"]] == ["system", "user"]


def test_info_shows_an_answer_that_is_right() -> None:
    example = json.loads(llmgym("info", "llmgym/Calculator-easy-v0", "--json").stdout)["example"]
    assert example["reward"] == 1.0
    assert example["answer"][-1]["content"].startswith("The answer is")
    assert "it earns 1" in llmgym("info", "llmgym/Calculator-easy-v0").stdout


def test_check(registry: Path) -> None:
    done = llmgym("--registry", registry, "check", "mine/Letters-v0", "--tasks", 2)
    assert done.returncode == 1  # it has no oracle
    assert "failed" in done.stdout
    assert "Traceback" not in done.stderr
    done = llmgym("--registry", registry, "check", "mine/Letters-v0", "--tasks", 2, "--json")
    assert {check["status"] for check in json.loads(done.stdout)["mine/Letters-v0"]} >= {"passed", "failed"}


def test_play(registry: Path) -> None:
    args = ["--registry", registry, "play", "mine/Letters-v0", "--task", "q"]
    done = llmgym(*args, input='shout {"letter": "q"}\nQ\n')
    assert done.returncode == 0
    for part in ("[user] spell q", 'shout {"letter": "..."}', "[tool] Q", "reward 1.25", "correct=1", "shouted=1"):
        assert part in done.stdout
    assert "no answer to show: Letters has no oracle" in done.stdout
    assert llmgym(*args, input="").stdout.endswith("stopped\n")
    assert "Error: " in llmgym(*args, input="shout {broken\nQ\n").stdout
    assert llmgym(*args[:-2], "--seed", 1, input="").stdout == llmgym(*args[:-2], "--seed", 1, input="").stdout
    # What is no answer and no call is asked for again.
    done = llmgym(*args, input='\n  \nshot {"letter": "q"}\nwhatever {"letter": "q"}\nQ\n')
    assert "write an answer, or call a tool" in done.stdout
    assert "there is no tool 'shot'; did you mean shout?" in done.stdout
    assert "there is no tool 'whatever'; there is shout, fail" in done.stdout
    assert "reward 1 " in done.stdout


def test_play_shows_what_is_right() -> None:
    args = ["play", "llmgym/Calculator-easy-v0", "--seed", 1]
    done = llmgym(*args, input="no idea\n")
    assert "reward 0 " in done.stdout
    answer = done.stdout.partition("what the oracle says:")[2]
    assert "The answer is" in answer
    watched = llmgym(*args, "--oracle")
    assert (watched.returncode, watched.stderr) == (0, "")
    assert "reward 1 " in watched.stdout
    assert answer.split()[-1] in watched.stdout
    assert "what the oracle says" not in watched.stdout
    assert llmgym("play", "tests.rollouts:test/Letters-v0", "--oracle").returncode == 3  # it has none


def test_a_person_may_be_the_policy() -> None:
    done = llmgym("rollout", "--env", PLAIN, "--policy", "human", "--num-tasks", 1, "--json", input="Z\n" * 9)
    assert json.loads(done.stdout[done.stdout.index('{\n  "planned"') :])["finished"] == 1
    assert "[user] spell" in done.stdout


# --- what fails ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["info", "llmgym/Nothing-v0"], 2, "there is no environment 'llmgym/Nothing-v0'"),
        (["play", "llmgym/Nothing-v0"], 2, "there is no environment"),
        (["check", "llmgym/Calculater-v0"], 2, "did you mean llmgym/Calculator-v0"),
        (["list", "--domain", "maths"], 2, "the domain 'maths'; did you mean math? There is game, knowledge, math,"),
        (["list", "--needs", "sandboxes"], 2, "the need 'sandboxes'; did you mean sandbox?"),
        (["rollout", "--env", "llmgym/Nothing-v0"], 2, "there is no environment"),
        (["--registry", "absent.yaml", "list"], 2, "cannot read"),
        (["--registry", "bad.yaml", "list"], 2, "bad.yaml:2: not YAML"),
        (["--registry", "keys.yaml", "list"], 2, "keys.yaml:2: $.environments[0]: Object missing required field `id`"),
        (["play", "mine/Letters-v0", "--split", "dev"], 2, "unknown split 'dev'"),
        (["play", "mine/Letters-v0", "--task", "7"], 2, "unknown task '7'"),
        (["rollout", "--env", PLAIN, "--split", "dev"], 2, "unknown split 'dev'"),
        (["rollout"], 2, "env_ids is empty"),
        (["rollout", "--env", PLAIN, "--num-samples-in-parallel", "few"], 2, "num_samples_in_parallel: "),
        (["rollout", "--config", "empty.yaml"], 2, "env_ids is empty"),
        (["rollout", "--env", PLAIN, "--policy", "gpt"], 2, "unknown policy 'gpt'"),
        (["rollout", "--env", PLAIN, "--policy", "script:no.function"], 2, "there is no module 'no'"),
        (["rollout", "--env", PLAIN, "--policy", "script"], 2, "unknown policy 'script'; write script:module.function"),
        (["rollout", "--env", PLAIN, "--policy", "transformers:/no/such"], 2, "the folder '/no/such' is not there"),
        (["rollout", "--env", PLAIN, "--policy", "random", "--num-samples-in-parallel", "auto"], 2, "how busy it is"),
        (["rollout", "--env", PLAIN, "--policy", "random", "--output", ""], 2, "--output is empty"),
        (["rollout", "--env", PLAIN, "--config", "twice.yaml"], 2, "twice.yaml:3: the key 'seed' is there already"),
        (["rollout", "--env", PLAIN, "--config", "deep.yaml"], 2, "deep.yaml:1: nested more than 64 levels deep"),
        (["rollout", "--env", PLAIN, "--policy", "human", "--num-tasks", "27"], 2, "has 26 tasks"),
        (["rollout", "--env", PLAIN, "--config", "bad.yaml"], 2, "bad.yaml:2: not YAML"),
        (["rollout", "--env", PLAIN, "--config", "absent.yaml"], 2, "cannot read absent.yaml"),
        (["rollout", "--env", PLAIN, "--config", "typo.yaml"], 2, "typo.yaml: unknown setting 'num_repeat'; did you"),
        (["rollout", "--env", PLAIN, "--config", "type.yaml"], 2, "type.yaml: num_tasks: Expected `int | null`"),
        (["rollout", "--env", PLAIN, "--config", "list.yaml", "--top-p", "0.5"], 2, "Expected `object`, got `array`"),
        (["rollout", "--env", PLAIN, "--set", "codec"], 2, "--set takes NAME=VALUE"),
        (["rollout", "--env", PLAIN, "--set", "codec=[1"], 2, "not YAML: did not find expected"),
        (["rollout", "--env", PLAIN, "--set", "policy.x=1"], 2, "policy"),
        (["rollout", "--env", PLAIN, "--set", "policy_options={a: 1, a: 2}"], 2, "the key 'a' is there already"),
        (["rollout", "--env", PLAIN, "--set", "seed=2024-13-01"], 2, "--set seed: not YAML"),
        (["rollout", "--env", PLAIN, "--set", "temperature=1"], 2, "did you mean responses_create_params.temperature?"),
        (["rollout", "--env", PLAIN, "--temperature", "-1"], 2, "temperature must be at least 0"),
        (["rollout", "--env", PLAIN, "--policy", "human", "--output", "empty.yaml/run"], 3, "cannot make the run"),
        (["rollout", "--config", "tasks.yaml", "--policy", "human"], 2, "tasks.jsonl:2: not JSON"),
        (["models", "fetch", "gpt"], 2, "gpt"),
    ],
)  # fmt: skip
def test_an_error_is_one_line(args: list[str], code: int, said: str, registry: Path) -> None:
    folder = registry.parent
    tasks = {"env_ids": [{"id": PLAIN, "kwargs": {"tasks": str(folder / "tasks.jsonl")}}]}
    files = {
        "bad.yaml": "num_tasks: 1\nseed: 2: 3\n", "keys.yaml": "environments:\n  - {}", "empty.yaml": "",
        "typo.yaml": "num_repeat: 2", "type.yaml": "num_tasks: three", "list.yaml": "responses_create_params: [1]",
        "twice.yaml": "seed: 1\nsplit: train\nseed: 2\n", "deep.yaml": "a: " + "[" * 100 + "]" * 100,
        "tasks.yaml": json.dumps(tasks), "tasks.jsonl": '{"prompt": "x"}\n{torn\n',
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).write_text(text)
    done = llmgym(*args, cwd=folder, env=environ(LLMGYM_REGISTRY=str(registry)))
    assert done.returncode == code
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert said in done.stderr.splitlines()[-1]
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("args", [["nothing"], ["list", "--nothing"], ["rollout", "--num-tasks", "x"], ["info"]])
def test_wrong_usage_exits_with_2(args: list[str]) -> None:
    done = llmgym(*args)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_model_that_cannot_be_reached() -> None:
    env = environ(OPENAI_BASE_URL="http://127.0.0.1:9/v1", OPENAI_API_KEY="secret")
    args = ["--policy", "openai:m", "--set", "policy_options={max_retries: 0}"]
    done = llmgym("rollout", "--env", PLAIN, *args, env=env)
    assert done.returncode == 3
    assert "error: openai:m at http://127.0.0.1:9/v1/: Connection error" in done.stderr
    assert "secret" not in done.stderr


def test_a_missing_extra_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['openai'] = None; sys.argv[0] = 'llmgym'; from llmgym.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "rollout", "--env", PLAIN, "--policy", "openai:m"],
        env=environ(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.endswith("error: OpenAIPolicy needs an optional dependency: pip install 'llmgym[openai]'\n")


def test_scripts_and_environments_of_the_working_directory_are_found(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def policy(messages, tools):\n    return 'A'\n")
    code = "from llmgym.cli import main; main()"
    env = environ()
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "rollout", "--env", PLAIN, "--policy", "script:own.policy", "--json"],
        env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout)["finished"] == 26, done.stderr


# --- collecting ---------------------------------------------------------------------------------


def test_a_run_with_its_summary(tmp_path: Path) -> None:
    done = rollout("call_tools", tmp_path / "run", "--num-repeats", 2, "--temperature", 0.5)
    assert done.returncode == 0
    for part in ("52 of 52 episodes finished", "1.250", "pass@1", "completed 52", "failed  none"):
        assert part in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert re.fullmatch(r"\d\d:\d\d:\d\d episodes 52/52 .*reward 1\.250\n", done.stderr)
    run = orjson.loads((tmp_path / "run" / "run.json").read_bytes())
    assert run["identity"]["responses_create_params"]["temperature"] == 0.5
    again = rollout("call_tools", tmp_path / "run", "--num-repeats", 2, "--temperature", 0.5, "--json")
    assert json.loads(again.stdout)["finished"] == 52
    other = rollout("call_tools", tmp_path / "run", "--temperature", 0.7)
    assert other.returncode == 3
    assert "holds another run (responses_create_params was" in other.stderr


def test_settings_come_from_file_then_set_then_flags(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        f"env_ids: [{PLAIN}]\npolicy: script:tests.rollouts.answer\nnum_tasks: 9\nnum_repeats: 9\nseed: 9\n"
        "responses_create_params: {temperature: 0.2, top_p: 0.9}\n"
    )
    flags = ["--set", "num_repeats=2", "--set", "seed=2", "--seed", "1", "--num-tasks", 3, "--temperature", 0.3]
    done = llmgym("rollout", "--config", tmp_path / "c.yaml", "--output", tmp_path / "run", *flags)
    assert done.returncode == 0, done.stderr
    config = orjson.loads((tmp_path / "run" / "run.json").read_bytes())["config"]
    assert (config["num_tasks"], config["num_repeats"], config["seed"]) == (3, 2, 1)
    params = config["responses_create_params"]
    assert (params["temperature"], params["top_p"], params["max_output_tokens"]) == (0.3, 0.9, 256)


def test_failures_are_shown(tmp_path: Path) -> None:
    done = rollout("broken", None, "--num-tasks", 2, "--set", "max_attempts=1")
    assert "0 of 2 episodes finished" in done.stdout
    assert done.returncode == 3  # nothing finished
    assert "failed  policy_error 2" in done.stdout
    assert "2 episodes failed; with --output DIR the same command runs only them again" in done.stderr
    done = rollout("moody", tmp_path / "run", "--num-tasks", 26, "--set", "max_attempts=1")
    assert done.returncode == 1
    assert re.search(r"\d+ episodes failed; the same command runs them again\n", done.stderr)
    assert "RuntimeError: no idea" in done.stdout


def test_a_full_disk(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    done = rollout("call_tools", tmp_path / "run", "--num-repeats", 2, preexec_fn=limit)
    assert done.returncode == 1
    assert "error: cannot write" in done.stderr
    assert "File too large; what was written before is safe" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run" / "rollouts.jsonl").read_bytes().endswith(b"\n")
    kept = ids(tmp_path / "run")
    assert 0 < len(kept) < 52
    done = rollout("call_tools", tmp_path / "run", "--num-repeats", 2)
    assert done.returncode == 0
    assert ids(tmp_path / "run") == whole(2)


# --- being stopped ------------------------------------------------------------------------------


def start(args: list[object], **extra: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "llmgym", *map(str, args)],
        env=environ(**extra), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_lines(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    file = folder / "rollouts.jsonl"
    deadline = time.monotonic() + 30
    while not file.exists() or file.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_has_finished(number: signal.Signals, tmp_path: Path) -> None:
    process = start(command("stuck", tmp_path, "--num-samples-in-parallel", 26))
    wait_for_lines(tmp_path, 9, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "9 of 26 episodes finished" in out
    assert "stopping; Ctrl-C again stops at once" in err
    assert f"stopped with 9 episodes finished; the same command goes on with {tmp_path}" in err
    assert "Traceback" not in err
    assert orjson.loads((tmp_path / "summary.json").read_bytes())["finished"] == 9
    first = (tmp_path / "rollouts.jsonl").read_bytes()

    # The model of a script is its name, so the folder has to believe that "answer" is "stuck".
    run = orjson.loads((tmp_path / "run.json").read_bytes())
    run["identity"]["model"] = "tests.rollouts.answer"
    (tmp_path / "run.json").write_bytes(orjson.dumps(run))
    assert rollout("answer", tmp_path).returncode == 0
    assert (tmp_path / "rollouts.jsonl").read_bytes().startswith(first)
    assert ids(tmp_path) == whole()


@pytest.mark.parametrize("script", ["stubborn", "blocked"])
def test_a_second_ctrl_c_stops_at_once(script: str, tmp_path: Path) -> None:
    marker = tmp_path / "blocked"
    process = start(command(script, tmp_path / "run", "--num-samples-in-parallel", 26), BLOCKED=str(marker))
    if script == "stubborn":
        wait_for_lines(tmp_path / "run", 1, process)
    else:
        deadline = time.monotonic() + 30
        while not marker.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    while "stopping" not in (line := process.stderr.readline()):
        assert line, process.poll()
    time.sleep(0.1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    process.communicate()
    assert set(ids(tmp_path / "run").values()) <= {1}


def test_kill_at_any_moment(tmp_path: Path) -> None:
    args = command("slow", tmp_path, "--num-repeats", 8, "--num-samples-in-parallel", 8)
    generator = random.Random(4)
    file = tmp_path / "rollouts.jsonl"
    before = b""
    for _ in range(5):
        process = start(args)
        wait_for_lines(tmp_path, before.count(b"\n") + generator.randrange(1, 20), process)
        time.sleep(generator.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        after = file.read_bytes()
        assert after.startswith(before)
        before = after[: after.rfind(b"\n") + 1]
        with file.open("ab") as end:  # what a kill in the middle of a write leaves
            end.write(b'{"id":"test/Lett'[: generator.randrange(16)])
    assert llmgym(*args, cwd=ROOT).returncode == 0
    assert ids(tmp_path) == whole(8)
    assert orjson.loads((tmp_path / "summary.json").read_bytes())["finished"] == 208


def test_two_processes_cannot_share_a_folder(tmp_path: Path) -> None:
    process = start(command("stuck", tmp_path, "--num-samples-in-parallel", 26))
    try:
        wait_for_lines(tmp_path, 9, process)
        done = rollout("stuck", tmp_path)
        assert done.returncode == 3
        assert "is in use: wait for the other run or choose another folder" in done.stderr
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
