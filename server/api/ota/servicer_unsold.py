"""The methods of OtaService that cancel and reassign tickets which were not sold."""

from contextlib import AbstractAsyncContextManager, nullcontext

from deeptravel.ota.v1 import ota_service_pb2_grpc, unsold_ticket_pb2

from server.api import calls
from server.api.calls import Context
from server.api.ota.messages import BATCH_SECONDS, TICKET_STATE
from server.api.ota.partner_trail import note_bulk
from server.api.repeats import ChangingCall, Repeats, changing_within
from server.identity.callers import Partner
from server.partners import unsold_tickets
from server.partners.turns import Turns
from server.partners.unsold_tickets import Outcome, WantedTickets

Unsold = unsold_ticket_pb2.CancelTicketsRequest | unsold_ticket_pb2.ReassignTicketsRequest


class UnsoldTicketMethods(ota_service_pb2_grpc.OtaServiceServicer):
    """A part of OtaServicer; the contract documents each method."""

    _repeats: Repeats
    _turns: Turns

    async def CancelTickets(
        self,
        request: unsold_ticket_pb2.CancelTicketsRequest,
        context: Context[
            unsold_ticket_pb2.CancelTicketsRequest, unsold_ticket_pb2.CancelTicketsResponse
        ],
    ) -> unsold_ticket_pb2.CancelTicketsResponse:
        async with self._turn(request):
            return await self._cancel(request, context)

    @changing_within(seconds=BATCH_SECONDS)
    async def _cancel(
        self, request: unsold_ticket_pb2.CancelTicketsRequest, call: ChangingCall[Partner]
    ) -> unsold_ticket_pb2.CancelTicketsResponse:
        outcome = await unsold_tickets.cancel(call.tx, call.caller, _wanted(request), now=call.now)
        await _note(call, "cancel", request, outcome)
        return _cancelled(outcome)

    async def ReassignTickets(
        self,
        request: unsold_ticket_pb2.ReassignTicketsRequest,
        context: Context[
            unsold_ticket_pb2.ReassignTicketsRequest, unsold_ticket_pb2.ReassignTicketsResponse
        ],
    ) -> unsold_ticket_pb2.ReassignTicketsResponse:
        async with self._turn(request):
            return await self._reassign(request, context)

    @changing_within(seconds=BATCH_SECONDS)
    async def _reassign(
        self, request: unsold_ticket_pb2.ReassignTicketsRequest, call: ChangingCall[Partner]
    ) -> unsold_ticket_pb2.ReassignTicketsResponse:
        outcome = await unsold_tickets.reassign(
            call.tx, call.caller, _wanted(request), request.distributor_id, now=call.now
        )
        await _note(call, "reassign", request, outcome)
        return _reassigned(outcome)

    def _turn(self, request: Unsold) -> AbstractAsyncContextManager[None]:
        """The partner's turn for all of a batch, which may be large; at once for single tickets."""
        calls.leave_share(if_large=bool(request.batch_id))
        if not request.batch_id:
            return nullcontext()
        return self._turns.turn(calls.caller(Partner).partner_id)


async def _note(
    call: ChangingCall[Partner], action: str, request: Unsold, outcome: Outcome
) -> None:
    done, refused = outcome.done_count, outcome.refused_count
    await note_bulk(call, action, request.batch_id, done=done, refused=refused)


def _wanted(request: Unsold) -> WantedTickets:
    return WantedTickets(list(request.ticket_codes), request.batch_id)


def _cancelled(outcome: Outcome) -> unsold_ticket_pb2.CancelTicketsResponse:
    return unsold_ticket_pb2.CancelTicketsResponse(
        verdicts=[
            unsold_ticket_pb2.CancellationVerdict(
                ticket_code=each.ticket_code,
                cancelled=each.reason is None,
                status=TICKET_STATE[each.state] if each.state else None,
                reason=each.reason or "",
            )
            for each in outcome.verdicts
        ],
        cancelled_count=outcome.done_count,
        refused_count=outcome.refused_count,
    )


def _reassigned(outcome: Outcome) -> unsold_ticket_pb2.ReassignTicketsResponse:
    return unsold_ticket_pb2.ReassignTicketsResponse(
        verdicts=[
            unsold_ticket_pb2.ReassignmentVerdict(
                ticket_code=each.ticket_code,
                reassigned=each.reason is None,
                status=TICKET_STATE[each.state] if each.state else None,
                reason=each.reason or "",
            )
            for each in outcome.verdicts
        ],
        reassigned_count=outcome.done_count,
        refused_count=outcome.refused_count,
    )
