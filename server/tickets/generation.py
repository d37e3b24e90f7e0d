"""Making tickets: the numbers they get, and the rows, written by COPY so that 50,000 take a few
seconds.

The rows are built as text by hand, a chunk at a time, and each chunk is a COPY of its own: when it
ends, the database has written it. Then a large batch rests as long as that took, times REST, so
that other calls get their turn in this process and at the database.
"""

import os
from asyncio import sleep
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from time import monotonic
from typing import Any, Literal, NamedTuple
from uuid import UUID

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.database import Database
from server.platform.statements import Command, Statement, run, run_together
from server.tickets import models  # noqa: F401 - whoever makes tickets has the tables
from server.tickets.rules import PARTNER_PREFIX, Number

LARGE_BATCH = 1000
"""A batch of more tickets rests between its chunks."""
CHUNK_TICKETS = 500
"""Rows built without letting other calls have their turn: about a millisecond."""
REST = 3.0
"""Rest for work: by 3 it takes a quarter of a processor, and four times as long as it could."""
MAX_REST_SECONDS = 0.2
"""Where the machine is so busy that a chunk takes long, a batch still ends."""

TICKET_COLUMNS = (
    "ticket_id",
    "ticket_code",
    "jti",
    "state",
    "product_id",
    "partner_id",
    "batch_id",
    "distributor_id",
    "snapshot_id",
    "order_id",
    "customer_type",
    "customer_name",
    "valid_from_time",
    "valid_until_time",
    "create_time",
    "update_time",
    "reservation_id",
)
ENTITLEMENT_COLUMNS = ("ticket_id", "function_code", "total_uses", "remaining_uses")


@dataclass(frozen=True, slots=True)
class NewTickets:
    """Tickets that differ only in number and jti; `entitlements` are (function_code,
    total_uses), `line` the distributors they are sold through, down to `distributor_id`.
    """

    first_ticket_id: int
    quantity: int
    partner_code: str
    state: str
    product_id: int
    batch_id: UUID
    distributor_id: str
    snapshot_id: UUID
    order_id: int | None
    customer_type: str | None
    customer_name: str | None
    valid_from_time: datetime
    valid_until_time: datetime
    create_time: datetime
    entitlements: Sequence[tuple[str, int]]
    reservation_id: UUID | None = None
    line: Sequence[str] = ()

    @property
    def last_ticket_id(self) -> int:
        """The number of the last."""
        return self.first_ticket_id + self.quantity - 1


_RESERVE = Statement(
    """
INSERT INTO numberings AS n (partner_id, day, kind, next_sequence)
VALUES ($1::int, $2::date, $3, 1 + $4::int)
ON CONFLICT (partner_id, day, kind) DO UPDATE SET next_sequence = n.next_sequence + $4::int
RETURNING n.next_sequence - $4::int
""",
    int,
)


class BatchRange(NamedTuple):
    """Tickets of a batch, which has these numbers, that are sold under one snapshot."""

    first_ticket_id: int
    last_ticket_id: int
    snapshot_id: UUID


_ADD_BATCH = Statement("""
INSERT INTO batches
  (batch_id, partner_id, product_id, distributor_id, snapshot_id, first_ticket_id, quantity,
   order_id, create_time, reservation_id)
VALUES ($1::uuid, $2::int, $3::int, $4, $5::uuid, $6::bigint, $7::int, $8::bigint,
  $9::timestamptz, $10::uuid)
""")
_SOLD_THROUGH = Statement("""
INSERT INTO distributor_batches
  (partner_id, distributor_id, first_ticket_id, last_ticket_id, snapshot_id)
SELECT * FROM unnest($1::int[], $2::text[], $3::bigint[], $4::bigint[], $5::uuid[])
ON CONFLICT DO NOTHING
""")


def reserve(partner_id: int, day: date, kind: Literal["T", "O"], quantity: int) -> Command[int]:
    """Reserves `quantity` numbers and gives the sequence of the first: they are the caller's from
    the commit on, and until then others who reserve wait, so it comes last.
    """
    return _RESERVE(partner_id, day, kind, quantity)


async def reserve_numbers(
    db: Database, partner_id: int, day: date, kind: Literal["T", "O"], quantity: int
) -> int:
    """The first of `quantity` numbers for a channel's tickets (T) or orders (O) of a day, which
    nobody else gets.

    Reserved in a transaction of its own, so that callers do not wait for each other's work. Numbers
    are not given back: where the work fails a gap stays.
    """
    async with db.independent_transaction() as tx:
        (sequence,) = await run(tx, reserve(partner_id, day, kind, quantity))
    return int(Number(partner_id, day, sequence))


