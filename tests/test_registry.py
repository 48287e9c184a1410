"""Registry files, plugins, and what an import costs."""

from __future__ import annotations

import datetime
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import msgspec
import pytest
import yaml

from llmgym import registry
from llmgym.catalogue import EnvRow, read_registry
from llmgym.errors import ConfigError, EnvironmentFailure, RegistryError, TaskError
from llmgym.registry import as_env_id, describe, entry, list_envs, make_core, register_envs
from tests.command import environ
from tests.rollouts import ROOT, Letters


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
    assert [e.id for e in list_envs(needs="judge") if e.id.startswith("mine/")] == ids
    assert list_envs(domain="spelling", needs="sandbox") == []
    base, easy, long = map(entry, ids)
    assert (easy.summary, easy.base, easy.max_turns) == ("One letter.", base.id, 4)
    assert (easy.kwargs, long.kwargs) == ({"tool_timeout": 1.0, "split": "test"}, {"tool_timeout": 1.0})
    assert (long.max_turns, long.summary) == (9, "Spell.")
    env = make_core(ids[2])
    assert isinstance(env, Letters)
    assert env.max_turns == 9
    assert gymnasium.make(ids[1]).unwrapped.split == "test"  # type: ignore[attr-defined]


def rows() -> list[EnvRow]:
    """What a registry file may name in place of its rows."""
    return [msgspec.convert(row(id=f"mine/Table{name}-v0"), EnvRow) for name in "AB"]


def test_a_table_makes_rows_of_an_ecosystem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tables", types.SimpleNamespace(rows=rows))
    (tmp_path / "r.yaml").write_text("ecosystem: {name: theirs, modules: [absent]}\nenvironments: tables:rows\n")
    register_envs(tmp_path / "r.yaml")
    assert [e.id for e in list_envs(ecosystem="theirs")] == ["mine/TableA-v0", "mine/TableB-v0"]
    assert not entry("mine/TableA-v0").installed
    assert list_envs(domain="spelling") == []  # none of llmgym's own
    assert isinstance(make_core("mine/TableB-v0"), Letters)


def test_describe_tells_all(tmp_path: Path) -> None:
    register_envs(write(tmp_path / "r.yaml", row()))
    found = describe("module:mine/Letters-v0")
    assert found["splits"] == {"train": 26, "test": 1}
    assert [tool["function"]["name"] for tool in found["tools"]] == ["shout", "fail"]
    assert found["documentation"].startswith("Answer a letter")
    assert (found["licence"], found["origin"]) == ("CC0-1.0", "the alphabet")
    assert found["example"]["opening"][0] == {"role": "system", "content": "Be brief."}
    assert found["example"]["task_id"] in "abcdefghijklmnopqrstuvwxyz"


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


def test_a_file_is_registered_whole_or_not_at_all(tmp_path: Path) -> None:
    register_envs(write(tmp_path / "one.yaml", row()))
    gymnasium.register("mine/Bare", entry_point="tests.rollouts:Letters")
    before, known = dict(registry._entries), dict(gymnasium.registry)
    bad = [
        row(id="mine/First-v0"), row(id="mine/Letters-v0", max_turns=9),  # the latter is another file's
    ], [
        row(id="mine/First-v0"), row(id="mine/Bare-v0"),  # Gymnasium has one without a version
    ], [
        row(id="mine/First-v0"), row(id="mine/Second-v0", max_turns=0),
    ]  # fmt: skip
    for number, rows in enumerate(bad):
        with pytest.raises(RegistryError, match=f"{number}.yaml"):
            register_envs(write(tmp_path / f"{number}.yaml", *rows))
        assert registry._entries == before
        assert gymnasium.registry == known


