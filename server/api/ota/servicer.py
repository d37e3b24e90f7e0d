"""OtaService: protobuf messages to plain arguments and back.

The methods are in parts: those of distributors in `servicer_distributors.py`, of events in
`servicer_events.py`, of lists and exports in `servicer_lists.py`, of reservations in
`servicer_reservations.py`, of sandboxes in `servicer_sandbox.py` and `servicer_test_clock.py`, of
tickets that were not sold in `servicer_unsold.py`, of webhooks in `servicer_webhooks.py`; the rest
here.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from deeptravel.ota.v1 import ota_service_pb2

from server.api import calls, convert, paging, pictures
from server.api import repeats as repeats_module
from server.api.calls import Context
from server.api.ota import messages
from server.api.ota.messages import BATCH_SECONDS
from server.api.ota.partner_trail import note_bulk
from server.api.ota.servicer_distributors import DistributorMethods
from server.api.ota.servicer_events import EventMethods
from server.api.ota.servicer_lists import ListMethods
from server.api.ota.servicer_reservations import ReservationMethods
from server.api.ota.servicer_sandbox import SandboxMethods, SimulatedTerminals
from server.api.ota.servicer_statements import StatementMethods
from server.api.ota.servicer_test_clock import TestClockMethods
from server.api.ota.servicer_unsold import UnsoldTicketMethods
from server.api.ota.servicer_webhooks import WebhookMethods, Webhooks
from server.api.paging import paged
from server.api.repeats import ChangingCall, changing, changing_within
from server.catalog.catalogue import Catalogue, Catalogues
from server.identity.callers import Partner
from server.orders import qr_codes
from server.partners import partner_tickets, sandboxes
from server.partners.rules import ReservationTerms
from server.partners.turns import Turns
from server.platform.database import Database
from server.stock.inventory import inventory
from server.tickets import tickets
from server.tickets.generation import LARGE_BATCH
from server.tickets.issuing import Issuer, Sealing, issue

FIRST_TICKETS = 200
"""Of a batch, in the answer to the call that made it."""

BatchOfTickets = ota_service_pb2.ListBatchTicketsRequest | ota_service_pb2.StreamBatchTicketsRequest


class OtaDomain(NamedTuple):
    """What OtaService works with."""

    issuer: Issuer
    catalogues: Catalogues
    webhooks: Webhooks
    terminals: SimulatedTerminals


class OtaServicer(
    DistributorMethods,
    EventMethods,
    ListMethods,
    ReservationMethods,
    SandboxMethods,
    StatementMethods,
    TestClockMethods,
    UnsoldTicketMethods,
    WebhookMethods,
):
    """The methods of OtaService; the contract documents each."""

    def __init__(
        self,
        db: Database,
        repeats: repeats_module.Repeats,
        pages: paging.PageTokens,
        domain: OtaDomain,
        *,
        zone: ZoneInfo,
        terms: ReservationTerms,
    ) -> None:
        self._db = db
        self._repeats = repeats
        self._pages = pages
        self._issuer = domain.issuer
        self._catalogues = domain.catalogues
        self._zone = zone
        self._terms = terms
        self._turns = Turns()
        self._webhooks = domain.webhooks
        self._terminals = domain.terminals

    async def BulkGenerateTickets(
        self,
        request: ota_service_pb2.BulkGenerateTicketsRequest,
        context: Context[
            ota_service_pb2.BulkGenerateTicketsRequest, ota_service_pb2.BulkGenerateTicketsResponse
        ],
    ) -> ota_service_pb2.BulkGenerateTicketsResponse:
        calls.leave_share(if_large=request.quantity > LARGE_BATCH)
        catalogue = await self._catalogues.get() if request.reservation_id else None
        async with self._turns.turn_for(calls.caller(Partner).partner_id, request.quantity):
            return await self._generate_batch(request, context, catalogue)

    @changing_within(seconds=BATCH_SECONDS)
    async def _generate_batch(
        self,
        request: ota_service_pb2.BulkGenerateTicketsRequest,
        call: ChangingCall[Partner],
        catalogue: Catalogue | None,
    ) -> ota_service_pb2.BulkGenerateTicketsResponse:
        batch = await partner_tickets.generate_batch(
            *(call.tx, self._db, call.caller, messages.batch_request(request)),
            catalogue=catalogue,
            zone=self._zone,
            now=call.now,
        )
        if calls.current().expires_now:
            made = range(batch.first_ticket_id, batch.first_ticket_id + batch.quantity)
            await sandboxes.end_validity(call.tx, made, now=call.now)
        response = messages.new_batch(batch, batch.codes(call.caller, FIRST_TICKETS))
        if (last := batch.last_of_first(FIRST_TICKETS)) is not None:
            others = ota_service_pb2.ListTicketsRequest(batch_id=response.batch_id)
            response.next_page_token = self._pages.encode(others, [last])
        return response

    async def GetBatch(
        self,
        request: ota_service_pb2.GetBatchRequest,
        context: Context[ota_service_pb2.GetBatchRequest, ota_service_pb2.GetBatchResponse],
    ) -> ota_service_pb2.GetBatchResponse:
        async with self._db.transaction() as tx:
            batch = await partner_tickets.get_batch(tx, calls.caller(Partner), request.batch_id)
        return messages.batch(batch)

    @paged
    async def ListBatchTickets(
        self, request: ota_service_pb2.ListBatchTicketsRequest, page: paging.Page[Partner, int]
    ) -> ota_service_pb2.ListBatchTicketsResponse:
        async with self._db.transaction() as tx:
            found, page.next_after = await partner_tickets.batch_page(
                tx,
                page.caller,
                request.batch_id,
                after=page.after,
                limit=page.size,
                now=page.caller.now(),
            )
        tokens = await self._tokens(request, found)
        return ota_service_pb2.ListBatchTicketsResponse(
            tickets=map(messages.batch_ticket, found, tokens),
        )

    async def StreamBatchTickets(
        self,
        request: ota_service_pb2.StreamBatchTicketsRequest,
        context: Context[
            ota_service_pb2.StreamBatchTicketsRequest, ota_service_pb2.StreamBatchTicketsResponse
        ],
    ) -> AsyncIterator[ota_service_pb2.StreamBatchTicketsResponse]:
        async for chunk in partner_tickets.batch_chunks(
            self._db,
            calls.caller(Partner),
            request.batch_id,
            after_ticket_code=request.after_ticket_code,
            clock=calls.caller(Partner).now,
        ):
            for ticket, token in zip(chunk, await self._tokens(request, chunk), strict=True):
                yield messages.streamed_ticket(ticket, token)

    @changing
    async def ActivateTicket(
        self, request: ota_service_pb2.ActivateTicketRequest, call: ChangingCall[Partner]
    ) -> ota_service_pb2.ActivateTicketResponse:
        sold = messages.sold_ticket(request)
        verdict = await partner_tickets.activate_one(
            call.tx, self._db, call.caller, sold, zone=self._zone, now=call.now
        )
        await _expire(call, [verdict])
        return messages.activated(verdict)

    @changing
    async def ActivateTickets(
        self, request: ota_service_pb2.ActivateTicketsRequest, call: ChangingCall[Partner]
    ) -> ota_service_pb2.ActivateTicketsResponse:
        sold = [messages.sold_ticket(each) for each in request.activations]
        verdicts = await partner_tickets.activate(
            call.tx, self._db, call.caller, sold, zone=self._zone, now=call.now
        )
        await _expire(call, verdicts)
        refused = sum(each.reason is not None for each in verdicts)
        await note_bulk(call, "activate", "", done=len(verdicts) - refused, refused=refused)
        return ota_service_pb2.ActivateTicketsResponse(verdicts=map(messages.verdict, verdicts))

    async def GetInventory(
        self,
        request: ota_service_pb2.GetInventoryRequest,
        context: Context[ota_service_pb2.GetInventoryRequest, ota_service_pb2.GetInventoryResponse],
    ) -> ota_service_pb2.GetInventoryResponse:
        async with self._db.transaction() as tx:
            found = await inventory(
                tx,
                partner_id=calls.caller(Partner).partner_id,
                product_id=request.product_id,
                departure_id=int(request.departure_id) if request.departure_id else None,
                use_date=convert.day(request, "use_date"),
            )
        return ota_service_pb2.GetInventoryResponse(inventory=map(messages.inventory, found))

    async def IssueQr(
        self,
        request: ota_service_pb2.IssueQrRequest,
        context: Context[ota_service_pb2.IssueQrRequest, ota_service_pb2.IssueQrResponse],
    ) -> ota_service_pb2.IssueQrResponse:
        sealing = await self._issuer.sealing(calls.caller(Partner).partner_id)
        issued = await self._issue_qr(request, context, sealing)
        return await pictures.draw(self._issuer, issued, request.picture)

    @changing
    async def _issue_qr(
        self, request: ota_service_pb2.IssueQrRequest, call: ChangingCall[Partner], sealing: Sealing
    ) -> ota_service_pb2.IssueQrResponse:
        claims = await qr_codes.partner_ticket(
            call.tx, call.caller, request.ticket_code, rotate=request.rotate, now=call.now
        )
        if calls.current().expires_now:
            claims = sandboxes.expiring(claims, call.now)
        (token,) = await issue(call.tx, [claims], sealing)
        return ota_service_pb2.IssueQrResponse(
            ticket_code=request.ticket_code,
            jti=str(claims.jti),
            encrypted_data=token,
            expire_time=convert.timestamp(claims.expire_time),
        )

    async def IssueOrderQr(
        self,
        request: ota_service_pb2.IssueOrderQrRequest,
        context: Context[ota_service_pb2.IssueOrderQrRequest, ota_service_pb2.IssueOrderQrResponse],
    ) -> ota_service_pb2.IssueOrderQrResponse:
        sealing = await self._issuer.sealing(calls.caller(Partner).partner_id)
        issued = await self._issue_order_qr(request, context, sealing)
        return await pictures.draw(self._issuer, issued, request.picture)

    @changing
    async def _issue_order_qr(
        self,
        request: ota_service_pb2.IssueOrderQrRequest,
        call: ChangingCall[Partner],
        sealing: Sealing,
    ) -> ota_service_pb2.IssueOrderQrResponse:
        claims = await qr_codes.partner_order(
            call.tx, call.caller, request.order_id, rotate=request.rotate, now=call.now
        )
        (token,) = await issue(call.tx, [claims], sealing)
        return ota_service_pb2.IssueOrderQrResponse(
            order_id=request.order_id,
            encrypted_data=token,
            expire_time=convert.timestamp(claims.expire_time),
        )

    async def _tokens(
        self, request: BatchOfTickets, chunk: Sequence[tickets.BatchTicket]
    ) -> list[str]:
        """A token for each ticket of the chunk; empty where none was asked for, or the ticket
        gets none.
        """
        claims = [each.claims for each in chunk if each.claims] if request.with_qr else []
        issued = iter(await self._issuer.issue(claims))
        return [next(issued, "") if each.claims else "" for each in chunk]


async def _expire(
    call: ChangingCall[Partner], verdicts: Sequence[partner_tickets.ActivationVerdict]
) -> None:
    """Has what was activated expire at once, where a sandbox asked for it."""
    if not calls.current().expires_now:
        return
    activated = [each.ticket_code for each in verdicts if each.reason is None]
    numbers = [tickets.ticket_number(code, call.caller) or 0 for code in activated]
    await sandboxes.end_validity(call.tx, numbers, now=call.now)
