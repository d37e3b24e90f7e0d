"""The order behind a booking of a channel that sells a partner's allotment: taken of that partner's
stock and of nobody else's, and the partner's own. Of a package or departure it is a booking of the
partner's, of a car what `server/partners/rented_cars.py` sells.

It is sold in the transaction that moves the channel's booking, a partner's booking under an id made
of (channel, booking, attempt): so there is one of each. There is nothing of it that could expire.
"""

from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import pricing
from server.catalog.catalogue import Catalogue, Catalogues
from server.channels import allotted_cars as cars
from server.channels import booking_rules as rules
from server.channels.booked_offers import (
    BookingFaultError,
    NotSoldError,
    name_of,
    seen,
)
from server.channels.booking_ends import move
from server.channels.booking_orders import FINAL_FOR_CHANGES, not_sold, require_known_total
from server.channels.booking_seals import BookingSeals, StoredBooking
from server.channels.facts import Booking, CancellationReason
from server.channels.listed_values import offer_id_of
from server.channels.listings import ChannelListing
from server.identity.callers import Partner
from server.orders.partner_orders import NewPartnerOrder
from server.parties.partners import PARTNERS
from server.partners import rented_cars
from server.partners.booking_content import BookedUnit, BookingContact
from server.partners.booking_rows import PartnerBooking, orders_of
from server.partners.bookings import Booker, BookingChanges, WantedBooking
from server.partners.sellable import WHOLE
from server.platform.crypto import digest
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.statements import run
from server.stock.ids import departure_id


class AllotmentOrders:
    """Makes, changes and ends them."""

    def __init__(
        self,
        db: Database,
        seals: BookingSeals,
        booker: Booker,
        catalogues: Catalogues,
        zone: ZoneInfo,
    ) -> None:
        self._db = db
        self._zone = zone
        self._seals = seals
        self._booker = booker
        self._catalogues = catalogues

    async def reserve(
        self, booking: StoredBooking, partner_code: str, *, now: datetime
    ) -> StoredBooking:
        """Checks the price, and sells what is booked: CONFIRM_PENDING. Raises BookingFaultError,
        NotSoldError, BookingMovedError.
        """
        catalogue = await self._catalogues.get()

        async def work(tx: AsyncConnection) -> StoredBooking:
            partner = await _partner(tx, partner_code)
            return await self._sell(tx, booking, booking, partner, catalogue=catalogue, now=now)

        try:
            return await self._db.in_transaction(work)
        except DomainError as error:
            raise not_sold(error) from None

    async def change(
        self, booking: StoredBooking, partner_code: str, *, now: datetime
    ) -> StoredBooking:
        """Sells what the customer has changed the booking to, and gives the former back by its
        policy, both or neither. Raises BookingFaultError, BookingMovedError.
        """
        catalogue, content = await self._catalogues.get(), self._seals.open(booking)

        async def work(tx: AsyncConnection) -> StoredBooking:
            partner = await _partner(tx, partner_code)
            if car := await rented_cars.find(tx, partner, booking.order_id or 0):
                same = await cars.make_room(
                    tx, booking, content, partner, car, catalogue=catalogue, now=now
                )
                if same:
                    return await move(tx, booking, same, now=now)
                again = booking._replace(attempt=booking.attempt + 1)
                return await self._sell(tx, booking, again, partner, catalogue=catalogue, now=now)
            former = await self._booker.get(tx, partner, _booking_id(booking), now=now)
            found = await cars.booked(tx, catalogue, booking, content, at=booking.create_time)
            listing = found.listing
            option_id, slot_id = _place(catalogue, listing, content)
            if (former.row.option_id, former.row.slot_id) == (option_id, slot_id):
                same = booking._replace(state=rules.CONFIRM_PENDING, is_asked=False, fault="")
                return await move(tx, booking, same, now=now)
            again = booking._replace(attempt=booking.attempt + 1)
            sold = await self._sell(tx, booking, again, partner, catalogue=catalogue, now=now)
            await self._booker.cancel(tx, partner, _booking_id(booking), "changed", now=now)
            return sold

        try:
            return await self._db.in_transaction(work)
        except (NotSoldError, DomainError) as error:
            final = FINAL_FOR_CHANGES | {Reason.REFUND_REFUSED}
            if isinstance(error, DomainError) and error.reason not in final:
                raise
            raise BookingFaultError(f"the change cannot be made: {error}") from None

    async def end(
        self, booking: StoredBooking, partner_code: str, *, now: datetime
    ) -> StoredBooking:
        """Gives back what is cancelled at the vendor: whole if it was never confirmed or we cancel
        it, else as its policy says. Raises BookingMovedError.
        """
        was_rejected = booking.state == rules.REJECT_PENDING
        ended = booking._replace(
            state=rules.REJECTED if was_rejected else rules.CANCELLED, is_asked=False, fault=""
        )

        async def work(tx: AsyncConnection) -> StoredBooking:
            after = ended
            if booking.order_id is not None:
                record = await PARTNERS.get(tx, partner_code)
                partner = Partner(record.partner_id, partner_code, record.requests_per_minute)
                after = await self._give_back(tx, booking, ended, partner, now=now)
            return await move(tx, booking, after, now=now)

        return await self._db.in_transaction(work)

    async def _give_back(
        self,
        tx: AsyncConnection,
        booking: StoredBooking,
        ended: StoredBooking,
        partner: Partner,
        *,
        now: datetime,
    ) -> StoredBooking:
        whole = booking.confirm_time is None or bool(booking.cancel_reason)
        booking_id = _booking_id(booking)
        if car := await rented_cars.find(tx, partner, booking.order_id or 0):
            return await cars.give_back(tx, booking, ended, partner, car, whole=whole, now=now)
        was = await self._booker.get(tx, partner, booking_id, now=now)
        if was.status == "CANCELLED":  # as with its departure: nothing is kept of it
            return ended
        why = booking.cancel_comment or "cancelled at the channel"
        try:
            gone = await self._booker.cancel(tx, partner, booking_id, why, whole=whole, now=now)
        except DomainError as error:
            return cars.kept(booking, ended, error)
        paid = sum(each.amount_minor for each in gone.content.units)
        back = gone.row.refund_minor
        fee = rules.kept_of(booking.total_minor, paid_minor=paid, back_minor=back)
        return ended._replace(fee_minor=fee)

    async def _sell(
        self,
        tx: AsyncConnection,
        before: StoredBooking,
        booking: StoredBooking,
        partner: Partner,
        *,
        catalogue: Catalogue,
        now: datetime,
    ) -> StoredBooking:
        """The booking with the order that was made of it."""
        content = self._seals.open(booking)
        found = await cars.booked(tx, catalogue, booking, content, at=seen(booking, now))
        listing = found.listing
        if listing.rental_location_id is not None:
            offer, sale = await cars.rented(tx, catalogue, found, booking, content, now=now)
            order = await rented_cars.sell(
                tx, self._db, partner, offer, sale, zone=self._zone, now=now
            )
        else:
            wanted = _wanted(catalogue, listing, booking, content)
            await _check_total(tx, catalogue, listing, content)
            await self._booker.hold(tx, partner, wanted, catalogue=catalogue, now=now)
            sold = await self._booker.confirm(
                *(tx, partner, wanted.booking_id, BookingChanges()),
                content_hash=wanted.content_hash,
                catalogue=catalogue,
                now=now,
            )
            order = NewPartnerOrder(await _order_id(tx, sold), sold.row.order_code)
        after = booking._replace(
            state=rules.CONFIRM_PENDING,
            order_id=order.order_id,
            confirmation_number=booking.confirmation_number or order.order_code,
            is_asked=False,
            fault="",
        )
        return await move(tx, before, after, now=now)


