"""What an order of Ctrip's attractions channel is of: our offers, at prices that we stand by."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels import bookings
from server.channels.booked_offers import NAMELESS
from server.channels.listed_values import offer_id_of, planned
from server.channels.listings import ChannelListing, listings_of
from server.channels.ttd_memory import ForASecond
from server.channels.ttd_messages import TtdItem, TtdOrder
from server.channels.ttd_wire import ResultCode, TtdRefusal
from server.channels.wire import minor_of
from server.orders.passengers import Passenger
from server.orders.prices import Priced, Prices, Wish
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.phones import read_phone_number
from server.platform.statements import run
from server.platform.texts import read_name

REFUSALS = {
    Reason.SOLD_OUT: ResultCode.NO_STOCK,
    Reason.OFFER_NOT_AVAILABLE: ResultCode.OFF_SALE,
    Reason.PRODUCT_NOT_ON_SALE: ResultCode.OFF_SALE,
    Reason.DEPARTURE_CANCELLED: ResultCode.OFF_SALE,
    Reason.NOT_FOUND: ResultCode.WRONG_DATE,
    Reason.TOO_MANY_FOR_TRAVELLER: ResultCode.RESTRICTED,
    Reason.REVOKED: ResultCode.RESTRICTED,
    Reason.PRICE_CHANGED: ResultCode.NO_PRICE,
    Reason.INVALID_FIELD: ResultCode.WRONG,
    Reason.PASSENGER_NOT_ALLOWED: ResultCode.WRONG,
    Reason.DUPLICATE_PASSENGER: ResultCode.WRONG,
    Reason.OVERLAPPING_JOURNEY: ResultCode.WRONG,
}
"""Why something cannot be sold, as the protocol says it."""


class WantedOrder(NamedTuple):
    """An order as ours would have it."""

    wishes: tuple[Wish, ...]
    passengers: tuple[Passenger, ...]
    priced: Priced


def refusal(error: DomainError) -> Exception:
    """What a refusal of ours says to Ctrip; the error itself if it is a fault."""
    code = REFUSALS.get(error.reason)
    return error if code is None else TtdRefusal(code, str(error.reason))


class TtdOffers:
    """Finds what orders are of."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known = ForASecond[dict[str, ChannelListing]]()

    async def wanted(
        self, prices: Prices, channel_code: str, order: TtdOrder, *, now: datetime
    ) -> WantedOrder:
        """What is ordered, at prices that we stand by. Raises TtdRefusal."""
        listed = await self._known.get(channel_code, partial(self._listed, channel_code))
        wanted, known = _priced(prices, listed, order, now=now)
        unknown = [each for each in known if not each.is_met]
        if unknown:
            async with self._db.transaction() as tx:
                for each in unknown:
                    await _check_sent(tx, each)
        return wanted

    async def offer_id(self, channel_code: str, item: TtdItem) -> str:
        """The offer that an item is of. Raises TtdRefusal."""
        listed = await self._known.get(channel_code, partial(self._listed, channel_code))
        return offer_id_of(_listing(listed, item), item.day)

    async def _listed(self, channel_code: str) -> dict[str, ChannelListing]:
        async with self._db.transaction() as tx:
            return {each.item_id: each for each in await listings_of(tx, channel_code)}


class AskedPrice(NamedTuple):
    """The total that Ctrip has an item for, in minor units, and those that it has now."""

    listing: ChannelListing
    item: TtdItem
    asked_minor: int
    known: frozenset[int]

    @property
    def is_met(self) -> bool:
        """Whether it is one of these."""
        return self.asked_minor in self.known


def _priced(
    prices: Prices, listed: Mapping[str, ChannelListing], order: TtdOrder, *, now: datetime
) -> tuple[WantedOrder, list[AskedPrice]]:
    """What is ordered, and the prices that are said. Raises TtdRefusal."""
    asked: list[AskedPrice] = []
    chosen: list[ChannelListing] = []
    wishes: list[Wish] = []
    people: list[Passenger] = []
    for item in order.items:
        listing = _listing(listed, item)
        chosen.append(listing)
        places = range(len(people), len(people) + item.quantity)
        wishes.append(Wish(offer_id_of(listing, item.day), tuple(places)))
        names = (*item.names, *[""] * item.quantity)[: item.quantity]
        people += [Passenger(_name(each), listing.customer_type) for each in names]
    try:
        priced = prices.price(wishes, [each.customer_type for each in people], (), now=now)
        for item, listing, wish, bought in zip(
            order.items, chosen, wishes, priced.items, strict=True
        ):
            alone = prices.price([Wish(wish.offer_id)], [listing.customer_type], (), now=now)
            currency = bought.offer.currency_code
            known = {
                planned(listing, currency, bought.price.total_minor),
                planned(listing, currency, alone.total_minor) * item.quantity,
            }
            if item.price is not None:
                minor = _asked_minor(listing, item)
                asked.append(AskedPrice(listing, item, minor, frozenset(known)))
    except DomainError as error:
        raise refusal(error) from None
    return WantedOrder(tuple(wishes), tuple(people), priced), asked


def _listing(listed: Mapping[str, ChannelListing], item: TtdItem) -> ChannelListing:
    listing = listed.get(item.plu)
    if listing is None or listing.rental_location_id is not None:
        raise TtdRefusal(ResultCode.UNKNOWN_PRODUCT, f"nothing is sold as PLU {item.plu}")
    return listing


def _asked_minor(listing: ChannelListing, item: TtdItem) -> int:
    currency = listing.currency_code
    try:
        minor = minor_of(item.price, currency) * item.quantity
    except ValueError as error:
        raise TtdRefusal(ResultCode.WRONG, f"cost {error}") from None
    if (item.currency_code or currency) != currency:
        raise TtdRefusal(ResultCode.NO_PRICE, f"{item.plu} is sold in {currency}")
    return minor


async def _check_sent(tx: AsyncConnection, asked: AskedPrice) -> None:
    """Raises TtdRefusal for a price that Ctrip was never sent, last or before that."""
    listing, item = asked.listing, asked.item
    place = listing.channel_code, listing.item_id, [item.day], listing.currency_code
    for row in await run(tx, bookings.sent_prices(*place)):
        if asked.asked_minor in {
            row.sent * item.quantity,
            (row.sent_before or row.sent) * item.quantity,
        }:
            return
    raise TtdRefusal(ResultCode.NO_PRICE, f"{item.plu} has another price on {item.day}")


def _name(said: str) -> str:
    try:
        return read_name(said)
    except ValueError:
        return NAMELESS


def phone_of(order: TtdOrder) -> str:
    """The customer's telephone number, E.164, or empty."""
    try:
        return read_phone_number(order.phone)
    except ValueError:
        return ""
