"""Leases between protobuf and plain values."""

from collections.abc import Iterable

from deeptravel.redemption.v1 import leases_pb2, redemption_pb2

from server.api import convert
from server.api.redemption import messages
from server.api.repeats import ChangingCall
from server.identity.callers import Operator
from server.platform.errors import invalid
from server.redemption import leases
from server.redemption.explanations import explain
from server.redemption.leases import DepartureShare, Leased


async def lease(
    request: leases_pb2.LeaseTicketsRequest, call: ChangingCall[Operator]
) -> leases_pb2.LeaseTicketsResponse:
    """Leases the tickets that are named, or a share of a departure's."""
    if bool(request.ticket_codes) == bool(request.departure_id):
        raise invalid("ticket_codes", "send these or departure_id")
    seconds = request.duration_seconds or leases.DEFAULT_SECONDS
    if request.departure_id:
        share = DepartureShare(request.departure_id, request.share, request.share_count or 1)
        found = await leases.lease_share(
            call.tx, share, request.function_code, seconds=seconds, caller=call.caller, now=call.now
        )
    else:
        codes = [*request.ticket_codes]
        found = await leases.lease_codes(
            call.tx, codes, request.function_code, seconds=seconds, caller=call.caller, now=call.now
        )
    return leases_pb2.LeaseTicketsResponse(tickets=_tickets(found))


def _tickets(found: Iterable[Leased]) -> Iterable[leases_pb2.LeasedTicket]:
    for each in found:
        leased = leases_pb2.LeasedTicket(
            ticket_code=each.ticket_code, lease_until_time=convert.timestamp(each.until)
        )
        if refusal := each.refusal:
            leased.reason = messages.REFUSAL[refusal.reason]
            english, chinese = explain(refusal.reason, refusal.check, refusal.facts)
            leased.explanation.MergeFrom(
                redemption_pb2.Explanation(check=refusal.check, en=english, zh=chinese)
            )
        yield leased
