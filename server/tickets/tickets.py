"""Tickets: the batches they come in, lists of them, activation, and the QR each has now."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    any_,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity.callers import Partner
from server.platform.driver_errors import LostRaceError
from server.platform.errors import DomainError, Reason
from server.platform.statements import Command, Statement, run
from server.tickets import partner_events, qr
from server.tickets.models import batches, entitlements, snapshots, tickets
from server.tickets.rules import (
    FINAL_STATES,
    MOVES,
    PARTNER_PREFIX,
    Code,
    number_range,
    why_no_qr,
)

MAX_SCANNED = 5_000
"""A page looks at this many tickets at the most; if fewer match than it could hold, it is short.
Some 10 ms of the database.
"""

EVENT_RANDOM_BITS = 22


class LockedTicket(NamedTuple):
    """A partner's ticket that is locked."""

    ticket_id: int
    state: str
    blocked: bool
    order_id: int | None
    valid_until_time: datetime
    snapshot_id: UUID
    reservation_id: UUID | None


_LOCK = Statement(
    """
SELECT ticket_id, state, blocked, order_id, valid_until_time, snapshot_id, reservation_id
FROM tickets WHERE ticket_id = ANY($1::bigint[]) AND partner_id = $2::int
ORDER BY ticket_id FOR NO KEY UPDATE
""",
    LockedTicket,
)

# Sets go in as one text each: psycopg spends ten times as long on a list of a thousand.
LOCK_ANY = text("""
SELECT ticket_id FROM tickets WHERE ticket_id = ANY(CAST(:ticket_ids AS bigint[]))
ORDER BY ticket_id FOR NO KEY UPDATE
""")
ACTIVATE = text("""
UPDATE tickets t SET state = 'ACTIVE', order_id = v.order_id, customer_type = v.customer_type,
  customer_name = v.customer_name, update_time = :now, expiry_pending = true
FROM jsonb_to_recordset(CAST(:sold AS jsonb))
  AS v (ticket_id bigint, order_id bigint, customer_type text, customer_name text)
WHERE t.ticket_id = v.ticket_id AND t.state = 'PRE_GENERATED' AND NOT t.blocked
""")
# locked in the order of their numbers, which the update alone does not promise
MOVE = text("""
WITH locked AS MATERIALIZED (
  SELECT ticket_id FROM tickets WHERE ticket_id = ANY(CAST(:ticket_ids AS bigint[]))
  ORDER BY ticket_id FOR NO KEY UPDATE)
UPDATE tickets t SET state = :to_state, update_time = :now
FROM locked WHERE t.ticket_id = locked.ticket_id AND t.state = ANY(CAST(:from_states AS text[]))
RETURNING t.ticket_id
""")
RECORD = text("""
INSERT INTO ticket_events (ticket_id, event_id, action, state, actor, occurred_time)
SELECT unnest(CAST(:ticket_ids AS bigint[])), :event_id, :action, :state, :actor, :now
""")


