"""What came of an item: how often it was tried, how often it held, and what was found."""

from collections.abc import Iterable
from dataclasses import dataclass

MOST_SHOWN = 40


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        item: what was tried.
        tried: how often.
        found: what did not hold, a line each.
        note: figures; or why it was not tried, where `tried` is 0.
    """

    item: str
    tried: int
    found: tuple[str, ...] = ()
    note: str = ""

    @property
    def held(self) -> int:
        """How often it held."""
        return self.tried - len(self.found)


def table(rows: Iterable[Row]) -> str:
    """Return the table in Markdown, and below it what was found."""
    rows = list(rows)
    lines = ["| item | tried | held | |", "| --- | ---: | ---: | --- |"]
    lines += [f"| {row.item} | {row.tried} | {row.held} | {row.note} |" for row in rows]
    for row in rows:
        lines += [f"FOUND {row.item}: {line}" for line in row.found[:MOST_SHOWN]]
        lines += [f"FOUND {row.item}: … {len(row.found)} in all"] if len(row.found) > MOST_SHOWN else []
    return "\n".join(lines)
