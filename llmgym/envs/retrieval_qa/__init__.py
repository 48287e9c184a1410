"""RetrievalQA: questions about an invented world that only its documents answer."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from llmgym.envs.apart import ApartTasks
from llmgym.envs.documents import DocumentsEnv, Preview
from llmgym.envs.library import Document, Library
from llmgym.envs.retrieval_qa.questions import NOT_STATED, SORTS, Plan, Questions, size
from llmgym.envs.retrieval_qa.relations import BY_NAME
from llmgym.envs.retrieval_qa.rows import read_row, row_schema
from llmgym.envs.retrieval_qa.world import library
from llmgym.envs.vocabulary import RIVERS
from llmgym.errors import ConfigError
from llmgym.messages import Message, assistant, tool_call
from llmgym.tasks import Task, TaskSet
from llmgym.tools import tool
from llmgym.verifiers.answers import read_date

_INSTRUCTIONS = (
    "Answer the question from a library of short documents. They tell of an invented world, so that nothing in it can "
    "be known otherwise. `search` finds documents by words, `find` by an exact passage, and `open` shows one.\n"
    "When you know the answer, reply without a tool call, and end the reply with a line such as\n"
    "Answer: Maplewood\n"
    "The answer is a name as the documents write it, a number in digits, or a date. If the documents do not state what "
    "is asked for, it is: not stated"
)
_ABSENT = (NOT_STATED, "it is not stated", "not stated in the documents", "the documents do not state it")
_TRAIN, _TEST = 0, 1_000_000  # numbers of the first worlds


class RetrievalQA(DocumentsEnv):
    """Answer questions about an invented world from its documents.

    ## Description

    A world has towns, people, firms, products and events. Each has a short document that states facts of it, such as
    who founded a firm and where its head office is; some leave one out. Names are near to each other: a product has
    several generations, an event several years, and their documents differ in one or two facts. A question follows one
    fact to the next ("Who is the mayor of the town where the winner of Osprey Fair 2012 lives?"), compares things, goes
    through all that lead to one (the most expensive product of a firm, the number of people who work for it, the sum of
    some prices), or asks for what is not stated, by a document that is silent or about a thing that has none. Answers
    cannot be guessed, and never stand in the question.

    Facts differ from world to world, though names of people and towns come again. Questions of the split "train" are
    about the first worlds, those of "test" about worlds that no training question is about.

    ## Actions

    Calls of `search(query, k)`, `find(passage, page)` and `open(document)`, any number of them in a message; then a
    message without a call, which ends the episode and states the answer: "Answer: ...", a box, or a reply of one line.

    ## Observations

    The question; then what each call gives: ids, titles and passages of documents, or a document.

    ## Rewards

    1 where the final message states the right answer, else 0. Case, Markdown, punctuation and an article around a name
    do not count; numbers and dates are read in any notation. Several answers, and answers of more than 200 characters,
    earn 0, as does an episode that ends with a tool call.

    Metrics: `documents_opened` (different ones), `support` (the share of the documents that the answer takes that were
    opened; 1 where it takes none), `searches`, `answered`, `tool_calls`, `tool_errors`.

    ## Episode End

    Terminates with the first message that calls no tool; truncates after `max_turns` messages.

    ## Arguments

    - `documents` (2000): documents of a world, 200 to 20,000.
    - `worlds` (16): worlds that training questions are about; those for testing are as many others. The first episode
      in each takes a process a tenth of a second, and a world 4 MB.
    - `hops` ([1, 3]): least and most facts that a walk takes, up to 5.
    - `sorts` (all): sorts of questions: chain, comparison, extreme, sum, count, absent.
    - `among` (2): things that a comparison compares, up to 4.
    - `preview` ("passage"): what `search` shows of a document besides its title: a "passage", the whole "text", or
      nothing ("title").
    - `tasks`: a file of rows with `question` (or `prompt`), `answer` and `documents`, a list of objects with `title`
      and `text`: each row is asked of a library of its own.

    ## Registered Variants

    - `llmgym/RetrievalQA-v0`: walks of up to three facts, all sorts.
    - `llmgym/RetrievalQA-easy-v0`: one fact; 400 documents, whose text `search` shows.
    - `llmgym/RetrievalQA-hard-v0`: walks of three and four facts, comparisons of three, and a search that shows titles.

    ## Version History

    - v0: first version.
    """

    max_turns = 24
    system_prompt = _INSTRUCTIONS

    def __init__(
        self,
        *,
        documents: int = 2000,
        worlds: int = 16,
        hops: Sequence[int] = (1, 3),
        sorts: Sequence[str] = tuple(SORTS),
        among: int = 2,
        preview: Preview = "passage",
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            documents: Documents of a world.
            worlds: Worlds that training questions are about.
            hops: Least and most facts that a walk takes.
            sorts: Sorts of questions.
            among: Things that a comparison compares.
            preview: What `search` shows of a document.
            tasks: Other questions.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range or unknown.
        """
        if not (200 <= documents <= 20_000 and 1 <= worlds <= 10_000 and 2 <= among <= 4):
            raise ConfigError(
                f"documents is {documents}, worlds is {worlds} and among is {among}; they must be 200 to 20,000, 1 to "
                "10,000, and 2 to 4"
            )
        if not (len(hops) == 2 and 1 <= hops[0] <= hops[1] <= 5):
            raise ConfigError(f"hops is {hops!r}; it must be two numbers from 1 to 5, the smaller first")
        if not set(sorts) <= set(SORTS) or not set(sorts) - {"absent"}:
            raise ConfigError(f"sorts is {sorts!r}; there is {', '.join(SORTS)}, and absent is none without others")
        if tasks is None:
            asked = ((hops[0], hops[1]), tuple(sorts), among)
            train = Questions(documents, _TRAIN, worlds, *asked)
            tasks = ApartTasks(train=train, test=Questions(documents, _TEST, worlds, *asked))
        super().__init__(preview=preview, tasks=tasks, **options)

    read_row = staticmethod(read_row)
    row_schema = staticmethod(row_schema)

    def setup(self, task: Task) -> None:
        """Take the library of the task's world, or make that of its row."""
        super().setup(task)
        if (own := task.metadata.get("library")) is not None:
            self.library = Library(Document(f"d{at}", entry["title"], entry["text"]) for at, entry in enumerate(own, 1))
        else:
            self.library = library(task.metadata["world"], task.metadata["documents"])

    @tool
    def search(self, query: str, k: int = 5) -> str:
        """Find the documents that fit some words best, such as a name and what is wanted of it.

        Args:
            query: The words to look for.
            k: How many documents to show, from 1 to 10.
        """
        self.searches += 1
        hits = self.library.search(query, k)
        if not hits:
            return "No document has any of these words."
        shown = {
            "passage": lambda hit: f": {' '.join(hit.passage.split())}",
            "text": lambda hit: f"\n{hit.document.text}\n",
            "title": lambda hit: "",
        }[self.preview]
        return "\n".join(f"[{hit.document.id}] {hit.document.title}{shown(hit)}" for hit in hits)

    @tool
    def find(self, passage: str, page: int = 1) -> str:
        """List all documents that hold a passage word by word, ten on a page: all that tell of a name, say.

        Args:
            passage: What they hold, such as a name; upper and lower case are the same.
            page: Which page of the list to show, from 1.
        """
        self.searches += 1
        count, documents = self.library.find(passage, page)
        titles = "\n".join(f"[{document.id}] {document.title}" for document in documents)
        return f"{count} documents hold it; page {page}:\n{titles}" if count else "No document holds it."

    @tool
    def open(self, document: str) -> str:
        """Show a document.

        Args:
            document: Its id, which stands in brackets before its title where it is found.
        """
        found = self.library.open(document)
        self.opened.add(found.title)
        return f"{found.title}\n\n{found.text}"

    def forms(self, task: Task) -> Any:
        """The right answer, in the ways in which it may be said."""
        if task.answer == NOT_STATED:
            return _ABSENT
        return [task.answer, f"river {task.answer}"] if task.answer in RIVERS else task.answer

    # --- the oracle ---------------------------------------------------------------------------------

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Carry out the plan of the question with the tools, and state what comes out."""
        plan = task.metadata.get("plan")
        found = str(_first(task.answer)) if plan is None else (yield from self._carry_out(plan))
        yield f"Answer: {found}"

    def _carry_out(self, plan: Plan) -> Generator[Message, None, str]:
        if isinstance(plan, str):
            return plan
        what, *rest = plan
        if what == "read":
            name = yield from self._carry_out(rest[1])
            text = (yield from self._texts([name])).get(name, "")
            return BY_NAME[rest[0]].read(text) or NOT_STATED
        if what in ("more", "less"):
            names: list[str] = []
            for each in rest[1]:
                name = yield from self._carry_out(each)
                names.append(name)
            return _extreme((yield from self._texts(names)), rest[0], most=what == "more")
        relation, name = rest[-2:]
        leading = yield from self._leading(relation, name)
        if what == "count":
            return str(len(leading))
        if what == "sum":
            return str(sum(_value(BY_NAME[rest[0]].read(text) or "0") for text in leading.values()))
        return _extreme(leading, rest[0], most=what == "most")

    def _texts(self, names: Sequence[str]) -> Generator[Message, None, dict[str, str]]:
        """What the documents of some names say, of those that have one."""
        yield assistant("", *(tool_call("search", query=name, k=10) for name in names))
        listed = "\n".join(message["content"] for message in self.transcript[-len(names) :])
        return (yield from self._open([line for line in listed.splitlines() if line[:1] == "["], names))

    def _leading(self, relation: str, name: str) -> Generator[Message, None, dict[str, str]]:
        """What those documents say that state a relation to a name."""
        found: list[str] = []
        page, pages = 1, 1
        while page <= pages:
            yield assistant("", tool_call("find", passage=name, page=page))
            head, *lines = self.transcript[-1]["content"].splitlines()
            found += lines
            page, pages = page + 1, -(-int(head.split()[0]) // 10)
        texts = yield from self._open(found)
        return {title: text for title, text in texts.items() if BY_NAME[relation].read(text) == name}

    def _open(
        self, lines: Sequence[str], names: Sequence[str] | None = None
    ) -> Generator[Message, None, dict[str, str]]:
        """What the listed documents say, by title, or those of some titles."""
        ids: dict[str, None] = {}
        for line in lines:
            document, _, title = line[1:].partition("] ")
            for name in (title,) if names is None else names:
                if title == name or title.startswith(f"{name}: "):
                    ids[document] = None
        if not ids:
            return {}
        yield assistant("", *(tool_call("open", document=document) for document in ids))
        shown = [message["content"].partition("\n\n") for message in self.transcript[-len(ids) :]]
        return {title: text for title, _, text in shown}


def _first(answer: Any) -> Any:
    return answer[0] if isinstance(answer, list) else answer


def _value(text: str) -> int:
    return int(text.replace(",", ""))


def _extreme(texts: dict[str, str], of: str, most: bool) -> str:
    """The title of the text that states most, or least, of something."""
    relation = BY_NAME[of]

    def stated(title: str) -> float | str:
        value = relation.read(texts[title]) or ""
        return str(read_date(value)) if relation.gives == "date" else size(value.replace(",", ""))

    return (max if most else min)(texts, key=stated)
