"""Databases that are copies of another, made in a moment."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from server.platform import postgres_url

_numbers = itertools.count(1)


def execute(url: str, statement: str) -> None:
    """Runs one statement outside a transaction."""
    with postgres_url.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def renamed(url: str, database: str) -> str:
    """URL of another database of the same server."""
    return postgres_url.with_database(url, database)


def with_options(url: str, setting: str) -> str:
    """The URL for connections that have this setting, and are taken although they or the server
    take no writes.
    """
    return (
        f"{url}{'&' if '?' in url else '?'}options=-c%20{quote(setting)}&target_session_attrs=any"
    )


@contextmanager
def copied(server_url: str, template_url: str) -> Iterator[str]:
    """URL of a copy of the template, to which nobody may be connected; it is dropped at the end."""
    name = f"test_{next(_numbers)}"
    template = postgres_url.parameters(template_url)["dbname"]
    execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield renamed(server_url, name)
    execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")
