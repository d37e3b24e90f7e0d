"""What the scans of one transaction read and write: one statement a table, however many scans
there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from server.audit import trail
from server.catalog.rules import DEFAULT_BOARDING_MINUTES
from server.orders import completion
from server.orders.shared_tickets import SHOWN_IN
from server.platform import idempotency, outbox
from server.platform.pipeline import Command, PipelineConnection, PreparedStatement, array, columns
from server.redemption import rules
from server.tickets.rules import is_direct
from server.tickets.tickets import READ_SNAPSHOTS

MAX_SNAPSHOTS = 10_000

LOCK_TICKETS = PreparedStatement("""
SELECT ticket_id, ticket_code, jti, state, blocked, order_id, product_id, valid_from_time,
       valid_until_time, snapshot_id, rotation
FROM tickets WHERE ticket_id = ANY($1::bigint[]) ORDER BY ticket_id FOR NO KEY UPDATE SKIP LOCKED
""")
# what was passed over, and is there all the same, somebody else has locked
FIND_TICKETS = PreparedStatement(
    "SELECT ticket_id FROM tickets WHERE ticket_id = ANY($1::bigint[])"
)
# What is locked later on, and nearly never by others. Where it is, these find which.
LOCK_USES = PreparedStatement("""
SELECT ticket_id, function_code FROM entitlements WHERE ticket_id = ANY($1::bigint[])
ORDER BY ticket_id, function_code FOR NO KEY UPDATE SKIP LOCKED
""")
LOCK_ORDERS = PreparedStatement("""
SELECT order_id FROM orders
WHERE order_id = ANY(ARRAY(SELECT order_id FROM tickets WHERE ticket_id = ANY($1::bigint[])))
ORDER BY order_id FOR NO KEY UPDATE SKIP LOCKED
""")
# behind the lock, in statements of their own: each sees what the lock's last holder committed
READ_USES = PreparedStatement("""
SELECT ticket_id, function_code, total_uses, remaining_uses
FROM entitlements WHERE ticket_id = ANY($1::bigint[]) ORDER BY ticket_id, function_code
""")
READ_GUARDS = PreparedStatement("""
SELECT ticket_id, jti, function_code, event_id, redeemed_time, terminal_device_id, venue_code
FROM redemption_guards WHERE ticket_id = ANY($1::bigint[])
""")
# Of departures only, so of our own tickets only. What the sale says is the truth of when its
# departure leaves and boarding opens: it moves with the departure. `tickets.valid_from_time` is the
# beginning of the travel date, as the snapshot has it.
READ_DEPARTURES = PreparedStatement("""
SELECT s.ticket_id, s.departure_id, s.reference_time, coalesce(s.seat, ''),
       coalesce(d.state = 'CANCELLED', false), s.passenger_index < 0
FROM ticket_sales s LEFT JOIN departures d ON d.departure_id = s.departure_id
WHERE s.ticket_id = ANY($1::bigint[]) AND s.departure_id IS NOT NULL
""")
LOOK_AT_TICKETS = PreparedStatement("""
SELECT ticket_id, ticket_code, jti, state, blocked, order_id, product_id, valid_from_time,
       valid_until_time, snapshot_id, rotation, partner_id, customer_type, customer_name
FROM tickets WHERE ticket_id = ANY($1::bigint[])
""")
# with the shared tickets of another order that an order shows as well
READ_ORDERS = PreparedStatement(f"""
SELECT x.order_id, x.jti, ARRAY({SHOWN_IN} WHERE o.order_id = x.order_id)
FROM orders x WHERE x.order_id = ANY($1::bigint[])
""")  # noqa: S608 - our own

MOVE_TICKETS = PreparedStatement("""
UPDATE tickets t SET state = v.state, update_time = $1::timestamptz
FROM unnest($2::bigint[], $3::text[]) AS v (ticket_id, state) WHERE t.ticket_id = v.ticket_id
""")
CONSUME_USES = PreparedStatement("""
UPDATE entitlements e SET remaining_uses = v.remaining
FROM unnest($1::bigint[], $2::text[], $3::int[]) AS v (ticket_id, function_code, remaining)
WHERE e.ticket_id = v.ticket_id AND e.function_code = v.function_code
""")
# a second ONCE_PER_QR redemption would violate the key, whatever the decision before it said
_INSERT_GUARDS = """
INSERT INTO redemption_guards
  (ticket_id, jti, function_code, event_id, redeemed_time, terminal_device_id, venue_code)
