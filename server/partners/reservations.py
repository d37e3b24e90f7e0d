"""Reservations: stock that is held for a partner without payment, which makes tickets of it and
sells them.

What is reserved is `held` in the partner's stock until a ticket of it is activated, which makes it
`sold`. The row of the reservation says what of it is still held, and is locked, or changed by one
guarded UPDATE, before the stock is: so its end, its tickets' activation and their generation take
turns. In all transactions the reservation comes first, then its tickets, then the stock. After its
second nothing is made or activated of it, whether or not it was closed by then (DOMAIN, OTA
partners; Stock).
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import departures
from server.catalog import sales as catalog
from server.identity.callers import Partner
from server.parties.rules import is_sandbox
from server.partners import rules
from server.partners.models import reservations
from server.partners.rules import ReservationTerms
from server.platform import clock
from server.platform.driver_errors import LostRaceError
from server.platform.errors import DomainError, Reason, invalid, not_found
from server.platform.statements import Command, Statement, run, run_all, run_together
from server.stock import holds, inventory, partner_seats
from server.tickets import departure_tickets, reserved_tickets, tickets
from server.webhooks import events
from server.webhooks.events import PartnerEvent
from server.webhooks.rules import (
    RESERVATION_CREATED,
    RESERVATION_EXPIRED,
    RESERVATION_EXTENDED,
    RESERVATION_RELEASED,
)

OPEN, COMPLETED, RELEASED, EXPIRED = "OPEN", "COMPLETED", "RELEASED", "EXPIRED"
EndReason = Literal[
    "PARTNER", "TICKETS_CANCELLED", "TIME_OVER", "DEPARTURE_CANCELLED", "DEPARTURE_LEFT"
]
"""Why a reservation was released or expired."""


class Reservation(NamedTuple):
    """A reservation: of `quantity` there are `generated` tickets, of which `activated` are sold.

    Of a product, or of a class of a departure or one day of use of it.
    """

    reservation_id: UUID
    partner_id: int
    stock_id: int
    product_id: int
    departure_id: int | None
    fare_class: str | None
    use_date: date | None
    quantity: int
    generated: int
    activated: int
    state: str
    expire_time: datetime
    max_expire_time: datetime
    create_time: datetime
    close_time: datetime | None
    end_reason: str | None = None

    def state_at(self, now: datetime) -> str:
        """Its state for a reader: EXPIRED from its second on, also before it was closed."""
        return EXPIRED if rules.is_over(self.state, self.expire_time, now) else self.state

    def refusal(self, now: datetime) -> DomainError | None:
        """Why nothing can be done with it any more; None while it is open."""
        if rules.is_over(self.state, self.expire_time, now):
            return DomainError(
                Reason.RESERVATION_EXPIRED,
                f"reservation {self.reservation_id} expired at {self.expire_time.isoformat()};"
                " reserve again",
                reservation_id=self.reservation_id,
                expire_time=self.expire_time.isoformat(),
            )
        if self.state == OPEN:
            return None
        return DomainError(
            Reason.RESERVATION_STATE_REFUSES,
            f"reservation {self.reservation_id} is {self.state}; only an OPEN one can be used",
            reservation_id=self.reservation_id,
            status=self.state,
        )

    @property
    def seated_stock_id(self) -> int:
        """The stock by which the seats of its departure's class are counted: our own, but of a
        sandbox, which takes no real seat, that one's.
        """
        return self.stock_id if is_sandbox(self.partner_id) else self.stock_id - self.partner_id

    def require_open(self, now: datetime) -> None:
        """Raises RESERVATION_EXPIRED, RESERVATION_STATE_REFUSES."""
        if error := self.refusal(now):
            raise error

    def require_left(self, quantity: int) -> None:
        """Raises RESERVATION_USED_UP where there are tickets of more than the rest already."""
        left = self.quantity - self.generated
        if quantity > left:
            raise DomainError(
                Reason.RESERVATION_USED_UP,
                f"quantity: {quantity} tickets were asked for, the reservation has {left} left",
                reservation_id=self.reservation_id,
                requested=quantity,
                available=left,
            )


COLUMNS = ", ".join(Reservation._fields)


@dataclass(frozen=True, slots=True)
class WantedReservation:
    """What a partner wants to reserve: of a product, or of a class of one departure or one day of
    use of it. Without `hold_seconds` for as long as the stock's terms say.
    """

    product_id: int
    departure_id: int | None
    fare_class: str
    use_date: date | None
    quantity: int
    hold_seconds: int | None


@dataclass(frozen=True, slots=True)
class ReservationFilter:
    """Which reservations; empty takes all. `state` is the one that a reader sees."""

    state: str = ""
    product_id: int = 0


_ADD = Statement(
    f"""
