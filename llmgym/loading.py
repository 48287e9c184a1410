"""Other people's code by its dotted name, and where in it something went wrong.

Scripts, predicates, wrappers and environments are named in text, and their modules are code that llmgym did not write:
whatever happens in one is said in a line, with the file and the line of that code rather than a traceback of ours.
"""

from __future__ import annotations

import difflib
import importlib
import os
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from llmgym.errors import ConfigError, LLMGymError, MissingExtraError


class Kind(NamedTuple):
    """What a name should stand for."""

    name: str
    fits: Callable[[Any], bool]


FUNCTION = Kind("a function", callable)

_OURS = str(Path(__file__).parent)
#: Packages that somebody named, such as an installed package of environments: theirs, wherever they lie.
_named: set[str] = set()


@cache
def _library_folders() -> tuple[str, ...]:
    """Where Python and installed packages lie; asked for only where something went wrong."""
    import site
    import sysconfig

    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages(), _OURS}
    return tuple(
        sorted({os.path.join(place, "") for folder in folders for place in (folder, os.path.realpath(folder))})
    )


def load(
    name: str,
    what: str,
    *,
    kind: Kind | None = None,
    error: type[ConfigError] = ConfigError,
    near: Path | None = None,
) -> Any:
    """Find what "module:name" or "module.name" stands for.

    Args:
        name: The dotted name; "module:Class.name" reaches into a class.
        what: What it is for; starts the message.
        kind: What it should be.
        error: What is raised.
        near: Folder beside which the module may be, for the hint where it is not found.

    Raises:
        ConfigError: One line: whether the form, the module, the attribute or the kind is wrong, or what the module
            raised, and where.
    """
    said = f"{what} {name!r}"
    module, _, attribute = name.partition(":") if ":" in name else name.rpartition(".")
    if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))) or name.endswith(".py"):
        raise error(f"{said}: write module:name or module.name, of a module that Python can import")
    owner = found = import_named(module, said, error=error, near=near)
    for part in attribute.split("."):
        try:
            owner, found = found, getattr(found, part)
        except AttributeError:
            raise error(f"{said}: {_absent(found, part)}") from None
        except (Exception, SystemExit) as cause:  # a module may have a __getattr__
            raise error(f"{said}: {part} of {owner!r:.100}: {described(cause)}") from cause
    if kind is not None and not kind.fits(found):
        what_it_is = f"the class {found.__name__}" if isinstance(found, type) else f"of type {type(found).__name__}"
        raise error(f"{said} is {what_it_is}, not {kind.name}")
    return found


def import_named(
    module: str, what: str, *, error: type[ConfigError] = ConfigError, near: Path | None = None
) -> ModuleType:
    """Import a module that a user named.

    Args:
        module: Its dotted name.
        what: What it is for; starts the message.
        error: What is raised.
        near: Folder beside which it may be, for the hint where it is not found.

    Raises:
        ConfigError: There is no such module, or it raised; it may even have ended the process.
    """
    note(module)
    try:
        return importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as cause:
        absent = cause.name if isinstance(cause, ModuleNotFoundError) and place_of(cause) is None else None
        if absent and f"{module}.".startswith(f"{absent}."):
            hint = _not_inside(cause) if "." in absent else _whereabouts(module, near)
            raise error(f"{what}: there is no module {absent!r}{hint}") from None
        where = "" if place_of(cause) else _origin(module)
        raise error(f"{what}: cannot import {module}: {described(cause)}{where}") from cause


def expect_modules(feature: str, extra: str, *modules: str) -> None:
    """See, before any work is done, that what an extra brings is there.

    Raises:
        MissingExtraError: A module is not.
    """
    try:
        missing = any(find_spec(module) is None for module in modules)
    except ModuleNotFoundError:  # of what a module lies in
        missing = True
    if missing:
        raise MissingExtraError(feature, extra)


