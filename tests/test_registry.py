"""Registry files, plugins, and what an import costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import yaml

from llmgym import registry
from llmgym.errors import RegistryError
from llmgym.registry import describe, entry, list_envs, make_core, read_registry, register_envs
from tests.rollouts import ROOT, Letters, environ


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    known = dict(gymnasium.registry)
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(known)


def row(**fields: Any) -> dict[str, Any]:
    return {
        "id": "mine/Letters-v0",
        "entry_point": "tests.rollouts:Letters",
        "summary": "Spell.",
        "domains": ["spelling"],
        "max_turns": 4,
        "tasks": {"licence": "CC0-1.0", "origin": "the alphabet"},
    } | fields


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump({"environments": list(rows)}, sort_keys=False))
    return path


def test_a_file_is_registered_with_its_variants(tmp_path: Path) -> None:
    variants = {"easy": {"kwargs": {"split": "test"}, "summary": "One letter."}, "long": {"max_turns": 9}}
    file = write(tmp_path / "r.yaml", row(needs=["judge"], kwargs={"tool_timeout": 1.0}, variants=variants))
    register_envs(file)
    register_envs(str(file))
    ids = [f"mine/Letters{name}-v0" for name in ("", "-easy", "-long")]
    assert [e.id for e in list_envs(domain="spelling")] == ids
    assert [e.id for e in list_envs(needs="judge")] == ids
    assert list_envs(domain="spelling", needs="sandbox") == []
    base, easy, long = map(entry, ids)
    assert (easy.summary, easy.base, easy.max_turns) == ("One letter.", base.id, 4)
    assert (easy.kwargs, long.kwargs) == ({"tool_timeout": 1.0, "split": "test"}, {"tool_timeout": 1.0})
    assert (long.max_turns, long.summary) == (9, "Spell.")
    env = make_core(ids[2])
    assert isinstance(env, Letters)
    assert env.max_turns == 9
    assert gymnasium.make(ids[1]).unwrapped.split == "test"  # type: ignore[attr-defined]


def test_describe_tells_all(tmp_path: Path) -> None:
    register_envs(write(tmp_path / "r.yaml", row()))
    found = describe("module:mine/Letters-v0")
    assert found["splits"] == {"train": 26, "test": 1}
    assert [tool["function"]["name"] for tool in found["tools"]] == ["shout", "fail"]
    assert found["documentation"].startswith("Answer a letter")
    assert (found["licence"], found["origin"]) == ("CC0-1.0", "the alphabet")


def test_an_unknown_id_suggests_near_ones(tmp_path: Path) -> None:
    register_envs(write(tmp_path / "r.yaml", row()))
    with pytest.raises(RegistryError, match="'mine/Leters-v0'; did you mean mine/Letters-v0"):
        entry("mine/Leters-v0")
    with pytest.raises(RegistryError, match="`llmgym list` shows all"):
        entry("§§§")


def test_a_file_that_is_written_anew_takes_effect(tmp_path: Path) -> None:
    register_envs(write(tmp_path / "r.yaml", row()))
    register_envs(write(tmp_path / "r.yaml", row(max_turns=7)))
    assert entry("mine/Letters-v0").max_turns == 7
    assert make_core("mine/Letters-v0").max_turns == 7


def test_one_file_by_two_names_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register_envs(write(tmp_path / "r.yaml", row()))
    monkeypatch.chdir(tmp_path)
    register_envs("r.yaml")


def test_an_id_belongs_to_one_file(tmp_path: Path) -> None:
    register_envs(write(tmp_path / "one.yaml", row()))
    with pytest.raises(RegistryError, match=r"two\.yaml: mine/Letters-v0 is already registered by .*one\.yaml"):
        register_envs(write(tmp_path / "two.yaml", row(max_turns=7)))
    with pytest.raises(RegistryError, match=r"three\.yaml: mine/Twice-v0 is there 2 times"):
        register_envs(write(tmp_path / "three.yaml", row(id="mine/Twice-v0"), row(id="mine/Twice-v0")))


@pytest.mark.parametrize(
    ("fields", "line", "said"),
    [
        ({"id": "mine/letters"}, 2, "$.environments[0].id: 'mine/letters' is not of the form"),
        ({"id": "Letters-v0"}, 2, "is not of the form namespace/CamelCase-v0"),
        ({"entry_point": "tests.rollouts.Letters"}, 3, "is not of the form package.module:Class"),
        ({"max_turns": 0}, 7, "$.environments[0].max_turns: must be at least 1, is 0"),
        ({"max_turns": "four"}, 7, "$.environments[0].max_turns: Expected `int`, got `str`"),
        ({"domains": "math"}, 5, "$.environments[0].domains: Expected `array`, got `str`"),
        ({"tasks": {"licence": "x"}}, 9, "missing required field `origin`"),
        ({"turns": 3}, 2, "unknown field `turns`"),
        ({"variants": {"Easy": {}}}, 12, "the variant name 'Easy' is not lower-case"),
        ({"variants": {"easy": {"max_turns": 0}}}, 13, "variants.easy.max_turns: must be at least 1, is 0"),
        ({"variants": {"easy": {"turns": 0}}}, 12, "unknown field `turns`"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_key(fields: Any, line: int, said: str, tmp_path: Path) -> None:
    file = write(tmp_path / "r.yaml", row(**fields))
    with pytest.raises(RegistryError) as error:
        read_registry(file)
    assert str(error.value).startswith(f"{file}:{line}: $.environments[0]")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"environments:\n  - id: [\n", "r.yaml:3: not YAML"),
        (b"environments: \xff", "r.yaml: not YAML"),
        (b"environments: 2024-13-01", "r.yaml: not YAML"),
        (b"", "r.yaml:1: $: Expected `object`, got `null`"),
        (b"- 1", "r.yaml:1: $: Expected `object`, got `array`"),
        (b"environments: 3", "r.yaml:1: $.environments: Expected `array`, got `int`"),
    ],
)
def test_a_file_that_is_no_registry(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(content)
    with pytest.raises(RegistryError) as error:
        read_registry(tmp_path / "r.yaml")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"entry_point": "no_such_module:X"}, "cannot make mine/Letters-v0: .*no_such_module"),
        ({"entry_point": "tests.rollouts:Nobody"}, "cannot make mine/Letters-v0: .*Nobody"),
        ({"kwargs": {"size": 1}}, "unexpected keyword argument 'size'"),
    ],
)
def test_an_environment_that_cannot_be_made_is_named(fields: Any, said: str, tmp_path: Path) -> None:
    register_envs(write(tmp_path / "r.yaml", row(**fields)))
    with pytest.raises(RegistryError, match=said):
        make_core("mine/Letters-v0")


def test_an_environment_of_another_kind_is_refused() -> None:
    with pytest.raises(RegistryError, match=r"CartPole-v1 is a CartPoleEnv, not an llmgym\.ToolEnv"):
        make_core("CartPole-v1")


# --- other packages and processes ---------------------------------------------------------------


def python(code: str, *path: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process that has some folders on its path."""
    env = environ(**extra)
    env["PYTHONPATH"] = ":".join(map(str, [ROOT, *path]))
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False
    )