INSERT INTO reservations
  ({COLUMNS}, warn_time)
VALUES ($1::uuid, $2::int, $3::bigint, $4::int, $5::bigint, $6, $7::date, $8::int, 0, 0, 'OPEN',
  $9::timestamptz, $10::timestamptz, $11::timestamptz, NULL, NULL, $12::timestamptz)
"""  # noqa: S608 - our own columns
)
_GET = Statement(
    f"""
SELECT {COLUMNS} FROM reservations WHERE reservation_id = $1::uuid AND partner_id = $2::int
""",  # noqa: S608
    Reservation,
)
_OF_IDS = Statement(
    f"SELECT {COLUMNS} FROM reservations WHERE reservation_id = ANY($1::uuid[])",  # noqa: S608
    Reservation,
)
_LOCK = Statement(
    f"""
SELECT {COLUMNS} FROM reservations WHERE reservation_id = $1::uuid AND partner_id = $2::int
FOR NO KEY UPDATE
""",  # noqa: S608
    Reservation,
)
# in the order of their ids, before their tickets
_LOCK_OF_TICKETS = Statement(
    f"""
SELECT {COLUMNS} FROM reservations WHERE reservation_id = ANY(ARRAY(
  SELECT reservation_id FROM tickets WHERE ticket_id = ANY($1::bigint[]) AND partner_id = $2::int))
ORDER BY reservation_id FOR NO KEY UPDATE
""",  # noqa: S608
    Reservation,
)
_GENERATE = Statement(
    f"""
UPDATE reservations SET generated = generated + $2::int, activated = activated + $3::int,
  state = CASE WHEN activated + $3::int = quantity THEN 'COMPLETED' ELSE state END,
  close_time = CASE WHEN activated + $3::int = quantity THEN $4::timestamptz END,
  warn_time = CASE WHEN activated + $3::int < quantity THEN warn_time END
WHERE reservation_id = $1::uuid AND state = 'OPEN' AND expire_time > $4::timestamptz
  AND generated + $2::int <= quantity
RETURNING {COLUMNS}
""",  # noqa: S608
    Reservation,
)
_ACTIVATE = Statement(
    """
UPDATE reservations r SET activated = r.activated + v.quantity,
  state = CASE WHEN r.activated + v.quantity = r.quantity THEN 'COMPLETED' ELSE r.state END,
  close_time = CASE WHEN r.activated + v.quantity = r.quantity THEN $1::timestamptz END,
  warn_time = CASE WHEN r.activated + v.quantity < r.quantity THEN r.warn_time END
FROM unnest($2::uuid[], $3::int[]) AS v (reservation_id, quantity)
WHERE r.reservation_id = v.reservation_id AND r.state = 'OPEN'
  AND r.expire_time > $1::timestamptz AND r.activated + v.quantity <= r.generated
RETURNING r.reservation_id
""",
    UUID,
)
_SHRINK = Statement(
    """
UPDATE reservations r SET quantity = r.quantity - v.quantity,
  generated = r.generated - v.quantity,
  state = CASE WHEN r.quantity - v.quantity = r.activated THEN 'COMPLETED' ELSE r.state END,
  close_time = CASE WHEN r.quantity - v.quantity = r.activated THEN $1::timestamptz END,
  warn_time = CASE WHEN r.quantity - v.quantity > r.activated THEN r.warn_time END
FROM unnest($2::uuid[], $3::int[]) AS v (reservation_id, quantity)
WHERE r.reservation_id = v.reservation_id AND r.state = 'OPEN'
  AND r.quantity - v.quantity > 0 AND r.generated - v.quantity >= r.activated
RETURNING r.reservation_id
""",
    UUID,
)
_EXTEND = Statement(
    f"""
UPDATE reservations SET expire_time = $2::timestamptz, warn_time = $3::timestamptz
WHERE reservation_id = $1::uuid AND state = 'OPEN' AND expire_time > $4::timestamptz
RETURNING {COLUMNS}
""",  # noqa: S608
    Reservation,
)
# what has expired since its departure has left says so
_CLOSE = Statement(
    f"""
UPDATE reservations r SET state = $2, close_time = $3::timestamptz, warn_time = NULL,
  voids_pending = generated > activated,
  end_reason = CASE WHEN $4 = 'TIME_OVER' AND EXISTS (
    SELECT FROM departures d
    WHERE d.departure_id = r.departure_id AND d.departure_time <= $3::timestamptz)
    THEN 'DEPARTURE_LEFT' ELSE $4 END
