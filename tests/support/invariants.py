"""What must hold between the tables after every run, for tests."""

import psycopg
from sqlalchemy import make_url

from server.invariants import Result, examine


def broken(database_url: str) -> list[Result]:
    """The invariants that do not hold."""
    plain = make_url(database_url).set(drivername="postgresql")
    with psycopg.connect(
        plain.render_as_string(hide_password=False), autocommit=True
    ) as connection:
        return [result for result in examine(connection) if not result.holds]


def assert_invariants(database_url: str) -> None:
    """Fails with examples if one of server.invariants does not hold."""
    found = broken(database_url)
    assert not found, "\n".join(f"{result.invariant.name}: {result.text}" for result in found)
