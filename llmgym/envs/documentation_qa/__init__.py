"""DocumentationQA: questions about Python's library, answered from its reference."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from llmgym.envs.apart import ApartTasks
from llmgym.envs.documentation_qa.facts import stated
from llmgym.envs.documentation_qa.questions import KINDS, SORTS, Questions
from llmgym.envs.documentation_qa.reference import Entry, library
from llmgym.envs.documents import DocumentsEnv, Preview, with_answers
from llmgym.errors import ConfigError
from llmgym.messages import Message, assistant, tool_call
from llmgym.tasks import Task, TaskSet, one_column, row_schema, task_from_row
from llmgym.tools import tool

_INSTRUCTIONS = (
    "Answer the question from the library reference of Python 3.11. `search` finds descriptions of functions, classes, "
    'methods and the like by words, `find` by an exact passage such as "New in version 3.8", and `open` shows one.\n'
    "When you know the answer, reply without a tool call, and end the reply with a line such as\n"
    "Answer: itertools\n"
    "The answer is a name, a value as it stands in the reference, a version such as 3.9, or a number."
)
_SHOWN = 500  # characters of a description that `search` shows at most


class DocumentationQA(DocumentsEnv):
    """Answer questions about Python's library from its reference.

    ## Description

    The library reference of Python 3.11, as some 8,000 descriptions of functions, classes, methods, exceptions,
    attributes and constants, with tools to search it. Questions ask in which version something was added, or a
    parameter of it; which parameter a version added; for the default of a parameter; for the exception that a sentence
    names; for the module of a function, or the class of a method; and for what a module got in a version. All answers
    to a sort of question are as likely, so that common ones ("None", `ValueError`) do not pay. The facts that the split
    "test" asks for never occur in training.

    The snapshot was made by `benchmarks/tools/python_docs.py` from Debian's package python3.11-doc (3.11.2), and is
    under the PSF's licence, which lies beside it.

    ## Actions

    Calls of `search(query, k)`, `find(passage, page)` and `open(name)`, any number of them in a message; then a message
    without a call, which ends the episode and states the answer: "Answer: ...", a box, or a reply of one line.

    ## Observations

    The question; then what each call gives: names and passages of descriptions, or a description.

    ## Rewards

    1 where the final message states the right answer, else 0. Case, Markdown, marks of code and punctuation around it
    do not count, nor does the module before a name; 3.1 and 3.10 are different versions. Several answers, and answers
    of more than 200 characters, earn 0, as does an episode that ends with a tool call.

    Metrics: `documents_opened` (different ones), `support` (the share of the descriptions that the answer takes that
        were
    opened), `searches`, `answered`, `tool_calls`, `tool_errors`.

    ## Episode End

    Terminates with the first message that calls no tool; truncates after `max_turns` messages.

    ## Arguments

    - `sorts` (added, parameter_added, which_parameter, default, exception, module, class): sorts of questions; there
      are `only` and `count`, too.
    - `preview` ("passage"): what `search` shows of a description besides its name: a "passage", its first 500
      characters ("text"), or nothing ("title").
    - `tasks`: a file of rows with `prompt` (or `messages`) and `answer`, a text, number or list of texts of which each
      is right, about the same reference; `kind` is "name", "number", "date" or "version".

    ## Registered Variants

    - `llmgym/DocumentationQA-v0`: seven sorts of questions, each about one description.
    - `llmgym/DocumentationQA-easy-v0`: modules, classes, defaults and versions; search shows the beginnings of
      descriptions.
    - `llmgym/DocumentationQA-hard-v0`: what a module got in a version, too, and a search that shows names alone.

    ## Version History

    - v0: first version.
    """

    max_turns = 16
    system_prompt = _INSTRUCTIONS

    def __init__(
        self,
        *,
        sorts: Sequence[str] = (
            "added",
            "parameter_added",
            "which_parameter",
            "default",
            "exception",
            "module",
            "class",
        ),
        preview: Preview = "passage",
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            sorts: Sorts of questions.
            preview: What `search` shows of a description.
            tasks: Other questions.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is unknown.
        """
        if not sorts or not set(sorts) <= set(SORTS):
            raise ConfigError(f"sorts is {sorts!r}; there is {', '.join(SORTS)}")
        if tasks is None:
            asked = tuple(sorts)
            tasks = ApartTasks(train=Questions(asked, testing=False), test=Questions(asked, testing=True))
        super().__init__(preview=preview, tasks=tasks, **options)

    @staticmethod
    def read_row(row: dict[str, Any]) -> Task:
        """Make the task of a row whose answer is short."""
        task = task_from_row(row)
        return with_answers(task, task.metadata.get("kind") or "name")

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row whose answer is short."""
        text = {"type": "string", "minLength": 1}
        short = {"anyOf": [text, {"type": "number"}, {"type": "array", "items": text, "minItems": 1}]}
        kind = {"properties": {"kind": {"enum": ["name", "number", "date", "version", None]}}}
        known = [one_column("answer", short), one_column("expected_answer", short, without=["answer"])]
        return {**row_schema(), "title": "A question of DocumentationQA", "allOf": [kind, {"anyOf": known}]}

    def setup(self, task: Task) -> None:
        """Take the reference."""
        self.library = library()
        super().setup(task)

    @tool
    def search(self, query: str, k: int = 5) -> str:
        """Find the descriptions that fit some words best, such as a name and what is wanted of it.

        Args:
            query: The words to look for.
            k: How many descriptions to show, from 1 to 10.
        """
        self.searches += 1
        hits = self.library.search(query, k)
        if not hits:
            return "No description has any of these words."
        shown = {
            "passage": lambda hit: f" {' '.join(hit.passage.split())}",
            "text": lambda hit: f" {_cut(hit.document.text)}\n",
            "title": lambda hit: "",
        }[self.preview]
        return "\n".join(f"[{hit.document.id}]{shown(hit)}" for hit in hits)

    @tool
    def find(self, passage: str, page: int = 1) -> str:
        """List all descriptions that hold a passage word by word, ten on a page.

        Args:
            passage: What they hold, such as "New in version 3.8"; upper and lower case are the same.
            page: Which page of the list to show, from 1.
        """
        self.searches += 1
        count, documents = self.library.find(passage, page)
        names = "\n".join(f"[{document.id}]" for document in documents)
        return f"{count} descriptions hold it; page {page}:\n{names}" if count else "No description holds it."

    @tool
    def open(self, name: str) -> str:
        """Show a description.

        Args:
            name: Its name, which stands in brackets where it is found, such as "os.path.join".
        """
        document = self.library.open(name)
        self.opened.add(document.id)
        return f"{document.title}\n\n{document.text}"

    def forms(self, task: Task) -> list[str]:
        """The right answer, in the ways in which it may be written."""
        if isinstance(task.answer, list):
            return task.answer
        answer, sort = task.answer, task.metadata["sort"]
        if sort in KINDS:
            return [answer]
        forms = [answer, *(name for name in task.metadata["support"] if name.endswith(f".{answer}"))]
        if sort == "class":
            forms.append(f"{task.metadata['detail'].split()[1]}.{answer}")
        if sort == "exception":  # "ssl.SSLError", of what `ssl.SSLContext.load_cert_chain` raises
            parts = task.metadata["subject"].split(".")
            forms += [f"{'.'.join(parts[:end])}.{answer}" for end in range(1, len(parts))]
        what = task.metadata["detail"].split()[0] if sort == "only" else sort.removeprefix("which_")
        return [form for name in forms for form in (name, f"{name}()", f"{name} {what}", f"{what} {name}")]

    # --- the oracle ---------------------------------------------------------------------------------

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Find the descriptions that state the fact, and state what they say."""
        sort = task.metadata.get("sort")
        if sort is None:
            found = str(task.answer[0])
        elif sort in ("only", "count"):
            found = yield from self._news(task.metadata["subject"], *task.metadata["detail"].split())
            found = str(len(found)) if sort == "count" else found[0].last
        else:
            yield assistant("", tool_call("search", query=task.metadata["subject"]))
            (entry,) = yield from self._opened(task.metadata["support"])
            if sort == "module":
                found = entry.module
            elif sort == "class":
                found = entry.name.removeprefix(f"{entry.module}.").split(".")[0]
            else:
                found = str(stated(sort, entry, task.metadata["detail"]))
        yield f"Answer: {found}"

    def _news(self, module: str, kind: str, version: str) -> Generator[Message, None, list[Entry]]:
        """What of a module is new in a version."""
        passage = f"New in version {version}"
        yield assistant("", tool_call("find", passage=passage))
        count = int(self.transcript[-1]["content"].split()[0])
        pages = range(1, -(-count // 10) + 1)
        yield assistant("", *(tool_call("find", passage=passage, page=page) for page in pages))
        lines = "\n".join(message["content"] for message in self.transcript[-len(pages) :]).splitlines()
        names = [line.strip("[]") for line in lines if line.startswith(f"[{module}.")]
        found = yield from self._opened(names)
        return [
            entry for entry in found if (entry.module, entry.kind) == (module, kind) and f"{passage}." in entry.text
        ]

    def _opened(self, names: Sequence[str]) -> Generator[Message, None, list[Entry]]:
        yield assistant("", *(tool_call("open", name=name) for name in names))
        shown = [message["content"].partition("\n\n") for message in self.transcript[-len(names) :]]
        return [Entry.of_document(name, text) for name, _, text in shown]


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} [...]"
