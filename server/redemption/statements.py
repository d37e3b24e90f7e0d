"""What the scans of one transaction read and write: one statement a table, however many scans
there are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from server.audit import trail
from server.audit.trail import AuditedChange
from server.catalog.rules import DEFAULT_BOARDING_MINUTES
from server.orders import completion
from server.orders.shared_tickets import SHOWN_IN
from server.platform import outbox
from server.platform.statements import Command, Statement, Transaction, run, run_together
from server.redemption import rules
from server.tickets import partner_events, snapshots, uses
from server.tickets.rules import is_direct
from server.tickets.uses import TicketState, UsesLeft
from server.webhooks.events import TicketEvent

MAX_SNAPSHOTS = 10_000


class TicketRow(NamedTuple):
    """A ticket that is scanned."""

    ticket_id: int
    ticket_code: str
    jti: UUID
    state: str
    blocked: bool
    order_id: int | None
    product_id: int
    valid_from_time: datetime
    valid_until_time: datetime
    snapshot_id: UUID
    rotation: int


class LookedTicketRow(NamedTuple):
    """A ticket that is only looked at, and whose it is."""

    ticket_id: int
    ticket_code: str
    jti: UUID
    state: str
    blocked: bool
    order_id: int | None
    product_id: int
    valid_from_time: datetime
    valid_until_time: datetime
    snapshot_id: UUID
    rotation: int
    partner_id: int
    customer_type: str | None
    customer_name: str | None


class UsesRow(NamedTuple):
    """An entitlement of a ticket."""

    ticket_id: int
    function_code: str
    total_uses: int
    remaining_uses: int
    leased_by: str | None
    leased_until: datetime | None


class FunctionRow(NamedTuple):
    """The key of an entitlement."""

    ticket_id: int
    function_code: str


class DepartureRow(NamedTuple):
    """The departure that a ticket is for, as it is now."""

    ticket_id: int
    departure_id: int
    departure_time: datetime
    seat: str
    is_cancelled: bool
    is_shared: bool


class LocationVenue(NamedTuple):
    """The venue that redeems the vouchers of a rental location."""

    location_id: int
    venue_code: str


class GuardRow(NamedTuple):
    """The redemption that holds the guard of a ticket's QR and function."""

    ticket_id: int
    jti: UUID
    function_code: str
    event_id: int
    redeemed_time: datetime
    terminal_device_id: str
    venue_code: str


class OrderQrRow(NamedTuple):
    """An order's QR, and which shared tickets of other orders the order shows as well."""

    order_id: int
    jti: UUID
    also_shown: list[int]


class EventRow(NamedTuple):
    """What became of a scan."""

    ticket_id: int
    event_id: int
    ticket_code: str
    jti: UUID | None
    function_code: str
    result: str
    reason: str | None
    quantity: int
    merchant_code: str
    venue_code: str
    terminal_device_id: str
    operator: str
    session_code: str | None
    request_id: str | None
    comment: str | None
    qr_key_id: int | None
    qr_digest: bytes | None
    qr_order_id: int | None