WHERE reservation_id = ANY($1::uuid[]) AND state = 'OPEN'
RETURNING {COLUMNS}
""",  # noqa: S608
    Reservation,
)
_END_REASON = Statement(
    "SELECT coalesce(end_reason, '') FROM reservations WHERE reservation_id = $1::uuid", str
)
_VOIDED = Statement("UPDATE reservations SET voids_pending = false WHERE reservation_id = $1::uuid")
_ENDS = {RELEASED: RESERVATION_RELEASED, EXPIRED: RESERVATION_EXPIRED}
MAX_VOIDED = 2_000
"""Tickets voided in one transaction: some 50 ms, for which each is locked."""


async def reserve(
    tx: AsyncConnection,
    partner: Partner,
    wanted: WantedReservation,
    *,
    terms: ReservationTerms,
    zone: ZoneInfo,
    now: datetime,
) -> Reservation:
    """Holds a quantity of the partner's stock until the reservation's end.

    Stock is taken last, so that its row is not locked for longer than need be. Raises SOLD_OUT,
    PRODUCT_NOT_ON_SALE, DEPARTURE_CANCELLED, RESERVATION_TOO_LONG, INVALID_FIELD.
    """
    _require_one_subject(wanted)
    found = await catalog.reservable(
        tx,
        partner_id=partner.partner_id,
        product_id=wanted.product_id,
        departure_id=wanted.departure_id,
        fare_class=wanted.fare_class,
        use_date=wanted.use_date,
        zone=zone,
        now=now,
    )
    of_stock = terms.of_stock(found.hold_seconds, found.max_hold_seconds)
    seconds = of_stock.hold_seconds if wanted.hold_seconds is None else wanted.hold_seconds
    times = rules.reservation_times(now, seconds, of_stock, found.end_time)
    if seconds > of_stock.max_hold_seconds:
        raise _too_long(times.max_expire_time)
    new = Reservation(
        uuid4(),
        partner.partner_id,
        found.stock_id,
        found.product_id,
        wanted.departure_id,
        wanted.fare_class or None,
        wanted.use_date,
        wanted.quantity,
        0,
        0,
        OPEN,
        times.expire_time,
        times.max_expire_time,
        now,
        None,
    )
    _, _, held, departed = await run_together(
        tx,
        _ADD(*new[:8], *new[11:14], times.warn_time),
        events.record(happened(RESERVATION_CREATED, new, new.quantity), now=now),
        inventory.hold(new.stock_id, new.quantity, now=now),
        # under the lock of its stock, for which whoever moves it waits
        departures.as_they_are([wanted.departure_id] if wanted.departure_id is not None else []),
    )
    if any(each.departure_time != found.end_time for each in departed):
        raise LostRaceError
    if not held:
        raise await inventory.not_held(
            tx, new.stock_id, product_id=new.product_id, quantity=new.quantity
        )
    return new


def _require_one_subject(wanted: WantedReservation) -> None:
    if wanted.departure_id is not None and wanted.use_date is not None:
        raise invalid("use_date", "send this, or departure_id with fare_class")
    if bool(wanted.fare_class) != (wanted.departure_id is not None):
        missing = "departure_id" if wanted.fare_class else "fare_class"
        raise invalid(missing, "is missing; a departure's stock is named with its class")


def _too_long(max_expire_time: datetime) -> DomainError:
    return DomainError(
        Reason.RESERVATION_TOO_LONG,
        f"hold_seconds: it may last until {max_expire_time.isoformat()} at the most",
        max_expire_time=max_expire_time.isoformat(),
    )


async def get(tx: AsyncConnection, partner: Partner, reservation_id: str) -> Reservation:
    """A partner's reservation by the text of its id. Raises NOT_FOUND."""
    found = await run(tx, _GET(_id(reservation_id), partner.partner_id))
    if not found:
        raise not_found("reservation", reservation_id)
    return found[0]


def of_ids(reservation_ids: Collection[UUID]) -> Command[Reservation]:
    """The reservations with these ids, whoever's they are."""
    return _OF_IDS(sorted(set(reservation_ids)))


