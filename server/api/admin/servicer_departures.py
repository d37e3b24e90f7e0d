"""The methods of AdminService about departures."""

from datetime import datetime

from deeptravel.admin.v1 import catalog_pb2

from server.aftersales import disruptions
from server.api import convert
from server.api.admin.route_messages import (
    REFUNDS_NAME,
    STATE_NAME,
    departure_message,
    travel_day,
)
from server.api.admin.table import AdminMethods, by
from server.api.calls import Context
from server.api.paging import Page, paged
from server.api.repeats import ChangingCall, changing
from server.catalog import departures, transport
from server.identity.callers import Admin


class DepartureMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    @paged
    async def ListDepartures(
        self, request: catalog_pb2.ListDeparturesRequest, page: Page[Admin, int]
    ) -> catalog_pb2.ListDeparturesResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await transport.list_departures(
                tx,
                route_id=request.route_id,
                timetable_id=request.timetable_id,
                state=STATE_NAME[request.state],
                day=travel_day(request.travel_date),
                after=-1 if page.after is None else page.after,
                limit=page.size + 1,
            )
        shown = page.cut(found, lambda last: last.departure_id)
        return catalog_pb2.ListDeparturesResponse(departures=map(departure_message, shown))

    async def GetDeparture(
        self,
        request: catalog_pb2.GetDepartureRequest,
        context: Context[catalog_pb2.GetDepartureRequest, catalog_pb2.GetDepartureResponse],
    ) -> catalog_pb2.GetDepartureResponse:
        async with self._db.transaction() as tx:
            found = await transport.get_departure(tx, int(request.departure_id))
        return catalog_pb2.GetDepartureResponse(departure=departure_message(found))

    @changing
    async def CancelDeparture(
        self, request: catalog_pb2.CancelDepartureRequest, call: ChangingCall[Admin]
    ) -> catalog_pb2.CancelDepartureResponse:
        departure, refunds = int(request.departure_id), REFUNDS_NAME[request.refunds]
        await departures.require_version(call.tx, departure, request.version)
        done = await disruptions.cancel(
            call.tx,
            departure,
            refunds=refunds,
            comment=request.comment,
            waiver_code=request.waiver_code,
            preview_id=request.preview_id,
            **by(call),
        )
        found = await transport.get_departure(call.tx, departure)
        return catalog_pb2.CancelDepartureResponse(
            departure=departure_message(found), disruption_id=done.name
        )

    async def MoveDeparture(
        self,
        request: catalog_pb2.MoveDepartureRequest,
        context: Context[catalog_pb2.MoveDepartureRequest, catalog_pb2.MoveDepartureResponse],
    ) -> catalog_pb2.MoveDepartureResponse:
        to = convert.moment(request, "departure_time")
        assert to is not None, "a required field"
        return await self._move_departure(request, context, to)

    @changing
    async def _move_departure(
        self, request: catalog_pb2.MoveDepartureRequest, call: ChangingCall[Admin], to: datetime
    ) -> catalog_pb2.MoveDepartureResponse:
        departure = int(request.departure_id)
        await departures.require_version(call.tx, departure, request.version)
        done = await disruptions.move(
            call.tx,
            departure,
            departure_time=to,
            comment=request.comment,
            waiver_code=request.waiver_code,
            preview_id=request.preview_id,
            **by(call),
        )
        found = await transport.get_departure(call.tx, departure)
        return catalog_pb2.MoveDepartureResponse(
            departure=departure_message(found), disruption_id=done.name
        )

    @changing
    async def SetDepartureState(
        self, request: catalog_pb2.SetDepartureStateRequest, call: ChangingCall[Admin]
    ) -> catalog_pb2.SetDepartureStateResponse:
        departure, state = int(request.departure_id), STATE_NAME[request.state]
        await departures.require_version(call.tx, departure, request.version)
        await disruptions.set_state(call.tx, departure, state, **by(call))
        found = await transport.get_departure(call.tx, departure)
        return catalog_pb2.SetDepartureStateResponse(departure=departure_message(found))

    @changing
    async def SetDepartureStock(
        self, request: catalog_pb2.SetDepartureStockRequest, call: ChangingCall[Admin]
    ) -> catalog_pb2.SetDepartureStockResponse:
        departure = int(request.departure_id)
        was_total = request.was_total if request.HasField("was_total") else None
        await transport.set_departure_total(
            call.tx,
            departure,
            request.class_code,
            request.total,
            was_total=was_total,
            version=request.version,
            **by(call),
        )
        found = await transport.get_departure(call.tx, departure)
        return catalog_pb2.SetDepartureStockResponse(departure=departure_message(found))