LOCK_TICKETS = Statement(
    """
SELECT ticket_id, ticket_code, jti, state, blocked, order_id, product_id, valid_from_time,
       valid_until_time, snapshot_id, rotation
FROM tickets WHERE ticket_id = ANY($1::bigint[]) ORDER BY ticket_id FOR NO KEY UPDATE SKIP LOCKED
""",
    TicketRow,
)
LOOK_AT_TICKETS = Statement(
    """
SELECT ticket_id, ticket_code, jti, state, blocked, order_id, product_id, valid_from_time,
       valid_until_time, snapshot_id, rotation, partner_id, customer_type, customer_name
FROM tickets WHERE ticket_id = ANY($1::bigint[]) ORDER BY ticket_id
""",
    LookedTicketRow,
)
# what was passed over, and is there all the same, somebody else has locked
FIND_TICKETS = Statement("SELECT ticket_id FROM tickets WHERE ticket_id = ANY($1::bigint[])", int)
# What is locked later on, and nearly never by others. Where it is, these find which.
LOCK_USES = Statement(
    """
SELECT ticket_id, function_code FROM entitlements WHERE ticket_id = ANY($1::bigint[])
ORDER BY ticket_id, function_code FOR NO KEY UPDATE SKIP LOCKED
""",
    FunctionRow,
)
LOCK_ORDERS = Statement(
    """
SELECT order_id FROM orders
WHERE order_id = ANY(ARRAY(SELECT order_id FROM tickets WHERE ticket_id = ANY($1::bigint[])))
ORDER BY order_id FOR NO KEY UPDATE SKIP LOCKED
""",
    int,
)
# after the lock, in statements of their own: each sees what the lock's last holder committed
READ_USES = Statement(
    """
SELECT ticket_id, function_code, total_uses, remaining_uses,
       CASE WHEN leased_until > now() THEN leased_by END, leased_until
FROM entitlements WHERE ticket_id = ANY($1::bigint[]) ORDER BY ticket_id, function_code
""",
    UsesRow,
)
READ_GUARDS = Statement(
    """
SELECT ticket_id, jti, function_code, event_id, redeemed_time, terminal_device_id, venue_code
FROM redemption_guards WHERE ticket_id = ANY($1::bigint[])
""",
    GuardRow,
)
# Of departures only, of our own tickets. What the sale says is the truth of when its
# departure leaves and boarding opens: it moves with the departure. `tickets.valid_from_time` is the
# beginning of the travel date, as the snapshot has it.
READ_DEPARTURES = Statement(
    """
SELECT s.ticket_id, s.departure_id, s.reference_time, coalesce(s.seat, ''),
       coalesce(d.state = 'CANCELLED', false), s.passenger_index < 0
FROM ticket_sales s LEFT JOIN departures d ON d.departure_id = s.departure_id
WHERE s.ticket_id = ANY($1::bigint[]) AND s.departure_id IS NOT NULL
""",
    DepartureRow,
)
# the same of partners' tickets, that are of a departure by what they were sold under
READ_PARTNERS_DEPARTURES = Statement(
    """
SELECT s.ticket_id, s.departure_id, s.reference_time, coalesce(s.seat, ''),
       d.state = 'CANCELLED', false
FROM departure_tickets s JOIN departures d ON d.departure_id = s.departure_id
WHERE s.ticket_id = ANY($1::bigint[])
""",
    DepartureRow,
)
READ_RENTAL_VENUES = Statement(
    """
SELECT location_id, venue_code FROM rental_locations
WHERE location_id = ANY($1::int[]) AND venue_code IS NOT NULL
""",
    LocationVenue,
)
READ_ORDERS = Statement(
    f"""
SELECT x.order_id, x.jti, ARRAY({SHOWN_IN} WHERE o.order_id = x.order_id)
FROM orders x WHERE x.order_id = ANY($1::bigint[])
""",  # noqa: S608 - our own
    OrderQrRow,
)

# a second ONCE_PER_QR redemption would violate the key, whatever the decision before it said
_INSERT_GUARDS = """
INSERT INTO redemption_guards
  (ticket_id, jti, function_code, event_id, redeemed_time, terminal_device_id, venue_code)
SELECT v.* FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::bigint[], $5::timestamptz[],
                       $6::text[], $7::text[]) v
"""
SET_GUARDS = Statement(_INSERT_GUARDS)
MOVE_GUARDS = Statement(
    _INSERT_GUARDS
    + """
ON CONFLICT (ticket_id, jti, function_code) DO UPDATE SET
  event_id = excluded.event_id, redeemed_time = excluded.redeemed_time,
  terminal_device_id = excluded.terminal_device_id, venue_code = excluded.venue_code
"""
)
RECORDED = "redemption_events"
"""What a transaction that records scans notifies, which costs it nothing: whoever tells travellers
of redemptions looks after the commit.
"""
RECORD_EVENTS = Statement(
    """
INSERT INTO redemption_events
  (ticket_id, event_id, ticket_code, jti, function_code, result, reason, quantity, merchant_code,
   venue_code, terminal_device_id, operator, session_code, request_id, comment, qr_key_id,
   qr_digest, qr_order_id, occurred_time)
SELECT v.*, $1::timestamptz
FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[],
            $9::int[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
            $16::text[], $17::int[], $18::bytea[], $19::bigint[]) v
""",
    notifies=RECORDED,
)


@dataclass(slots=True)
class ScanFacts:
    """What the database holds about the scans of one transaction; the tickets are locked until its
    end.

    `states` are those of the tickets as they were read. Somebody else has locked `held_tickets`,
    and, as far as one had to look, `held_uses` (ticket and function) and `held_orders`.
    """

    tickets: dict[int, rules.ScannedTicket]
    orders: dict[int, OrderQrRow]
    states: dict[int, str]
    held_tickets: set[int] = field(default_factory=set)
    held_uses: set[tuple[int, str]] = field(default_factory=set)
    held_orders: set[int] = field(default_factory=set)


