"""Names of other people's code, and the place of what goes wrong in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym import loading
from llmgym.errors import ConfigError, MissingExtraError, RegistryError, ToolError
from llmgym.loading import FUNCTION, described, expect_modules, import_named, load, place_of

MODULES = {
    "good_one.py": "def answer(messages, tools):\n    return 'x'\nnumber = 3\n"
    "class Shop:\n    def sell(self):\n        pass\n",
    "torn_one.py": "x = 1\ndef f(:\n",
    "bent_one.py": "def f():\nreturn 1\n",
    "leaving_one.py": "import sys\n\nsys.exit(7)\n",
    "silent_one.py": "raise SystemExit\n",
    "raising_one.py": "def inner():\n    raise KeyError('lost')\ninner()\n",
    "stopping_one.py": "class Stop(BaseException):\n    pass\nraise Stop('now')\n",
    "needing_one.py": "\nimport no_such_library\n",
    "lazy_one.py": "def __getattr__(name):\n    raise RuntimeError('not today')\n",
    "null_one.py": "x = '\0'\n",
    "package_one/__init__.py": "",
    "package_one/inner.py": "def f(a, b):\n    return a\n",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with modules, on the path and forgotten afterwards."""
    for name, text in MODULES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "_named", set())
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["good_one:answer", "good_one.answer", "package_one.inner:f", "package_one.inner.f"])
def test_both_forms_name_the_same(name: str) -> None:
    assert load(name, "script", kind=FUNCTION)([], []) is not None


