"""Bookings: what a partner's reseller holds, confirms and cancels under one id of its own.

A booking is a reservation with tickets made of it, for named customer types; its confirmation
activates them all, under one order, its cancellation before releases the reservation and after
refunds the tickets by the product's policy. All that is decided by the use cases behind the
partner's own calls: a hold that is over is not confirmed, and nothing is sold that is not held. In
all transactions the booking is locked first, then as these do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import policy
from server.catalog.catalogue import Catalogue
from server.identity.callers import Partner
from server.orders.passenger_checks import check_companion
from server.partners import partner_tickets, reservations, sellable, sold_tickets
from server.partners.booking_content import (
    BookedUnit,
    BookingContact,
    BookingContent,
    PartnerBookingSeals,
)
from server.partners.booking_refusals import other_content, refund_refused, require_held
from server.partners.booking_rows import (
    BookingFilter,
    BookingRow,
    BookingRows,
    PartnerBooking,
    claim,
    new_booking,
    orders_of,
    page,
)
from server.partners.booking_rules import (
    CANCELLED,
    CONFIRMED,
    HELD,
    SOLD,
    same_units,
)
from server.partners.partner_tickets import BatchRequest, SoldTicket
from server.partners.reservations import Reservation, WantedReservation
from server.partners.rules import ReservationTerms
from server.partners.sellable import Slot
from server.platform.database import Database
from server.platform.errors import DomainError, Reason, invalid, not_found
from server.platform.statements import run
from server.platform.texts import read_name
from server.tickets import departure_tickets, tickets
from server.tickets.departure_tickets import ToRefund

MAX_UNITS = 20
"""Of a booking."""
HOLD_SECONDS = 30 * 60
"""Where neither the partner nor the terms of its stock say anything else: whoever books is at a
checkout, and the stock is not to be held for a day as a reservation is.
"""


@dataclass(frozen=True, slots=True)
class WantedBooking:
    """What a partner wants to book; without `hold_seconds` for as long as its terms say."""

    booking_id: UUID
    product_id: str
    option_id: str
    slot_id: str
    units: tuple[BookedUnit, ...]
    contact: BookingContact
    notes: str
    reseller_reference: str
    hold_seconds: int | None
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class BookingChanges:
    """What becomes of a booking: None stays as it is."""

    product_id: str | None = None
    option_id: str | None = None
    slot_id: str | None = None
    units: tuple[BookedUnit, ...] | None = None
    contact: BookingContact | None = None
    notes: str | None = None
    reseller_reference: str | None = None
    hold_seconds: int | None = None


class Booker:
    """Holds, confirms and cancels bookings."""

    def __init__(
        self, db: Database, seals: PartnerBookingSeals, terms: ReservationTerms, zone: ZoneInfo
    ) -> None:
        self._db = db
        self._seals = seals
        self._rows = BookingRows(seals)
        self._terms = terms._replace(hold_seconds=min(terms.hold_seconds, HOLD_SECONDS))
        self._zone = zone

    async def hold(
        self,
        tx: AsyncConnection,
        partner: Partner,
        wanted: WantedBooking,
        *,
        catalogue: Catalogue,
        now: datetime,
    ) -> PartnerBooking:
        """Holds stock and makes the tickets, unsold; for a repeat the booking as it is.

        Raises IDEMPOTENCY_MISMATCH for an id that came with other content, NOT_FOUND for product,
        option, slot and unit, SOLD_OUT, OFFER_NOT_AVAILABLE, PASSENGER_NOT_ALLOWED,
        RESERVATION_TOO_LONG.
        """
        await claim(tx, partner.partner_id, wanted.booking_id)
        if found := await self._rows.find(tx, partner, wanted.booking_id):
            if found.request_hash != wanted.content_hash:
                raise other_content("booked", "book under another uuid")
            return (await self._rows.views(tx, [found], now))[0]
        slot = await _slot(tx, catalogue, partner, wanted.product_id, wanted)
        content = _content(slot, wanted.units, wanted.contact, wanted.notes)
        reserved, first = await self._take(
            *(tx, partner, slot, wanted.product_id, content),
            hold_seconds=wanted.hold_seconds,
            catalogue=catalogue,
            now=now,
        )
        row = BookingRow(
            partner_id=partner.partner_id,
            booking_id=wanted.booking_id,
            state=HELD,
            request_hash=wanted.content_hash,
            confirm_hash=None,
            reservation_id=reserved.reservation_id,
            first_ticket_id=first,
            quantity=len(content.units),
            product_id=reserved.product_id,
            option_id=wanted.option_id,
            slot_id=slot.slot_id,
            travel_date=_travel_date(slot),
            reseller_reference=wanted.reseller_reference,
            order_code="",
            sealed_content=self._seals.seal(partner.partner_id, wanted.booking_id, content),
            cancel_reason="",
            refund_minor=0,
            create_time=now,
            update_time=now,
            confirm_time=None,
            cancel_time=None,
        )
        await run(tx, new_booking(row))
        return (await self._rows.views(tx, [row], now))[0]

    async def confirm(
        self,
        tx: AsyncConnection,
        partner: Partner,
        booking_id: UUID,
        changes: BookingChanges,
        *,
        content_hash: bytes,
        catalogue: Catalogue,
        now: datetime,
    ) -> PartnerBooking:
        """Sells what is held: all its tickets are ACTIVE, under one order; for a repeat the booking
        as it is, while that is sold. Raises as `update`, IDEMPOTENCY_MISMATCH for a repeat with
        other content, and INVALID_FIELD without anybody's name.
        """
        was = await self._rows.lock(tx, partner, booking_id, now)
        if was.status in SOLD:
            if was.row.confirm_hash != content_hash:
                raise other_content("confirmed", "change its contact, notes or reference")
            return was
        require_held(was)
        held = await self._changed(tx, partner, was, changes, catalogue=catalogue, now=now)
        activated = await partner_tickets.activate(
            *(tx, self._db, partner, _sold(held)), zone=self._zone, now=now
        )
        for verdict in activated:
            partner_tickets.require_done(verdict)
        row = held.row._replace(
            state=CONFIRMED,
            confirm_hash=content_hash,
            order_code=activated[0].order_code,
            confirm_time=now,
            update_time=now,
        )
        return await self._rows.store(tx, row, held.content, now)

    async def update(
        self,
        tx: AsyncConnection,
        partner: Partner,
        booking_id: UUID,
        changes: BookingChanges,
        *,
        catalogue: Catalogue,
        now: datetime,
    ) -> PartnerBooking:
        """Changes a hold, which takes no longer than it did unless that is asked for; of what is
        confirmed the contact, notes and reference alone.

        What is held of the old goes back in the same transaction. Raises as `hold`, and NOT_FOUND
        for the booking, RESERVATION_EXPIRED, RESERVATION_STATE_REFUSES, CHANGE_REFUSED.
        """
        was = await self._rows.lock(tx, partner, booking_id, now)
        if was.status == "CONFIRMED":
            _require_words_alone(was, changes)
        else:
            require_held(was)
        changed = await self._changed(tx, partner, was, changes, catalogue=catalogue, now=now)
        row = changed.row._replace(update_time=now)
        return await self._rows.store(tx, row, changed.content, now)

    async def extend(
        self,
        tx: AsyncConnection,
        partner: Partner,
        booking_id: UUID,
        *,
        hold_seconds: int,
        now: datetime,
        expires_now: bool = False,
    ) -> PartnerBooking:
        """Has a hold end so many seconds from now, unless it ends later anyway; one of a sandbox
        that `expires_now` a second from now. Raises NOT_FOUND, RESERVATION_EXPIRED,
        RESERVATION_STATE_REFUSES, RESERVATION_TOO_LONG, DEPARTURE_CANCELLED.
        """
        was = await self._rows.lock(tx, partner, booking_id, now)
        require_held(was)
        await reservations.extend(
            *(tx, partner, str(was.row.reservation_id)),
            hold_seconds=hold_seconds,
            terms=self._terms,
            expires_now=expires_now,
        )
        return await self._rows.store(tx, was.row._replace(update_time=now), was.content, now)

    async def cancel(
        self,
        tx: AsyncConnection,
        partner: Partner,
        booking_id: UUID,
        reason: str,
        *,
        now: datetime,
        whole: bool = False,
    ) -> PartnerBooking:
        """Releases a hold, or refunds what was sold by its policy, or `whole`; one that is
        cancelled stays as it is. Raises NOT_FOUND, RESERVATION_EXPIRED, REFUND_REFUSED.
        """
        was = await self._rows.lock(tx, partner, booking_id, now)
        if was.status == "CANCELLED":
            return was
        refunded = 0
        if was.row.state == CONFIRMED:
            refunded = await self._refund(tx, partner, was, now, whole=whole)
        else:
            require_held(was)
            await reservations.release(tx, partner, str(was.row.reservation_id), now=now)
        row = was.row._replace(
            state=CANCELLED,
            cancel_reason=reason,
            refund_minor=refunded,
            cancel_time=now,
            update_time=now,
        )
        return await self._rows.store(tx, row, was.content, now)

    async def get(
        self, tx: AsyncConnection, partner: Partner, booking_id: UUID, *, now: datetime
    ) -> PartnerBooking:
        """A partner's booking. Raises NOT_FOUND."""
        found = await self._rows.find(tx, partner, booking_id)
        if found is None:
            raise not_found("booking", booking_id)
        return (await self._rows.views(tx, [found], now))[0]

    async def list_all(
        self, tx: AsyncConnection, partner: Partner, wanted: BookingFilter, *, now: datetime
    ) -> list[PartnerBooking]:
        """A partner's bookings by the day of travel. Raises RANGE_TOO_LARGE for more than
        MAX_LISTED.
        """
        return await self._rows.views(tx, await page(tx, partner.partner_id, wanted), now)

    async def _changed(
        self,
        tx: AsyncConnection,
        partner: Partner,
        was: PartnerBooking,
        changes: BookingChanges,
        *,
        catalogue: Catalogue,
        now: datetime,
    ) -> PartnerBooking:
        """A locked booking with the changes, not stored yet; held anew where they need other
        stock.
        """
        row, content = was.row, was.content
        content = replace(
            content,
            contact=content.contact if changes.contact is None else changes.contact,
            notes=content.notes if changes.notes is None else changes.notes,
        )
        if changes.reseller_reference is not None:
            row = row._replace(reseller_reference=changes.reseller_reference)
        said = replace(was, row=row, content=content)
        if _is_elsewhere(was, changes):
            return await self._moved(tx, partner, said, changes, catalogue=catalogue, now=now)
        if changes.units is not None:
            units = tuple(
                replace(each, unit_id=old.unit_id, amount_minor=old.amount_minor)
                for each, old in zip(changes.units, content.units, strict=True)
            )
            said = replace(said, content=replace(content, units=units))
        if changes.hold_seconds is not None:
            await reservations.extend(
                *(tx, partner, str(row.reservation_id)),
                hold_seconds=changes.hold_seconds,
                terms=self._terms,
            )
        return said

    async def _moved(
        self,
        tx: AsyncConnection,
        partner: Partner,
        was: PartnerBooking,
        changes: BookingChanges,
        *,
        catalogue: Catalogue,
        now: datetime,
    ) -> PartnerBooking:
        """A hold of other stock instead, until the same time if nothing else is asked for."""
        row = was.row
        product_id = changes.product_id or str(row.product_id)
        place = replace(
            changes,
            option_id=changes.option_id or row.option_id,
            slot_id=changes.slot_id or row.slot_id,
        )
        await reservations.release(tx, partner, str(row.reservation_id), now=now)
        slot = await _slot(tx, catalogue, partner, product_id, place)
        units = was.content.units if changes.units is None else changes.units
        content = _content(slot, units, was.content.contact, was.content.notes)
        left = was.reservation.expire_time - now
        reserved, first = await self._take(
            *(tx, partner, slot, product_id, content),
            hold_seconds=changes.hold_seconds or max(1, int(left / timedelta(seconds=1))),
            catalogue=catalogue,
            now=now,
        )
        row = row._replace(
            reservation_id=reserved.reservation_id,
            first_ticket_id=first,
            quantity=len(units),
            product_id=reserved.product_id,
            option_id=slot.option.option_id,
            slot_id=slot.slot_id,
            travel_date=_travel_date(slot),
        )
        (view,) = await self._rows.views(tx, [row], now)
        return replace(view, content=content)

    async def _take(
        self,
        tx: AsyncConnection,
        partner: Partner,
        slot: Slot,
        product_id: str,
        content: BookingContent,
        *,
        hold_seconds: int | None,
        catalogue: Catalogue,
        now: datetime,
    ) -> tuple[Reservation, int]:
        """A reservation with its tickets; the number of the first."""
        leg, quantity = slot.option.leg, len(content.units)
        reserved = await reservations.reserve(
            tx,
            partner,
            WantedReservation(
                product_id=int(product_id),
                departure_id=slot.departure_id,
                fare_class=leg.fare_class if leg else "",
                use_date=slot.use_date,
                quantity=quantity,
                hold_seconds=hold_seconds,
            ),
            terms=self._terms,
            zone=self._zone,
            now=now,
        )
        is_dated = leg is None and slot.use_date is None
        made = await partner_tickets.generate_batch(
            tx,
            self._db,
            partner,
            BatchRequest(
                product_id=reserved.product_id,
                quantity=quantity,
                distributor_id="",
                sale=None,
                valid_from_time=slot.offer.valid_from_time if is_dated else None,
                reservation_id=str(reserved.reservation_id),
                origin_stop_code=leg.origin.stop_code if leg else "",
                destination_stop_code=leg.destination.stop_code if leg else "",
            ),
            catalogue=catalogue,
            zone=self._zone,
            now=now,
        )
        return reserved, made.first_ticket_id

    async def _refund(
        self,
        tx: AsyncConnection,
        partner: Partner,
        was: PartnerBooking,
        now: datetime,
        *,
        whole: bool,
    ) -> int:
        """Refunds the tickets of a locked booking; what they give back together."""
        await run(tx, tickets.lock_tickets(partner.partner_id, was.row.ticket_ids))
        (locked,) = await self._rows.views(tx, [was.row], now)
        amounts: dict[int, int] = {}
        all_of_it = whole and locked.status == "CONFIRMED"
        for ticket, unit, offer in zip(
            locked.tickets, locked.content.units, locked.refunds(), strict=True
        ):
            if all_of_it:
                amounts[ticket.ticket_id] = unit.amount_minor
                continue
            if isinstance(offer, policy.Refused):
                raise refund_refused(ticket.ticket_code, offer)
            amounts[ticket.ticket_id] = offer.amount_minor
        orders = {each.ticket_id: each for each in await run(tx, orders_of(was.row.ticket_ids))}
        seats = {
            each.ticket_id: each
            for each in await run(tx, departure_tickets.seats(was.row.ticket_ids))
        }
        stock = was.reservation.stock_id
        found = [
            ToRefund(
                number,
                orders[number].order_id,
                stock,
                seats[number].stock_id if number in seats else stock,
                seats[number].seat_index if number in seats else None,
                (),
            )
            for number in was.row.ticket_ids
        ]
        await sold_tickets.refund(
            tx, found, actor=partner.key, reason="PARTNER", amounts=amounts, now=now
        )
        return sum(amounts.values())