async def list_page(
    tx: AsyncConnection,
    partner_id: int,
    wanted: ReservationFilter,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
    now: datetime,
) -> list[Reservation]:
    """Up to `limit` of a partner's reservations that were made before `before`, newest first."""
    columns = reservations.c
    query = select(*[columns[name] for name in Reservation._fields]).where(
        columns.partner_id == partner_id
    )
    over = (columns.state == OPEN) & (columns.expire_time <= now)
    if wanted.state == EXPIRED:
        query = query.where((columns.state == EXPIRED) | over)
    elif wanted.state:
        query = query.where(columns.state == wanted.state, ~over)
    if wanted.product_id:
        query = query.where(columns.product_id == wanted.product_id)
    position = columns.create_time, columns.reservation_id
    if before:
        query = query.where(tuple_(*position) < tuple_(*before))
    query = query.order_by(*[column.desc() for column in position]).limit(limit)
    return [Reservation(*row) for row in await tx.execute(query)]


async def extend(
    tx: AsyncConnection,
    partner: Partner,
    reservation_id: str,
    *,
    hold_seconds: int,
    terms: ReservationTerms,
    expires_now: bool = False,
) -> Reservation:
    """Has a reservation end so many seconds from now, unless it ends later than that anyway; one of
    a sandbox that `expires_now` a second from now.

    Raises NOT_FOUND, RESERVATION_EXPIRED, RESERVATION_STATE_REFUSES, RESERVATION_TOO_LONG,
    DEPARTURE_CANCELLED.
    """
    was = await lock(tx, partner, reservation_id)
    now = partner.now()
    was.require_open(now)
    if was.departure_id is not None:
        remedy = "release what is reserved of it"
        await catalog.require_running(tx, was.departure_id, remedy)
    expire_time = now + timedelta(seconds=1 if expires_now else hold_seconds)
    if expire_time > was.max_expire_time:
        raise _too_long(was.max_expire_time)
    if expire_time <= was.expire_time and not expires_now:
        return was
    warn_time = rules.warn_time(now, expire_time, terms)
    (extended,) = await run(tx, _EXTEND(was.reservation_id, expire_time, warn_time, now))
    event = happened(RESERVATION_EXTENDED, extended, extended.quantity)
    await run(tx, events.record(event, now=now))
    return extended


async def release(
    tx: AsyncConnection, partner: Partner, reservation_id: str, *, now: datetime
) -> Reservation:
    """Ends a reservation: what is not activated of it returns to the stock; its tickets that are
    not are VOIDED by `void`, at once as far as it goes, the rest soon after.

    Raises NOT_FOUND, RESERVATION_EXPIRED, RESERVATION_STATE_REFUSES.
    """
    was = await lock(tx, partner, reservation_id)
    was.require_open(partner.now())
    (closed,) = await close(tx, [was.reservation_id], RELEASED, "PARTNER", now=now)
    if closed.generated > closed.activated:
        await void(tx, closed.reservation_id, actor=partner.key, now=now)
    return closed


def happened(kind: str, reservation: Reservation, quantity: int) -> PartnerEvent:
    """What the partner hears of a reservation: `quantity` is what it holds, or what has returned to
    the stock.
    """
    reservation_id = str(reservation.reservation_id)
    data: dict[str, Any] = {
        "reservation_id": reservation_id,
        "product_id": reservation.product_id,
        "quantity": quantity,
        "expire_time": reservation.expire_time.astimezone(UTC).isoformat(),
    }
    if reservation.departure_id is not None:
        data["departure_id"] = str(reservation.departure_id)
        data["fare_class"] = reservation.fare_class
    if reservation.use_date is not None:
        data["use_date"] = reservation.use_date.isoformat()
    if reservation.end_reason:
        data["reason"] = reservation.end_reason
    return PartnerEvent(reservation.partner_id, kind, reservation_id, data)


async def lock(tx: AsyncConnection, partner: Partner, reservation_id: str) -> Reservation:
    """A partner's reservation, locked until the end of the transaction. Raises NOT_FOUND."""
    found = await run(tx, _LOCK(_id(reservation_id), partner.partner_id))
    if not found:
        raise not_found("reservation", reservation_id)
    return found[0]


async def close(
    tx: AsyncConnection,
    reservation_ids: Collection[UUID],
    state: str,
    reason: EndReason,
    *,
    now: datetime,
) -> list[Reservation]:
    """Ends those of locked reservations that are open, and returns what is not activated of them
    to their stocks, whose rows stay locked until the commit; seats of a departure too, whose
    tickets nobody can sell any more.
    """
    closed = await run(tx, _CLOSE(sorted(reservation_ids), state, now, reason))
    held: dict[int, int] = {}
    ended = []
    for each in closed:
        rest = each.quantity - each.activated
        held[each.stock_id] = held.get(each.stock_id, 0) + rest
        ended.append(happened(_ENDS[state], each, rest))
    of_departures = {each.reservation_id: each for each in closed if each.departure_id is not None}
    if of_departures:
        seated = {each.seated_stock_id for each in of_departures.values()}
        await holds.lock(tx, seated | held.keys())
        seats = await run(tx, departure_tickets.unsold_seats(of_departures.keys()))
        await partner_seats.leave(tx, seats, now=clock.now())
    await run_together(tx, events.record(*ended, now=now), holds.return_held(held, now=now))
    return closed