@pytest.mark.parametrize(
    ("fields", "line", "said"),
    [
        ({"id": "mine/letters"}, 2, "$.environments[0].id: 'mine/letters' is not of the form"),
        ({"id": "Letters-v0"}, 2, "is not of the form namespace/CamelCase-v0"),
        ({"entry_point": "tests.rollouts.Letters"}, 3, "is not of the form package.module:Class"),
        ({"max_turns": 0}, 7, "$.environments[0].max_turns: must be at least 1, is 0"),
        ({"max_turns": "four"}, 7, "$.environments[0].max_turns: Expected `int`, got `str`"),
        ({"max_turns": True}, 7, "$.environments[0].max_turns: Expected `int`, got `bool`"),
        (
            {"kwargs": {"max_turns": 0}},
            12,
            "$.environments[0].kwargs.max_turns: must be a whole number, at least 1; it is 0",
        ),
        ({"kwargs": {"max_turns": "many"}}, 12, "kwargs.max_turns: must be a whole number, at least 1; it is 'many'"),
        (
            {"kwargs": {"x": 1, "tool_timeout": -1}},
            13,
            "kwargs.tool_timeout: must be a finite number of seconds above 0",
        ),
        ({"kwargs": {"hook_timeout": "abc"}}, 12, "kwargs.hook_timeout: must be a finite number of seconds above 0"),
        ({"kwargs": {"hook_timeout": float("inf")}}, 12, "kwargs.hook_timeout: must be a finite number"),
        ({"kwargs": {"split": 3}}, 12, "kwargs.split: must be the name of a split; it is 3"),
        ({"kwargs": {"sizes": [1, {"a": float("nan")}]}}, 13, "kwargs.sizes: has nan, which is no JSON number"),
        (
            {"kwargs": {"since": datetime.date(2024, 1, 2)}},
            12,
            "has a date, which is no JSON; put '2024-01-02' in quotes",
        ),
        ({"kwargs": {"names": {1: "a"}}}, 13, "kwargs.names: has the key 1, which is no text"),
        ({"variants": {"easy": {"kwargs": {"max_turns": -1}}}}, 14, "variants.easy.kwargs.max_turns: must be a whole"),
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
        (b"environments: []\nenvironments: []", "r.yaml:2: the key 'environments' is there already, in line 1"),
        (b"environments: " + b"[" * 80 + b"]" * 80, "r.yaml:1: nested more than 64 levels deep"),
        (b"environments: &a [*a]", "r.yaml:1"),
        (b"environments: 3", "r.yaml:1: $.environments: Expected `str | array`, got `int`"),
        (b"environments: rows", "r.yaml: environments 'rows': write module:name"),
        (b"environments: json:loads", "r.yaml: json:loads failed: TypeError"),
        (b"environments: builtins:dict", "r.yaml: builtins:dict gives a list of rows: Expected `array`, got `object`"),
        (b"environments: []\necosystem: {modules: []}", "r.yaml:2: $.ecosystem: Object missing required field `name`"),
    ],
)
def test_a_file_that_is_no_registry(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(content)
    with pytest.raises(RegistryError) as error:
        read_registry(tmp_path / "r.yaml")
    assert said in str(error.value)


class Failing(Letters):
    """Cannot be made, as it is told."""

    def __init__(self, *, how: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        match how:
            case "exit":
                sys.exit(3)
            case "type":
                raise TypeError("neither fish nor fowl")
            case "system":
                raise OSError(28, "No space left on device")
            case "failure":
                raise EnvironmentFailure("the index is down")
            case "tasks":
                raise TaskError("rows.jsonl:3: not JSON")
        raise RuntimeError("no luck")


def clock(**kwargs: Any) -> gymnasium.Env[Any, Any]:
    """An environment with a wrapper around it."""
    return gymnasium.wrappers.TimeLimit(Letters(**kwargs), 3)


FAILING = {"entry_point": f"{__name__}:Failing"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"entry_point": "no_such_module:X"}, "cannot make mine/Letters-v0: .*there is no module 'no_such_module'"),
        (
            {"entry_point": "tests.rollouts:Leters"},
            "cannot make mine/Letters-v0: .*has no 'Leters'; did you mean Letters?",
        ),
        ({"entry_point": "tests.rollouts:not_a_function"}, "is of type int, not a class of environments"),
        ({"kwargs": {"size": 1}}, "unexpected keyword argument 'size'"),
        (
            FAILING | {"kwargs": {"how": ""}},
            r"make mine/Letters-v0: RuntimeError: no luck, at .*test_registry\.py:\d+$",
        ),
        (FAILING | {"kwargs": {"how": "exit"}}, r"it called sys\.exit\(3\), at .*test_registry\.py:\d+$"),
        (FAILING | {"kwargs": {"how": "type"}}, r"TypeError: neither fish nor fowl, at .*test_registry\.py:\d+$"),
        (
            FAILING | {"kwargs": {"how": "system"}},
            r"OSError: \[Errno 28\] No space left on device, at .*test_registry\.py",
        ),
        (
            {"entry_point": f"{__name__}:clock"},
            "registered with the wrapper TimeLimit, .*register it without, and use max_turns",
        ),
    ],
)
def test_an_environment_that_cannot_be_made_is_named(fields: Any, said: str, tmp_path: Path) -> None:
    register_envs(write(tmp_path / "r.yaml", row(**fields)))
    with pytest.raises(RegistryError, match=said):
        make_core("mine/Letters-v0")


