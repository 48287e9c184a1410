"""Chat templates as transformers renders them, without transformers, which takes seconds and hundreds of megabytes.

Templates are written for the environment that transformers gives them, so it is the same here to the last filter; the
tests compare the two on every template that they have.
"""

from __future__ import annotations

import functools
import json
from datetime import datetime
from typing import Any, NoReturn


@functools.lru_cache(maxsize=64)
def compiled(text: str) -> Any:
    """Compile a chat template.

    Returns:
        A template of jinja2, whose `render` takes `messages`, `tools`, `documents`, `add_generation_prompt` and what
        else the template knows.

    Raises:
        jinja2.TemplateSyntaxError: It is no template.
    """
    from jinja2 import ext, nodes, sandbox

    class Generation(ext.Extension):
        """Takes `{% generation %}`, with which templates mark what a model is trained on, for what stands in it."""

        tags = {"generation"}

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            # A block of its own: what it sets does not leak out, in transformers neither.
            return nodes.CallBlock(self.call_method("inside"), [], [], body).set_lineno(line)

        def inside(self, caller: Any) -> str:
            return caller()

    environment: Any = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, ext.loopcontrols]
    )
    environment.filters["tojson"] = _json
    environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
    return environment.from_string(text)


def _json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """JSON as models are trained on it: jinja2's own filter escapes what HTML would."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _refuse(message: str) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(message)
