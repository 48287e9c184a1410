"""The examples run as they stand."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from llmgym.codec import TemplateCodec
from llmgym.registry import known, make_core
from llmgym.rollout.config import load_config, parse_config
from tests.pages import blocks_of

ROOT = Path(__file__).parents[1]


def run(*arguments: str, folder: Path = ROOT) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_gymnasium_loop_of_the_examples() -> None:
    assert "reward" in run("examples/gymnasium_loop.py")


def test_the_vectors_of_the_examples() -> None:
    returns = [float(line.rpartition(" ")[2]) for line in run("examples/vectorized_rollouts.py").splitlines()]
    assert len(returns) == 2
    assert all(0.5 < mean < 0.9 for mean in returns)


def test_the_environment_of_the_readme_is_that_of_the_examples() -> None:
    written = next(block.source for block in blocks_of(ROOT / "README.md") if "class Capitals" in block.source)
    example = (ROOT / "examples/capitals/capitals.py").read_text("utf-8")
    for line in written.splitlines():
        code = line.partition("  #")[0].strip()
        if code.startswith(("@", "tasks", "named", "return", "CAPITALS")):
            assert code in example


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("verb", "says"), [("check", "all checks passed"), ("audit", "no faults")])
def test_the_example_package_is_sound(verb: str, says: str) -> None:
    folder = ROOT / "examples/capitals"
    assert says in run("-m", "llmgym", "--registry", "registry.yaml", verb, "capitals/Capitals-v0", folder=folder)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_configurations_of_the_examples(path: Path) -> None:
    config = parse_config(load_config(path), path.name)
    entries = [known(env.id) for env in config.tasks.environments]
    assert entries
    assert None not in entries
    assert f"--config examples/{path.name}" in "".join(place.read_text("utf-8") for place in (path, ROOT / "Makefile"))


def test_ten_environments_of_six_packages() -> None:
    config = parse_config(load_config(ROOT / "examples/elsewhere.yaml"))
    entries = [known(env.id) for env in config.tasks.environments]
    assert (len(entries), len({entry.ecosystem for entry in entries if entry})) == (10, 6)
    for entry in entries:
        if entry and entry.installed:
            assert make_core(entry.id).tasks.splits


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_the_collecting_example(tmp_path: Path) -> None:
    said = run("examples/collect.py", str(tmp_path / "run"))
    assert said.count("rewards") == 8
    assert "1.0" in said


SHORT = ["--tasks", "8", "--repeats", "6", "--batch", "2"]


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_a_model_that_was_trained_on_what_it_got_right_gets_more_right(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    pytest.importorskip("trl")
    said = run("examples/data_to_training.py", str(tmp_path), *SHORT)
    assert "passed  groups.mixed.share" in said
    table = re.search(r"^\| reward \| ([\d.]+) \| ([\d.]+) \|", said, re.MULTILINE)
    assert table is not None, said
    assert float(table[2]) > float(table[1]) + 0.1


@pytest.mark.slow
def test_self_play(tmp_path: Path) -> None:
    sizes = ["--warm-up", "2", "--steps", "1", "--every", "1", "--tasks", "1", "--repeats", "2"]
    said = run("examples/self_play.py", *sizes, "--output", str(tmp_path))
    assert said.count("'newest'") == 2
    rows = json.loads((tmp_path / "curve.json").read_text())
    assert [row["step"] for row in rows] == [0, 1]
    assert all(0 < row[player] < 5 for row in rows for player in ("newest", "mean", "pool"))


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_self_play_learns_what_earns_more(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    torch = pytest.importorskip("torch")
    request.addfinalizer(partial(torch.set_num_threads, torch.get_num_threads()))
    torch.set_num_threads(1)  # threads that wait for one another are slow where others want their cores
    monkeypatch.syspath_prepend(ROOT / "examples")
    import self_play

    torch.manual_seed(0)
    args = self_play.parse(["--tasks", "3", "--repeats", "12"])
    texts = [message["content"] for messages in self_play.all_decisions().values() for message in messages]
    tokenizer = self_play.tiny_tokenizer(texts)
    model, codec = self_play.tiny_model(tokenizer), TemplateCodec(tokenizer)
    reader = self_play.Reader(tokenizer, codec)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(30):
        reader.warm_up(model, optimizer)
    batch = asyncio.run(self_play.play(model, tokenizer, codec, args, seed=0))
    assert len({*batch.group_ids.tolist()}) == 6  # a group for each deal and seat

    mask, earned, deals = batch.loss_mask, batch.episode_rewards, batch.group_ids
    over = earned - torch.stack([earned[deals == deal].mean() for deal in deals])

    def gain() -> float:
        """How likely is what earned more than the mean of its deal, over what earned less."""
        with torch.no_grad():
            logprobs = self_play.sampled(model, batch)
        taken = logprobs.gather(-1, batch.completion_ids[mask][:, None])[:, 0]
        return float((taken * over[:, None].expand(mask.shape)[mask]).mean())

    before = gain()
    optimizer = torch.optim.Adam(model.parameters(), args.lr)
    for _ in range(5):
        self_play.learn(model, optimizer, batch, 0.0, reader.moves)
    assert gain() > before + 0.01


@pytest.mark.integration
def test_the_environment_over_an_mcp_server() -> None:
    pytest.importorskip("mcp")
    assert run("examples/mcp/shop.py").count("reward 1\n") == 3


@pytest.mark.parametrize("name", ["till.py", "till_server.py"])
def test_the_tills_of_the_docs_are_those_of_the_examples(name: str) -> None:
    example = (ROOT / "examples/nemo_gym" / name).read_text("utf-8")
    written = [block.source.strip() for block in blocks_of(ROOT / "docs/migration.md") if "class Till" in block.source]
    assert sum(source in example for source in written) == 1


@pytest.mark.filterwarnings("ignore")
def test_the_till_of_the_examples_is_sound() -> None:
    folder = ROOT / "examples/nemo_gym"
    assert "all checks passed" in run(
        "-m", "llmgym", "--registry", "registry.yaml", "check", "shop/Till-v0", folder=folder
    )