SELECT v.ticket_id, v.jti, v.function_code, v.event_id, $1::timestamptz, v.terminal, v.venue
FROM unnest($2::bigint[], $3::uuid[], $4::text[], $5::bigint[], $6::text[], $7::text[])
  AS v (ticket_id, jti, function_code, event_id, terminal, venue)
"""
SET_GUARDS = PreparedStatement(_INSERT_GUARDS)
MOVE_GUARDS = PreparedStatement(
    _INSERT_GUARDS
    + """
ON CONFLICT (ticket_id, jti, function_code) DO UPDATE SET
  event_id = excluded.event_id, redeemed_time = excluded.redeemed_time,
  terminal_device_id = excluded.terminal_device_id, venue_code = excluded.venue_code
"""
)
RECORD_EVENTS = PreparedStatement("""
INSERT INTO redemption_events
  (ticket_id, event_id, ticket_code, jti, function_code, result, reason, quantity, merchant_code,
   venue_code, terminal_device_id, operator, session_code, request_id, comment, occurred_time)
SELECT v.*, $1::timestamptz
FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[],
            $9::int[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
            $16::text[]) v
""")


@dataclass(slots=True)
class ScanFacts:
    """What the database holds about the scans of one transaction; the tickets are locked until its
    end.

    `also_shown` are the shared tickets of other orders that an order shows as well. Somebody else
    has locked `held_tickets`, and, as far as one had to look, `held_uses` (ticket and function) and
    `held_orders`.
    """

    tickets: dict[int, rules.ScannedTicket]
    order_jtis: dict[int, UUID]
    also_shown: dict[int, frozenset[int]]
    stored: dict[idempotency.Key, tuple[bytes, bytes]]
    held_tickets: set[int] = field(default_factory=set)
    held_uses: set[tuple[int, str]] = field(default_factory=set)
    held_orders: set[int] = field(default_factory=set)


@dataclass(slots=True)
class ScanWrites:
    """What one transaction writes. Rows are in the order of the statement's columns."""

    touched: set[tuple[int, str]] = field(default_factory=set)
    # who used up a ticket, by the ticket's order, which may be COMPLETED now
    orders: dict[int, str] = field(default_factory=dict)
    # those that somebody else has locked are looked at later
    asks: dict[int, outbox.NewTask] = field(default_factory=dict)
    once_guards: list[tuple[Any, ...]] = field(default_factory=list)
    multi_guards: dict[tuple[int, UUID, str], tuple[Any, ...]] = field(default_factory=dict)
    events: list[tuple[Any, ...]] = field(default_factory=list)
    answers: list[tuple[Any, ...]] = field(default_factory=list)
    audits: list[tuple[Any, ...]] = field(default_factory=list)


class SnapshotCache:
    """Snapshots by id. They never change, so they are remembered for good, up to a bound."""

    def __init__(self) -> None:
        self._known: dict[UUID, rules.Snapshot] = {}

    async def load(
        self, pipeline: PipelineConnection, ids: set[UUID], *, commit: bool = False
    ) -> dict[UUID, rules.Snapshot]:
        """The snapshots with these ids."""
        missing = ids - self._known.keys()
        if missing:
            if len(self._known) + len(missing) > MAX_SNAPSHOTS:
                self._known.clear()
                missing = ids
            statement = READ_SNAPSHOTS, [array(list(missing))]
            (rows,) = await pipeline.round_trip([statement], commit=commit)
            for snapshot_id, content in rows:
                self._known[snapshot_id] = parse_snapshot(content)
        return {snapshot_id: self._known[snapshot_id] for snapshot_id in ids}