async def void(tx: AsyncConnection, reservation_id: UUID, *, actor: str, now: datetime) -> bool:
    """Voids up to MAX_VOIDED tickets of a reservation that is locked and closed; whether there may
    be others.
    """
    found = await run(tx, reserved_tickets.pre_generated(reservation_id, limit=MAX_VOIDED))
    (reason,) = await run(tx, _END_REASON(reservation_id))
    how = {"action": "voided", "actor": actor, "reason": reason}
    await tickets.move(tx, found, ("PRE_GENERATED",), "VOIDED", now=now, **how)
    if len(found) == MAX_VOIDED:
        return True
    await run(tx, _VOIDED(reservation_id))
    return False


async def count_generated(
    tx: AsyncConnection,
    partner: Partner,
    reservation: Reservation,
    quantity: int,
    *,
    activated: bool,
) -> None:
    """Counts tickets that were made of a reservation, as sold if they are `activated`; what it
    holds of the stock for these is then to be sold.

    Call it late: the reservation stays locked until the commit. Raises RESERVATION_EXPIRED (also
    when its second came while the tickets were made), RESERVATION_STATE_REFUSES,
    RESERVATION_USED_UP.
    """
    now, sold = partner.now(), quantity if activated else 0
    taken = await run(tx, _GENERATE(reservation.reservation_id, quantity, sold, now))
    if not taken:
        (became,) = await run(tx, _GET(reservation.reservation_id, reservation.partner_id))
        became.require_open(partner.now())
        became.require_left(quantity)


def lock_of_tickets(ticket_ids: Sequence[int], partner_id: int) -> Command[Reservation]:
    """Locks the reservations that a partner's tickets were made of, in the order of their ids: to
    be run before the tickets are locked, as whoever voids them does.
    """
    return _LOCK_OF_TICKETS(ticket_ids, partner_id)


async def take_activated(
    tx: AsyncConnection,
    locked: Collection[Reservation],
    quantities: dict[UUID, int],
    *,
    now: datetime,
) -> None:
    """Sells tickets that are activated: what their locked reservations hold of the stocks. Call it
    last. `now` is a time at which these were open.
    """
    if not quantities:
        return
    sold: dict[int, int] = {}
    for each in locked:
        if each.reservation_id in quantities:
            quantity = quantities[each.reservation_id]
            sold[each.stock_id] = sold.get(each.stock_id, 0) + quantity
    counted, moved = await run_together(
        tx,
        _ACTIVATE.of_rows(sorted(quantities.items()), now),
        holds.sell_held(sold, now=now),
    )
    assert (len(counted), len(moved)) == (len(quantities), len(sold)), "they are locked, and open"


async def return_cancelled(
    tx: AsyncConnection,
    locked: Collection[Reservation],
    quantities: Mapping[UUID, int],
    *,
    now: datetime,
) -> None:
    """Has open reservations, which are locked, hold less: so many of their tickets were cancelled
    and are theirs no more. One of which nothing is left is RELEASED, with its last tickets.

    The stock rows stay locked until the commit: call it last.
    """
    held: Counter[int] = Counter()
    emptied = [each for each in locked if quantities.get(each.reservation_id) == each.quantity]
    if emptied:
        gone = [each.reservation_id for each in emptied]
        await close(tx, gone, RELEASED, "TICKETS_CANCELLED", now=now)
        await run_all(tx, [_VOIDED(each) for each in gone])
    others = {each.reservation_id: each for each in locked if each not in emptied}
    shrunk = [(number, n) for number, n in sorted(quantities.items()) if number in others]
    for number, quantity in shrunk:
        held[others[number].stock_id] += quantity
    counted, moved = await run_together(
        tx, _SHRINK.of_rows(shrunk, now), holds.return_held(held, now=now)
    )
    assert (len(counted), len(moved)) == (len(shrunk), len(held)), "they are locked, and open"


def _id(reservation_id: str) -> UUID:
    try:
        return UUID(reservation_id)
    except ValueError:
        raise not_found("reservation", reservation_id) from None