@pytest.mark.parametrize(("how", "error"), [("failure", EnvironmentFailure), ("tasks", TaskError)])
def test_what_a_constructor_raises_on_purpose_stays(how: str, error: type[Exception], tmp_path: Path) -> None:
    register_envs(write(tmp_path / "r.yaml", row(**FAILING, kwargs={"how": how})))
    with pytest.raises(error, match=r"the index is down|rows\.jsonl:3: not JSON"):
        make_core("mine/Letters-v0")


def test_wrappers_of_a_spec_are_refused(tmp_path: Path) -> None:
    extra = gymnasium.wrappers.TransformReward.wrapper_spec(func=abs)
    gymnasium.register("mine/Scaled-v0", entry_point="tests.rollouts:Letters", additional_wrappers=(extra,))
    with pytest.raises(
        RegistryError, match=r"wrapper TransformReward, which would act in gymnasium\.make and not in rol"
    ):
        make_core("mine/Scaled-v0")
    gymnasium.register("mine/Clocked-v0", entry_point="tests.rollouts:Letters", max_episode_steps=3)
    with pytest.raises(RegistryError, match="wrapper TimeLimit"):
        make_core("mine/Clocked-v0")


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_turns", value) for value in (0, -1, "many", float("nan"), 2.5, True)]
    + [("tool_timeout", value) for value in (0, -1, "abc", float("nan"), float("inf"))]
    + [("hook_timeout", -1)],
)
def test_arguments_that_make_no_sense_are_refused(name: str, value: Any, tmp_path: Path) -> None:
    register_envs(write(tmp_path / "r.yaml", row()))
    with pytest.raises(ConfigError, match=f"{name} must be"):
        make_core("mine/Letters-v0", **{name: value})


def test_arguments_that_make_sense_are_taken(tmp_path: Path) -> None:
    register_envs(write(tmp_path / "r.yaml", row()))
    core = make_core("mine/Letters-v0", max_turns=3, tool_timeout=1, hook_timeout=None)
    assert core.max_turns == 3


def lookup(country: str) -> str:
    """No environment."""
    return country


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Letters, "as the class Letters: .*entry_point='tests.rollouts:Letters'.*'tests.rollouts:mine/Letters-v0'"),
        (Letters(), "not given as <.*Letters"),
        (lookup, "not given as <function lookup"),
        (None, "not given as None"),
    ],
)
def test_what_is_no_id_is_answered_in_a_line(value: Any, said: str) -> None:
    with pytest.raises(RegistryError, match=said):
        as_env_id(value)
    with pytest.raises(RegistryError, match=said):
        make_core(value)
    assert as_env_id("mine/Letters-v0") == "mine/Letters-v0"


def test_describe_says_why_there_is_no_example(tmp_path: Path) -> None:
    register_envs(write(tmp_path / "r.yaml", row(kwargs={"faults": {chr(c): "setup raise" for c in range(97, 123)}})))
    assert "lost" in describe("mine/Letters-v0")["example"]["error"]


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
        ("odd.envs", "llmgym.envs: cannot import odd.envs: ZeroDivisionError: division by zero, at "),
        ("leaving.envs", "llmgym.envs: cannot import leaving.envs: it called sys.exit(7), at "),
        ("single", "llmgym.envs: there is no package single"),
        ("empty", "llmgym.envs: cannot read"),
    ],
)
def test_a_broken_package_gives_a_warning(value: str, said: str, tmp_path: Path) -> None:
    plugin(tmp_path, "broken", value)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "__init__.py").write_text("1 / 0")
    (tmp_path / "leaving").mkdir()
    (tmp_path / "leaving" / "__init__.py").write_text("import sys; sys.exit(7)")
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


def test_what_an_environment_needs_is_said_before_it_is_made() -> None:
    with pytest.raises(
        RegistryError, match=r"llmgym/NeMoGym-v0 needs tasks: \{id: .*, kwargs: \{tasks: \.\.\.\}\} in a"
    ):
        make_core("llmgym/NeMoGym-v0", url="http://127.0.0.1:1")
    found = describe("llmgym/NeMoGym-v0")
    assert found["example"] == {"error": "it needs url and tasks"}
    assert "`url`: that of the resource server" in found["documentation"]
