"""Routes and their departures as protobuf messages, and what requests say of them as plain
values.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

from deeptravel.admin.v1 import catalog_pb2, route_pb2, state_pb2
from deeptravel.ticketing.v1 import offer_pb2
from deeptravel.tickets.v1 import ticket_pb2

from server.api import convert
from server.catalog.routes import VEHICLES, Route
from server.catalog.transport import Departure
from server.platform.errors import invalid
from server.stock.ids import departure_parts

KIND = convert.enum_numbers(offer_pb2.OfferKind)
KIND_NAME = convert.enum_names(offer_pb2.OfferKind)
CATALOGUE_STATE = convert.enum_numbers(state_pb2.CatalogueState)
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
        stops=[catalog_pb2.RouteStop(**call) for call in route.stops],
        fare_classes=map(_class_message, route.fare_classes),
        state=CATALOGUE_STATE[route.state],
        version=route.version,
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
        timetable_id=departure_parts(departure.departure_id)[0],
        version=departure.version,
    )


def travel_day(written: str) -> date | None:
    """The day in `travel_date`; None if there is none. Raises INVALID_FIELD."""
    try:
        return date.fromisoformat(written) if written else None
    except ValueError:
        raise invalid("travel_date", "is not a day of the calendar; send YYYY-MM-DD") from None


def new_route(request: route_pb2.CreateRouteRequest) -> Route:
    """What CreateRoute asks for. Raises INVALID_FIELD."""
    return Route(
        route_id=request.route_id,
        product_id=request.product_id,
        vehicle=vehicle(request.kind),
        stops=route_stops(request.stops),
        fare_classes=route_classes(request.fare_classes),
        fares=route_fares(request.fares),
    )


def vehicle(kind: int) -> str:
    """What a route is travelled by. Raises INVALID_FIELD."""
    name = KIND_NAME[kind]
    if name not in VEHICLES:
        raise invalid("kind", f"is {name}; send TRAIN, FERRY or BUS")
    return name


def route_stops(messages: Iterable[catalog_pb2.RouteStop]) -> list[dict[str, Any]]:
    """The stops of a request, as they are stored."""
    return [
        {
            "stop_code": each.stop_code,
            "arrive_minutes": each.arrive_minutes,
            "depart_minutes": each.depart_minutes,
            "approximate": each.approximate,
        }
        for each in messages
    ]


def route_classes(messages: Iterable[catalog_pb2.RouteClass]) -> list[dict[str, Any]]:
    """The fare classes of a request, as they are stored."""
    return [
        {
            "class_code": each.class_code,
            "class_index": each.class_index,
            "display_name_en": each.display_name_en,
            "display_name_zh": each.display_name_zh,
            "seat_map": _seat_map(each.seat_map) if each.HasField("seat_map") else None,
        }
        for each in messages
    ]


READ_ROUTE: Mapping[str, Callable[..., object]] = {
    "stops": route_stops,
    "fare_classes": route_classes,
    "fares": route_fares,
}
"""Of the fields of UpdateRoute those that are no plain values."""
ROUTE_NAMES = {"kind": "vehicle"}
"""Fields that the domain calls otherwise."""


def _seat_map(message: catalog_pb2.RouteSeatMap) -> dict[str, Any]:
    rows = list(message.rows)
    # as most are written: how many, where they are numbered from 1 on
    content: dict[str, Any] = {
        "rows": len(rows) if rows == list(range(1, len(rows) + 1)) else rows,
        "columns": message.columns,
    }
    if message.missing_seats:
        content["missing"] = list(message.missing_seats)
    return content


def _class_message(each: Mapping[str, Any]) -> catalog_pb2.RouteClass:
    stored = each["seat_map"]
    seat_map = None
    if stored:
        rows = stored["rows"]
        seat_map = catalog_pb2.RouteSeatMap(
            rows=range(1, rows + 1) if isinstance(rows, int) else rows,
            columns=stored["columns"],
            missing_seats=stored.get("missing", ()),
        )
    return catalog_pb2.RouteClass(
        class_code=each["class_code"],
        class_index=each["class_index"],
        display_name_en=each["display_name_en"],
        display_name_zh=each["display_name_zh"],
        seat_map=seat_map,
    )