@dataclass(slots=True)
class ScanWrites:
    """What one transaction writes."""

    touched: set[tuple[int, str]] = field(default_factory=set)
    # who used up a ticket, by the ticket's order, which may be COMPLETED now
    orders: dict[int, str] = field(default_factory=dict)
    # those that somebody else has locked are looked at later
    later: dict[int, outbox.NewTask] = field(default_factory=dict)
    once_guards: list[GuardRow] = field(default_factory=list)
    multi_guards: dict[tuple[int, UUID, str], GuardRow] = field(default_factory=dict)
    events: list[EventRow] = field(default_factory=list)
    # of partners' tickets
    partner_events: list[TicketEvent] = field(default_factory=list)
    audits: list[AuditedChange] = field(default_factory=list)


class SnapshotCache:
    """Snapshots by id. They never change, so they are remembered for good, up to a bound."""

    def __init__(self) -> None:
        self._known: dict[UUID, rules.Snapshot] = {}

    async def load(self, tx: Transaction, ids: set[UUID]) -> dict[UUID, rules.Snapshot]:
        """The snapshots with these ids."""
        missing = ids - self._known.keys()
        if missing:
            if len(self._known) + len(missing) > MAX_SNAPSHOTS:
                self._known.clear()
                missing = ids
            for snapshot_id, content in await run(tx, snapshots.read(missing)):
                self._known[snapshot_id] = parse_snapshot(content)
        return {snapshot_id: self._known[snapshot_id] for snapshot_id in ids}


def parse_snapshot(content: dict[str, Any]) -> rules.Snapshot:
    """The rules of redemption in a stored snapshot."""
    offer = content.get("offer")
    return rules.Snapshot(
        terms={
            entitlement["function_code"]: rules.TicketTerms(
                entitlement["use_mode"],
                entitlement["guard_seconds"],
                entitlement.get("rotating_code", rules.NO_CODE),
            )
            for entitlement in content["entitlements"]
        },
        blackout_dates=frozenset(map(date.fromisoformat, content["blackout_dates"])),
        display_name_en=content.get("display_name_en", ""),
        display_name_zh=content.get("display_name_zh", ""),
        leg=_leg(offer["journey"], offer["seat_map"]) if offer and offer["journey"] else None,
        # snapshots of before there was the setting have none
        boarding_minutes=content.get("boarding_minutes", DEFAULT_BOARDING_MINUTES),
        rental=_rental(offer["rental"]) if offer and offer.get("rental") else None,
    )


def _rental(rental: dict[str, Any]) -> rules.RentedFrom:
    places = rental["pick_up_location"], rental["drop_off_location"]
    return rules.RentedFrom(*[place["location_id"] for place in places])


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


class Looked(NamedTuple):
    """What was looked at, by number: tickets in the order of their numbers, and orders."""

    tickets: dict[int, Seen]
    orders: dict[int, OrderQrRow]


async def look(
    tx: Transaction,
    known: SnapshotCache,
    *,
    ticket_ids: Sequence[int],
    order_ids: Sequence[int] = (),
) -> Looked:
    """Everything about tickets, and the QR codes of orders, without a lock, in one round trip."""
    rows, entitled, departures, orders = await run_together(
        tx,
        LOOK_AT_TICKETS(ticket_ids) if ticket_ids else None,
        READ_USES(ticket_ids) if ticket_ids else None,
        _departures_of(ticket_ids),
        READ_ORDERS(order_ids) if order_ids else None,
    )
    tickets = await _tickets(tx, known, rows, entitled, departures)
    seen = {
        row.ticket_id: Seen(
            tickets[row.ticket_id], row.partner_id, row.customer_type, row.customer_name
        )
        for row in rows
    }
    return Looked(seen, {order.order_id: order for order in orders})


async def read(
    tx: Transaction,
    known: SnapshotCache,
    *,
    ticket_ids: Sequence[int],
    order_ids: Sequence[int],
    skip_locked: bool,
) -> ScanFacts:
    """Locks the tickets, in the order of their ids, and reads everything about them, in one round
    trip.

    Those that others have locked are passed over; with `skip_locked` it also looks which
    entitlements and orders are locked.
    """
    locked, entitled, guards, orders, departures, own_uses, own_orders = await run_together(
        tx,
        LOCK_TICKETS(ticket_ids),
        READ_USES(ticket_ids),
        READ_GUARDS(ticket_ids),
        READ_ORDERS(order_ids) if order_ids else None,
        # after the lock too: a departure that was cancelled before the scan is
        _departures_of(ticket_ids),
        LOCK_USES(ticket_ids) if skip_locked else None,
        LOCK_ORDERS(ticket_ids) if skip_locked else None,
    )
    tickets = await _tickets(tx, known, locked, entitled, departures)
    for guard in guards:
        if guard.ticket_id in tickets:
            tickets[guard.ticket_id].guards[guard.jti, guard.function_code] = rules.Earlier(
                guard.event_id, guard.redeemed_time, guard.terminal_device_id, guard.venue_code
            )
    facts = ScanFacts(
        tickets,
        {order.order_id: order for order in orders},
        {ticket_id: ticket.state for ticket_id, ticket in tickets.items()},
    )
    missing = [ticket_id for ticket_id in ticket_ids if ticket_id not in tickets]
    if missing:
        facts.held_tickets.update(await run(tx, FIND_TICKETS(missing)))
    if skip_locked:
        facts.held_uses = {row[:2] for row in entitled} - set(own_uses)
        facts.held_orders = {t.order_id for t in tickets.values() if t.order_id} - {*own_orders}
    return facts


