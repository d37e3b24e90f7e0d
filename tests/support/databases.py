"""Databases that are copies of another, made in a moment."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import make_url

_numbers = itertools.count(1)


def execute(url: str, statement: str) -> None:
    """Runs one statement outside a transaction."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(statement)


def renamed(url: str, database: str) -> str:
    """URL of another database of the same server."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)


@contextmanager
def copied(server_url: str, template_url: str) -> Iterator[str]:
    """URL of a copy of the template, to which nobody may be connected; it is dropped at the end."""
    name, template = f"test_{next(_numbers)}", make_url(template_url).database
    execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield renamed(server_url, name)
    execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")
