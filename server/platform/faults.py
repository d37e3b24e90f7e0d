"""What a log may say of an error: which one, and where; never a value, which may be somebody's name
or openid.

PostgreSQL repeats values in its errors ("Key (openid)=(…) already exists", "invalid input syntax
…"), and so do Python's and the libraries' ("invalid literal for int(): …"). So only the texts of
errors that are about the program are shown.
"""

import linecache
import traceback
from collections.abc import Iterator

from server.platform.errors import DomainError

ABOUT_THE_PROGRAM = (
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
)
"""Errors of Python whose text names types, functions, files or addresses."""
CONNECTION_MODULES = ("httpcore2", "httpx2", "redis")
"""Libraries whose errors are shown if they are about a connection."""
WITHOUT_VALUES = frozenset({"08", "0A", "23", "25", "28", "3D", "40", "42", "53", "54", "55"}) | {
    *("57", "58", "XX")
}
"""Classes of SQLSTATE whose first line names tables, constraints and roles, but no values; 22, the
bad values, does not belong to them. DETAIL, HINT and CONTEXT hold values in any class.
"""
LONGEST_TEXT = 500
MOST_ERRORS = 12
"""Errors of one chain that are shown."""


def fault_text(error: BaseException) -> str:
    """The error on one line: its type, and its text as far as no value can stand in it."""
    name = type(error).__name__
    text = " ".join(_safe_text(error).split())[:LONGEST_TEXT]
    return f"{name}: {text}" if text else name


def traceback_text(error: BaseException) -> str:
    """As Python shows an error with all it comes from, with `fault_text` for each."""
    return "\n".join(_lines(error))


def _safe_text(error: BaseException) -> str:
    package = type(error).__module__.partition(".")[0]
    if isinstance(error, DomainError):
        return error.reason  # the message may name what the caller sent
    if package == "psycopg":
        return _postgres_text(error)
    if package == "sqlalchemy":
        cause = getattr(error, "orig", None)
        return fault_text(cause) if isinstance(cause, BaseException) else ""
    if package == "server" or isinstance(error, ABOUT_THE_PROGRAM):
        return str(error)
    is_connection = any(each.__name__.endswith("ConnectionError") for each in type(error).__mro__)
    if package in CONNECTION_MODULES and (is_connection or package != "redis"):
        return str(error)
    return ""


def _postgres_text(error: BaseException) -> str:
    state: str | None = getattr(error, "sqlstate", None)
    if state is None:  # made on our side; if no connection was had, with addresses and roles
        return str(error) if type(error).__name__ in ("OperationalError", "InterfaceError") else ""
    diagnosis = getattr(error, "diag", None)
    first = (getattr(diagnosis, "message_primary", None) or "") if diagnosis else ""
    if state[:2] not in WITHOUT_VALUES:
        first = ""
    where = getattr(diagnosis, "table_name", None)
    return " ".join(filter(None, [state, first, f"(table {where})" if where else ""]))


def _lines(error: BaseException) -> Iterator[str]:
    chain: list[tuple[BaseException, str]] = []
    found: BaseException | None = error
    join = ""
    seen: set[int] = set()
    while found is not None and id(found) not in seen and len(chain) < MOST_ERRORS:
        seen.add(id(found))
        chain.append((found, join))
        if found.__cause__ is not None:
            found, join = found.__cause__, "The above was the direct cause of:"
        elif not found.__suppress_context__:
            found, join = found.__context__, "During its handling this happened:"
        else:
            break
    for index in range(len(chain) - 1, -1, -1):
        each = chain[index][0]
        yield "Traceback (most recent call last):"
        for frame, line in traceback.walk_tb(each.__traceback__):
            code = frame.f_code
            yield f'  File "{code.co_filename}", line {line}, in {code.co_name}'
            if source := linecache.getline(code.co_filename, line).strip():
                yield f"    {source}"
        yield fault_text(each)
        if isinstance(each, BaseExceptionGroup):
            for inner in each.exceptions[:MOST_ERRORS]:
                yield from (f"  | {text}" for text in _lines(inner))
        if index:
            yield ""
            yield chain[index][1]
            yield ""
