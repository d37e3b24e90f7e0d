"""The order behind a booking of a channel: made, paid on account, changed.

Each function is one transaction, or one call of OrderHolds and then one. There is one order for
each (channel, booking, attempt), as it is made under a request_id of these.
"""

from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.aftersales.ticket_changes import ChangeHandler
from server.catalog.offers import Offer
from server.channels import booking_rules as rules
from server.channels import bookings
from server.channels.booked_offers import (
    BookedOffer,
    BookingFaultError,
    NotSoldError,
    booked_offer,
    days_of,
    known_totals,
    new_order,
    seen,
)
from server.channels.booking_ends import actor_of, cancel_pending, locked_order, move
from server.channels.booking_seals import BookingSeals, StoredBooking
from server.channels.facts import Booking, CancellationReason
from server.channels.listed_values import planned
from server.channels.listings import ChannelListing, listings_of
from server.identity import travellers
from server.identity.callers import Traveller
from server.orders import ordered_departures, orders, travel_tickets
from server.orders.hold import OrderHolds
from server.orders.models import orders as orders_table
from server.orders.orders import Order
from server.orders.prices import Prices, Wish
from server.payments.settlement import Settlement
from server.platform.crypto import digest
from server.platform.currencies import money_text
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.statements import run
from server.stock.ids import DIRECT

CUSTOMERS = "channels"
"""The mini-program of travellers who book at channels: none, so nothing is sent to them by it."""
GONE = frozenset(
    {
        Reason.SOLD_OUT,
        Reason.OFFER_NOT_AVAILABLE,
        Reason.NOT_FOUND,
        Reason.PRODUCT_NOT_ON_SALE,
        Reason.DEPARTURE_CANCELLED,
    }
)
"""Why nobody can have it."""
NOT_ALLOWED = frozenset(
    {
        Reason.INVALID_FIELD,
        Reason.PASSENGER_NOT_ALLOWED,
        Reason.TOO_MANY_FOR_TRAVELLER,
        Reason.DUPLICATE_PASSENGER,
        Reason.OVERLAPPING_JOURNEY,
        Reason.REVOKED,
        Reason.ARCHIVED,
        Reason.RESERVATION_TOO_LONG,
    }
)
"""Why this customer cannot."""


class BookingOrders:
    """Makes and changes the orders of bookings."""

    def __init__(
        self,
        db: Database,
        seals: BookingSeals,
        order_holds: OrderHolds,
        settlement: Settlement,
        change_handler: ChangeHandler,
    ) -> None:
        self._db = db
        self._seals = seals
        self._order_holds = order_holds
        self._settlement = settlement
        self._changes = change_handler

    async def reserve(self, booking: StoredBooking, *, now: datetime) -> StoredBooking:
        """Checks the price, and makes the order that holds what is booked. Raises
        BookingFaultError, NotSoldError, BookingMovedError.
        """
        prices, content = await self._order_holds.prices(), self._seals.open(booking)
        async with self._db.transaction() as tx:
            at = seen(booking, now)
            found = await self._found(tx, prices, booking, content, at=at)
            total_minor = await _checked_total(tx, prices, found, content, now=now)
            who = self._seals.customer(content)
            try:
                traveller = await travellers.log_in(
                    tx, app_id=CUSTOMERS, openid=who, unionid=None, now=now
                )
            except DomainError as error:
                raise not_sold(error) from None
        request_id = f"{booking.name}:{booking.attempt}"
        try:
            held = await self._order_holds.submit(
                traveller,
                new_order(found, content, total_minor),
                request_id=request_id,
                content_hash=digest(request_id.encode()),
            )
        except DomainError as error:
            raise not_sold(error) from None
        order_id = held.shown.order.order_id if held.shown else held.repeated
        reserved = booking._replace(
            state=rules.RESERVED,
            order_id=order_id,
            confirmation_number=booking.confirmation_number or orders.order_code(order_id),
            fault="",
        )
        return await self._db.in_transaction(lambda tx: move(tx, booking, reserved, now=now))

    async def is_ours(self, booking: StoredBooking) -> bool:
        """Whether the order is ours: of cars, too, before a partner had orders of these."""
        if booking.order_id is None:
            return False
        owner = select(orders_table.c.partner_id)
        async with self._db.transaction() as tx:
            owned = owner.where(orders_table.c.order_id == booking.order_id)
            return await tx.scalar(owned) == DIRECT

    async def pay(self, booking: StoredBooking, *, now: datetime) -> StoredBooking:
        """Has the order paid on account, with its tickets; RECEIVED again if its hold expired
        meanwhile, or its departure was cancelled. Raises BookingMovedError.
        """

        async def work(tx: AsyncConnection) -> StoredBooking:
            order = await locked_order(tx, booking)
            if order.state == "PENDING":
                departures = await ordered_departures.of_order(tx, order.order_id)
                if ordered_departures.cancelled(departures) is None:
                    paid = booking._replace(state=rules.CONFIRM_PENDING)
                    moved = await move(tx, booking, paid, now=now)
                    await self._settle(tx, order, booking, now=now)
                    return moved
                await cancel_pending(tx, order, "DEPARTURE_CANCELLED", booking, now=now)
            again = booking._replace(
                state=rules.RECEIVED,
                order_id=None,
                attempt=booking.attempt + 1,
                confirmation_number="",
            )
            return await move(tx, booking, again, now=now)

        return await self._db.in_transaction(work)

    async def change(self, booking: StoredBooking, *, now: datetime) -> StoredBooking:
        """Changes the order as the customer has changed the booking; what that costs goes by the
        rules of a ticket change. Raises BookingFaultError, BookingMovedError.
        """
        prices, content = await self._order_holds.prices(), self._seals.open(booking)

        async def work(tx: AsyncConnection) -> StoredBooking:
            at = booking.create_time
            found = await self._found(tx, prices, booking, content, at=at)
            order = (await orders.read(tx, [booking.order_id or 0]))[booking.order_id or 0]
            order_id = order.order_id
            if found.offer_id not in [item.offer_id for item in order.content.items]:
                found = await self._found(tx, prices, booking, content, at=seen(booking, now))
                await _checked_total(tx, prices, found, content, now=now)
                order_id = await self._changed(tx, order, found, booking, prices=prices, now=now)
            waiting = booking._replace(
                state=rules.CONFIRM_PENDING, order_id=order_id, is_asked=False, fault=""
            )
            return await move(tx, booking, waiting, now=now)

        try:
            return await self._db.in_transaction(work)
        except (NotSoldError, DomainError) as error:
            if isinstance(error, DomainError) and error.reason not in FINAL_FOR_CHANGES:
                raise
            raise BookingFaultError(f"the change cannot be made: {error}") from None

    async def _changed(
        self,
        tx: AsyncConnection,
        order: Order,
        found: BookedOffer,
        booking: StoredBooking,
        *,
        prices: Prices,
        now: datetime,
    ) -> int:
        """The number of the order that holds the changed ticket."""
        traveller = Traveller(order.traveller_id)
        all_tickets = await travel_tickets.of_order(tx, order.order_id)
        (code,) = [each.ticket_code for each in all_tickets if not each.is_shared]
        quote = await self._changes.quote(
            tx, traveller, code, found.offer_id, prices=prices, now=now
        )
        made = await self._changes.change(tx, traveller, code, quote.text, prices=prices, now=now)
        if made.order.state == "PENDING":
            await self._settle(tx, made.order, booking, now=now)
        else:
            await run(tx, orders.pay_on_account(made.order.order_id, booking.name))
        return made.order.order_id

    async def _settle(
        self, tx: AsyncConnection, order: Order, booking: StoredBooking, *, now: datetime
    ) -> None:
        await run(tx, orders.pay_on_account(order.order_id, booking.name))
        await self._settlement.settle_order(
            tx, order, pay_time=now, now=now, actor=actor_of(booking)
        )

    async def _found(
        self,
        tx: AsyncConnection,
        prices: Prices,
        booking: StoredBooking,
        content: Booking,
        *,
        at: datetime,
    ) -> BookedOffer:
        listed = await listings_of(tx, booking.channel_code)
        return booked_offer(prices.catalogue, listed, content, at=at)


