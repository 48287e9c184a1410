"""The simulated services of BFCL, and the gold calls on them, which the package has as Python text."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import json
import math
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from decimal import localcontext
from functools import cache
from typing import Any, NamedTuple

from llmgym.adapters.bfcl.files import lines, tool_schema
from llmgym.messages import ToolSchema

_STATELESS = "MathAPI"
_MOST_DIGITS = 1000
_BACKENDS = "bfcl_eval.eval_checker.multi_turn_eval.func_source_code"
#: The package's services of several turns, each with its module and the file that describes its functions.
_SERVICES = {
    "GorillaFileSystem": ("gorilla_file_system", "gorilla_file_system"),
    "MathAPI": ("math_api", "math_api"),
    "MessageAPI": ("message_api", "message_api"),
    "TwitterAPI": ("posting_api", "posting_api"),
    "TicketAPI": ("ticket_api", "ticket_api"),
    "TradingBot": ("trading_bot", "trading_bot"),
    "TravelAPI": ("travel_booking", "travel_booking"),
    "VehicleControlAPI": ("vehicle_control", "vehicle_control"),
}


class Call(NamedTuple):
    """A call of a function: its name, and its arguments by name."""

    name: str
    arguments: dict[str, Any]


@cache
def schemas(services: tuple[str, ...]) -> tuple[ToolSchema, ...]:
    """The functions of services as the schemas of tools."""
    return tuple(
        tool_schema(function)
        for service in services
        for function in lines(f"multi_turn_func_doc/{_SERVICES[service][1]}.json")
    )


class World:
    """The services of a task, each with its state."""

    def __init__(self, services: Sequence[str], config: dict[str, Any], long_context: bool) -> None:
        """Load the state that the task begins with."""
        self._services: dict[str, Any] = {}
        self._functions: dict[str, Any] = {}
        for name in services:
            service = getattr(importlib.import_module(f"{_BACKENDS}.{_SERVICES[name][0]}"), name)()
            if name != _STATELESS:
                service._load_scenario(copy.deepcopy(config.get(name, {})), long_context=long_context)
            self._services[name] = service
            for method, function in inspect.getmembers(service, inspect.ismethod):
                if not method.startswith("_"):
                    self._functions[method] = function

    def call(self, call: Call) -> str:
        """What a function answers, as the package writes it; an error too."""
        if _is_endless(call):
            return f"Error during execution: {call.name} is for at most {_MOST_DIGITS} digits"
        try:
            with localcontext(), _steady_precision():
                return _written(self._functions[call.name](**call.arguments))
        except Exception as error:  # noqa: BLE001 -- whatever it raises is its answer, as in the package
            return f"Error during execution: {error}"

    def read(self, text: str) -> Call:
        """A gold call from its Python text, whose arguments are literals; nothing is run.

        Raises:
            ValueError: It is no such call.
        """
        tree = ast.parse(text, mode="eval").body
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
            raise ValueError(f"no call of a function: {text!r}")  # noqa: TRY004 -- of the text
        names = list(inspect.signature(self._functions[tree.func.id]).parameters)
        given = dict(zip(names, map(ast.literal_eval, tree.args), strict=False))
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in tree.keywords if keyword.arg}
        return Call(tree.func.id, given | named)

    def state(self) -> dict[str, dict[str, Any]]:
        """What the package compares: all that is public in the services."""
        return {
            name: {key: value for key, value in vars(service).items() if not key.startswith("_")}
            for name, service in self._services.items()
        }


def _written(found: Any) -> str:
    """An answer as the package writes it."""
    if isinstance(found, dict):
        with suppress(TypeError, ValueError):
            return json.dumps(found)
    return str(found)


def _is_endless(call: Call) -> bool:
    """Whether a model asks more of `MathAPI`, which has no bounds, than the event loop can do beside other episodes."""
    match call.arguments:
        case {"base": int(base), "exponent": int(exponent)} if call.name == "power":
            return abs(exponent) * math.log10(abs(base) or 1) > _MOST_DIGITS
        case {"precision": int(digits)} | {"decimal_places": int(digits)}:
            return abs(digits) > _MOST_DIGITS
        case _:
            return False


@contextmanager
def _steady_precision() -> Generator[None]:
    """Put back the precision of mpmath, which `logarithm` changes for the whole process."""
    mpmath = sys.modules.get("mpmath")
    if mpmath is None:
        yield
        return
    with mpmath.mp.workdps(mpmath.mp.dps):
        yield


def contains(answers: Sequence[str], wanted: Iterable[str]) -> bool:
    """Whether all wanted answers are there, each as often as it is wanted, in any order."""
    left = list(answers)
    for answer in wanted:
        if answer not in left:
            return False
        left.remove(answer)
    return True
