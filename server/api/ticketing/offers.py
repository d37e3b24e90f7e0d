"""Offers, prices and products as protobuf messages."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import orjson
from deeptravel.ticketing.v1 import offer_pb2, rental_pb2
from deeptravel.tickets.v1 import ticket_pb2

from server.api import convert
from server.api.ticketing import rentals
from server.catalog import offers as catalog
from server.catalog.car_categories import RENTAL
from server.catalog.catalogue import PACKAGE, TRANSPORT, Catalogue
from server.catalog.listed import CatalogueCity, ListedProduct
from server.catalog.offers import Offer, OfferJourney
from server.catalog.policy import Policy, TicketStart
from server.catalog.policy_words import Summary, summary
from server.catalog.pricing import EXTRA, FARE, PROMOTION, WAIVER, Price, PriceLine
from server.search.listing import Query
from server.search.rentals import ListedRental
from server.search.search import Found, OfferDay

STARTS = {
    PACKAGE: TicketStart.FIRST_DAY,
    TRANSPORT: TicketStart.DEPARTURE,
    RENTAL: TicketStart.PICK_UP,
}
KINDS = convert.enum_numbers(offer_pb2.OfferKind)
KIND_NAMES = convert.enum_names(offer_pb2.OfferKind)
ORDER_NAMES = convert.enum_names(offer_pb2.OfferOrder)
UNAVAILABLE_REASONS = convert.enum_numbers(offer_pb2.UnavailableReason)
LINE_KINDS = convert.enum_numbers(offer_pb2.PriceLineKind)
CUSTOMER_TYPES = convert.enum_numbers(ticket_pb2.CustomerType)
CUSTOMER_TYPE_NAMES = convert.enum_names(ticket_pb2.CustomerType)
ADULT = "ADULT"


def city(found: CatalogueCity) -> offer_pb2.City:
    """A city."""
    return offer_pb2.City(
        city_code=found.city_code,
        display_name_en=found.display_name_en,
        display_name_zh=found.display_name_zh,
        time_zone=found.time_zone,
    )


def query(request: offer_pb2.SearchOffersRequest) -> Query:
    """What SearchOffers asks for."""
    return Query(
        origin_city_code=request.origin_city_code,
        destination_city_code=request.destination_city_code,
        travel_date=request.travel_date,
        party=tuple([CUSTOMER_TYPE_NAMES[number] or ADULT for number in request.passengers]),
        nearby_days=request.nearby_days,
        kinds=frozenset([KIND_NAMES[number] for number in request.kinds]) - {""},
        fare_classes=frozenset(request.fare_classes),
        departs_from=request.departs_from,
        departs_until=request.departs_until,
        available_only=request.available_only,
        promotion_codes=tuple(request.promotion_codes),
        order_by=ORDER_NAMES[request.order_by] or "DEPARTURE_TIME",
    )


def search_response(found: Found) -> offer_pb2.SearchOffersResponse:
    """The answer to SearchOffers, without page token."""
    response = offer_pb2.SearchOffersResponse(days=map(_day, found.days))
    parts: list[bytes] = []
    for offer, price, seats_left, unavailable in found.offers:
        moment = _encoded_moment(seats_left, unavailable)
        head = _head(len(offer) + len(price) + len(moment))
        parts += (head, offer, price, moment)
    response.MergeFromString(b"".join(parts))
    return response


@lru_cache(maxsize=10_000)
def _encoded_moment(seats_left: int, unavailable: str) -> bytes:
    """What makes an encoded offer, when appended to it, one with what is left, and why it cannot be
    bought.
    """
    reason = UNAVAILABLE_REASONS[unavailable]
    message = offer_pb2.Offer(seats_left=seats_left, unavailable_reason=reason)
    encoded: bytes = message.SerializeToString()
    return encoded


@lru_cache(maxsize=10_000)
def _head(size: int) -> bytes:
    """What stands before an encoded offer of so many bytes in a SearchOffersResponse: field,
    wire type 2, size.
    """
    field = offer_pb2.SearchOffersResponse.DESCRIPTOR.fields_by_name["offers"].number
    return _varint(field << 3 | 2) + _varint(size)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def offer_message(
    offer: Offer, price: Price | None, *, seats_left: int = 0, unavailable: str = ""
) -> offer_pb2.Offer:
    """An offer with a party's price; none where somebody of the party has no fare."""
    message = offer_pb2.Offer(
        offer_id=offer.offer_id,
        kind=KINDS[offer.kind],
        product_id=offer.product_id,
        display_name_en=offer.display_name_en,
        display_name_zh=offer.display_name_zh,
        journey=_journey(offer.journey, numbered=offer.seat_map is not None)
        if offer.journey
        else None,
        rental=rentals.rental_message(offer.rental) if offer.rental else None,
        price=price_message(price, offer.currency_code) if price else None,
        seats_left=seats_left,
        unavailable_reason=UNAVAILABLE_REASONS[unavailable],
        policy=policy_message(offer.policy, offer.currency_code, start=offer.start),
        entitlements=map(_entitlement, offer.entitlements),
        provisional=offer.provisional,
    )
    message.valid_from_time.FromDatetime(offer.valid_from_time)
    message.valid_until_time.FromDatetime(offer.valid_until_time)
    return message