def test_a_name_in_a_class_takes_a_colon() -> None:
    assert load("good_one:Shop.sell", "x").__qualname__ == "Shop.sell"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "script 'nothing': write module:name or module.name"),
        ("", "write module:name"),
        (":f", "write module:name"),
        ("good_one:", "write module:name"),
        ("a/good_one.py", "write module:name"),
        ("good_one.py", "write module:name"),
        ("..good_one.f", "write module:name"),
        ("good_one:answr", "{folder}/good_one.py has no 'answr'; did you mean answer?"),
        ("good_one:Shop.sel", "Shop has no 'sel'; did you mean sell?"),
        ("good_one.Shop.sell", "there is no module 'good_one.Shop'; good_one is no package: write good_one:name"),
        ("good_one.number", "script 'good_one.number' is of type int, not a function"),
        ("god_one.answer", "there is no module 'god_one'; did you mean good_one? It is looked for in the working"),
        ("quite_different.answer", "there is no module 'quite_different'; it is looked for in the working directory"),
        ("package_one.outer.f", "there is no module 'package_one.outer' in the package package_one"),
        ("torn_one.f", "cannot import torn_one: SyntaxError: invalid syntax, at {folder}/torn_one.py:2"),
        ("bent_one.f", "cannot import bent_one: IndentationError: expected an indented block after"),
        ("leaving_one.f", "cannot import leaving_one: it called sys.exit(7), at {folder}/leaving_one.py:3"),
        ("silent_one.f", "cannot import silent_one: it called sys.exit(), at {folder}/silent_one.py:1"),
        ("raising_one.f", "cannot import raising_one: KeyError: 'lost', at {folder}/raising_one.py:2"),
        ("stopping_one.f", "cannot import stopping_one: Stop: now, at {folder}/stopping_one.py:3"),
        ("needing_one.f", "ModuleNotFoundError: No module named 'no_such_library', at {folder}/needing_one.py:2"),
        ("lazy_one.f", "RuntimeError: not today, at {folder}/lazy_one.py:2"),
        ("null_one.f", "{folder}/null_one.py"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(name: str, said: str, folder: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(name, "script", kind=FUNCTION)
    assert said.format(folder=folder) in str(error.value)
    assert str(error.value).startswith(f"script {name!r}")
    assert "\n" not in str(error.value)


def test_the_error_may_be_of_another_kind() -> None:
    with pytest.raises(RegistryError):
        import_named("torn_one", "environment", error=RegistryError)


def test_ctrl_c_in_a_module_is_no_error_of_it(folder: Path) -> None:
    (folder / "slow_one.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load("slow_one.f", "script")


def test_where_a_module_may_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("src/hidden_one", "elsewhere/hidden_two"):
        (folder / place).mkdir(parents=True)
    with pytest.raises(ConfigError, match=f"there is one in {folder}/src: start there, or set PYTHONPATH={folder}/src"):
        load("hidden_one.f", "script")
    with pytest.raises(ConfigError, match=f"there is one in {folder}/elsewhere"):
        load("hidden_two.f", "script", near=folder / "elsewhere" / "hidden_two")
    monkeypatch.chdir(folder / "elsewhere" / "hidden_two")  # inside of the package itself
    with pytest.raises(ConfigError, match=f"there is one in {folder}/elsewhere"):
        load("hidden_two.f", "script")


def test_a_module_behind_an_installed_one_of_its_name(folder: Path) -> None:
    (folder / "colorsys.py").write_text("def policy(messages, tools): return 'x'\n")
    sys.path.append(sys.path.pop(0))  # the working directory comes last at the command line
    try:
        with pytest.raises(
            ConfigError, match="the colorsys of the working directory has the name of an installed module"
        ):
            load("colorsys.policy", "script")
    finally:
        sys.path.pop()


def test_a_working_directory_that_is_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    try:
        with pytest.raises(ConfigError, match="the working directory is gone"):
            load("nothing_at_all.f", "script")
    finally:
        os.chdir(folder)


# --- places -------------------------------------------------------------------------------------


def raised(function: Any, *arguments: Any) -> BaseException:
    try:
        function(*arguments)
    except BaseException as error:  # noqa: BLE001 -- its place is what is asked for
        return error
    raise AssertionError


def own() -> None:
    raise ValueError("mine")


def through_a_library() -> None:
    sorted([1, 2], key=lambda number: number // 0)
    import json

    json.loads("{")


LINE = own.__code__.co_firstlineno + 1


def test_the_innermost_place_of_theirs_is_found() -> None:
    assert place_of(raised(own)) == f"{__file__}:{LINE}"
    assert described(raised(own)) == f"ValueError: mine, at {__file__}:{LINE}"
    # `json` is not theirs: the line that called it is said.
    import json

    line = raised.__code__.co_firstlineno + 2
    assert place_of(raised(json.loads, "{")) == f"{__file__}:{line}"


def test_a_cause_has_the_place_that_the_error_lacks() -> None:
    error = ToolError("wrapped")
    error.__cause__ = raised(own)
    assert place_of(error) == f"{__file__}:{LINE}"
    error = ToolError("alone")
    error.__context__, error.__suppress_context__ = raised(own), True
    assert place_of(error) is None
    circle = ToolError("circle")
    circle.__cause__ = ToolError("inner")
    circle.__cause__.__cause__ = circle
    assert place_of(circle) is None


def test_an_installed_package_is_theirs_once_it_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_library_folders", lambda: (f"{folder}/",))  # as if it were site-packages
    error = raised(
        exec, compile("def f():\n    1 / 0\nf()", str(folder / "good_one.py"), "exec"), {"__name__": "good_one"}
    )
    here = f"{__file__}:"
    assert str(place_of(error)).startswith(here)
    loading.note("good_one.inner")
    assert place_of(error) == f"{folder}/good_one.py:2"
    loading.note("llmgym.envs")
    assert "llmgym" not in loading._named


@given(st.text(max_size=40))
def test_any_text_is_found_or_refused(name: str) -> None:
    with suppress(ConfigError):
        load(name, "script", kind=FUNCTION)


def test_what_an_extra_brings_is_asked_for_before_work_begins() -> None:
    expect_modules("numbers", "verifiers", "json", "math")
    with pytest.raises(
        MissingExtraError, match=r"formulas needs an optional dependency: pip install 'llmgym\[verifiers\]'"
    ):
        expect_modules("formulas", "verifiers", "json", "no_such_module")
