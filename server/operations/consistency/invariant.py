"""A statement about the data, and what was found when it was looked at."""

from typing import Any, NamedTuple

import psycopg

EXAMPLES = 5
"""So many rows of a broken invariant are shown."""


class Invariant(NamedTuple):
    """A statement about the data; `query` gives (which row, what is wrong with it) where it does
    not hold.
    """

    name: str
    meaning: str
    query: str


class Result(NamedTuple):
    """An invariant and the first rows that break it; none if it holds. `more`: there are others."""

    invariant: Invariant
    examples: list[tuple[str, str]]
    more: bool

    @property
    def holds(self) -> bool:
        """Whether no row breaks it."""
        return not self.examples

    @property
    def text(self) -> str:
        """What is wrong, a line for each example."""
        lines = [f"{subject}: {found}" for subject, found in self.examples]
        return "\n".join(
            [f"it does not hold that {self.invariant.meaning}", *lines, *["…"] * self.more]
        )


def look(connection: psycopg.Connection[Any], invariant: Invariant) -> Result:
    """Looks at one invariant, in the transaction that the connection is in."""
    bounded = f"SELECT subject, found FROM ({invariant.query}) AS q (subject, found)"
    rows = connection.execute(f"{bounded} LIMIT {EXAMPLES + 1}".encode()).fetchall()
    return Result(invariant, rows[:EXAMPLES], len(rows) > EXAMPLES)
