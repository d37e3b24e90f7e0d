"""The methods of OtaService about a partner's distributors."""

from deeptravel.ota.v1 import distributor_pb2, ota_service_pb2_grpc

from server.api import calls, requests
from server.api.calls import Context
from server.api.ota import distributor_messages as messages
from server.api.paging import Page, PageTokens, paged
from server.api.repeats import ChangingCall, Repeats, changing
from server.identity.callers import Partner
from server.partners import distributors
from server.platform.database import Database


class DistributorMethods(ota_service_pb2_grpc.OtaServiceServicer):
    """A part of OtaServicer; the contract documents each method."""

    _db: Database
    _repeats: Repeats
    _pages: PageTokens

    @changing
    async def CreateDistributor(
        self, request: distributor_pb2.CreateDistributorRequest, call: ChangingCall[Partner]
    ) -> distributor_pb2.CreateDistributorResponse:
        made = await distributors.create(
            call.tx,
            call.caller,
            distributor_id=request.distributor_id,
            parent_distributor_id=request.parent_distributor_id,
            display_name=request.display_name,
            commission_basis_points=request.commission_basis_points,
            now=call.now,
        )
        return distributor_pb2.CreateDistributorResponse(distributor=messages.distributor(made))

    async def GetDistributor(
        self,
        request: distributor_pb2.GetDistributorRequest,
        context: Context[
            distributor_pb2.GetDistributorRequest, distributor_pb2.GetDistributorResponse
        ],
    ) -> distributor_pb2.GetDistributorResponse:
        partner = calls.caller(Partner)
        async with self._db.transaction() as tx:
            found = await distributors.get(tx, partner, request.distributor_id)
            line = await distributors.line(tx, partner, request.distributor_id)
        return distributor_pb2.GetDistributorResponse(
            distributor=messages.distributor(found), line_of_sale=messages.levels(line)
        )

    @paged
    async def ListDistributors(
        self, request: distributor_pb2.ListDistributorsRequest, page: Page[Partner, str]
    ) -> distributor_pb2.ListDistributorsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await distributors.page(
                tx,
                page.caller,
                parent_distributor_id=request.parent_distributor_id,
                all_below=request.all_below,
                state=messages.STATE_NAME[request.state],
                after=page.after,
                limit=page.size + 1,
            )
        shown = page.cut(found, lambda last: last.distributor_id)
        return distributor_pb2.ListDistributorsResponse(
            distributors=map(messages.distributor, shown)
        )

    @changing
    async def UpdateDistributor(
        self, request: distributor_pb2.UpdateDistributorRequest, call: ChangingCall[Partner]
    ) -> distributor_pb2.UpdateDistributorResponse:
        changed = await distributors.update(
            call.tx,
            call.caller,
            request.distributor_id,
            requests.changes(request, besides=("version",)),
            version=request.version,
            now=call.now,
        )
        return distributor_pb2.UpdateDistributorResponse(distributor=messages.distributor(changed))

    @changing
    async def ArchiveDistributor(
        self, request: distributor_pb2.ArchiveDistributorRequest, call: ChangingCall[Partner]
    ) -> distributor_pb2.ArchiveDistributorResponse:
        archived = await distributors.archive(
            call.tx, call.caller, request.distributor_id, now=call.now
        )
        return distributor_pb2.ArchiveDistributorResponse(
            distributor=messages.distributor(archived)
        )
