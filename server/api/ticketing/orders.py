"""Orders between protobuf and plain values."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any

from deeptravel.ticketing.v1 import order_pb2
from deeptravel.tickets.v1 import ticket_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from server.api import convert
from server.api.calls import Later
from server.api.ticketing import offers
from server.catalog.offers import Offer
from server.catalog.pricing import Price
from server.orders.content import SHARED
from server.orders.documents import document_number
from server.orders.hold import Held
from server.orders.passengers import Passenger
from server.orders.prices import NewOrder, Priced, Wish
from server.orders.reader import Shown
from server.orders.watch import Happening
from server.platform.phones import country_of
from server.tickets.rules import DIRECT_CODE, DIRECT_PREFIX, Number

STATES = convert.enum_numbers(order_pb2.OrderState)
STATE_NAMES = convert.enum_names(order_pb2.OrderState)
CANCEL_REASONS = convert.enum_numbers(order_pb2.CancelReason)
DOCUMENT_TYPES = convert.enum_numbers(order_pb2.DocumentType)
DOCUMENT_TYPE_NAMES = convert.enum_names(order_pb2.DocumentType)
CUSTOMER_TYPES = convert.enum_numbers(ticket_pb2.CustomerType)
CUSTOMER_TYPE_NAMES = convert.enum_names(ticket_pb2.CustomerType)
ADULT = "ADULT"
MAX_OFFERS = 20_000
"""Offers with a price that are remembered as they are sent."""

_offers: dict[tuple[Any, str, Price], bytes] = {}


def wishes(request: order_pb2.QuoteOrderRequest | order_pb2.CreateOrderRequest) -> tuple[Wish, ...]:
    """The items of a request."""
    return tuple([Wish(item.offer_id, tuple(item.passenger_indexes)) for item in request.items])


def new_order(request: order_pb2.CreateOrderRequest) -> NewOrder:
    """What CreateOrder asks for."""
    return NewOrder(
        wishes(request),
        tuple(
            [
                Passenger(
                    passenger.name,
                    CUSTOMER_TYPE_NAMES[passenger.customer_type] or ADULT,
                    DOCUMENT_TYPE_NAMES[passenger.document_type],
                    document_number(passenger.document_number),
                )
                for passenger in request.passengers
            ]
        ),
        tuple(request.promotion_codes),
        request.quoted_minor if request.HasField("quoted_minor") else None,
        request.contact_phone,
    )


def party(request: order_pb2.QuoteOrderRequest) -> list[str]:
    """The customer types of QuoteOrder."""
    return [CUSTOMER_TYPE_NAMES[number] or ADULT for number in request.passengers]


def quote(priced: Priced, left: dict[int, int], hold_seconds: int) -> order_pb2.QuoteOrderResponse:
    """The answer to QuoteOrder; `left` is by stock."""
    items = [
        offers.offer_message(
            item.offer,
            item.price,
            seats_left=min([left.get(stock_id, 0) for stock_id in item.offer.stock_ids]),
        )
        for item in priced.items
    ]
    return order_pb2.QuoteOrderResponse(
        total_minor=priced.total_minor,
        currency_code=priced.currency_code,
        items=items,
        hold_seconds=hold_seconds,
    )


def created(
    held: Held, show_as_made: Callable[[int], Awaitable[Shown]]
) -> order_pb2.CreateOrderResponse | Later[Shown, order_pb2.CreateOrderResponse]:
    """The answer to CreateOrder; what a repeat made is read first, by the id of its order."""
    if held.shown is None:
        return Later(asyncio.ensure_future(show_as_made(held.repeated)), _created)
    return _created(held.shown)


def _created(shown: Shown) -> order_pb2.CreateOrderResponse:
    response = order_pb2.CreateOrderResponse()
    _fill(response.order, shown)  # in its place, since to put it there copies it
    return response


def found(shown: Shown) -> order_pb2.GetOrderResponse:
    """The answer to GetOrder."""
    response = order_pb2.GetOrderResponse()
    _fill(response.order, shown)
    return response


def order(shown: Shown) -> order_pb2.Order:
    """An order as the traveller sees it."""
    message = order_pb2.Order()
    _fill(message, shown)
    return message


def _fill(message: order_pb2.Order, shown: Shown) -> None:
    row = shown.order
    message.order_id = row.order_code
    message.state = STATES[row.state]
    message.sequence = row.sequence
    message.total_minor = row.amount_minor
    message.currency_code = row.currency_code
    message.cancel_reason = CANCEL_REASONS[row.cancel_reason or ""]
    message.changes_ticket_code = _ticket_code(row.changes_ticket_id)
    message.credit_minor = row.credit_minor
    if shown.contact_phone:
        message.contact_phone = shown.contact_phone
        message.contact_country_code = country_of(shown.contact_phone)
    _set(message.create_time, row.create_time)
    _set(message.lock_expire_time, row.hold_expire_time)
    if row.pay_time:
        _set(message.pay_time, row.pay_time)
    for passenger in shown.passengers:
        message.passengers.add(
            name=passenger.name,
            customer_type=CUSTOMER_TYPES[passenger.customer_type],
            document_type=DOCUMENT_TYPES[passenger.document_type],
            document_masked=passenger.document_masked,
        )
    for index, (item, offer) in enumerate(zip(row.content.items, shown.offers, strict=True)):
        ordered = message.items.add()
        ordered.offer.MergeFromString(_offer(offer, item.price))
        for passenger_index, seat, amount, ticket_code in _places(shown, index):
            ordered.places.add(
                passenger_index=passenger_index,
                seat=seat,
                amount_minor=amount,
                ticket_code=ticket_code,
            )


def happening(moved: Happening) -> order_pb2.WatchOrderResponse:
    """A move of an order."""
    message = order_pb2.WatchOrderResponse(
        sequence=moved.sequence,
        state=STATES[moved.state],
        cancel_reason=CANCEL_REASONS[moved.cancel_reason or ""],
        event=moved.event,
        ticket_code=_ticket_code(moved.ticket_id),
    )
    _set(message.occurred_time, moved.occurred_time)
    return message


def _places(shown: Shown, item_index: int) -> Iterator[tuple[int, str, int, str]]:
    """Passenger, seat, amount and ticket of each place of an item, the shared ones last."""
    item, offer = shown.order.content.items[item_index], shown.offers[item_index]
    sold = [sale for sale in shown.sold if sale.item_index == item_index] if shown.sold else []
    tickets = {sale.passenger_index: sale for sale in sold}
    for place in item.places:
        sale = tickets.get(place.passenger)
        seat = sale.seat if sale else place.seat
        ticket_id = sale.ticket_id if sale else None
        yield place.passenger, seat or "", place.amount_minor, _ticket_code(ticket_id)
    if shown.order.changes_ticket_id is not None:
        return  # what an order shares stays with it when one of its tickets is changed
    shared = [sale.ticket_id for sale in sold if sale.passenger_index == SHARED]
    for at in range(len([e for e in offer.entitlements if e.get("shared")])):
        yield SHARED, "", 0, _ticket_code(shared[at] if at < len(shared) else None)


def _offer(offer: Offer, price: Price) -> bytes:
    """The offer with its price, as it is sent in orders: they have no seats left, and no reason
    not to be bought.
    """
    key = offer.snapshot_id, offer.offer_id, price
    known = _offers.get(key)
    if known is None:
        if len(_offers) >= MAX_OFFERS:
            _offers.clear()
        known = _offers[key] = offers.offer_message(offer, price).SerializeToString()
    return known


def _set(timestamp: Timestamp, moment: datetime) -> None:
    """As FromDatetime, which takes ten times as long."""
    timestamp.seconds = int(moment.timestamp())
    timestamp.nanos = moment.microsecond * 1000


def _ticket_code(ticket_id: int | None) -> str:
    return "" if ticket_id is None else Number.unpack(ticket_id).code(DIRECT_PREFIX, DIRECT_CODE)
