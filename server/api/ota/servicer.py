"""OtaService: protobuf messages to plain arguments and back."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from deeptravel.ota.v1 import ota_service_pb2, ota_service_pb2_grpc
from deeptravel.tickets.v1 import ticket_pb2

from server.api import calls, convert, paging, pictures
from server.api import repeats as repeats_module
from server.api.calls import Context
from server.api.paging import paged
from server.api.repeats import ChangingCall, changing
from server.identity.callers import Partner
from server.orders import partner_orders as orders
from server.orders import qr_codes
from server.partners import partner_tickets
from server.partners.turns import Turns
from server.platform import clock
from server.platform.database import Database
from server.platform.errors import invalid
from server.stock.inventory import inventory
from server.tickets import tickets
from server.tickets.generation import LARGE_BATCH
from server.tickets.issuing import Issuer, seal
from server.tickets.qr import QrKey

FIRST_TICKETS = 200
"""Of a batch, in the answer to the call that made it."""

BATCH_PATIENCE_SECONDS = 60

TICKET_STATE = convert.enum_numbers(ticket_pb2.TicketState)
TICKET_STATE_NAME = convert.enum_names(ticket_pb2.TicketState)
CUSTOMER_TYPE = convert.enum_numbers(ticket_pb2.CustomerType)
CUSTOMER_TYPE_NAME = convert.enum_names(ticket_pb2.CustomerType)


class OtaServicer(ota_service_pb2_grpc.OtaServiceServicer):
    """The methods of OtaService; the contract documents each."""

    def __init__(
        self,
        db: Database,
        repeats: repeats_module.Repeats,
        pages: paging.PageTokens,
        issuer: Issuer,
        *,
        zone: ZoneInfo,
    ) -> None:
        self._db = db
        self._repeats = repeats
        self._pages = pages
        self._issuer = issuer
        self._zone = zone
        self._turns = Turns()

    async def BulkGenerateTickets(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            batch = await partner_tickets.generate_batch(
                tx, self._db, calls.caller(Partner), _batch_request(request), **self._today()
            )
            return self._batch_message(batch, calls.caller(Partner))

        async with self._turn(request.quantity):
            return await self._repeats.once(
                request,
                ota_service_pb2.BulkGenerateTicketsResponse,
                work,
                patience_seconds=BATCH_PATIENCE_SECONDS,
            )

    async def GetBatch(self, request: Any, context: Any) -> Any:
        async with self._db.transaction() as tx:
            batch = await partner_tickets.get_batch(tx, calls.caller(Partner), request.batch_id)
        return ota_service_pb2.GetBatchResponse(
            batch_id=str(batch.batch_id),
            product_id=batch.product_id,
            quantity=batch.quantity,
            distributor_id=batch.distributor_id,
            create_time=convert.timestamp(batch.create_time),
            currency_code=batch.content["currency_code"],
            fares=map(_fare, batch.content["fares"]),
        )

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
                now=clock.now(),
            )
        tokens = await self._tokens(request, found)
        return ota_service_pb2.ListBatchTicketsResponse(
            tickets=map(_batch_ticket, found, tokens),
        )

    async def StreamBatchTickets(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for chunk in partner_tickets.batch_chunks(
            self._db,
            calls.caller(Partner),
            request.batch_id,
            after_ticket_code=request.after_ticket_code,
            clock=clock.now,
        ):
            for ticket, token in zip(chunk, await self._tokens(request, chunk), strict=True):
                yield ota_service_pb2.StreamBatchTicketsResponse(
                    ticket_code=ticket.ticket_code,
                    status=TICKET_STATE[ticket.state],
                    encrypted_data=token,
                )

    async def ActivateTicket(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            verdict = await partner_tickets.activate_one(
                tx, self._db, calls.caller(Partner), _sold_ticket(request), **self._today()
            )
            return ota_service_pb2.ActivateTicketResponse(
                ticket_code=verdict.ticket_code,
                status=TICKET_STATE[verdict.state or ""],
                order_id=verdict.order_code,
            )

        return await self._repeats.once(request, ota_service_pb2.ActivateTicketResponse, work)

    async def ActivateTickets(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            sold = [_sold_ticket(each) for each in request.activations]
            verdicts = await partner_tickets.activate(
                tx, self._db, calls.caller(Partner), sold, **self._today()
            )
            return ota_service_pb2.ActivateTicketsResponse(verdicts=map(_verdict, verdicts))

        return await self._repeats.once(request, ota_service_pb2.ActivateTicketsResponse, work)

    async def GetInventory(self, request: Any, context: Any) -> Any:
        async with self._db.transaction() as tx:
            found = await inventory(
                tx, partner_id=calls.caller(Partner).partner_id, product_id=request.product_id
            )
        return ota_service_pb2.GetInventoryResponse(
            inventory=[
                ota_service_pb2.Inventory(
                    product_id=each.product_id,
                    total=each.total,
                    held=each.held,
                    sold=each.sold,
                    available=each.available,
                )
                for each in found
            ]
        )

    async def ListTickets(self, request: Any, context: Any) -> Any:
        cursor = self._pages.decode(request)
        async with self._db.report(calls.caller(Partner).key) as tx:
            page = await tickets.list_tickets(
                tx,
                calls.caller(Partner).partner_id,
                _ticket_filter(request),
                zone=self._zone,
                after=cursor[0] if cursor else None,
                most=paging.page_size(request),
            )
        response = ota_service_pb2.ListTicketsResponse(
            tickets=[_ticket(ticket, calls.caller(Partner)) for ticket in page.tickets]
        )
        if page.next_after is not None:
            response.next_page_token = self._pages.encode(request, [page.next_after])
        return response

    async def IssueQr(
        self,
        request: ota_service_pb2.IssueQrRequest,
        context: Context[ota_service_pb2.IssueQrRequest, ota_service_pb2.IssueQrResponse],
    ) -> ota_service_pb2.IssueQrResponse:
        issued = await self._issue_qr(request, context, await self._issuer.key())
        return await pictures.draw(self._issuer, issued, request.picture)

    @changing
    async def _issue_qr(
        self, request: ota_service_pb2.IssueQrRequest, call: ChangingCall[Partner], key: QrKey
    ) -> ota_service_pb2.IssueQrResponse:
        claims = await qr_codes.partner_ticket(
            call.tx, call.caller, request.ticket_code, rotate=request.rotate, now=call.now
        )
        (token,) = await seal([claims], key)
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
        issued = await self._issue_order_qr(request, context, await self._issuer.key())
        return await pictures.draw(self._issuer, issued, request.picture)

    @changing
    async def _issue_order_qr(
        self, request: ota_service_pb2.IssueOrderQrRequest, call: ChangingCall[Partner], key: QrKey
    ) -> ota_service_pb2.IssueOrderQrResponse:
        claims = await qr_codes.partner_order(
            call.tx, call.caller, request.order_id, rotate=request.rotate, now=call.now
        )
        (token,) = await seal([claims], key)
        return ota_service_pb2.IssueOrderQrResponse(
            order_id=request.order_id,
            encrypted_data=token,
            expire_time=convert.timestamp(claims.expire_time),
        )

    def _turn(self, quantity: int) -> contextlib.AbstractAsyncContextManager[Any]:
        if quantity <= LARGE_BATCH:
            return contextlib.nullcontext()
        return self._turns.turn(calls.caller(Partner).partner_id)

    def _today(self) -> Any:
        return {"zone": self._zone, "now": clock.now()}

    def _batch_message(self, batch: partner_tickets.NewBatch, partner: Partner) -> Any:
        response = ota_service_pb2.BulkGenerateTicketsResponse(
            batch_id=str(batch.batch_id),
            quantity=batch.quantity,
            tickets=[
                ota_service_pb2.GeneratedTicket(ticket_code=code, status=TICKET_STATE[batch.state])
                for code in batch.codes(partner, FIRST_TICKETS)
            ],
            order_id=batch.order_code,
        )
        if batch.quantity > FIRST_TICKETS:
            all_of_batch = ota_service_pb2.ListTicketsRequest(batch_id=response.batch_id)
            last = batch.first_ticket_id + FIRST_TICKETS - 1
            response.next_page_token = self._pages.encode(all_of_batch, [last])
        return response

    async def _tokens(self, request: Any, chunk: Sequence[tickets.BatchTicket]) -> list[str]:
        """A token for each ticket of the chunk; empty where none was asked for, or the ticket gets none."""
        claims = [each.claims for each in chunk if each.claims] if request.with_qr else []
        sealed = iter(await seal(claims, await self._issuer.key()) if claims else [])
        return [next(sealed, "") if each.claims else "" for each in chunk]


def _batch_request(request: Any) -> partner_tickets.BatchRequest:
    sale = None
    if request.HasField("activation"):
        customer, payment = request.activation.customer, request.activation.payment
        sale = orders.Sale(
            customer_type=CUSTOMER_TYPE_NAME[customer.type],
            customer_name=customer.name,
            payment_reference=payment.reference,
            amount_minor=payment.amount_minor,
            currency_code=payment.currency_code,
            ticket_count=request.quantity,
        )
    return partner_tickets.BatchRequest(
        product_id=request.product_id,
        quantity=request.quantity,
        distributor_id=request.distributor_id,
        sale=sale,
        valid_from_time=convert.moment(request, "valid_from_time"),
    )


def _sold_ticket(request: Any) -> partner_tickets.SoldTicket:
    return partner_tickets.SoldTicket(
        ticket_code=request.ticket_code,
        customer_type=CUSTOMER_TYPE_NAME[request.customer.type],
        customer_name=request.customer.name,
        payment_reference=request.payment.reference,
        amount_minor=request.payment.amount_minor,
        currency_code=request.payment.currency_code,
    )


def _verdict(verdict: partner_tickets.Verdict) -> Any:
    return ota_service_pb2.ActivationVerdict(
        ticket_code=verdict.ticket_code,
        activated=verdict.reason is None,
        status=TICKET_STATE[verdict.state] if verdict.state else None,
        order_id=verdict.order_code,
        reason=verdict.reason or "",
        payment_mismatch=ota_service_pb2.PaymentMismatch(
            expected_minor=verdict.expected.minor,
            expected_currency_code=verdict.expected.currency_code,
            paid_minor=verdict.paid.minor,
            paid_currency_code=verdict.paid.currency_code,
        )
        if verdict.expected and verdict.paid
        else None,
    )


def _ticket_filter(request: Any) -> tickets.TicketFilter:
    try:
        batch_id = UUID(request.batch_id) if request.batch_id else None
    except ValueError:
        raise invalid("batch_id", "is not a UUID") from None
    return tickets.TicketFilter(
        state=TICKET_STATE_NAME[request.status],
        batch_id=batch_id,
        distributor_id=request.distributor_id,
        create_time_from=convert.moment(request, "create_time_from"),
        create_time_until=convert.moment(request, "create_time_until"),
    )


def _ticket(ticket: tickets.Ticket, partner: Partner) -> Any:
    return ticket_pb2.Ticket(
        ticket_code=ticket.ticket_code,
        status=TICKET_STATE[ticket.state],
        batch_id=str(ticket.batch_id or ""),
        product_id=ticket.product_id,
        distributor_id=ticket.distributor_id,
        order_id="" if ticket.order_id is None else orders.order_code(ticket.order_id, partner),
        create_time=convert.timestamp(ticket.create_time),
        valid_from_time=convert.timestamp(ticket.valid_from_time),
        valid_until_time=convert.timestamp(ticket.valid_until_time),
        entitlements=[
            ticket_pb2.Entitlement(
                function_code=function_code, remaining_uses=remaining, total_uses=total
            )
            for function_code, remaining, total in ticket.entitlements
        ],
    )


def _batch_ticket(ticket: tickets.BatchTicket, token: str) -> ota_service_pb2.BatchTicket:
    return ota_service_pb2.BatchTicket(
        ticket_code=ticket.ticket_code, status=TICKET_STATE[ticket.state], encrypted_data=token
    )


def _fare(fare: Any) -> Any:
    return ota_service_pb2.Fare(**fare | {"customer_type": CUSTOMER_TYPE[fare["customer_type"]]})
