"""Tickets: the batches they come in, activation and other moves, and the QR each has now."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import orjson
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity.callers import Partner
from server.platform.driver_errors import LostRaceError
from server.platform.errors import DomainError, Reason
from server.platform.statements import Command, Statement, Transaction, run
from server.tickets import partner_events, qr
from server.tickets.generation import BatchRange
from server.tickets.models import batches, departure_tickets, snapshots, tickets
from server.tickets.rules import (
    FINAL_STATES,
    MOVES,
    PARTNER_PREFIX,
    UNSOLD,
    Code,
    why_no_qr,
)

EVENT_RANDOM_BITS = 22


class LockedTicket(NamedTuple):
    """A partner's ticket that is locked."""

    ticket_id: int
    ticket_code: str
    state: str
    blocked: bool
    order_id: int | None
    valid_until_time: datetime
    snapshot_id: UUID
    product_id: int
    batch_id: UUID
    distributor_id: str
    reservation_id: UUID | None


_LOCK = Statement(
    """
SELECT ticket_id, ticket_code, state, blocked, order_id, valid_until_time, snapshot_id, product_id,
  batch_id, distributor_id, reservation_id
FROM tickets WHERE ticket_id = ANY($1::bigint[]) AND partner_id = $2::int
ORDER BY ticket_id FOR NO KEY UPDATE
""",
    LockedTicket,
)