def rentals_response(found: Iterable[ListedRental]) -> rental_pb2.SearchRentalsResponse:
    """The answer to SearchRentals, without page token."""
    offers = []
    for each in found:
        message = offer_message(
            each.offer, each.price, seats_left=each.left, unavailable=each.unavailable
        )
        message.rental.extras.extend(map(rentals.extra_message, each.choices))
        offers.append(message)
    return rental_pb2.SearchRentalsResponse(offers=offers)


def encoded_offer(offer: Offer) -> bytes:
    """An offer as it is sent, but for what depends on party and moment."""
    message: bytes = offer_message(offer, None).SerializeToString()
    return message


def encoded_price(price: Price, currency_code: str) -> bytes:
    """What makes an encoded offer, when appended to it, one with a price."""
    message = offer_pb2.Offer(price=price_message(price, currency_code))
    encoded: bytes = message.SerializeToString()
    return encoded


def price_message(price: Price, currency_code: str) -> offer_pb2.Price:
    """What a party pays, line by line."""
    return offer_pb2.Price(
        total_minor=price.total_minor,
        currency_code=currency_code,
        lines=map(_line, price.lines),
    )


def policy_message(
    policy: dict[str, Any], currency_code: str, *, start: TicketStart
) -> offer_pb2.PolicySummary:
    """Refund and change, as numbers and in words."""
    summary = _summary(orjson.dumps(policy, option=orjson.OPT_SORT_KEYS), currency_code, start)
    rules = summary.policy
    return offer_pb2.PolicySummary(
        refund_tiers=[
            offer_pb2.RefundTier(minutes_before=tier.minutes_before, percent=tier.percent)
            for tier in rules.refund_tiers
        ],
        refund_fee_minor=rules.refund_fee_minor,
        changes_allowed=rules.changes_allowed,
        change_fee_minor=rules.change_fee_minor,
        text_en=f"{summary.refund_en} {summary.change_en} {summary.operator_en}".rstrip(),
        text_zh=f"{summary.refund_zh}{summary.change_zh}{summary.operator_zh}",
    )


def product(catalogue: Catalogue, found: ListedProduct) -> offer_pb2.GetProductResponse:
    """A product as a traveller sees it."""
    return offer_pb2.GetProductResponse(
        product_id=found.product_id,
        kind=KINDS[catalogue.vehicle(found.product_id)],
        display_name_en=found.display_name_en,
        display_name_zh=found.display_name_zh,
        currency_code=found.currency_code,
        fares=[
            offer_pb2.ProductFare(
                customer_type=CUSTOMER_TYPES[fare["customer_type"]],
                day_type=fare["day_type"],
                amount_minor=fare["amount_minor"],
            )
            for fare in (found.fares if found.kind != TRANSPORT else ())
        ],
        tiers=[offer_pb2.PartyTier(**tier) for tier in found.tiers],
        entitlements=map(_entitlement, found.entitlements),
        policy=policy_message(found.policy, found.currency_code, start=STARTS[found.kind]),
        blackout_dates=[day.isoformat() for day in sorted(found.blackout_dates)],
        validity_days=found.validity_days,
        max_per_traveller=found.max_per_traveller,
    )


