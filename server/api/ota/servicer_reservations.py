"""The methods of OtaService about reservations."""

from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from deeptravel.ota.v1 import reservation_pb2

from server.api import calls, paging
from server.api.calls import Context
from server.api.ota import reservation_messages as messages
from server.api.paging import paged
from server.api.repeats import ChangingCall, Repeats, changing
from server.identity.callers import Partner
from server.partners import reservations
from server.partners.rules import ReservationTerms
from server.platform.database import Database


class ReservationMethods:
    """A part of OtaServicer; the contract documents each method."""

    _db: Database
    _repeats: Repeats
    _pages: paging.PageTokens
    _terms: ReservationTerms
    _zone: ZoneInfo

    @changing
    async def ReserveInventory(
        self, request: reservation_pb2.ReserveInventoryRequest, call: ChangingCall[Partner]
    ) -> reservation_pb2.ReserveInventoryResponse:
        made = await reservations.reserve(
            call.tx,
            call.caller,
            messages.wanted(request, expires_now=calls.current().expires_now),
            terms=self._terms,
            zone=self._zone,
            now=call.now,
        )
        return reservation_pb2.ReserveInventoryResponse(
            reservation=messages.reservation(made, call.now)
        )

    async def GetReservation(
        self,
        request: reservation_pb2.GetReservationRequest,
        context: Context[
            reservation_pb2.GetReservationRequest, reservation_pb2.GetReservationResponse
        ],
    ) -> reservation_pb2.GetReservationResponse:
        partner = calls.caller(Partner)
        async with self._db.transaction() as tx:
            found = await reservations.get(tx, partner, request.reservation_id)
        return reservation_pb2.GetReservationResponse(
            reservation=messages.reservation(found, partner.now())
        )

    @paged
    async def ListReservations(
        self,
        request: reservation_pb2.ListReservationsRequest,
        page: paging.Page[Partner, tuple[datetime, UUID]],
    ) -> reservation_pb2.ListReservationsResponse:
        now = page.caller.now()
        async with self._db.report(page.caller.key) as tx:
            found = await reservations.list_page(
                tx,
                page.caller.partner_id,
                messages.reservation_filter(request),
                before=page.after,
                limit=page.size + 1,
                now=now,
            )
        shown = page.cut(found, lambda last: (last.create_time, last.reservation_id))
        return reservation_pb2.ListReservationsResponse(
            reservations=[messages.reservation(each, now) for each in shown]
        )

    @changing
    async def ExtendReservation(
        self, request: reservation_pb2.ExtendReservationRequest, call: ChangingCall[Partner]
    ) -> reservation_pb2.ExtendReservationResponse:
        extended = await reservations.extend(
            call.tx,
            call.caller,
            request.reservation_id,
            hold_seconds=request.hold_seconds,
            terms=self._terms,
            expires_now=calls.current().expires_now,
        )
        return reservation_pb2.ExtendReservationResponse(
            reservation=messages.reservation(extended, call.now)
        )

    @changing
    async def ReleaseReservation(
        self, request: reservation_pb2.ReleaseReservationRequest, call: ChangingCall[Partner]
    ) -> reservation_pb2.ReleaseReservationResponse:
        released = await reservations.release(
            call.tx, call.caller, request.reservation_id, now=call.now
        )
        return reservation_pb2.ReleaseReservationResponse(
            reservation=messages.reservation(released, call.now)
        )
