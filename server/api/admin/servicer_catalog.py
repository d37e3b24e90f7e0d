"""The methods of AdminService that are about routes and departures."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from deeptravel.admin.v1 import admin_service_pb2_grpc, catalog_pb2
from deeptravel.ticketing.v1 import offer_pb2
from deeptravel.tickets.v1 import ticket_pb2

from server.aftersales import departures
from server.api import calls, convert, paging, repeats
from server.audit.records import By
from server.catalog import transport
from server.catalog.transport import Departure, Route
from server.platform import clock
from server.platform.database import Database
from server.platform.errors import invalid

KIND = convert.enum_numbers(offer_pb2.OfferKind)
STATE = convert.enum_numbers(catalog_pb2.DepartureState)
STATE_NAME = convert.enum_names(catalog_pb2.DepartureState)
REFUNDS = convert.enum_numbers(catalog_pb2.DepartureRefunds)
REFUNDS_NAME = convert.enum_names(catalog_pb2.DepartureRefunds)
CUSTOMER_TYPE = convert.enum_numbers(ticket_pb2.CustomerType)
CUSTOMER_TYPE_NAME = convert.enum_names(ticket_pb2.CustomerType)


def _by() -> By:
    return By(actor=calls.caller().key, now=clock.now())


class CatalogMethods(admin_service_pb2_grpc.AdminServiceServicer):
    """A part of AdminServicer, which makes the fields; the contract documents each method."""

    _db: Database
    _repeats: repeats.Repeats
    _pages: paging.PageTokens

    async def ListRoutes(self, request: Any, context: Any) -> Any:
        most, cursor = paging.page_size(request), self._pages.decode(request) or [0]
        async with self._db.report(calls.caller().key) as tx:
            found = await transport.list_routes(tx, after=cursor[0], most=most + 1)
        response = catalog_pb2.ListRoutesResponse(routes=map(_route, found[:most]))
        if len(found) > most:
            response.next_page_token = self._pages.encode(request, [found[most - 1].route_id])
        return response

    async def SetRouteFares(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            await transport.set_fares(tx, request.route_id, _fares(request.fares), **_by())
            route = await transport.get_route(tx, request.route_id)
            return catalog_pb2.SetRouteFaresResponse(route=_route(route))

        return await self._repeats.once(request, catalog_pb2.SetRouteFaresResponse, work)

    async def ListDepartures(self, request: Any, context: Any) -> Any:
        most, cursor = paging.page_size(request), self._pages.decode(request) or [-1]
        async with self._db.report(calls.caller().key) as tx:
            found = await transport.list_departures(
                tx,
                route_id=request.route_id,
                day=_day(request.travel_date),
                after=cursor[0],
                most=most + 1,
            )
        response = catalog_pb2.ListDeparturesResponse(departures=map(_departure, found[:most]))
        if len(found) > most:
            response.next_page_token = self._pages.encode(request, [found[most - 1].departure_id])
        return response

    async def GetDeparture(self, request: Any, context: Any) -> Any:
        async with self._db.transaction() as tx:
            found = await transport.get_departure(tx, int(request.departure_id))
        return catalog_pb2.GetDepartureResponse(departure=_departure(found))

    async def CancelDeparture(self, request: Any, context: Any) -> Any:
        departure, refunds = int(request.departure_id), REFUNDS_NAME[request.refunds]

        async def work(tx: Any) -> Any:
            await departures.cancel_departure(
                tx, departure, refunds=refunds, comment=request.comment, **_by()
            )
            found = await transport.get_departure(tx, departure)
            return catalog_pb2.CancelDepartureResponse(departure=_departure(found))

        return await self._repeats.once(request, catalog_pb2.CancelDepartureResponse, work)

    async def MoveDeparture(self, request: Any, context: Any) -> Any:
        departure, to = int(request.departure_id), convert.moment(request, "departure_time")
        assert to is not None, "a required field"

        async def work(tx: Any) -> Any:
            await departures.move_departure(
                tx, departure, departure_time=to, comment=request.comment, **_by()
            )
            found = await transport.get_departure(tx, departure)
            return catalog_pb2.MoveDepartureResponse(departure=_departure(found))

        return await self._repeats.once(request, catalog_pb2.MoveDepartureResponse, work)

    async def SetDepartureState(self, request: Any, context: Any) -> Any:
        departure = int(request.departure_id)

        async def work(tx: Any) -> Any:
            await departures.set_departure_state(tx, departure, STATE_NAME[request.state], **_by())
            found = await transport.get_departure(tx, departure)
            return catalog_pb2.SetDepartureStateResponse(departure=_departure(found))

        return await self._repeats.once(request, catalog_pb2.SetDepartureStateResponse, work)

    async def SetDepartureStock(self, request: Any, context: Any) -> Any:
        departure = int(request.departure_id)

        async def work(tx: Any) -> Any:
            await transport.set_departure_total(
                tx, departure, request.class_code, request.total, **_by()
            )
            found = await transport.get_departure(tx, departure)
            return catalog_pb2.SetDepartureStockResponse(departure=_departure(found))

        return await self._repeats.once(request, catalog_pb2.SetDepartureStockResponse, work)


def _route(route: Route) -> catalog_pb2.Route:
    return catalog_pb2.Route(
        route_id=route.route_id,
        product_id=route.product_id,
        kind=KIND[route.vehicle],
        stop_codes=[call["stop_code"] for call in route.stops],
        class_codes=[each["class_code"] for each in route.fare_classes],
        fares=[
            catalog_pb2.RouteFare(
                class_code=fare["class_code"],
                origin_stop_code=fare["origin"],
                destination_stop_code=fare["destination"],
                customer_type=CUSTOMER_TYPE[fare["customer_type"]],
                day_type=fare["day_type"],
                amount_minor=fare["amount_minor"],
            )
            for fare in route.fares
        ],
    )


def _fares(messages: Iterable[catalog_pb2.RouteFare]) -> list[dict[str, Any]]:
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


def _departure(departure: Departure) -> catalog_pb2.Departure:
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


def _day(written: str) -> date | None:
    try:
        return date.fromisoformat(written) if written else None
    except ValueError:
        raise invalid("travel_date", "is not a day of the calendar; send YYYY-MM-DD") from None