@lru_cache(maxsize=1024)
def _summary(policy: bytes, currency_code: str, start: TicketStart) -> Summary:
    """Policies are few, offers are many."""
    return summary(Policy.parse(orjson.loads(policy)), currency_code, start=start)


def _journey(journey: OfferJourney, *, numbered: bool) -> offer_pb2.Journey:
    headway_minutes = -(-(journey.headway_seconds or 0) // 60)
    text_en, text_zh = _headway_texts(headway_minutes)
    message = offer_pb2.Journey(
        departure_id=str(journey.departure_id),
        service_number=journey.service_number,
        fare_class=journey.fare_class,
        fare_class_name_en=journey.fare_class_name_en,
        fare_class_name_zh=journey.fare_class_name_zh,
        origin=_stop(journey.origin),
        destination=_stop(journey.destination),
        numbered_seats=numbered,
        headway_minutes=headway_minutes,
        headway_text_en=text_en,
        headway_text_zh=text_zh,
    )
    message.departure_time.FromDatetime(journey.departure_time)
    message.arrival_time.FromDatetime(journey.arrival_time)
    return message


def _headway_texts(minutes: int) -> tuple[str, str]:
    """How often a service without a timetable leaves, in English and Chinese; empty for one that
    has one.
    """
    if not minutes:
        return "", ""
    often = "minute" if minutes == 1 else f"{minutes} minutes"
    return f"about every {often}", f"约每{minutes}分钟一班"


def _stop(stop: catalog.OfferStop) -> offer_pb2.Stop:
    return offer_pb2.Stop(
        stop_code=stop.stop_code,
        city_code=stop.city_code,
        display_name_en=stop.display_name_en,
        display_name_zh=stop.display_name_zh,
    )


def _line(line: PriceLine) -> offer_pb2.PriceLine:
    name_en, name_zh = _line_names(line)
    return offer_pb2.PriceLine(
        kind=LINE_KINDS[line.kind],
        customer_type=CUSTOMER_TYPES[line.customer_type],
        quantity=line.quantity,
        unit_minor=line.unit_minor,
        amount_minor=line.amount_minor,
        percent_off=line.percent,
        promotion_code=line.code if line.kind != EXTRA else "",
        extra_code=line.code if line.kind == EXTRA else "",
        display_name_en=name_en,
        display_name_zh=name_zh,
    )


_TRAVELLER_NAMES = {
    "ADULT": ("Adult", "成人"),
    "CHILD": ("Child", "儿童"),
    "SENIOR": ("Senior", "长者"),
    "STUDENT": ("Student", "学生"),
    "PET": ("Pet", "宠物"),
}


def _line_names(line: PriceLine) -> tuple[str, str]:
    """What a line is called in English and Chinese: promotions, charges and
    the days of a rental have names of their own.
    """
    if line.kind == PROMOTION or line.name_en:
        return line.name_en, line.name_zh
    name_en, name_zh = _TRAVELLER_NAMES[line.customer_type or "ADULT"]
    if line.kind == FARE:
        return f"{name_en} fare", f"{name_zh}票"
    if line.kind == WAIVER:
        return "Borne by the operator", "由营运方承担"
    return f"Group discount {line.percent}%", f"多人优惠 {line.percent}%"


def _entitlement(entitlement: dict[str, Any]) -> offer_pb2.OfferedEntitlement:
    return offer_pb2.OfferedEntitlement(
        function_code=entitlement["function_code"],
        display_name_en=entitlement["display_name_en"],
        display_name_zh=entitlement["display_name_zh"],
        total_uses=entitlement["total_uses"],
        shared=bool(entitlement.get("shared")),
    )


def _day(day: OfferDay) -> offer_pb2.OfferDay:
    return offer_pb2.OfferDay(
        travel_date=day.travel_date.isoformat(),
        day_type=day.day_type,
        holiday_name_en=day.holiday_name_en,
        holiday_name_zh=day.holiday_name_zh,
        offer_count=day.offer_count,
        lowest_price_minor=day.lowest_price_minor,
        currency_code=day.currency_code,
        unavailable_reason=UNAVAILABLE_REASONS[day.unavailable_reason],
        provisional=day.provisional,
    )
