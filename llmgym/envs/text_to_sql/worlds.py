"""The worlds that databases are of: tables, what their rows are called, and what their columns hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["person", "thing", "title", "firm", "place", "word", "int", "money", "year", "date"]

# A line is a table: its name, what a row is called, then columns. `author>authors` refers to a row of another table,
# `rating?=int:1:5` may be NULL. Names of columns are said as they stand, with blanks for underscores.
_WORLDS = """
customers / customer / name=person city=place segment=word:private,business,school,charity credit_limit=int:0:900
    join_date=date
products / product / name=thing category=word:kitchen,garden,office,travel price=money:2:90 stock?=int:0:60
orders / order / customer>customers order_date=date status=word:open,packed,shipped,returned shipping_cost=money:1:20
order_lines / order line / order>orders product>products quantity=int:1:9 discount?=int:1:20
reviews / review / customer>customers product>products rating?=int:1:5 review_date=date

authors / author / name=person country=word:Norvia,Estalia,Carmland,Tolmia birth_year=year:1930:1990
books / book / author>authors title=title genre=word:crime,poetry,history,travel page_count=int:80:600
    print_year=year:1970:2020
branches / branch / name=place quarter=word:north,south,east,west budget=int:10:90
copies / copy / book>books branch>branches condition=word:new,good,worn price=money:5:60
members / member / name=person town=place join_date=date yearly_fee=int:10:60
loans / loan / copy>copies member>members loan_date=date duration=int:3:30 fine?=money:1:20

doctors / doctor / name=person specialty=word:surgery,cardiology,neurology,pediatrics salary=int:40:99 hire_date=date
patients / patient / name=person town=place birth_year=year:1940:2015 weight?=int:12:120
visits / visit / doctor>doctors patient>patients visit_date=date fee=money:20:200 room=word:A1,A2,B1,B2
prescriptions / prescription / visit>visits drug=word:aspirin,insulin,codeine,zinc dose=int:1:8 duration=int:2:30
invoices / invoice / visit>visits amount=money:20:300 state=word:sent,paid,overdue due_date=date

teachers / teacher / name=person subject=word:maths,music,biology,art salary=int:30:80 hire_date=date
students / student / name=person town=place birth_year=year:1995:2008 score=int:0:100
courses / course / teacher>teachers title=title level=word:basic,middle,advanced seat_count=int:8:40
enrolments / enrolment / course>courses student>students enrolment_date=date grade?=int:1:20
exams / exam / course>courses exam_date=date room=word:R1,R2,R3,R4 duration=int:30:180

depots / depot / name=place region=word:coast,hills,plain,delta area=int:20:95 headcount=int:3:40
drivers / driver / depot>depots name=person licence=word:B,C,D hire_date=date salary=int:30:70
trucks / truck / depot>depots fuel=word:diesel,electric,gas capacity=int:2:30 build_year=year:2005:2024
trips / trip / driver>drivers truck>trucks trip_date=date distance=int:20:700 toll?=money:1:40
parcels / parcel / trip>trips content=thing weight=money:1:30 priority=word:low,normal,high

stages / stage / name=place area=word:park,harbour,centre capacity=int:20:95
bands / band / name=firm genre=word:jazz,rock,folk,techno founding_year=year:1980:2022 fee=int:5:90
concerts / concert / band>bands stage>stages concert_date=date duration=int:30:150 price=money:8:80
fans / fan / name=person town=place age=int:16:70
tickets / ticket / concert>concerts fan>fans seat_class=word:standing,balcony,front price=money:8:120 rating?=int:1:10

departments / department / name=place headcount=int:3:60 budget=int:20:95
employees / employee / department>departments name=person role=word:clerk,engineer,analyst,manager salary=int:30:95
    hire_date=date
projects / project / department>departments title=title state=word:planned,running,done budget=int:5:80 deadline=date
assignments / assignment / employee>employees project>projects workload=int:2:60 bonus?=int:1:30
expenses / expense / employee>employees purpose=word:hotel,train,meals,books amount=money:5:150 payment_date=date
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a world.

    Attributes:
        name: Its name.
        kind: What it holds; "" of one that refers to a row of another table.
        nullable: Whether it may be NULL.
        words: The values of a word.
        low: Least number.
        high: Greatest number.
        refers: Table that it refers to.
    """

    name: str
    kind: Kind | Literal[""] = ""
    nullable: bool = False
    words: tuple[str, ...] = ()
    low: int = 0
    high: int = 0
    refers: str = ""

    @property
    def noun(self) -> str:
        """How it is said."""
        return self.name.replace("_", " ")

    @property
    def is_number(self) -> bool:
        """Whether it can be added up."""
        return self.kind in ("int", "money")

    @property
    def is_label(self) -> bool:
        """Whether it says which row it is, to people."""
        return self.kind in ("person", "thing", "title", "firm") or self.name == "name"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a world.

    Attributes:
        name: Its name, and with blanks what its rows are called.
        one: What a row is called.
        columns: All but the key.
    """

    name: str
    one: str
    columns: tuple[Column, ...]

    @property
    def many(self) -> str:
        """What its rows are called."""
        return self.name.replace("_", " ")

    @property
    def its(self) -> str:
        """The pronoun of a row."""
        return "their" if any(column.kind == "person" for column in self.columns) else "its"

    @property
    def references(self) -> tuple[Column, ...]:
        """Columns that refer to rows of other tables."""
        return tuple(column for column in self.columns if column.refers)

    @property
    def values(self) -> tuple[Column, ...]:
        """The other columns."""
        return tuple(column for column in self.columns if not column.refers)


def _column(text: str) -> Column:
    if ">" in text:
        name, _, refers = text.partition(">")
        return Column(name, refers=refers)
    name, _, kind = text.partition("=")
    kind, _, rest = kind.partition(":")
    words = tuple(rest.split(",")) if kind == "word" else ()
    low, high = map(int, rest.split(":")) if rest and not words else (0, 0)
    return Column(name.rstrip("?"), kind, name.endswith("?"), words, low, high)  # type: ignore[arg-type]


def _world(text: str) -> tuple[Table, ...]:
    tables: list[Table] = []
    for line in re.sub(r"\n\s+", " ", text.strip()).splitlines():
        name, one, columns = (part.strip() for part in line.split("/"))
        tables.append(Table(name, one, tuple(map(_column, columns.split()))))
    return tuple(tables)


WORLDS: tuple[tuple[Table, ...], ...] = tuple(map(_world, _WORLDS.split("\n\n")))
"""Each world has its tables in an order in which none refers to a later one."""