def write(facts: ScanFacts, writes: ScanWrites, now: datetime) -> list[Command[Any] | None]:
    """Writes what was decided; each table's rows in the order of their keys, the orders last."""
    touched, tickets = sorted(writes.touched), facts.tickets
    states = {ticket_id: tickets[ticket_id].state for ticket_id, _ in touched}
    # one that was redeemed in part, and still is, stays as it stands
    moved = [TicketState(*each) for each in states.items() if facts.states[each[0]] != each[1]]
    return [
        uses.move(moved, now=now),
        uses.leave([UsesLeft(*key, tickets[key[0]].uses[key[1]].remaining) for key in touched]),
        SET_GUARDS.of_rows(writes.once_guards),
        MOVE_GUARDS.of_rows([*writes.multi_guards.values()]),
        RECORD_EVENTS.of_rows(writes.events, now),
        partner_events.record(*writes.partner_events, now=now),
        trail.audit(*writes.audits, now=now),
        outbox.enqueue(*writes.later.values(), now=now),
        *(completion.complete(writes.orders, now=now) if writes.orders else ()),
    ]


def _departures_of(ticket_ids: Sequence[int]) -> Command[DepartureRow] | None:
    """Reads the departures of our own tickets; nothing where none is ours. That a partner's ticket
    is of one is known from what it was sold under: see `_tickets`.
    """
    ours = [ticket_id for ticket_id in ticket_ids if is_direct(ticket_id)]
    return READ_DEPARTURES(ours) if ours else None


async def _tickets(
    tx: Transaction,
    known: SnapshotCache,
    rows: Sequence[TicketRow] | Sequence[LookedTicketRow],
    entitled: Iterable[UsesRow],
    departures: Iterable[DepartureRow],
) -> dict[int, rules.ScannedTicket]:
    """Tickets with what stands in other tables; an unknown ticket has none, one made meanwhile
    may.
    """
    sold = await known.load(tx, {row.snapshot_id for row in rows})
    tickets = {
        row.ticket_id: rules.ScannedTicket(
            row.ticket_id,
            row.ticket_code,
            row.jti,
            row.state,
            row.blocked,
            row.order_id,
            row.product_id,
            row.valid_from_time,
            row.valid_until_time,
            sold[row.snapshot_id],
            row.rotation,
        )
        for row in rows
    }
    for ticket_id, function_code, total, remaining, leased_by, until in entitled:
        if ticket_id in tickets:
            lease = rules.Lease(leased_by, until) if leased_by and until else None
            tickets[ticket_id].uses[function_code] = rules.Uses(total, remaining, lease)
    of_partners = [
        ticket_id
        for ticket_id, ticket in tickets.items()
        if ticket.snapshot.leg and not is_direct(ticket_id)
    ]
    if of_partners:
        departures = [*departures, *await run(tx, READ_PARTNERS_DEPARTURES(of_partners))]
    for departure in departures:
        ticket = tickets.get(departure.ticket_id)
        if ticket and ticket.snapshot.leg:
            ticket.departure = rules.TicketDeparture(
                departure.departure_id,
                departure.departure_time,
                departure.seat,
                departure.is_cancelled,
                departure.is_shared,
                ticket.snapshot.leg,
                ticket.snapshot.boarding_minutes,
            )
    await _add_venues(tx, [ticket for ticket in tickets.values() if ticket.snapshot.rental])
    return tickets


async def _add_venues(tx: Transaction, rented: Sequence[rules.ScannedTicket]) -> None:
    """Says where vouchers of rentals are redeemed, as their locations have it now."""
    places = {each for ticket in rented for each in ticket.snapshot.rental or ()}
    if not places:
        return
    found = await run(tx, READ_RENTAL_VENUES(places))
    venues = {each.location_id: each.venue_code for each in found}
    for ticket in rented:
        assert ticket.snapshot.rental
        at = {code: ticket.snapshot.rental.location_of(code) for code in ticket.uses}
        ticket.venues = {code: venues[place] for code, place in at.items() if place in venues}