async def _slot(
    tx: AsyncConnection,
    catalogue: Catalogue,
    partner: Partner,
    product_id: str,
    wanted: WantedBooking | BookingChanges,
) -> Slot:
    """The departure or day that is wanted. Raises NOT_FOUND, OFFER_NOT_AVAILABLE."""
    sold = await sellable.product(tx, catalogue, partner.partner_id, product_id)
    option = sold.option(wanted.option_id or "")
    asked = [wanted.slot_id or ""]
    found = await sellable.slots_by_id(tx, catalogue, partner.partner_id, option, asked)
    if not found:
        raise not_found("availability", asked[0])
    if found[0].closed(partner.now()):
        raise DomainError(
            Reason.OFFER_NOT_AVAILABLE,
            f"availability: nothing is sold of {asked[0]} any more; ask for the availability again",
            offer_id=found[0].offer.offer_id,
            why=found[0].offer.unavailable(partner.now()),
        )
    return found[0]


def _content(
    slot: Slot, units: Sequence[BookedUnit], contact: BookingContact, notes: str
) -> BookingContent:
    """What is agreed of a slot. Raises NOT_FOUND for a unit, PASSENGER_NOT_ALLOWED."""
    party = [unit.customer_type for unit in units]
    for index, each in enumerate(party):
        if each not in slot.option.customer_types:
            raise not_found("unit", each)
        check_companion(slot.offer, index, each, party)
    offer, zone = slot.offer, slot.option.zone
    if offer.journey:
        start, end = offer.journey.departure_time, offer.journey.arrival_time
    else:
        start = offer.valid_from_time
        end = start + timedelta(hours=23, minutes=59)
    return BookingContent(
        contact,
        notes,
        tuple(replace(unit, amount_minor=slot.fare_minor(unit.customer_type)) for unit in units),
        offer.currency_code,
        start.astimezone(zone),
        end.astimezone(zone),
        offer.journey is None,
        offer.policy,
        offer.reference_time.astimezone(UTC),
        offer.sale_until_time.astimezone(UTC),
    )


