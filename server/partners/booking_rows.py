"""The rows of bookings, and what a reader sees of one, with its reservation and tickets as they
are.

See bookings.py for what changes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import policy
from server.identity.callers import Partner
from server.partners import reservations
from server.partners.booking_content import BookingContent, PartnerBookingSeals
from server.partners.booking_models import partner_bookings
from server.partners.booking_rules import BookingStatus, booking_status
from server.partners.reservations import Reservation
from server.platform.errors import DomainError, Reason, not_found
from server.platform.statements import Command, Statement, run, run_together
from server.tickets import qr
from server.tickets.rules import why_no_qr

MAX_LISTED = 200
"""Bookings that one list shows; of more the caller names fewer."""


class BookingRow(NamedTuple):
    """A booking as the table has it; see booking_models.py."""

    partner_id: int
    booking_id: UUID
    state: str
    request_hash: bytes
    confirm_hash: bytes | None
    reservation_id: UUID
    first_ticket_id: int
    quantity: int
    product_id: int
    option_id: str
    slot_id: str
    travel_date: date
    reseller_reference: str
    order_code: str
    sealed_content: bytes
    cancel_reason: str
    refund_minor: int
    create_time: datetime
    update_time: datetime
    confirm_time: datetime | None
    cancel_time: datetime | None

    @property
    def ticket_ids(self) -> list[int]:
        """The numbers of its tickets, one for each unit, in their order."""
        return [*range(self.first_ticket_id, self.first_ticket_id + self.quantity)]


class BookedTicket(NamedTuple):
    """A ticket of a booking."""

    ticket_id: int
    ticket_code: str
    state: str
    blocked: bool
    jti: UUID
    valid_until_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class PartnerBooking:
    """A booking as its reader sees it at `now`; `left` of `total` is what the partner has where it
    was booked.
    """

    row: BookingRow
    content: BookingContent
    reservation: Reservation
    tickets: Sequence[BookedTicket]
    total: int
    left: int
    now: datetime

    @property
    def status(self) -> BookingStatus:
        """What it is now."""
        states = [each.state for each in self.tickets]
        return booking_status(self.row.state, self.reservation.state_at(self.now), states)

    def qr_claims(self) -> list[qr.Claims | None]:
        """What the QR of each ticket says; None for one that gets none."""
        return [
            None
            if why_no_qr(
                each.state,
                blocked=each.blocked,
                valid_until_time=each.valid_until_time,
                now=self.now,
            )
            else qr.claims_of(each.jti, each.ticket_id, each.valid_until_time)
            for each in self.tickets
        ]

    def refunds(self) -> list[policy.RefundOffer | policy.Refused]:
        """What each ticket gives back if it is cancelled now, by the policy it was sold under."""
        terms = policy.Policy.parse(self.content.policy)
        start = policy.TicketStart.FIRST_DAY if self.content.is_day else None
        return [
            policy.refund(
                policy.PolicyTicket(
                    state=ticket.state,
                    paid_minor=unit.amount_minor,
                    remaining_uses=1,
                    total_uses=1,
                    reference_time=self.content.reference_time,
                    valid_until_time=ticket.valid_until_time,
                    blocked=ticket.blocked,
                    start=start or policy.TicketStart.DEPARTURE,
                ),
                terms,
                self.now,
            )
            for ticket, unit in zip(self.tickets, self.content.units, strict=True)
        ]

    @property
    def is_cancellable(self) -> bool:
        """Whether `cancel` would do it now."""
        if self.status == "CONFIRMED":
            return all(isinstance(each, policy.RefundOffer) for each in self.refunds())
        return self.status == "ON_HOLD"


@dataclass(frozen=True, slots=True)
class BookingFilter:
    """Which bookings: all that is given has to fit; empty takes all."""

    reseller_reference: str = ""
    order_code: str = ""
    first_date: date | None = None
    last_date: date | None = None
    product_id: int | None = None
    option_id: str = ""


class _BookedStock(NamedTuple):
    stock_id: int
    total: int
    left: int


class TicketOrder(NamedTuple):
    """Of which order a ticket is."""

    ticket_id: int
    order_id: int


_COLUMNS = ", ".join(BookingRow._fields)
# whoever books under the same id at the same moment waits for the first
_CLAIM = Statement("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
_ADD = Statement(
    f"INSERT INTO partner_bookings ({_COLUMNS}) VALUES"  # noqa: S608 - our own columns
    " ($1::int, $2::uuid, $3, $4::bytea,"
    " $5::bytea, $6::uuid, $7::bigint, $8::int, $9::int, $10, $11, $12::date, $13, $14, $15::bytea,"
    " $16, $17::bigint, $18::timestamptz, $19::timestamptz, $20::timestamptz, $21::timestamptz)"
)
_GET = Statement(
    f"SELECT {_COLUMNS} FROM partner_bookings"  # noqa: S608
    " WHERE partner_id = $1::int AND booking_id = $2::uuid",
    BookingRow,
)
_LOCK = Statement(
    f"SELECT {_COLUMNS} FROM partner_bookings"  # noqa: S608
    " WHERE partner_id = $1::int AND booking_id = $2::uuid FOR NO KEY UPDATE",
    BookingRow,
)
_STORE = Statement("""
UPDATE partner_bookings SET state = $3, request_hash = $4::bytea, confirm_hash = $5::bytea,
  reservation_id = $6::uuid, first_ticket_id = $7::bigint, quantity = $8::int,
  product_id = $9::int, option_id = $10, slot_id = $11, travel_date = $12::date,
  reseller_reference = $13, order_code = $14, sealed_content = $15::bytea, cancel_reason = $16,
  refund_minor = $17::bigint, update_time = $18::timestamptz, confirm_time = $19::timestamptz,
  cancel_time = $20::timestamptz