async def generate(tx: AsyncConnection, new: NewTickets) -> None:
    """Writes the batch, its tickets and their entitlements."""
    made = BatchRange(new.first_ticket_id, new.last_ticket_id, new.snapshot_id)
    await run_together(
        tx,
        _ADD_BATCH(
            new.batch_id,
            Number.unpack(new.first_ticket_id).partner_id,
            new.product_id,
            new.distributor_id,
            new.snapshot_id,
            new.first_ticket_id,
            new.quantity,
            new.order_id,
            new.create_time,
            new.reservation_id,
        ),
        _sold_through(new.line, [made]),
    )
    pg = (await tx.get_raw_connection()).driver_connection
    assert isinstance(pg, psycopg.AsyncConnection)
    rest_seconds = 0.0
    for of_tickets, of_entitlements in zip(ticket_rows(new), entitlement_rows(new), strict=True):
        if rest_seconds:
            await sleep(rest_seconds)
        began = monotonic()
        await _copy(pg, "tickets", TICKET_COLUMNS, of_tickets)
        await _copy(pg, "entitlements", ENTITLEMENT_COLUMNS, of_entitlements)
        if new.quantity > LARGE_BATCH:
            rest_seconds = min((monotonic() - began) * REST, MAX_REST_SECONDS)


async def sold_through(
    tx: AsyncConnection, line: Sequence[str], ranges: Collection[BatchRange]
) -> None:
    """Notes that these tickets of batches are sold through these distributors."""
    await run(tx, _sold_through(line, ranges))


def _sold_through(line: Sequence[str], ranges: Collection[BatchRange]) -> Command[None] | None:
    rows = [
        (Number.unpack(each.first_ticket_id).partner_id, distributor_id, *each)
        for each in sorted(ranges)
        for distributor_id in sorted(line)
    ]
    return _SOLD_THROUGH.of_rows(rows)


async def _copy(
    pg: psycopg.AsyncConnection[Any], table: str, columns: Sequence[str], rows: bytes
) -> None:
    """Writes rows, and waits until the database has."""
    names = SQL(", ").join(map(Identifier, columns))
    statement = SQL("COPY {} ({}) FROM STDIN").format(Identifier(table), names)
    async with pg.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(rows)


def ticket_rows(new: NewTickets) -> Iterator[bytes]:
    """The tickets' rows as COPY's text, chunk by chunk, in the order of TICKET_COLUMNS."""
    first = Number.unpack(new.first_ticket_id)
    behind_jti = "\t" + _fields(
        new.state,
        new.product_id,
        first.partner_id,
        new.batch_id,
        new.distributor_id,
        new.snapshot_id,
        new.order_id,
        new.customer_type,
        new.customer_name,
        new.valid_from_time.isoformat(),
        new.valid_until_time.isoformat(),
        new.create_time.isoformat(),
        new.create_time.isoformat(),
        new.reservation_id,
    )
    stem = first.code(PARTNER_PREFIX, new.partner_code).rpartition("-")[0]
    before_day = new.first_ticket_id - first.sequence
    for numbers in _chunks(new):
        jtis = random_uuids(len(numbers))
        rows = [
            f"{number}\t{stem}-{number - before_day:06d}\t{jti}{behind_jti}"
            for number, jti in zip(numbers, jtis, strict=True)
        ]
        yield "".join(rows).encode()


def entitlement_rows(new: NewTickets) -> Iterator[bytes]:
    """The entitlements' rows, likewise, in the order of ENTITLEMENT_COLUMNS."""
    rows_of_ticket = ["\t" + _fields(code, uses, uses) for code, uses in sorted(new.entitlements)]
    for numbers in _chunks(new):
        rows = [f"{number}{row}" for number in numbers for row in rows_of_ticket]
        yield "".join(rows).encode()


_VERSION_4 = bytes(byte & 0x0F | 0x40 for byte in range(256))
_VARIANT_1 = bytes(byte & 0x3F | 0x80 for byte in range(256))


def random_uuids(quantity: int) -> list[str]:
    """Random UUIDs (version 4) as 32 hexadecimal digits, from one read of the system's
    randomness.
    """
    raw = bytearray(os.urandom(16 * quantity))
    raw[6::16] = raw[6::16].translate(_VERSION_4)
    raw[8::16] = raw[8::16].translate(_VARIANT_1)
    digits = raw.hex()
    return [digits[at : at + 32] for at in range(0, 32 * quantity, 32)]


def _chunks(new: NewTickets) -> Iterator[range]:
    end = new.first_ticket_id + new.quantity
    for first in range(new.first_ticket_id, end, CHUNK_TICKETS):
        yield range(first, min(first + CHUNK_TICKETS, end))


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _fields(*values: object) -> str:
    """The end of a row; None is NULL."""
    texts = ["\\N" if value is None else str(value).translate(_ESCAPES) for value in values]
    return "\t".join(texts) + "\n"
