"""The one way to run SQL that is not made by SQLAlchemy: a statement is written once, called with
Python values, and run alone or with others in one round trip.

    _LEFT = Statement("SELECT stock_id, total FROM stocks WHERE stock_id = ANY($1::bigint[])", Left)

    rows = await run(tx, _LEFT([7, 8]))
    left, seats = await run_together(tx, _LEFT([7, 8]), _SEATS([7, 8]))

It is the same call in a transaction of `Database` and in one of a batch (platform/batching.py), so
a room writes each of its functions once. What must share a round trip with others is a function
that returns a command; whoever calls it runs it.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from itertools import starmap
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, cast, overload
from uuid import UUID

import orjson
from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.asyncpg import dialect as numbered_parameters
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.driver_errors import is_useless
from server.platform.pipeline import PipelineConnection

R = TypeVar("R")
R1 = TypeVar("R1")
R2 = TypeVar("R2")
R3 = TypeVar("R3")
R4 = TypeVar("R4")
R5 = TypeVar("R5")
R6 = TypeVar("R6")
R7 = TypeVar("R7")

Scalar: TypeAlias = int | str | bool | bytes | UUID | date | Mapping[str, Any] | None
"""A value of a parameter: a dict becomes a JSON document, None becomes NULL."""
Value: TypeAlias = Scalar | Iterable[Scalar]
"""A parameter: one value, or an array of values of one type."""
Transaction: TypeAlias = AsyncConnection | PipelineConnection
"""Where statements run: a transaction of `Database`, or one of a batch."""

_VALUES = frozenset({int, str, bool, bytes, UUID, datetime, date, dict, list})


class Command(NamedTuple, Generic[R]):
    """A statement with its parameters, to be run: a row of it is an `R`."""

    statement: "Statement[R]"
    parameters: Sequence[bytes | None]


class Statement(Generic[R]):
    """SQL with $1, $2 … for its parameters, prepared once a connection.

    `row` is a NamedTuple whose fields are the columns in their order, or a plain type (int, str,
    UUID …) for a single column; without one it returns no rows. A transaction with a statement
    that `notifies` a channel calls its listeners after the commit.
    """

    @overload
    def __init__(self: "Statement[None]", sql: str, *, notifies: str = "") -> None: ...
    @overload
    def __init__(self, sql: str, row: Callable[..., R], *, notifies: str = "") -> None: ...
    def __init__(
        self, sql: str, row: Callable[..., R] | None = None, *, notifies: str = ""
    ) -> None:
        self.sql = sql.encode()
        self.name = b"s_%x" % zlib.crc32(self.sql)
        self.notifies = notifies
        self.row = row
        self._read: Any = _reader(row)

    def __call__(self, *parameters: Value) -> Command[R]:
        """The statement with these parameters."""
        return Command(self, [_encode(parameter) for parameter in parameters])

    def of_rows(self, rows: Sequence[tuple[Any, ...]], *first: Value) -> Command[R] | None:
        """The statement for many rows, whose columns are its last parameters, after `first`: what
        `unnest` makes rows of again. None if there are none.
        """
        return self(*first, *zip(*rows, strict=True)) if rows else None

    def parse(self, rows: list[tuple[Any, ...]]) -> list[R]:
        """The rows of a result."""
        return cast("list[R]", self._read(rows) if self._read else rows)


def sql_of(query: ClauseElement) -> str:
    """A query of SQLAlchemy as a Statement has it: its `bindparam`s are $1, $2 … as they come."""
    return str(query.compile(dialect=numbered_parameters()))  # type: ignore[no-untyped-call]


def _reader(row: Callable[..., R] | None) -> Callable[[list[tuple[Any, ...]]], list[R]] | None:
    if row is None:
        return None
    if row in _VALUES:
        return lambda rows: [value for (value,) in rows]
    make = getattr(row, "_make", None)  # of a NamedTuple: quicker than to call the class
    return (lambda rows: list(map(make, rows))) if make else lambda rows: list(starmap(row, rows))


class Beginning(NamedTuple):
    """When the database server was started, which numbers its transactions by itself, and the
    oldest of these that is under way.
    """

    server: datetime
    oldest: int


BEGIN = Statement(
    "SELECT pg_postmaster_start_time(), pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
    Beginning,
)
"""Before what has changed is read: what is committed later has the number of `oldest`, or a later
one."""
TRY_LOCK = Statement("SELECT pg_try_advisory_xact_lock($1::int, $2::int)", bool)
"""Whether the transaction has got an advisory lock, which it holds to its end."""
LAZY_COMMIT = Statement("SELECT set_config('synchronous_commit', 'off', true)")
"""The transaction's commit does not wait for the disk: for what is made again, just so, where a
crash loses it. Whatever commits after it carries it to the disk too.
"""
SAVE = Statement("SAVEPOINT tried")
"""Begins what is tried in a transaction: after KEEP or UNDO nothing is left of it."""
KEEP = Statement("RELEASE SAVEPOINT tried")
UNDO = Statement("ROLLBACK TO SAVEPOINT tried")
"""Undoes what was done since SAVE; to be followed by KEEP."""


async def run(tx: Transaction, command: Command[R] | None) -> list[R]:
    """Runs one command and gives its rows; none for None.

    Raises the driver's errors, which the transaction translates.
    """
    (rows,) = await run_all(tx, [command])
    return rows


@overload
async def run_together(
    tx: Transaction, c1: Command[R1] | None, c2: Command[R2] | None, /
) -> tuple[list[R1], list[R2]]: ...
@overload
async def run_together(
    tx: Transaction, c1: Command[R1] | None, c2: Command[R2] | None, c3: Command[R3] | None, /
) -> tuple[list[R1], list[R2], list[R3]]: ...
@overload
async def run_together(
    tx: Transaction,
    c1: Command[R1] | None,
    c2: Command[R2] | None,
    c3: Command[R3] | None,
    c4: Command[R4] | None,
    /,
) -> tuple[list[R1], list[R2], list[R3], list[R4]]: ...
@overload
async def run_together(
    tx: Transaction,
    c1: Command[R1] | None,
    c2: Command[R2] | None,
    c3: Command[R3] | None,
    c4: Command[R4] | None,
    c5: Command[R5] | None,
    /,
) -> tuple[list[R1], list[R2], list[R3], list[R4], list[R5]]: ...
@overload
async def run_together(
    tx: Transaction,
    c1: Command[R1] | None,
    c2: Command[R2] | None,
    c3: Command[R3] | None,
    c4: Command[R4] | None,
    c5: Command[R5] | None,
    c6: Command[R6] | None,
    /,
) -> tuple[list[R1], list[R2], list[R3], list[R4], list[R5], list[R6]]: ...
@overload
async def run_together(
    tx: Transaction,
    c1: Command[R1] | None,
    c2: Command[R2] | None,
    c3: Command[R3] | None,
    c4: Command[R4] | None,
    c5: Command[R5] | None,
    c6: Command[R6] | None,
    c7: Command[R7] | None,
    /,
) -> tuple[list[R1], list[R2], list[R3], list[R4], list[R5], list[R6], list[R7]]: ...
async def run_together(tx: Transaction, *commands: Command[Any] | None) -> tuple[list[Any], ...]:
    """Runs the commands one after the other in one round trip, and gives the rows of each; of None
    there are none. Raises as `run` does.
    """
    return tuple(await run_all(tx, commands))


async def run_all(tx: Transaction, commands: Sequence[Command[Any] | None]) -> list[list[Any]]:
    """As `run_together`, however many there are."""
    asked = [command for command in commands if command is not None]
    if isinstance(tx, PipelineConnection):
        return _parse(commands, await tx.round_trip(asked))
    if not asked:
        return [[] for _ in commands]
    pipeline = await PipelineConnection.of(tx)
    try:
        return _parse(commands, await pipeline.round_trip(asked))
    except BaseException as error:
        if pipeline.is_lost or is_useless(error):
            # or the rollback would fail, and hide what happened, or the pool would keep it
            await tx.invalidate()
        raise


def with_next(tx: PipelineConnection, command: Command[R] | None) -> list[R]:
    """Has a command sent with the next round trip, after what that runs: its rows are in the
    list then.
    """
    rows: list[R] = []
    if command:
        tx.attach(command, lambda found: rows.extend(command.statement.parse(found)))
    return rows


async def commit_with(
    tx: PipelineConnection, commands: Sequence[Command[Any] | None] = ()
) -> list[list[Any]]:
    """As `run_all`, and ends the transaction in the same round trip. Raises as `run` does."""
    asked = [command for command in commands if command is not None]
    return _parse(commands, await tx.round_trip(asked, commit=True))


def _parse(
    commands: Sequence[Command[Any] | None], results: Iterable[list[tuple[Any, ...]]]
) -> list[list[Any]]:
    rows = iter(results)
    return [[] if command is None else command.statement.parse(next(rows)) for command in commands]


class _Form(NamedTuple):
    """How values of a type are written: as a parameter, and as an element of an array."""

    value: Callable[[Any], str]
    element: Callable[[Any], str]


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _json(document: Mapping[str, Any]) -> str:
    return orjson.dumps(document).decode()


class _Forms(dict[type, "_Form | None"]):
    """The forms by type; None for one that is many values."""

    def __missing__(self, kind: type) -> _Form | None:
        self[kind] = next((self[base] for base in kind.__mro__ if base in self), None)
        return self[kind]


_FORMS = _Forms(
    {
        int: _Form(str, str),
        bool: _Form(lambda value: "t" if value else "f", lambda value: "t" if value else "f"),
        str: _Form(str, _quoted),
        UUID: _Form(attrgetter("hex"), attrgetter("hex")),
        bytes: _Form(lambda value: "\\x" + value.hex(), lambda value: '"\\\\x' + value.hex() + '"'),
        datetime: _Form(datetime.isoformat, datetime.isoformat),
        date: _Form(date.isoformat, date.isoformat),
        dict: _Form(_json, lambda value: _quoted(_json(value))),
    }
)


def _encode(value: Value) -> bytes | None:
    """A parameter as PostgreSQL writes it; psycopg's own lists cost ten times as much, half of a
    whole scan.
    """
    if value is None:
        return None
    form = _FORMS[type(value)]
    return form.value(value).encode() if form else _array(cast("Iterable[Scalar]", value))


def _array(values: Iterable[Scalar]) -> bytes:
    values = values if isinstance(values, list | tuple) else list(values)
    first = next((value for value in values if value is not None), None)
    if first is None:
        return b"{" + b",".join([b"NULL"] * len(values)) + b"}"
    form = _FORMS[type(first)]
    assert form, "an array has one dimension"
    write = form.element
    texts = ["NULL" if value is None else write(value) for value in values]
    return ("{" + ",".join(texts) + "}").encode()
