"""The command line in processes of its own: what it prints, how it fails, and its flags."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command import environ, llmgym
from tests.rollouts import PLAIN

VERBS = [
    "list",
    "info",
    "check",
    "play",
    "rollout",
    "summary",
    "schema",
    "models",
    "models fetch",
    "models inspect",
    "export",
]
VERBS += ["export verl-config", "export verl-data", "export verl-tools"]


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
    assert done.stdout.splitlines()[0].strip() == "1 environment, 0 variants"
    assert len(done.stdout.splitlines()) == 4  # a domain; and in a pipe, no line is wrapped
    assert "mine/Letters-v0" in done.stdout
    [entry] = json.loads(llmgym("--registry", registry, "list", "--domain", "spelling", "--json").stdout)
    assert (entry["id"], entry["max_turns"], entry["tasks"]["licence"]) == ("mine/Letters-v0", 4, "CC0-1.0")
    assert json.loads(llmgym("list", "--json").stdout)


@pytest.mark.slow
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
    done = llmgym("--registry", registry, "check", "mine/Letters-v0", "--num-tasks", 2)
    assert done.returncode == 1  # it has no oracle
    assert "failed" in done.stdout
    assert "Traceback" not in done.stderr
    done = llmgym("--registry", registry, "check", "mine/Letters-v0", "--num-tasks", 2, "--json")
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
    process = subprocess.Popen(
        [sys.executable, "-m", "llmgym", *map(str, args)],
        env=environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    while "spell q" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out.endswith("stopped\n"), err) == (130, True, "")
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
        (["list", "--domain", "maths"], 2, "the domain 'maths'; did you mean math? There is code, customer-service,"),
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
        (["rollout", "--env", PLAIN, "--temperature", "-1"], 2, "temperature: Expected `float` >= 0.0; it is -1"),
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
    done = llmgym("--registry", registry, *args, cwd=folder)
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
    assert "error: openai:m at http://127.0.0.1:9/v1: Connection error" in done.stderr
    assert "secret" not in done.stderr


def test_a_missing_extra_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['aiohttp'] = None; sys.argv[0] = 'llmgym'; from llmgym.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "rollout", "--env", PLAIN, "--policy", "openai:m"],
        env=environ(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.endswith("error: OpenAIPolicy needs an optional dependency: pip install 'llmgym[openai]'\n")


@pytest.mark.parametrize("stream", ["/dev/full", "closed"])
@pytest.mark.parametrize("verb", ["list", "list --json", "info llmgym/Wordle-v0"])
def test_output_that_goes_nowhere(verb: str, stream: str) -> None:
    shell = f"{sys.executable} -m llmgym {verb} >{'&-' if stream == 'closed' else stream}"
    done = subprocess.run(["bash", "-c", shell], env=environ(), capture_output=True, text=True, timeout=60, check=False)
    full = "error: cannot write the output: No space left on device\n"
    assert (done.returncode, done.stderr) == ((0, "") if stream == "closed" else (3, full))


def test_what_a_locale_cannot_show_is_written_otherwise() -> None:
    env = environ(PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    done = llmgym("play", "tests.rollouts:test/Letters-v0", "--task", "é", env=env, input="é\n")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)  # there is no such task
    done = llmgym("play", PLAIN, "--task", "a", env=env, input="ü\n")
    assert (done.returncode, done.stderr) == (0, "")
    config = 'policy_options={"ü": 1}'
    done = llmgym("rollout", "--env", PLAIN, "--policy", "random", "--set", config, env=env)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


@pytest.mark.slow
def test_a_working_directory_that_is_gone(tmp_path: Path, registry: Path) -> None:
    def lost(*args: object) -> subprocess.CompletedProcess[str]:
        (tmp_path / "gone").mkdir()
        shell = f'cd {tmp_path}/gone && rmdir {tmp_path}/gone && exec "$@"'
        command = ["bash", "-c", shell, "bash", sys.executable, "-m", "llmgym", *map(str, args)]
        return subprocess.run(command, env=environ(), capture_output=True, text=True, timeout=60, check=False)

    for good in (["list"], ["info", "llmgym/Wordle-v0"], ["list", "--registry", registry]):
        done = lost(*good)
        assert (done.returncode, done.stderr) == (0, "")
    for bad, code, said in (
        (["list", "--registry", "r.yaml"], 2, "cannot read r.yaml"),
        (["rollout", "--env", PLAIN, "--policy", "script:own.answer"], 2, "the working directory is gone"),
        (["rollout", "--env", PLAIN, "--policy", "random", "--output", "run"], 3, "cannot make the run folder"),
    ):
        done = lost(*bad)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False)
        assert said in done.stderr


def test_a_model_cache_that_is_a_file(tmp_path: Path) -> None:
    pytest.importorskip("filelock")
    (tmp_path / "file").write_text("")
    done = llmgym("models", "fetch", "smollm2", env=environ(LLMGYM_CACHE=str(tmp_path / "file")))
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot use the model cache")
    assert done.stderr.count("\n") == 1


def test_inspect_shows_the_ends_of_replies(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("trl")  # for the template
    from tests.codec import families

    tokenizer = families.tokenizer("llama3.1")
    tokenizer.save_pretrained(tmp_path)
    config = tmp_path / "generation_config.json"
    config.write_text(json.dumps({"eos_token_id": tokenizer.convert_tokens_to_ids(["<|end_of_text|>"])}))
    done = llmgym("models", "inspect", str(tmp_path), "--codec", "template", "--json")
    assert json.loads(done.stdout)["stops"] == ["<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"]
    config.write_text('{"eos_token_id": "<|end_of_text|>"}')
    done = llmgym("models", "inspect", str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert f"error: {config}: Expected `int | array | null`, got `str`" in done.stderr


@pytest.mark.slow
def test_a_hub_that_is_away_is_said_at_once(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    env = environ(HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_CACHE=str(tmp_path))
    done = llmgym("rollout", "--env", PLAIN, "--policy", "transformers:org/name", env=env)
    assert done.returncode == 3
    assert "error: the Hugging Face Hub cannot be asked for 'org/name'" in done.stderr
    assert "Retrying" not in done.stderr


# --- flags --------------------------------------------------------------------------------------


VERBS_OF_ONE = ["list", "info mine/Letters-v0", "check mine/Letters-v0 --num-tasks 2", "play mine/Letters-v0"]


@pytest.mark.parametrize("verb", VERBS_OF_ONE)
def test_a_registry_may_be_named_before_and_after_a_verb(verb: str, registry: Path) -> None:
    before = llmgym("--registry", registry, *verb.split(), input="")
    after = llmgym(*verb.split(), "--registry", registry, input="")
    assert before.returncode == after.returncode < 2
    assert "mine/Letters-v0" in after.stdout or verb.startswith("play")
    assert llmgym(*verb.split(), "--registry", "absent.yaml").returncode == 2


def test_several_registries_may_be_named(registry: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(registry.read_text().replace("mine/", "yours/"))
    done = llmgym("list", "--registry", registry, "--registry", other, "--domain", "spelling")
    assert "2 environments" in done.stdout
    args = ["rollout", "--env", "yours/Letters-v0", "--policy", "script:tests.rollouts.answer", "--registry", other]
    assert llmgym(*args).returncode == 0


def test_all_that_is_wrong_is_said_at_once() -> None:
    done = llmgym(
        "rollout", "--env", "llmgym/Calculater-v0", "--policy", "gpt-4", "--num-tasks", 0, "--temperature", -1,
        "--set", "sed=1", "--set", "codec", "--set", "responses_create_params.top_q=3",
    )  # fmt: skip
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert all(line.startswith("error: ") for line in lines)
    for said in (
        "there is no environment 'llmgym/Calculater-v0'; did you mean llmgym/Calculator-v0", "unknown policy 'gpt-4'",
        "num_tasks: Expected `int` >= 1; it is 0", "temperature: Expected `float`", "unknown setting 'sed'; did you",
        "--set takes NAME=VALUE", "top_q",
    ):  # fmt: skip
        assert sum(said in line for line in lines) == 1, said
    assert len(lines) == 7


def test_the_help_s_own_command_works() -> None:
    done = llmgym("rollout", "--env", "llmgym/Calculator-v0", "--policy", "random", "--json")
    assert json.loads(done.stdout)["finished"] == 32
    said = "llmgym/Calculator-v0 makes tasks without end: taking 32; --num-tasks takes others\n"
    assert done.stderr.startswith(said)
    assert "taking" not in llmgym("rollout", "--env", PLAIN, "--policy", "script:tests.rollouts.answer").stderr
    both = ["--env", "llmgym/Calculator-v0", "--env", PLAIN]  # which has 26 tasks
    done = llmgym("rollout", *both, "--policy", "script:tests.rollouts.answer", "--json")
    assert json.loads(done.stdout)["finished"] == 52
    assert "taking 26 of each environment" in done.stderr