async def _partner(tx: AsyncConnection, partner_code: str) -> Partner:
    """Who sells. Raises REVOKED and ARCHIVED."""
    record = await PARTNERS.rely_on(tx, partner_code)
    return Partner(record.partner_id, partner_code, record.requests_per_minute)


async def _order_id(tx: AsyncConnection, sold: PartnerBooking) -> int:
    return (await run(tx, orders_of(sold.row.ticket_ids)))[0].order_id


def _booking_id(booking: StoredBooking) -> UUID:
    return uuid5(NAMESPACE_URL, f"channel-booking:{booking.name}:{booking.attempt}")


def _place(catalogue: Catalogue, listing: ChannelListing, content: Booking) -> tuple[str, str]:
    """Option and slot of what is booked, as partners name them. Raises NotSoldError."""
    day = content.pickup_day
    if listing.timetable_id is None:
        return WHOLE, day.isoformat()
    route_id = catalogue.route_of(listing.timetable_id)
    if route_id is None:
        raise NotSoldError(CancellationReason.VEHICLE_UNAVAILABLE, "the timetable is archived")
    places = listing.class_index, listing.origin_index, listing.destination_index
    option_id = "-".join(map(str, (route_id, *places)))
    return option_id, str(departure_id(listing.timetable_id, day))


def _wanted(
    catalogue: Catalogue, listing: ChannelListing, booking: StoredBooking, content: Booking
) -> WantedBooking:
    option_id, slot_id = _place(catalogue, listing, content)
    offer = catalogue.offer(offer_id_of(listing, content.pickup_day))
    if offer is None:
        raise NotSoldError(CancellationReason.VEHICLE_UNAVAILABLE, "it is not on sale")
    customer = content.customer
    contact = BookingContact(
        full_name=name_of(customer), email=customer.email, phone=customer.phone
    )
    return WantedBooking(
        booking_id=_booking_id(booking),
        product_id=str(offer.product_id),
        option_id=option_id,
        slot_id=slot_id,
        units=(BookedUnit(listing.customer_type, listing.customer_type),),
        contact=contact,
        notes="",
        reseller_reference=booking.name,
        hold_seconds=None,
        content_hash=digest(f"{booking.name}:{booking.attempt}".encode()),
    )


async def _check_total(
    tx: AsyncConnection, catalogue: Catalogue, listing: ChannelListing, content: Booking
) -> None:
    """Raises NotSoldError for a total that is none that we stand by. A partner sells at the
    fare.
    """
    offer = catalogue.offer(offer_id_of(listing, content.pickup_day))
    assert offer is not None, "what is wanted of it is known"
    try:
        fare = pricing.fare_of(offer.fares, listing.customer_type, offer.day_type)
    except pricing.NoFare:
        raise NotSoldError(CancellationReason.OTHER, "it has no fare") from None
    await require_known_total(tx, listing, offer, fare, content)