WHERE partner_id = $1::int AND booking_id = $2::uuid
""")
_TICKETS = Statement(
    """
SELECT ticket_id, ticket_code, state, blocked, jti, valid_until_time, update_time
FROM tickets WHERE ticket_id = ANY($1::bigint[])
""",
    BookedTicket,
)
_STOCKS = Statement(
    """
SELECT stock_id, total, CASE WHEN closed THEN 0 ELSE total - held - sold END
FROM stocks WHERE stock_id = ANY($1::bigint[])
""",
    _BookedStock,
)
_ORDERS = Statement(
    "SELECT ticket_id, order_id FROM tickets WHERE ticket_id = ANY($1::bigint[])", TicketOrder
)


class BookingRows:
    """Reads and writes bookings."""

    def __init__(self, seals: PartnerBookingSeals) -> None:
        self._seals = seals

    async def find(
        self, tx: AsyncConnection, partner: Partner, booking_id: UUID
    ) -> BookingRow | None:
        """A partner's booking; None if there is none."""
        found = await run(tx, _GET(partner.partner_id, booking_id))
        return found[0] if found else None

    async def lock(
        self, tx: AsyncConnection, partner: Partner, booking_id: UUID, now: datetime
    ) -> PartnerBooking:
        """A partner's booking, locked until the end of the transaction. Raises NOT_FOUND."""
        found = await run(tx, _LOCK(partner.partner_id, booking_id))
        if not found:
            raise not_found("booking", booking_id)
        return (await self.views(tx, found, now))[0]

    async def store(
        self, tx: AsyncConnection, row: BookingRow, content: BookingContent, now: datetime
    ) -> PartnerBooking:
        """Keeps a locked booking as it is now."""
        sealed = self._seals.seal(row.partner_id, row.booking_id, content)
        row = row._replace(sealed_content=sealed)
        await run(tx, _STORE(*row[:17], *row[18:]))
        return (await self.views(tx, [row], now))[0]

    async def views(
        self, tx: AsyncConnection, rows: Sequence[BookingRow], now: datetime
    ) -> list[PartnerBooking]:
        """Bookings as a reader sees them."""
        numbers = [number for row in rows for number in row.ticket_ids]
        wanted = [row.reservation_id for row in rows]
        tickets, reserved = await run_together(tx, _TICKETS(numbers), reservations.of_ids(wanted))
        found = {each.ticket_id: each for each in tickets}
        of = {each.reservation_id: each for each in reserved}
        stock_ids = sorted({each.stock_id for each in reserved})
        stocks = {each.stock_id: each for each in await run(tx, _STOCKS(stock_ids))}
        return [
            PartnerBooking(
                row,
                self._seals.open(row.partner_id, row.booking_id, row.sealed_content),
                of[row.reservation_id],
                [found[number] for number in row.ticket_ids],
                *stocks[of[row.reservation_id].stock_id][1:],
                now,
            )
            for row in rows
        ]


async def claim(tx: AsyncConnection, partner_id: int, booking_id: UUID) -> None:
    """Has whoever books under the same id wait until the end of the transaction."""
    await run(tx, _CLAIM(f"booking {partner_id} {booking_id}"))


def new_booking(row: BookingRow) -> Command[None]:
    """Keeps a booking that is new."""
    return _ADD(*row)


def orders_of(ticket_ids: Sequence[int]) -> Command[TicketOrder]:
    """The orders of sold tickets."""
    return _ORDERS(ticket_ids)


async def page(tx: AsyncConnection, partner_id: int, wanted: BookingFilter) -> list[BookingRow]:
    """A partner's bookings by day of travel. Raises RANGE_TOO_LARGE beyond MAX_LISTED."""
    columns = partner_bookings.c
    query = select(*[columns[name] for name in BookingRow._fields]).where(
        columns.partner_id == partner_id
    )
    for column, value in (
        (columns.reseller_reference, wanted.reseller_reference),
        (columns.order_code, wanted.order_code),
        (columns.option_id, wanted.option_id),
    ):
        query = query.where(column == value) if value else query
    if wanted.product_id is not None:
        query = query.where(columns.product_id == wanted.product_id)
    if wanted.first_date:
        query = query.where(columns.travel_date >= wanted.first_date)
    if wanted.last_date:
        query = query.where(columns.travel_date <= wanted.last_date)
    query = query.order_by(columns.travel_date, columns.booking_id).limit(MAX_LISTED + 1)
    rows = [BookingRow(*row) for row in await tx.execute(query)]
    if len(rows) > MAX_LISTED:
        raise DomainError(
            Reason.RANGE_TOO_LARGE,
            f"there are more than {MAX_LISTED} such bookings; name fewer days, or a reference",
        )
    return rows