def parse_snapshot(content: dict[str, Any]) -> rules.Snapshot:
    """The rules of redemption in a stored snapshot."""
    offer = content.get("offer")
    return rules.Snapshot(
        terms={
            entitlement["function_code"]: rules.TicketTerms(
                entitlement["use_mode"], entitlement["guard_seconds"]
            )
            for entitlement in content["entitlements"]
        },
        blackout_dates=frozenset(map(date.fromisoformat, content["blackout_dates"])),
        display_name_en=content.get("display_name_en", ""),
        display_name_zh=content.get("display_name_zh", ""),
        leg=_leg(offer["journey"], offer["seat_map"]) if offer and offer["journey"] else None,
        # snapshots of before there was the setting have none
        boarding_minutes=content.get("boarding_minutes", DEFAULT_BOARDING_MINUTES),
    )


def _leg(journey: dict[str, Any], seat_map: object) -> rules.TicketLeg:
    departs, arrives = (
        datetime.fromisoformat(journey[name]) for name in ("departure_time", "arrival_time")
    )
    return rules.TicketLeg(
        service_number=journey["service_number"],
        fare_class=journey["fare_class"],
        fare_class_name_en=journey["fare_class_name_en"],
        fare_class_name_zh=journey["fare_class_name_zh"],
        origin=rules.TicketStop(**journey["origin"]),
        destination=rules.TicketStop(**journey["destination"]),
        travel_seconds=int((arrives - departs).total_seconds()),
        numbered_seats=seat_map is not None,
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """A ticket that was only looked at."""

    ticket: rules.ScannedTicket
    partner_id: int
    customer_type: str | None
    customer_name: str | None


async def look(
    pipeline: PipelineConnection, snapshots: SnapshotCache, ticket_ids: list[int], *, commit: bool
) -> dict[int, Seen]:
    """Reads tickets without a lock, those there are, in the order of their ids. Guards are not
    read.

    With `commit` each round trip is a transaction of its own; without, the caller is in the middle
    of one.
    """
    ids = [array(ticket_ids)]
    rows, uses, *more = await pipeline.round_trip(
        [(LOOK_AT_TICKETS, ids), (READ_USES, ids), *_departures_of(ticket_ids)], commit=commit
    )
    known = await snapshots.load(pipeline, {row[_SNAPSHOT] for row in rows}, commit=commit)
    seen = {row[0]: Seen(_ticket(row, known), *row[_CUSTOMER:]) for row in sorted(rows)}
    _complete({ticket_id: each.ticket for ticket_id, each in seen.items()}, uses, more)
    return seen


_SNAPSHOT = 9
"""Where the snapshot's id stands in the rows of tickets, behind what `rules.Ticket` begins with."""
_CUSTOMER = 11
"""Where partner and customer stand in the rows of those that are only looked at."""


def _ticket(row: tuple[Any, ...], known: dict[UUID, rules.Snapshot]) -> rules.ScannedTicket:
    return rules.ScannedTicket(*(*row[:_SNAPSHOT], known[row[_SNAPSHOT]], row[_SNAPSHOT + 1]))


def _departures_of(ticket_ids: Sequence[int]) -> list[Command]:
    """The statement that reads the tickets' departures; none where no ticket can have one."""
    ours = [ticket_id for ticket_id in ticket_ids if is_direct(ticket_id)]
    return [(READ_DEPARTURES, [array(ours)])] if ours else []


def _complete(
    tickets: dict[int, rules.ScannedTicket],
    uses: Sequence[tuple[Any, ...]],
    departures: Sequence[Sequence[tuple[Any, ...]]],
) -> None:
    """Adds to tickets what stands in tables of its own; an unknown ticket has none, one made
    meanwhile may.
    """
    for ticket_id, function_code, total, remaining in uses:
        if ticket_id in tickets:
            tickets[ticket_id].uses[function_code] = rules.Uses(total, remaining)
    for rows in departures:
        for ticket_id, *facts in rows:
            ticket = tickets.get(ticket_id)
            if ticket and ticket.snapshot.leg:
                sold = ticket.snapshot.leg, ticket.snapshot.boarding_minutes
                ticket.departure = rules.TicketDeparture(*(*facts, *sold))


async def look_at_order(pipeline: PipelineConnection, order_id: int) -> UUID | None:
    """The id of an order's QR; None if there is no such order."""
    (rows,) = await pipeline.round_trip([(READ_ORDERS, [array([order_id])])], commit=True)
    return rows[0][1] if rows else None


async def read(
    pipeline: PipelineConnection,
    snapshots: SnapshotCache,
    *,
    ticket_ids: list[int],
    order_ids: list[int],
    keys: list[idempotency.Key],
    careful: bool,
) -> ScanFacts:
    """Locks the tickets, in the order of their ids, and reads everything about them, in one round
    trip.

    Those that others have locked are passed over; with `careful` it also looks which entitlements
    and orders are locked.
    """
    ids = [array(ticket_ids)]
    statements: list[Command] = [(LOCK_TICKETS, ids), (READ_USES, ids), (READ_GUARDS, ids)]
    statements += [
        (idempotency.READ_ANSWERS, columns(keys) or ["{}"] * 3),
        (READ_ORDERS, [array(order_ids)]),
    ]
    # behind the lock too: a departure that was cancelled before the scan is
    statements += _departures_of(ticket_ids)
    if careful:
        statements += [(LOCK_USES, ids), (LOCK_ORDERS, ids)]
    locked, uses, guards, answers, orders, *more = await pipeline.round_trip(statements)
    own_orders, own_uses = (more.pop(), more.pop()) if careful else ((), ())
    known = await snapshots.load(pipeline, {row[_SNAPSHOT] for row in locked})
    tickets = {row[0]: _ticket(row, known) for row in locked}
    _complete(tickets, uses, more)
    for ticket_id, jti, function_code, *earlier in guards:
        if ticket_id in tickets:
            tickets[ticket_id].guards[jti, function_code] = rules.Earlier(*earlier)
    facts = ScanFacts(
        tickets,
        order_jtis={order_id: jti for order_id, jti, _ in orders},
        also_shown={order_id: frozenset(also) for order_id, _, also in orders},
        stored={row[:3]: (row[3], row[4]) for row in answers},
    )
    missing = [ticket_id for ticket_id in ticket_ids if ticket_id not in tickets]
    if missing:
        (there,) = await pipeline.round_trip([(FIND_TICKETS, [array(missing)])])
        facts.held_tickets.update(ticket_id for (ticket_id,) in there)
    if careful:
        facts.held_uses = {row[:2] for row in uses} - set(own_uses)
        ours = {order_id for (order_id,) in own_orders}
        facts.held_orders = {t.order_id for t in tickets.values() if t.order_id} - ours
    return facts


async def write(
    pipeline: PipelineConnection, facts: ScanFacts, writes: ScanWrites, now: datetime
) -> None:
    """Writes everything and commits, in one round trip."""
    at = now.isoformat()
    statements: list[tuple[PreparedStatement, Sequence[str]]] = []
    if writes.touched:
        moved = sorted({ticket_id for ticket_id, _ in writes.touched})
        states = [facts.tickets[ticket_id].state for ticket_id in moved]
        statements.append((MOVE_TICKETS, [at, array(moved), array(states)]))
        uses = [
            (ticket_id, function, facts.tickets[ticket_id].uses[function].remaining)
            for ticket_id, function in sorted(writes.touched)
        ]
        statements.append((CONSUME_USES, columns(uses)))
    for statement, rows in (
        (SET_GUARDS, writes.once_guards),
        (MOVE_GUARDS, list(writes.multi_guards.values())),
        (RECORD_EVENTS, writes.events),
        (idempotency.STORE_ANSWERS, writes.answers),
        (trail.RECORD_CHANGES, writes.audits),
    ):
        if rows:
            statements.append((statement, [at, *columns(rows)]))
    if writes.asks:
        parameter = outbox.enqueue_parameter(writes.asks.values(), now=now)
        statements.append((outbox.ENQUEUE, [parameter]))
    if writes.orders:
        order_ids, actors = columns(sorted(writes.orders.items()))
        statements += [
            (completion.LOCK_ORDERS, [order_ids]),
            (completion.COMPLETE, [order_ids, actors, at]),
        ]
    await pipeline.round_trip(statements, commit=True)