def note(module: str) -> None:
    """Remember that a package is somebody else's, so that places are shown in it wherever it is installed."""
    root = module.partition(".")[0]
    if root != "llmgym":
        _named.add(root)


# --- where it went wrong ------------------------------------------------------------------------


def described(error: BaseException) -> str:
    """Say what was raised and, where other people's code has to do with it, at which file and line of it."""
    place = place_of(error)
    if isinstance(error, SystemExit):
        text = f"it called sys.exit({'' if error.code is None else error.code})"
    else:
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        text = said if isinstance(error, LLMGymError) else f"{type(error).__name__}: {said}".removesuffix(": ")
    return f"{text}, at {place}" if place else text


def place_of(error: BaseException | None) -> str | None:
    """The innermost place of other people's code that an exception came through, as "file:line".

    Their code is all that is neither llmgym's, nor Python's, nor an installed package that nobody named.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, SyntaxError) and error.filename and error.lineno and _is_theirs(error.filename):
            return f"{error.filename}:{error.lineno}"
        for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
            file = frame.f_code.co_filename
            if _is_theirs(file, frame.f_globals.get("__name__") or ""):
                return f"{file}:{line}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def _is_theirs(file: str, module: str = "") -> bool:
    if file.startswith(("<", os.path.join(_OURS, ""))):
        return False
    # What Python and pip install is named by its whole path, but for what was compiled by Cython.
    named = module.partition(".")[0] in _named - {"gymnasium"}  # through which every environment is made
    return named or not (file.startswith(_library_folders()) or file.endswith(".pyx"))


# --- hints --------------------------------------------------------------------------------------


def _absent(owner: Any, name: str) -> str:
    """What has no such attribute, and what may have been meant."""
    near = difflib.get_close_matches(name, [known for known in dir(owner) if not known.startswith("_")], n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    if not isinstance(owner, ModuleType):
        return f"{getattr(owner, '__name__', type(owner).__name__)} has no {name!r}{meant}"
    file = getattr(owner, "__file__", None)
    text = f"{file or f'the module {owner.__name__}'} has no {name!r}{meant}"
    root = owner.__name__.partition(".")[0]
    folder = _working_folder()
    if folder and _holds(folder, root) and not (file and Path(file).is_relative_to(folder)):
        text += f"; the {root} of the working directory has the name of an installed module: rename it"
    return text


def _not_inside(error: BaseException) -> str:
    package = str(getattr(error, "name", "")).rpartition(".")[0]
    if "is not a package" in str(error):
        return f"; {package} is no package: write {package}:name for a name in it"
    return f" in the package {package}"


def _whereabouts(module: str, near: Path | None) -> str:
    """Where a module that is not found may be."""
    root = module.partition(".")[0]
    for folder in _nearby(root, near):
        if _holds(folder, root):
            return f"; there is one in {folder}: start there, or set PYTHONPATH={folder}"
    folder = _working_folder()
    if folder is None:
        return "; the working directory is gone, and no installed package has that name"
    names = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    near_names = difflib.get_close_matches(root, names, n=1)
    looked_for = f"; did you mean {near_names[0]}? It is looked for" if near_names else "; it is looked for"
    return f"{looked_for} in the working directory {folder} and among the installed packages"


def _nearby(root: str, near: Path | None) -> Iterator[Path]:
    folder = _working_folder()
    if folder is not None:
        yield folder
        yield folder / "src"
        yield from (inside.parent for inside in (folder, *folder.parents) if inside.name == root)
    if near is not None:
        yield from (near, near.parent)


def _holds(folder: Path, root: str) -> bool:
    return (folder / f"{root}.py").is_file() or (folder / root).is_dir()


def _working_folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # removed under the process
        return None


def _origin(module: str) -> str:
    """The file of a module whose error says no place."""
    try:
        spec = find_spec(module)
    except Exception:  # noqa: BLE001 -- its package is what failed
        return ""
    return f", in {spec.origin}" if spec and spec.origin else ""