def plugin(folder: Path, package: str, value: str | None = None) -> None:
    """An installed package that names a package in the entry-point group."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[llmgym.envs]\n{package} = {value or package}\n")


def test_other_packages_are_registered_and_not_imported(tmp_path: Path) -> None:
    plugin(tmp_path, "plugged")
    (tmp_path / "plugged").mkdir()
    (tmp_path / "plugged" / "__init__.py").write_text("raise SystemExit('was imported')")
    write(tmp_path / "plugged" / "registry.yaml", row(id="plugged/Letters-v0"))
    done = python("import llmgym; print(llmgym.list_envs(domain='spelling')[0].id)", tmp_path)
    assert (done.stdout, done.stderr) == ("plugged/Letters-v0\n", "")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("absent", "llmgym.envs: there is no package absent"),
        ("absent.envs", "llmgym.envs: cannot import absent.envs: ModuleNotFoundError"),
        ("odd.envs", "llmgym.envs: cannot import odd.envs: ZeroDivisionError"),
        ("single", "llmgym.envs: there is no package single"),
        ("empty", "llmgym.envs: cannot read"),
    ],
)
def test_a_broken_package_gives_a_warning(value: str, said: str, tmp_path: Path) -> None:
    plugin(tmp_path, "broken", value)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "__init__.py").write_text("1 / 0")
    (tmp_path / "single.py").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "__init__.py").write_text("")
    done = python("import llmgym; print(len(llmgym.list_envs()) > 0)", tmp_path)
    assert (done.returncode, done.stdout) == (0, "True\n")
    assert said in done.stderr


def test_files_named_by_the_environment_are_registered_and_broken_ones_warn(tmp_path: Path) -> None:
    good = write(tmp_path / "good.yaml", row())
    (tmp_path / "bad.yaml").write_text("environments: [\n")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    files = f"{tmp_path / 'bad.yaml'}::{tmp_path / 'binary.yaml'}:{tmp_path / 'absent.yaml'}:{tmp_path}:{good}"
    done = python("import llmgym; print(llmgym.list_envs(domain='spelling')[0].id)", LLMGYM_REGISTRY=files)
    assert done.stdout == "mine/Letters-v0\n"
    assert done.stderr.count("UserWarning: LLMGYM_REGISTRY: ") == 4
    assert "bad.yaml:2: not YAML" in done.stderr


def test_an_id_names_its_module_in_a_fresh_process() -> None:
    first = next(e.id for e in list_envs() if e.id.startswith("llmgym/"))
    done = python(f"import gymnasium; print(gymnasium.make('llmgym:{first}').spec.id)")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, first, "")


def test_importing_llmgym_is_light() -> None:
    code = (
        "import sys, llmgym\n"
        "heavy = {'torch', 'transformers', 'vllm', 'pandas', 'openai', 'renderers', 'rich', 'typer', 'aiohttp'}\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in heavy or m.startswith('llmgym.envs')))\n"
        "from llmgym import Collector, ToolEnv, make_policy\n"
        "make_policy('smollm2'); make_policy('openai:m')\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in heavy or m.startswith('llmgym.envs')))"
    )
    done = python(code)
    assert done.stdout == "[]\n[]\n", done.stderr


def test_every_public_name_can_be_loaded() -> None:
    import llmgym

    for name in llmgym.__all__:
        assert getattr(llmgym, name) is not None
    assert set(llmgym._LAZY) < set(llmgym.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        llmgym.nothing  # noqa: B018
