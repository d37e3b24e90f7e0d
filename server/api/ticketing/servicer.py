"""TicketingService: protobuf messages to plain arguments and back."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from deeptravel.ticketing.v1 import (
    offer_pb2,
    order_pb2,
    payment_pb2,
    refund_pb2,
    ticket_pb2,
    ticketing_service_pb2_grpc,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from server.aftersales.refund_requests import RefundDesk
from server.aftersales.ticket_changes import ChangeDesk
from server.api import calls, interceptor, paging, pictures
from server.api import repeats as repeats_module
from server.api.paging import Page, paged
from server.api.repeats import ChangingCall, changing
from server.api.ticketing import offers as offer_messages
from server.api.ticketing import orders as order_messages
from server.api.ticketing import payments as payment_messages
from server.api.ticketing import refunds as refund_messages
from server.api.ticketing import tickets as ticket_messages
from server.identity.callers import Traveller
from server.identity.travellers import Travellers
from server.orders import orders, qr_codes, travel_tickets
from server.orders.hold import Holder
from server.orders.reader import OrderReader
from server.orders.watch import Watcher
from server.payments import payments, refunds
from server.payments.notices import NoticeDesk
from server.payments.payment_requests import Cashier
from server.platform import clock
from server.platform.database import Database
from server.search.search import Search
from server.tickets.issuing import Issuer, seal


class TicketingServicer(ticketing_service_pb2_grpc.TicketingServiceServicer):
    """The methods of TicketingService; the contract documents each."""

    def __init__(  # noqa: PLR0913 - one for each thing the methods work with
        self,
        db: Database,
        repeats: repeats_module.Repeats,
        pages: paging.PageTokens,
        *,
        holder: Holder,
        reader: OrderReader,
        watcher: Watcher,
        issuer: Issuer,
        travellers: Travellers,
        cashier: Cashier,
        notice_desk: NoticeDesk,
        refund_desk: RefundDesk,
        change_desk: ChangeDesk,
        search: Search,
    ) -> None:
        self._db = db
        self._repeats = repeats
        self._pages = pages
        self._holder = holder
        self._reader = reader
        self._watcher = watcher
        self._issuer = issuer
        self._travellers = travellers
        self._cashier = cashier
        self._notice_desk = notice_desk
        self._refund_desk = refund_desk
        self._change_desk = change_desk
        self._search = search

    # Search

    async def ListHotCities(self, request: Any, context: Any) -> Any:
        cities, next_after = await self._search.hot_cities(
            self._pages.decode(request), paging.page_size(request)
        )
        response = offer_pb2.ListHotCitiesResponse(cities=map(offer_messages.city, cities))
        if next_after:
            response.next_page_token = self._pages.encode(request, next_after)
        return response

    async def SearchOffers(self, request: Any, context: Any) -> Any:
        found = await self._search.search(
            offer_messages.query(request),
            after=self._pages.decode(request),
            limit=paging.page_size(request),
            now=clock.now(),
        )
        response = offer_messages.search_response(found)
        if found.next_after:
            response.next_page_token = self._pages.encode(request, found.next_after)
        return response

    async def GetProduct(self, request: Any, context: Any) -> Any:
        return offer_messages.product(*await self._search.product(request.product_id))

    # Orders

    async def QuoteOrder(self, request: Any, context: Any) -> Any:
        quoted = await self._holder.quote(
            order_messages.wishes(request),
            order_messages.party(request),
            tuple(request.promotion_codes),
        )
        return order_messages.quote(*quoted)

    async def CreateOrder(self, request: Any, context: Any) -> Any:
        shown = await self._holder.create(
            calls.caller(Traveller),
            order_messages.new_order(request),
            request_id=request.request_id,
            content_hash=self._repeats.content_hash(request),
        )
        return order_pb2.CreateOrderResponse(order=order_messages.order(shown))

    async def GetOrder(self, request: Any, context: Any) -> Any:
        async with self._db.transaction() as tx:
            found = await orders.find(tx, calls.caller(Traveller).traveller_id, request.order_id)
            (shown,) = await self._reader.show(tx, [found])
        return order_pb2.GetOrderResponse(order=order_messages.order(shown))

    @paged
    async def ListOrders(
        self,
        request: order_pb2.ListOrdersRequest,
        page: Page[Traveller, tuple[datetime, int]],
    ) -> order_pb2.ListOrdersResponse:
        async with self._db.transaction() as tx:
            found = await orders.page(
                tx,
                page.caller.traveller_id,
                state=order_messages.STATE_NAMES[request.state],
                before=page.after,
                limit=page.size + 1,
            )
            listed = page.cut(found, lambda last: (last.create_time, last.order_id))
            shown = await self._reader.show(tx, listed)
        return order_pb2.ListOrdersResponse(orders=map(order_messages.order, shown))

    @changing
    async def CancelOrder(
        self, request: order_pb2.CancelOrderRequest, call: ChangingCall[Traveller]
    ) -> order_pb2.CancelOrderResponse:
        cancelled = await orders.cancel_by_traveller(
            call.tx,
            call.caller.traveller_id,
            request.order_id,
            actor=call.caller.key,
            now=call.now,
            close_payments=payments.close_waiting,
        )
        (shown,) = await self._reader.show(call.tx, [cancelled])
        return order_pb2.CancelOrderResponse(order=order_messages.order(shown))

    async def WatchOrder(self, request: Any, context: Any) -> AsyncIterator[Any]:
        moves = await self._watcher.watch(
            calls.caller(Traveller), request.order_id, after_sequence=request.after_sequence
        )
        await context.send_initial_metadata(interceptor.STREAM_OPEN)
        async for moved in moves:
            yield order_messages.happening(moved)

    # Payments

    async def TravellerLogin(self, request: Any, context: Any) -> Any:
        now = clock.now()
        traveller = await self._cashier.log_in(request.code, now=now)
        return payment_messages.login(
            traveller.traveller_id, self._travellers.issue(traveller, now)
        )

    async def CreatePayment(self, request: Any, context: Any) -> Any:
        response_type = payment_pb2.CreatePaymentResponse
        stored = await self._repeats.stored(request, response_type)
        if stored is not None:
            return stored
        paying = await self._cashier.pay(calls.caller(Traveller), request.order_id, now=clock.now())

        async def answer(_: AsyncConnection) -> Any:
            return payment_messages.created(paying)

        return await self._repeats.once(request, response_type, answer)

    async def GetPayment(self, request: Any, context: Any) -> Any:
        paying = await self._cashier.show(
            calls.caller(Traveller).traveller_id, request.order_id, now=clock.now()
        )
        return payment_pb2.GetPaymentResponse(payment=payment_messages.payment(paying))

    async def ReceiveWechatPayNotice(self, request: Any, context: Any) -> Any:
        headers = payment_messages.notice_headers(context)
        await self._notice_desk.receive(headers, request.body.data, now=clock.now())
        return payment_pb2.ReceiveWechatPayNoticeResponse(
            code=payment_messages.SUCCESS, message=payment_messages.SUCCESS
        )

    # Tickets

    async def ListTickets(self, request: Any, context: Any) -> Any:
        most = paging.page_size(request)
        async with self._db.transaction() as tx:
            found = await travel_tickets.page(
                tx,
                calls.caller(Traveller).traveller_id,
                order_code=request.order_id,
                state=ticket_messages.STATE_NAMES[request.status],
                behind=self._pages.decode(request),
                limit=most + 1,
            )
        response = ticket_pb2.ListTicketsResponse(
            tickets=ticket_messages.tickets(self._reader.seals, found[:most])
        )
        if len(found) > most:
            response.next_page_token = self._pages.encode(request, found[most - 1].position)
        return response

    async def GetTicket(self, request: Any, context: Any) -> Any:
        async with self._db.transaction() as tx:
            found = await travel_tickets.get(
                tx, calls.caller(Traveller).traveller_id, request.ticket_code
            )
        (ticket,) = ticket_messages.tickets(self._reader.seals, [found])
        return ticket_pb2.GetTicketResponse(ticket=ticket)

    async def IssueTicketQr(self, request: Any, context: Any) -> Any:
        key = await self._issuer.key()

        async def work(tx: AsyncConnection) -> Any:
            claims = await qr_codes.traveller_ticket(
                tx,
                calls.caller(Traveller),
                request.ticket_code,
                rotate=request.rotate,
                now=clock.now(),
            )
            (token,) = await seal([claims], key)
            return ticket_messages.ticket_qr(request.ticket_code, claims, token)

        response = await self._repeats.once(request, ticket_pb2.IssueTicketQrResponse, work)
        return await pictures.draw(self._issuer, response, request.picture)

    async def IssueOrderQr(self, request: Any, context: Any) -> Any:
        key = await self._issuer.key()

        async def work(tx: AsyncConnection) -> Any:
            claims = await qr_codes.traveller_order(
                tx,
                calls.caller(Traveller),
                request.order_id,
                rotate=request.rotate,
                now=clock.now(),
            )
            (token,) = await seal([claims], key)
            return ticket_messages.order_qr(request.order_id, claims, token)

        response = await self._repeats.once(request, ticket_pb2.IssueOrderQrResponse, work)
        return await pictures.draw(self._issuer, response, request.picture)

    # Refund and change

    async def QuoteRefund(self, request: Any, context: Any) -> Any:
        async with self._db.transaction() as tx:
            quote = await self._refund_desk.quote(
                tx, calls.caller(Traveller), request.order_id, request.ticket_codes, now=clock.now()
            )
        return refund_messages.refund_quote(quote)

    async def RequestRefund(self, request: Any, context: Any) -> Any:
        async def work(tx: AsyncConnection) -> Any:
            refund = await self._refund_desk.request(
                tx, calls.caller(Traveller), request.order_id, request.refund_quote, now=clock.now()
            )
            return refund_pb2.RequestRefundResponse(refund=refund_messages.refund(refund))

        return await self._repeats.once(request, refund_pb2.RequestRefundResponse, work)

    async def ListRefunds(self, request: Any, context: Any) -> Any:
        most, (after,) = paging.page_size(request), self._pages.decode(request) or [0]
        async with self._db.transaction() as tx:
            order = await orders.find(tx, calls.caller(Traveller).traveller_id, request.order_id)
            found = await refunds.of_order(tx, order.order_id, after=after, most=most + 1)
        response = refund_pb2.ListRefundsResponse(refunds=map(refund_messages.refund, found[:most]))
        if len(found) > most:
            response.next_page_token = self._pages.encode(request, [found[most - 1].refund_no])
        return response

    async def QuoteChange(self, request: Any, context: Any) -> Any:
        prices = await self._holder.prices()
        async with self._db.transaction() as tx:
            quote = await self._change_desk.quote(
                tx,
                calls.caller(Traveller),
                request.ticket_code,
                request.offer_id,
                prices=prices,
                now=clock.now(),
            )
        return refund_messages.change_quote(quote)

    async def ChangeTicket(self, request: Any, context: Any) -> Any:
        caller, prices = calls.caller(Traveller), await self._holder.prices()
        code, quote = request.ticket_code, request.change_quote

        async def work(tx: AsyncConnection) -> Any:
            made = await self._change_desk.change(
                tx, caller, code, quote, prices=prices, now=clock.now()
            )
            (shown,) = await self._reader.show(tx, [made.order])
            order = order_messages.order(shown)
            return refund_messages.change(self._reader.seals, made, order)

        return await self._repeats.once(request, refund_pb2.ChangeTicketResponse, work)