def _travel_date(slot: Slot) -> date:
    assert slot.offer.travel_date is not None, "what is made now has one"
    return slot.offer.travel_date


def _is_elsewhere(was: PartnerBooking, changes: BookingChanges) -> bool:
    """Whether the changes need other stock than the booking holds."""
    row = was.row
    return (
        changes.product_id not in (None, str(row.product_id))
        or changes.option_id not in (None, row.option_id)
        or changes.slot_id not in (None, row.slot_id)
        or (
            changes.units is not None
            and not same_units(
                was.content.customer_types, [unit.customer_type for unit in changes.units]
            )
        )
    )


def _require_words_alone(was: PartnerBooking, changes: BookingChanges) -> None:
    """Raises CHANGE_REFUSED."""
    if _is_elsewhere(was, changes) or changes.hold_seconds is not None:
        raise DomainError(
            Reason.CHANGE_REFUSED,
            "the booking is CONFIRMED: contact, notes and reference can be changed; cancel it and"
            " book again for another departure, day or party",
            ticket_code=was.tickets[0].ticket_code,
            why="NOT_CHANGEABLE",
        )


def _sold(held: PartnerBooking) -> list[SoldTicket]:
    """The tickets of a booking as they are sold. Raises INVALID_FIELD without anybody's name."""
    names = [unit.contact.name or held.content.contact.name for unit in held.content.units]
    if not all(names):
        raise invalid("contact", "says nobody's name; send fullName, or firstName and lastName")
    try:
        names = [read_name(each) for each in names]
    except ValueError as error:
        raise invalid("contact", f"has a name that {error}") from None
    return [
        SoldTicket(
            ticket.ticket_code,
            unit.customer_type,
            name,
            str(held.row.booking_id),
            unit.amount_minor,
            held.content.currency_code,
        )
        for ticket, unit, name in zip(held.tickets, held.content.units, names, strict=True)
    ]