FINAL_FOR_CHANGES = GONE | NOT_ALLOWED | {Reason.CHANGE_REFUSED}
"""Why a change cannot be made, however often it is tried."""


async def _checked_total(
    tx: AsyncConnection,
    prices: Prices,
    found: BookedOffer,
    content: Booking,
    *,
    now: datetime,
) -> int:
    """What it costs now, in the product's currency. Raises NotSoldError for a booking whose total
    is none that we stand by.
    """
    listing = found.listing
    try:
        priced = prices.price([Wish(found.offer_id)], [listing.customer_type], (), now=now)
    except DomainError as error:
        raise not_sold(error) from None
    await require_known_total(tx, listing, priced.items[0].offer, priced.total_minor, content)
    return priced.total_minor


async def require_known_total(
    tx: AsyncConnection,
    listing: ChannelListing,
    offer: Offer,
    total_minor: int,
    content: Booking,
) -> None:
    """Raises NotSoldError for a booking whose total is none that we stand by; now it costs
    `total_minor` in the product's currency.
    """
    days: list[date] = days_of(offer, content)
    command = bookings.sent_prices(
        listing.channel_code, listing.item_id, days, listing.currency_code
    )
    sent = {each.day: each for each in await run(tx, command)}
    by_day = {day: sent.get(day) for day in days}
    known = known_totals(listing, offer, total_minor, by_day)
    total = content.total
    if total.currency_code != listing.currency_code or total.minor not in known:
        asked = money_text(
            planned(listing, offer.currency_code, total_minor), listing.currency_code
        )
        booked = money_text(*total)
        raise NotSoldError(CancellationReason.OTHER, f"it was booked for {booked}, and is {asked}")


def not_sold(error: DomainError) -> Exception:
    """What a refusal says of a booking, with the field that is refused but never its value; the
    error itself if it is none.
    """
    if error.reason in GONE:
        why = error.metadata.get("why")
        said = f"{error.reason}: {why}" if why else str(error.reason)
        return NotSoldError(CancellationReason.VEHICLE_UNAVAILABLE, said)
    if error.reason in NOT_ALLOWED:
        fields = ", ".join(field for field, _ in error.violations)
        said = f"{error.reason}: {fields}" if fields else str(error.reason)
        return NotSoldError(CancellationReason.OTHER, said)
    return error
