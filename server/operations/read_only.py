"""A PostgreSQL that answers and takes no writes: why, and what to do about it."""

import contextlib
from typing import Any

import psycopg

from server.platform import postgres_url

SETTING = "default_transaction_read_only"


def remedy(database_url: str) -> str | None:
    """What to do so that the database takes writes; None if it takes them, or does not answer."""
    given: dict[str, Any] = {**postgres_url.parameters(database_url), "target_session_attrs": "any"}
    with contextlib.suppress(psycopg.Error), psycopg.connect("", **given) as connection:
        return _remedy(connection)
    return None


def _remedy(connection: psycopg.Connection[tuple[object, ...]]) -> str | None:
    row = connection.execute(
        "SELECT current_setting('transaction_read_only') = 'on', pg_is_in_recovery(), source,"
        " sourcefile FROM pg_settings WHERE name = %s",
        [SETTING],
    ).fetchone()
    assert row
    is_read_only, is_standby, source, file = row
    if not is_read_only:
        return None
    if is_standby:
        return "it is a standby: name the primary in DEEPTRAVEL_DATABASE_URL, or promote it"
    if source == "database":
        return f"ALTER DATABASE {connection.info.dbname} RESET {SETTING}"
    if source == "user":
        return f"ALTER ROLE {connection.info.user} RESET {SETTING}"
    if file:  # shown to superusers only
        return f"take {SETTING} out of {file} and start again"
    return f"take {SETTING} back, where it is set ({source})"
