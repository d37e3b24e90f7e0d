"""The methods of AdminService about allotments, which are named by product and channel."""

from zoneinfo import ZoneInfo

from deeptravel.admin.v1 import allotment_pb2

from server.api import convert, requests
from server.api.admin import product_messages
from server.api.admin.table import VERSION, AdminMethods, by
from server.api.calls import Context
from server.api.paging import Page, paged
from server.api.repeats import ChangingCall, changing
from server.catalog import allotment_archiving, allotments
from server.identity.callers import Admin

IS_ARCHIVED = {0: None, product_messages.ACTIVE: False, product_messages.ARCHIVED: True}
"""What a filter by state means."""


class AllotmentMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    _zone: ZoneInfo

    @changing
    async def CreateAllotment(
        self, request: allotment_pb2.CreateAllotmentRequest, call: ChangingCall[Admin]
    ) -> allotment_pb2.CreateAllotmentResponse:
        allotment = await allotments.create_allotment(
            call.tx,
            product_id=request.product_id,
            channel=request.channel,
            total=request.total,
            **by(call),
        )
        message = product_messages.allotment_message(allotment)
        return allotment_pb2.CreateAllotmentResponse(allotment=message)

    async def GetAllotment(
        self,
        request: allotment_pb2.GetAllotmentRequest,
        context: Context[allotment_pb2.GetAllotmentRequest, allotment_pb2.GetAllotmentResponse],
    ) -> allotment_pb2.GetAllotmentResponse:
        async with self._db.transaction() as tx:
            allotment = await allotments.get_allotment(
                tx, product_messages.subject(request), request.channel
            )
        message = product_messages.allotment_message(allotment)
        return allotment_pb2.GetAllotmentResponse(allotment=message)

    @paged
    async def ListAllotments(
        self, request: allotment_pb2.ListAllotmentsRequest, page: Page[Admin, int]
    ) -> allotment_pb2.ListAllotmentsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await allotments.list_allotments(
                tx,
                allotments.AllotmentSubject(
                    request.product_id,
                    int(request.departure_id) if request.departure_id else None,
                    use_date=convert.day(request, "use_date"),
                    fleet_id=request.fleet_id or None,
                ),
                channel=request.channel,
                is_archived=IS_ARCHIVED[request.state],
                after=page.after,
                limit=page.size + 1,
            )
        shown = map(product_messages.allotment_message, page.cut(found, lambda last: last.stock_id))
        return allotment_pb2.ListAllotmentsResponse(allotments=shown)

    @changing
    async def UpdateAllotment(
        self, request: allotment_pb2.UpdateAllotmentRequest, call: ChangingCall[Admin]
    ) -> allotment_pb2.UpdateAllotmentResponse:
        requests.changes(request, besides=[VERSION])  # `total` is all there is to change
        allotment = await allotments.update_allotment(
            call.tx,
            product_id=request.product_id,
            channel=request.channel,
            total=request.total,
            version=request.version,
            **by(call),
        )
        message = product_messages.allotment_message(allotment)
        return allotment_pb2.UpdateAllotmentResponse(allotment=message)

    @changing
    async def ArchiveAllotment(
        self, request: allotment_pb2.ArchiveAllotmentRequest, call: ChangingCall[Admin]
    ) -> allotment_pb2.ArchiveAllotmentResponse:
        allotment, direct = await allotment_archiving.archive_allotment(
            call.tx,
            product_messages.subject(request),
            request.channel,
            zone=self._zone,
            version=request.version,
            **by(call),
        )
        return allotment_pb2.ArchiveAllotmentResponse(
            allotment=product_messages.allotment_message(allotment),
            target=product_messages.allotment_message(direct) if direct else None,
        )

    @changing
    async def UnarchiveAllotment(
        self, request: allotment_pb2.UnarchiveAllotmentRequest, call: ChangingCall[Admin]
    ) -> allotment_pb2.UnarchiveAllotmentResponse:
        allotment = await allotment_archiving.unarchive_allotment(
            call.tx,
            product_messages.subject(request),
            request.channel,
            version=request.version,
            **by(call),
        )
        message = product_messages.allotment_message(allotment)
        return allotment_pb2.UnarchiveAllotmentResponse(allotment=message)

    @changing
    async def MoveAllotment(
        self, request: allotment_pb2.MoveAllotmentRequest, call: ChangingCall[Admin]
    ) -> allotment_pb2.MoveAllotmentResponse:
        source, target = await allotments.move_allotment(
            call.tx,
            allotments.AllotmentSubject(request.product_id),
            from_channel=request.from_channel,
            to_channel=request.to_channel,
            quantity=request.quantity,
            zone=self._zone,
            **by(call),
        )
        return allotment_pb2.MoveAllotmentResponse(
            source=product_messages.allotment_message(source),
            target=product_messages.allotment_message(target),
        )

    @changing
    async def AdjustAllotment(
        self, request: allotment_pb2.AdjustAllotmentRequest, call: ChangingCall[Admin]
    ) -> allotment_pb2.AdjustAllotmentResponse:
        source, target = await allotments.move_allotment(
            call.tx,
            product_messages.subject(request),
            from_channel=request.from_channel,
            to_channel=request.to_channel,
            quantity=request.quantity,
            zone=self._zone,
            comment=request.comment,
            creates=True,
            **by(call),
        )
        return allotment_pb2.AdjustAllotmentResponse(
            source=product_messages.allotment_message(source),
            target=product_messages.allotment_message(target),
        )

    @changing
    async def SetAllotmentTerms(
        self, request: allotment_pb2.SetAllotmentTermsRequest, call: ChangingCall[Admin]
    ) -> allotment_pb2.SetAllotmentTermsResponse:
        allotment = await allotments.set_terms(
            call.tx,
            product_messages.subject(request),
            request.channel,
            **product_messages.terms(request),
            version=request.version,
            **by(call),
        )
        message = product_messages.allotment_message(allotment)
        return allotment_pb2.SetAllotmentTermsResponse(allotment=message)
