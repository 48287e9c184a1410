"""What documents say of things, and how it is said and asked."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: What documents are about; the other things that relations lead to are words, numbers and dates.
KINDS = ("town", "person", "firm", "product", "event")


@dataclass(frozen=True, slots=True)
class Relation:
    """One fact that documents of a kind state, or leave out.

    Attributes:
        name: Such as "founder".
        of: The kind of document that states it.
        gives: What it leads to: a kind, or "name", "number" or "date".
        sentences: How documents say it, `{s}` being what they are about and `{v}` the value.
        phrase: What stands for the value in a longer question, `{x}` being what it is asked of.
        questions: How it is asked for.
        absent: The share of documents that leave it out.
    """

    name: str
    of: str
    gives: str
    sentences: tuple[str, ...]
    phrase: str
    questions: tuple[str, ...]
    absent: float = 0.0

    def read(self, text: str) -> str | None:
        """The value that a document states; None where it states none."""
        for sentence in self.sentences:
            pattern = re.escape(sentence).replace(r"\{s\}", ".+?").replace(r"\{v\}", "(.+)")
            for line in text.splitlines():
                if match := re.fullmatch(pattern, line):
                    return match[1]
        return None


RELATIONS: tuple[Relation, ...] = (
    Relation(
        "river", "town", "name",
        ("{s} is a town on the river {v}.", "The river {v} flows through {s}."),
        "the river of {x}",
        ("On which river does {x} lie?", "Which river flows through {x}?"),
    ),
    Relation(
        "founded_town", "town", "number",
        ("{s} was founded in the year {v}.", "The first houses of {s} were built in the year {v}."),
        "",
        ("In which year was {x} founded?", "When was {x} founded? Give the year."),
    ),
    Relation(
        "population", "town", "number",
        ("{s} has {v} inhabitants.", "The last census counted {v} inhabitants of {s}."),
        "",
        ("How many inhabitants does {x} have?", "What is the population of {x}?"),
    ),
    Relation(
        "mayor", "town", "person",
        ("The mayor of {s} is {v}.", "{s} has elected {v} as its mayor."),
        "the mayor of {x}",
        ("Who is the mayor of {x}?", "What is the name of the mayor of {x}?"),
    ),
    Relation(
        "job", "person", "name",
        ("The profession of {s} is {v}.", "In the register, {s} is entered as {v}."),
        "",
        ("What is the profession of {x}?", "What does {x} do by profession?"),
    ),
    Relation(
        "born", "person", "date",
        ("{s} was born on {v}.", "The birthday of {s} is {v}."),
        "",
        ("On which date was {x} born?", "What is the date of birth of {x}?"),
    ),
    Relation(
        "birthplace", "person", "town",
        ("{s} was born in {v}.", "{s} comes from {v}."),
        "the town where {x} was born",
        ("In which town was {x} born?", "What is the birthplace of {x}?"),
    ),
    Relation(
        "home", "person", "town",
        ("{s} lives in {v}.", "The home of {s} is in {v}."),
        "the town where {x} lives",
        ("In which town does {x} live?", "Where is the home of {x}?"),
        0.1,
    ),
    Relation(
        "employer", "person", "firm",
        ("{s} works for {v}.", "{s} has a post at {v}."),
        "the firm that employs {x}",
        ("Which firm employs {x}?", "For which firm does {x} work?"),
        0.15,
    ),
    Relation(
        "teacher", "person", "person",
        ("{s} was taught by {v}.", "The teacher of {s} was {v}."),
        "the teacher of {x}",
        ("Who taught {x}?", "Who was the teacher of {x}?"),
        0.3,
    ),
    Relation(
        "founded_firm", "firm", "number",
        ("{s} was founded in {v}.", "{s} has been in business since {v}."),
        "",
        ("In which year was {x} founded?", "Since which year has {x} been in business?"),
    ),
    Relation(
        "founder", "firm", "person",
        ("The founder of {s} is {v}.", "It was {v} who founded {s}."),
        "the founder of {x}",
        ("Who founded {x}?", "Who is the founder of {x}?"),
    ),
    Relation(
        "director", "firm", "person",
        ("{s} is directed by {v}.", "The director of {s} is {v}."),
        "the director of {x}",
        ("Who is the director of {x}?", "Who directs {x}?"),
    ),
    Relation(
        "seat", "firm", "town",
        ("{s} has its head office in {v}.", "The head office of {s} is in {v}."),
        "the town where {x} has its head office",
        ("In which town is the head office of {x}?", "Where does {x} have its head office?"),
    ),
    Relation(
        "owner", "firm", "firm",
        ("{s} is owned by {v}.", "The owner of {s} is {v}."),
        "the firm that owns {x}",
        ("Which firm owns {x}?", "Who is the owner of {x}?"),
        0.4,
    ),
    Relation(
        "maker", "product", "firm",
        ("{s} is made by {v}.", "The maker of {s} is {v}."),
        "the maker of {x}",
        ("Which firm makes {x}?", "Who is the maker of {x}?"),
    ),
    Relation(
        "designer", "product", "person",
        ("{s} was designed by {v}.", "The design of {s} is by {v}."),
        "the designer of {x}",
        ("Who designed {x}?", "By whom is the design of {x}?"),
        0.15,
    ),
    Relation(
        "released", "product", "number",
        ("{s} came onto the market in {v}.", "{s} has been sold since {v}."),
        "",
        ("In which year did {x} come onto the market?", "Since which year has {x} been sold?"),
    ),
    Relation(
        "price", "product", "number",
        ("{s} costs {v} crowns.", "The price of {s} is {v} crowns."),
        "",
        ("How many crowns does {x} cost?", "What is the price of {x} in crowns?"),
    ),
    Relation(
        "held", "event", "date",
        ("{s} was held on {v}.", "The day of {s} was {v}."),
        "",
        ("On which date was {x} held?", "What was the date of {x}?"),
    ),
    Relation(
        "host", "event", "town",
        ("{s} took place in {v}.", "The host of {s} was {v}."),
        "the town that hosted {x}",
        ("In which town did {x} take place?", "Which town hosted {x}?"),
    ),
    Relation(
        "winner", "event", "person",
        ("{s} was won by {v}.", "The winner of {s} was {v}."),
        "the winner of {x}",
        ("Who won {x}?", "Who was the winner of {x}?"),
    ),
    Relation(
        "sponsor", "event", "firm",
        ("{s} was paid for by {v}.", "The sponsor of {s} was {v}."),
        "the sponsor of {x}",
        ("Which firm was the sponsor of {x}?", "Which firm paid for {x}?"),
        0.2,
    ),
    Relation(
        "visitors", "event", "number",
        ("{s} had {v} visitors.", "There were {v} visitors at {s}."),
        "",
        ("How many visitors did {x} have?", "How many visitors were at {x}?"),
    ),
)  # fmt: skip

BY_NAME = {relation.name: relation for relation in RELATIONS}
OF = {kind: tuple(relation for relation in RELATIONS if relation.of == kind) for kind in KINDS}
