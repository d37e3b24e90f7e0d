"""Routes and departures as protobuf messages, and what requests say of them as plain values."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from deeptravel.admin.v1 import catalog_pb2
from deeptravel.ticketing.v1 import offer_pb2
from deeptravel.tickets.v1 import ticket_pb2

from server.api import convert
from server.catalog.routes import Route
from server.catalog.transport import Departure
from server.platform.errors import invalid

KIND = convert.enum_numbers(offer_pb2.OfferKind)
STATE = convert.enum_numbers(catalog_pb2.DepartureState)
STATE_NAME = convert.enum_names(catalog_pb2.DepartureState)
REFUNDS = convert.enum_numbers(catalog_pb2.DepartureRefunds)
REFUNDS_NAME = convert.enum_names(catalog_pb2.DepartureRefunds)
CUSTOMER_TYPE = convert.enum_numbers(ticket_pb2.CustomerType)
CUSTOMER_TYPE_NAME = convert.enum_names(ticket_pb2.CustomerType)


def route_message(route: Route) -> catalog_pb2.Route:
    """A route with its fares."""
    return catalog_pb2.Route(
        route_id=route.route_id,
        product_id=route.product_id,
        kind=KIND[route.vehicle],
        stop_codes=[call["stop_code"] for call in route.stops],
        class_codes=[each["class_code"] for each in route.fare_classes],
        fares=fare_messages(route.fares),
    )


def fare_messages(stored: Iterable[Mapping[str, Any]]) -> list[catalog_pb2.RouteFare]:
    """Fares of a route."""
    return [
        catalog_pb2.RouteFare(
            class_code=fare["class_code"],
            origin_stop_code=fare["origin"],
            destination_stop_code=fare["destination"],
            customer_type=CUSTOMER_TYPE[fare["customer_type"]],
            day_type=fare["day_type"],
            amount_minor=fare["amount_minor"],
        )
        for fare in stored
    ]


def route_fares(messages: Iterable[catalog_pb2.RouteFare]) -> list[dict[str, Any]]:
    """The fares of a request, as they are stored."""
    return [
        {
            "class_code": each.class_code,
            "origin": each.origin_stop_code,
            "destination": each.destination_stop_code,
            "customer_type": CUSTOMER_TYPE_NAME[each.customer_type],
            "day_type": each.day_type,
            "amount_minor": each.amount_minor,
        }
        for each in messages
    ]


def departure_message(departure: Departure) -> catalog_pb2.Departure:
    """A departure with our own seats."""
    return catalog_pb2.Departure(
        departure_id=str(departure.departure_id),
        route_id=departure.route_id,
        service_number=departure.service_number,
        travel_date=departure.travel_date.isoformat(),
        departure_time=convert.timestamp(departure.departure_time),
        state=STATE[departure.state],
        stocks=[
            catalog_pb2.DepartureStock(
                class_code=each.fare_class,
                total=each.total,
                held=each.held,
                sold=each.sold,
                available=each.total - each.held - each.sold,
            )
            for each in departure.seats
        ],
        planned_departure_time=convert.timestamp(departure.planned_time),
        cancel_time=convert.timestamp(departure.cancel_time),
        refunds=REFUNDS[departure.cancel_refunds or ""],
    )


def travel_day(written: str) -> date | None:
    """The day in `travel_date`; None if there is none. Raises INVALID_FIELD."""
    try:
        return date.fromisoformat(written) if written else None
    except ValueError:
        raise invalid("travel_date", "is not a day of the calendar; send YYYY-MM-DD") from None
