"""Databases that are copies of another, made in a moment."""

import asyncio
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import text

from server.platform import postgres_url
from server.platform.database import Database
from tests.support.waiting import WAIT_SECONDS

_numbers = itertools.count(1)
_copies: dict[str, psycopg.Connection[TupleRow] | None] = {}
"""By URL, with the connection that is kept to each."""
_PARTS = re.compile(r"(postgresql://[^/?]*)(?:/[^?]*)?(\?.*)?", re.DOTALL)
NONE_OPEN = """
SELECT count(*) = 0 FROM pg_stat_activity
WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
"""
"""Whether the database has no transaction but one's own."""
_WAITS = text(
    "SELECT EXISTS (SELECT FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND datname = current_database())"
)


def execute(url: str, statement: str) -> None:
    """Runs one statement outside a transaction."""
    with postgres_url.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def renamed(url: str, database: str) -> str:
    """URL of another database of the same server, whatever form the URL has."""
    parts = _PARTS.fullmatch(postgres_url.normalised(url))
    assert parts
    return f"{parts[1]}/{quote(database, safe='')}{parts[2] or ''}"


async def until_a_lock_is_waited_for(db: Database) -> None:
    """Returns when a statement in the database waits for a lock. Raises TimeoutError.

    Each look is a transaction: within one, `pg_stat_activity` stays as it was first read.
    """
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            async with db.transaction() as tx:
                if await tx.scalar(_WAITS):
                    return


def with_options(url: str, setting: str) -> str:
    """The URL for connections that have this setting, and are taken although they or the server
    take no writes.
    """
    return (
        f"{url}{'&' if '?' in url else '?'}options=-c%20{quote(setting)}&target_session_attrs=any"
    )


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """A connection without transactions: to a copy the same each time, since a new one has to
    learn all tables and statements first.
    """
    if url not in _copies:
        with postgres_url.connect(url, autocommit=True) as connection:
            yield connection
        return
    kept = _copies[url]
    if kept is None or kept.closed:
        kept = _copies[url] = postgres_url.connect(url, autocommit=True)
    yield kept


@contextmanager
def copied(server_url: str, template_url: str) -> Iterator[str]:
    """URL of a copy of the template, to which nobody may be connected; it is dropped at the end."""
    name = f"test_{next(_numbers)}"
    template = postgres_url.parameters(template_url)["dbname"]
    execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    url = renamed(server_url, name)
    _copies[url] = None
    yield url
    if kept := _copies.pop(url):
        kept.close()
    execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")