_LOCK_TICKETS = """
SELECT ticket_id FROM tickets WHERE ticket_id = ANY($1::bigint[])
ORDER BY ticket_id FOR NO KEY UPDATE
"""
_LOCK_ANY = Statement(_LOCK_TICKETS, int)
_LOCK_FREE = Statement(f"{_LOCK_TICKETS} SKIP LOCKED", int)
# Sets go in as one text each: psycopg spends ten times as long on a list of a thousand.
ACTIVATE = text("""
UPDATE tickets t SET state = 'ACTIVE', order_id = v.order_id, customer_type = v.customer_type,
  customer_name = v.customer_name, update_time = :now, expiry_pending = true
FROM jsonb_to_recordset(CAST(:sold AS jsonb))
  AS v (ticket_id bigint, order_id bigint, customer_type text, customer_name text)
WHERE t.ticket_id = v.ticket_id AND t.state = 'PRE_GENERATED' AND NOT t.blocked
""")
# Locked in the order of their numbers, which the update alone does not promise. No ticket comes
# back from EXPIRED: it leaves the index of those whose end is still to be looked at with the same
# write, which else would be made a second time later (validity.settle).
_MOVED = """
moved AS (
  UPDATE tickets t SET state = $3, update_time = $4::timestamptz,
    expiry_pending = t.expiry_pending AND $3 <> 'EXPIRED'
  FROM locked WHERE t.ticket_id = locked.ticket_id AND t.state = ANY($2::text[])
  RETURNING t.ticket_id),
recorded AS (
  INSERT INTO ticket_events (ticket_id, event_id, action, state, actor, occurred_time)
  SELECT ticket_id, $5::bigint, $6, $3, $7, $4::timestamptz FROM moved)
SELECT ticket_id FROM moved ORDER BY ticket_id
"""
_MOVE = Statement(
    f"""
WITH locked AS MATERIALIZED (
  SELECT ticket_id FROM tickets WHERE ticket_id = ANY($1::bigint[])
  ORDER BY ticket_id FOR NO KEY UPDATE),
{_MOVED}""",  # noqa: S608 - our own
    int,
)
_MOVE_LOCKED = Statement(
    f"WITH locked AS (SELECT unnest($1::bigint[]) AS ticket_id), {_MOVED}", int
)
REASSIGN = text("""
UPDATE tickets t SET distributor_id = :distributor_id, snapshot_id = v.snapshot_id,
  update_time = :now
FROM unnest(CAST(:ticket_ids AS bigint[]), CAST(:snapshot_ids AS uuid[]))
  AS v (ticket_id, snapshot_id)
WHERE t.ticket_id = v.ticket_id AND t.state = 'PRE_GENERATED'
""")
_RECORD = Statement("""
INSERT INTO ticket_events (ticket_id, event_id, action, state, actor, occurred_time)
SELECT v.ticket_id, $2::bigint, $3, $4, $5, $6::timestamptz
FROM unnest($1::bigint[]) AS v (ticket_id)
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
class BatchTicket:
    """A ticket of a batch, and what its QR says now; None for a ticket that gets none. `seat` is
    empty for one without a numbered seat.
    """

    ticket_code: str
    state: str
    claims: qr.Claims | None
    seat: str = ""


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


def lock(ticket_ids: Collection[int], *, skip_locked: bool = False) -> Command[int] | None:
    """Locks tickets until the end of the transaction in the order of their numbers, as whoever
    moves them does; with `skip_locked` only those that nobody else has locked. Their numbers.
    """
    return (_LOCK_FREE if skip_locked else _LOCK_ANY)(sorted(ticket_ids)) if ticket_ids else None


async def move(
    tx: Transaction,
    ticket_ids: Collection[int],
    from_states: Collection[str],
    to_state: str,
    *,
    action: str,
    actor: str,
    now: datetime,
    reason: str = "",
) -> set[int]:
    """Moves those of the tickets that are in one of `from_states`, and records it; the numbers of
    those that moved. Partners hear the `reason`.

    All of them stay locked. Only moves of rules.MOVES are to be asked for.
    """
    if not ticket_ids:
        return set()
    event = {"action": action, "actor": actor}
    moved = await run(tx, _MOVE(*_arguments(ticket_ids, from_states, to_state, now=now, **event)))
    await run(tx, partner_events.record_move(moved, to_state, reason=reason, now=now))
    return set(moved)


async def refund(
    tx: AsyncConnection,
    ticket_ids: Collection[int],
    *,
    actor: str,
    reason: str,
    amount_minor: int | None,
    now: datetime,
) -> None:
    """Moves tickets from REFUNDING to REFUNDED, each with so much given back of it; None for all
    that is not used of it.
    """
    event = {"action": "refunded", "actor": actor}
    moving = _arguments(ticket_ids, ("REFUNDING",), "REFUNDED", now=now, **event)
    moved = await run(tx, _MOVE(*moving))
    of_move = partner_events.record_move(
        moved, "REFUNDED", reason=reason, amount_minor=amount_minor, now=now
    )
    await run(tx, of_move)


def expire(
    ticket_ids: Collection[int], from_states: Collection[str], *, actor: str, now: datetime
) -> Command[int]:
    """As `move` to EXPIRED, of tickets that are locked; but partners hear nothing: whoever runs it
    sees to that.
    """
    return _MOVE_LOCKED(
        *_arguments(ticket_ids, from_states, "EXPIRED", action="expired", actor=actor, now=now)
    )


def _arguments(
    ticket_ids: Collection[int],
    from_states: Collection[str],
    to_state: str,
    *,
    action: str,
    actor: str,
    now: datetime,
) -> tuple[Any, ...]:
    """Of a statement that moves tickets."""
    assert {(state, to_state) for state in from_states} <= MOVES
    event = new_event_id(now), action, actor
    return sorted(ticket_ids), from_states, to_state, now, *event


async def reassign(
    tx: AsyncConnection,
    renewed: Sequence[tuple[int, UUID]],
    distributor_id: str,
    *,
    actor: str,
    now: datetime,
) -> None:
    """Gives locked tickets that are PRE_GENERATED to a distributor, each with its new snapshot,
    and records it.
    """
    if not renewed:
        return
    numbers = [number for number, _ in renewed]
    values = {
        "ticket_ids": "{" + ",".join(map(str, numbers)) + "}",
        "snapshot_ids": "{" + ",".join(snapshot.hex for _, snapshot in renewed) + "}",
        "distributor_id": distributor_id,
        "now": now,
    }
    moved = await tx.execute(REASSIGN, values)
    assert moved.rowcount == len(renewed), "nobody moves a ticket that is locked"
    await record(tx, numbers, now=now, action="reassigned", state=UNSOLD, actor=actor)


async def batch_ranges(
    tx: AsyncConnection, sold: Collection[tuple[UUID, UUID]]
) -> list[BatchRange]:
    """The numbers of batches, by (batch_id, snapshot_id)."""
    first, quantity = batches.c.first_ticket_id, batches.c.quantity
    query = select(batches.c.batch_id, first, first + quantity - 1)
    rows = await tx.execute(query.where(batches.c.batch_id.in_({batch for batch, _ in sold})))
    numbers = {batch: (first, last) for batch, first, last in rows}
    return [BatchRange(*numbers[batch], snapshot) for batch, snapshot in sold]


async def record(
    tx: Transaction, ticket_ids: Sequence[int], *, now: datetime, **event: str
) -> None:
    """Records what happened to tickets: `action`, the `state` they are in then, and the `actor`."""
    what = event["action"], event["state"], event["actor"]
    await run(tx, _RECORD(ticket_ids, new_event_id(now), *what, now))


# QR


async def claims(tx: AsyncConnection, ticket_id: int, *, now: datetime) -> qr.Claims:
    """What the QR of a ticket says, which the caller may see.

    Raises TICKET_STATE_REFUSES for a ticket that gets no QR.
    """
    row = (await tx.execute(_QR_FACTS.where(tickets.c.ticket_id == ticket_id))).one()
    _require_qr(row, now)
    return qr.claims_of(row.jti, ticket_id, row.valid_until_time)


async def claims_of_all(
    tx: AsyncConnection, ticket_ids: Collection[int], *, now: datetime
) -> list[qr.Claims]:
    """What the QRs of tickets say, without those that get none."""
    rows = await tx.execute(_QR_FACTS.where(tickets.c.ticket_id.in_(ticket_ids)))
    return [
        qr.claims_of(row.jti, row.ticket_id, row.valid_until_time)
        for row in rows
        if not why_no_qr(
            row.state, blocked=row.blocked, valid_until_time=row.valid_until_time, now=now
        )
    ]


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
    return qr.claims_of(jti, ticket_id, row.valid_until_time)


_QR_FACTS = select(
    tickets.c.ticket_id,
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
            func.coalesce(departure_tickets.c.seat, "").label("seat"),
        )
        .outerjoin(departure_tickets, departure_tickets.c.ticket_id == tickets.c.ticket_id)
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
        claims = None if why_not else qr.claims_of(row.jti, row.ticket_id, row.valid_until_time)
        found.append(BatchTicket(row.ticket_code, row.state, claims, row.seat))
    return found