@dataclass(frozen=True, slots=True)
class Batch:
    """Tickets made in one call; their numbers follow each other. `content` is the snapshot they
    were made under.
    """

    batch_id: UUID
    product_id: int
    quantity: int
    distributor_id: str
    first_ticket_id: int
    create_time: datetime
    content: dict[str, Any]

    @property
    def last_ticket_id(self) -> int:
        """The number of its last ticket."""
        return self.first_ticket_id + self.quantity - 1


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as its partner sees it; `entitlements` are (function_code, remaining_uses,
    total_uses) by code.
    """

    ticket_id: int
    ticket_code: str
    state: str
    batch_id: UUID | None
    product_id: int
    distributor_id: str
    order_id: int | None
    create_time: datetime
    valid_from_time: datetime
    valid_until_time: datetime
    entitlements: Sequence[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class TicketFilter:
    """Which tickets; None or empty takes all."""

    state: str = ""
    batch_id: UUID | None = None
    distributor_id: str = ""
    create_time_from: datetime | None = None
    create_time_until: datetime | None = None

    @property
    def is_sparse(self) -> bool:
        """Whether those that it takes may lie far apart: it is not all of a partner's, or of a
        batch.
        """
        return bool(
            self.state or self.distributor_id or self.create_time_from or self.create_time_until
        )


@dataclass(frozen=True, slots=True)
class TicketPage:
    """Tickets in the order of their numbers, and the number to go on behind; None at the end."""

    tickets: list[Ticket]
    next_after: int | None


@dataclass(frozen=True, slots=True)
class BatchTicket:
    """A ticket of a batch, and what its QR says now; None for a ticket that gets none."""

    ticket_code: str
    state: str
    claims: qr.Claims | None


@dataclass(frozen=True, slots=True)
class Activation:
    """A ticket, the order it now belongs to, and its customer."""

    ticket_id: int
    order_id: int
    customer_type: str
    customer_name: str


def new_event_id(now: datetime) -> int:
    """An id in the order of time: milliseconds, then random bits; it has to be unique only
    within its ticket.
    """
    return int(now.timestamp() * 1000) << EVENT_RANDOM_BITS | random.getrandbits(EVENT_RANDOM_BITS)


def ticket_number(ticket_code: str, partner: Partner) -> int | None:
    """The number of a partner's ticket by its code; None if it is no code of this partner's
    tickets.
    """
    code = Code.parse(ticket_code)
    if code is None or (code.prefix, code.partner_code) != (PARTNER_PREFIX, partner.partner_code):
        return None
    return code.number(partner.partner_id)


def state_refuses(ticket_code: str, state: str, why: str) -> DomainError:
    """TICKET_STATE_REFUSES for a ticket, with what it is."""
    return DomainError(
        Reason.TICKET_STATE_REFUSES,
        f"ticket {ticket_code} {why}",
        ticket_code=ticket_code,
        status=state,
    )


async def find_batch(tx: AsyncConnection, partner_id: int, batch_id: UUID) -> Batch | None:
    """A partner's batch with its snapshot; None if the partner has none such."""
    query = (
        select(
            batches.c.batch_id,
            batches.c.product_id,
            batches.c.quantity,
            batches.c.distributor_id,
            batches.c.first_ticket_id,
            batches.c.create_time,
            snapshots.c.content,
        )
        .join(snapshots, snapshots.c.snapshot_id == batches.c.snapshot_id)
        .where(batches.c.batch_id == batch_id, batches.c.partner_id == partner_id)
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else Batch(*row)


async def list_tickets(
    tx: AsyncConnection,
    partner_id: int,
    wanted: TicketFilter,
    *,
    zone: ZoneInfo,
    after: int | None,
    limit: int,
) -> TicketPage:
    """Up to `limit` of a partner's tickets after the number `after`.

    A page may be short, or empty, and not the last: it looks at MAX_SCANNED tickets (those before
    the distributor's next batch do not count) and leaves the rest to the next.
    """
    first, last = number_range(partner_id, wanted.create_time_from, wanted.create_time_until, zone)
    if wanted.batch_id:
        batch = await find_batch(tx, partner_id, wanted.batch_id)
        if batch is None:
            return TicketPage([], None)
        first, last = max(first, batch.first_ticket_id), min(last, batch.last_ticket_id)
    if after is not None:
        first = max(first, after + 1)
    if wanted.distributor_id:
        first = await _next_of_distributor(tx, partner_id, wanted.distributor_id, first, last)
    looked_at = await tx.scalar(_last_looked_at(first, last)) if wanted.is_sparse else None
    rows = (await tx.execute(_page_query(first, looked_at or last, wanted, limit))).all()
    next_after = looked_at
    if len(rows) > limit:
        next_after = rows[limit - 1].ticket_id
    return TicketPage(await _with_entitlements(tx, rows[:limit]), next_after)


async def _next_of_distributor(
    tx: AsyncConnection, partner_id: int, distributor_id: str, first: int, last: int
) -> int:
    """The first number from `first` on in a batch of the distributor; one after `last` if there
    is none.
    """
    starts = batches.c.first_ticket_id
    query = select(starts, batches.c.quantity).where(
        batches.c.partner_id == partner_id, batches.c.distributor_id == distributor_id
    )
    around = query.where(starts <= first).order_by(starts.desc()).limit(1)
    batch = (await tx.execute(around)).one_or_none()
    if batch and first < batch.first_ticket_id + batch.quantity:
        return first
    taken = query.where(starts.between(first, last)).order_by(starts).limit(1)
    batch = (await tx.execute(taken)).one_or_none()
    return batch.first_ticket_id if batch else last + 1


def _last_looked_at(first: int, last: int) -> Any:
    """The ticket of a range to which a page of it looks; none if it can look at all. Along the
    primary key alone.
    """
    number = tickets.c.ticket_id
    query = select(number).where(number.between(first, last)).order_by(number)
    return query.offset(MAX_SCANNED - 1).limit(1)


def _page_query(first: int, last: int, wanted: TicketFilter, limit: int) -> Any:
    """The matching tickets of a range, and one more: along the primary key, which ends as soon
    as the page is full.
    """
    conditions: list[ColumnElement[bool]] = [tickets.c.ticket_id.between(first, last)]
    if wanted.state:
        conditions.append(tickets.c.state == wanted.state)
    if wanted.batch_id:
        conditions.append(tickets.c.batch_id == wanted.batch_id)
    if wanted.distributor_id:
        conditions.append(tickets.c.distributor_id == wanted.distributor_id)
    if wanted.create_time_from:
        conditions.append(tickets.c.create_time >= wanted.create_time_from)
    if wanted.create_time_until:
        conditions.append(tickets.c.create_time < wanted.create_time_until)
    return (
        select(
            tickets.c.ticket_id,
            tickets.c.ticket_code,
            tickets.c.state,
            tickets.c.batch_id,
            tickets.c.product_id,
            tickets.c.distributor_id,
            tickets.c.order_id,
            tickets.c.create_time,
            tickets.c.valid_from_time,
            tickets.c.valid_until_time,
        )
        .where(*conditions)
        .order_by(tickets.c.ticket_id)
        .limit(limit + 1)
    )


async def _with_entitlements(tx: AsyncConnection, rows: Sequence[Any]) -> list[Ticket]:
    ids = literal([row.ticket_id for row in rows], ARRAY(BigInteger))
    query = (
        select(
            entitlements.c.ticket_id,
            entitlements.c.function_code,
            entitlements.c.remaining_uses,
            entitlements.c.total_uses,
        )
        .where(entitlements.c.ticket_id == any_(ids))
        .order_by(entitlements.c.ticket_id, entitlements.c.function_code)
    )
    uses: dict[int, list[tuple[str, int, int]]] = {row.ticket_id: [] for row in rows}
    for ticket_id, function_code, remaining, total in await tx.execute(query):
        uses[ticket_id].append((function_code, remaining, total))
    return [Ticket(*(*row[:10], uses[row.ticket_id])) for row in rows]


# Activation


def lock_tickets(partner_id: int, ticket_ids: Sequence[int]) -> Command[LockedTicket]:
    """A partner's tickets, locked until the end of the transaction in the order of their
    numbers.
    """
    return _LOCK(ticket_ids, partner_id)


async def activate(
    tx: AsyncConnection, sold: Sequence[Activation], *, actor: str, now: datetime
) -> None:
    """Moves locked tickets from PRE_GENERATED to ACTIVE, and records it."""
    moved = await tx.execute(ACTIVATE, {"sold": orjson.dumps(sold).decode(), "now": now})
    assert moved.rowcount == len(sold), "nobody moves a ticket that is locked"
    event = {"action": "activated", "state": "ACTIVE", "actor": actor}
    await record(tx, [each.ticket_id for each in sold], now=now, **event)


async def lock(tx: AsyncConnection, ticket_ids: Collection[int]) -> None:
    """Locks tickets until the end of the transaction in the order of their numbers, as whoever
    moves them does.
    """
    await tx.execute(LOCK_ANY, {"ticket_ids": _array(ticket_ids)})


async def move(
    tx: AsyncConnection,
    ticket_ids: Collection[int],
    from_states: Collection[str],
    to_state: str,
    *,
    action: str,
    actor: str,
    now: datetime,
) -> set[int]:
    """Moves those of the tickets that are in one of `from_states`, and records it; the numbers of
    those that moved.

    All of them stay locked. Only moves of rules.MOVES are to be asked for.
    """
    assert {(state, to_state) for state in from_states} <= MOVES
    if not ticket_ids:
        return set()
    values = {
        "ticket_ids": _array(ticket_ids),
        "from_states": "{" + ",".join(from_states) + "}",
        "to_state": to_state,
        "now": now,
    }
    moved = sorted((await tx.execute(MOVE, values)).scalars())
    await record(tx, moved, now=now, action=action, state=to_state, actor=actor)
    await run(tx, partner_events.record_move(moved, to_state, now=now))
    return set(moved)


async def record(
    tx: AsyncConnection, ticket_ids: Sequence[int], *, now: datetime, **event: str
) -> None:
    """Records what happened to tickets: `action`, the `state` they are in then, and the `actor`."""
    values = {"ticket_ids": _array(ticket_ids), "event_id": new_event_id(now), "now": now}
    await tx.execute(RECORD, values | event)


def _array(numbers: Collection[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"


# QR


async def claims(tx: AsyncConnection, ticket_id: int, *, now: datetime) -> qr.Claims:
    """What the QR of a ticket says, which the caller may see.

    Raises TICKET_STATE_REFUSES for a ticket that gets no QR.
    """
    row = (await tx.execute(_QR_FACTS.where(tickets.c.ticket_id == ticket_id))).one()
    _require_qr(row, now)
    return qr.Claims(row.jti, ticket_id, row.valid_until_time)


async def rotate(
    tx: AsyncConnection,
    ticket_id: int,
    *,
    order_id: int | None,
    rotation: int,
    actor: str,
    now: datetime,
) -> qr.Claims:
    """Gives a ticket's QR a new jti, which supersedes the one before, and the order's codes issued
    until now.

    `rotation` is the count of `order_id`, the ticket's order. Raises TICKET_STATE_REFUSES for a
    ticket that gets no QR, and LostRaceError if it got its order meanwhile.
    """
    query = _QR_FACTS.where(tickets.c.ticket_id == ticket_id).with_for_update(key_share=True)
    row = (await tx.execute(query)).one()
    if row.order_id != order_id:
        raise LostRaceError
    _require_qr(row, now)
    jti = uuid4()
    rotated = await tx.execute(
        update(tickets)
        .where(
            tickets.c.ticket_id == ticket_id,
            tickets.c.jti == row.jti,
            tickets.c.state.not_in(FINAL_STATES),
        )
        .values(jti=jti, rotation=rotation, update_time=now)
    )
    assert rotated.rowcount == 1, "nobody moves a ticket that is locked"
    event = {"action": "qr_rotated", "state": row.state, "actor": actor}
    await record(tx, [ticket_id], now=now, **event)
    return qr.Claims(jti, ticket_id, row.valid_until_time)


_QR_FACTS = select(
    tickets.c.ticket_code,
    tickets.c.state,
    tickets.c.blocked,
    tickets.c.valid_until_time,
    tickets.c.jti,
    tickets.c.order_id,
)


def _require_qr(row: Any, now: datetime) -> None:
    why_not = why_no_qr(
        row.state, blocked=row.blocked, valid_until_time=row.valid_until_time, now=now
    )
    if why_not:
        raise state_refuses(row.ticket_code, row.state, why_not)


async def batch_tickets(
    tx: AsyncConnection, batch: Batch, *, after: int, limit: int, now: datetime
) -> list[BatchTicket]:
    """The tickets with the next `limit` numbers after `after`, with what their QR codes say."""
    query = (
        select(
            tickets.c.ticket_id,
            tickets.c.ticket_code,
            tickets.c.state,
            tickets.c.blocked,
            tickets.c.valid_until_time,
            tickets.c.jti,
        )
        .where(
            tickets.c.ticket_id.between(after + 1, min(after + limit, batch.last_ticket_id)),
            tickets.c.batch_id == batch.batch_id,
        )
        .order_by(tickets.c.ticket_id)
    )
    found = []
    for row in await tx.execute(query):
        why_not = why_no_qr(
            row.state, blocked=row.blocked, valid_until_time=row.valid_until_time, now=now
        )
        claims = None if why_not else qr.Claims(row.jti, row.ticket_id, row.valid_until_time)
        found.append(BatchTicket(row.ticket_code, row.state, claims))
    return found
