"""Tools for the visits of the firm's website."""

from __future__ import annotations

from typing import Literal

from llmgym.envs.office.dates import read_date
from llmgym.envs.office.tables import Row, Tables
from llmgym.tools import tool

Source = Literal["direct", "search", "social", "referral"]
Figure = Literal["visits", "engaged visits", "average seconds"]
Kind = Literal["line", "bar"]


class Counting:
    """Tools for the visits of the firm's website."""

    office: Tables

    def _sums(self, since: str, until: str, source: str | None) -> tuple[int, int, int]:
        low, high = read_date(since), read_date(until)
        rows = [row for row in self.office.visits if low <= row[0] <= high and (source is None or row[1] == source)]
        return sum(row[2] for row in rows), sum(row[3] for row in rows), sum(row[4] for row in rows)

    @tool
    def count_visits(self, since: str, until: str, source: Source | None = None) -> Row:
        """Count the visits of the website.

        Args:
            since: First date, such as 2026-03-02.
            until: Last date, such as 2026-03-02.
            source: Only visits that came from there.
        """
        return {"visits": self._sums(since, until, source)[0]}

    @tool
    def count_engaged_visits(self, since: str, until: str, source: Source | None = None) -> Row:
        """Count the visits of the website in which somebody clicked.

        Args:
            since: First date, such as 2026-03-02.
            until: Last date, such as 2026-03-02.
            source: Only visits that came from there.
        """
        return {"engaged_visits": self._sums(since, until, source)[1]}

    @tool
    def average_visit(self, since: str, until: str, source: Source | None = None) -> Row:
        """Tell how long visits of the website took, on average, in seconds rounded down.

        Args:
            since: First date, such as 2026-03-02.
            until: Last date, such as 2026-03-02.
            source: Only visits that came from there.
        """
        visits, _, seconds = self._sums(since, until, source)
        return {"seconds": seconds // visits if visits else None}

    @tool
    def create_plot(self, figure: Figure, since: str, until: str, kind: Kind = "line") -> Row:
        """Make a plot of a figure of the website by day.

        Args:
            figure: What is plotted.
            since: First date, such as 2026-03-02.
            until: Last date, such as 2026-03-02.
            kind: Kind of plot.
        """
        row = self.office.add("plots", figure=figure, since=read_date(since), until=read_date(until), kind=kind)
        return {"created": row["id"]}
