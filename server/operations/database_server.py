"""What a PostgreSQL that is not ours may lack: encoding, letters, TLS, a log without values, tables
of time zones.
"""

import importlib.metadata
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import tzdata

from server.operations.findings import Finding, Verdict, ok
from server.operations.places import Places

ASCII_LETTERS = ("C", "POSIX")
"""Locales of the C library that know no letters but these."""
LOOK_AHEAD_MONTHS = 24
MOST_NAMED = 5


def check(connection: psycopg.Connection[Any], found: Places) -> Iterator[Finding]:
    """Everything that is the server's or the database's own; no extension is needed."""
    yield _encoding(connection)
    yield _letters(connection, found)
    yield _encryption(connection)
    yield _log(connection)
    yield time_zones(connection)


def _setting(connection: psycopg.Connection[Any], name: str) -> str:
    row = connection.execute("SELECT current_setting(%s, true)", [name]).fetchone()
    return str(row[0]) if row and row[0] is not None else ""


def _encoding(connection: psycopg.Connection[Any]) -> Finding:
    return ok("encoding", _setting(connection, "server_encoding"))  # another is refused before


def _letters(connection: psycopg.Connection[Any], found: Places) -> Finding:
    row = connection.execute(
        "SELECT datctype, datlocprovider = 'c' FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    ctype, is_alone = row or ("", False)
    if ctype not in ASCII_LETTERS:
        return ok("letters", f"as {ctype} knows them")
    effect = "pg_trgm finds no Chinese letter" + (
        ", nor do upper() and lower()" if is_alone else ""
    )
    database, moved = connection.info.dbname, f"{connection.info.dbname}_moved"
    at = f"-h {connection.info.host} -U {connection.info.user}" if found.embedded else "-h …"
    return Finding(
        "letters",
        Verdict.WARNING,
        f"lc_ctype is {ctype}: {effect}; nothing of this release needs it",
        f"to move, with the server stopped but for its database: createdb {at} -T template0 -E"
        f" UTF8 --lc-ctype=C.UTF-8 {moved}; pg_dump {at} {database} | psql {at} {moved}; then"
        " exchange the names with ALTER DATABASE … RENAME TO",
    )


def _encryption(connection: psycopg.Connection[Any]) -> Finding:
    host = connection.info.host
    if connection.pgconn.ssl_in_use:
        return ok("database TLS", f"{host} is reached over TLS")
    if not host or host.startswith(("/", "@")) or _is_loopback(connection.info.hostaddr):
        return ok("database TLS", "not needed: the database is on this machine")
    return Finding(
        "database TLS",
        Verdict.WARNING,
        f"names and openids go to {host} in clear",
        "turn ssl on there and add sslmode=verify-full (or require) to DEEPTRAVEL_DATABASE_URL",
    )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _log(connection: psycopg.Connection[Any]) -> Finding:
    """Whether the database writes the parameters of statements into its log."""
    on_error = _setting(connection, "log_parameter_max_length_on_error")
    logs_statements = (
        _setting(connection, "log_statement") in ("mod", "all")
        or _setting(connection, "log_duration") == "on"
        or not _setting(connection, "log_min_duration_statement").startswith("-1")
    )
    faults = []
    if on_error not in ("", "0"):
        faults.append("log_parameter_max_length_on_error")
    if logs_statements and _setting(connection, "log_parameter_max_length") != "0":
        faults.append("log_parameter_max_length")
    if not faults:
        return ok("database log", "takes no parameters of statements")
    return Finding(
        "database log",
        Verdict.WARNING,
        f"parameters, such as names and openids, are written into it: {' and '.join(faults)}",
        f"set {' and '.join(f'{fault} = 0' for fault in faults)} for this database",
    )


def time_zones(connection: psycopg.Connection[Any]) -> Finding:
    """Which tables decide here, and whether the database's give the same times for the next
    LOOK_AHEAD_MONTHS.
    """
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    moments = [noon + timedelta(days=30 * month) for month in range(LOOK_AHEAD_MONTHS)]
    rows = connection.execute(
        "SELECT name, array_agg(extract(epoch FROM (m AT TIME ZONE name) - (m AT TIME ZONE"
        " 'UTC'))::int ORDER BY m) FROM pg_timezone_names CROSS JOIN unnest(%s::timestamptz[]) AS"
        " m GROUP BY name",
        [moments],
    ).fetchall()
    theirs = dict(rows)
    names = sorted(zoneinfo.available_timezones())
    other = [name for name in names if name in theirs and theirs[name] != _ours(name, moments)]
    missing = [name for name in names if name not in theirs]
    version = importlib.metadata.version("tzdata")
    decides = f"tzdata {tzdata.IANA_VERSION} (package {version}) decides"
    postgres = f"PostgreSQL {connection.info.parameter_status('server_version')}"
    until = f"until {moments[-1]:%Y-%m-%d}"
    if not other and not missing:
        return ok("time zones", f"{decides}; the tables of {postgres} say the same {until}")
    faults = [
        f"{word} {_named(each)}"
        for word, each in (("give other times for", other), ("lack", missing))
        if each
    ]
    return ok(
        "time zones",
        f"{decides}, no call here uses the database's; those of {postgres} {' and '.join(faults)}"
        f" {until}",
    )


def _named(names: list[str]) -> str:
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _ours(name: str, moments: list[datetime]) -> list[int]:
    offsets = (moment.astimezone(ZoneInfo(name)).utcoffset() for moment in moments)
    return [round(offset.total_seconds()) for offset in offsets if offset is not None]
