"""What must hold between the tables after every run, for tests."""

from collections.abc import Collection

from server.operations.consistency import Result, examine
from tests.support import databases


def broken(database_url: str) -> list[Result]:
    """The invariants that do not hold."""
    with databases.connected(database_url) as connection:
        return [result for result in examine(connection) if not result.holds]


def assert_invariants(database_url: str, *, but: Collection[str] = ()) -> None:
    """Fails with examples if one of server.operations.consistency does not hold, `but` those
    that a test has broken by hand.
    """
    found = [result for result in broken(database_url) if result.invariant.name not in but]
    assert not found, "\n".join(f"{result.invariant.name}: {result.text}" for result in found)
