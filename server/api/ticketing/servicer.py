"""TicketingService: protobuf messages to plain arguments and back."""

from collections.abc import AsyncIterator, Awaitable
from datetime import datetime
from functools import partial
from typing import NamedTuple

from deeptravel.ticketing.v1 import (
    offer_pb2,
    order_pb2,
    payment_pb2,
    refund_pb2,
    rental_pb2,
    ticket_pb2,
)

from server.aftersales.refund_requests import RefundHandler
from server.aftersales.ticket_changes import ChangeHandler
from server.api import calls, interceptor, paging, pictures
from server.api import repeats as repeats_module
from server.api.calls import Context, Later, plain
from server.api.paging import Page, paged
from server.api.repeats import ChangingCall, changing, in_steps
from server.api.ticketing import offers as offer_messages
from server.api.ticketing import orders as order_messages
from server.api.ticketing import payments as payment_messages
from server.api.ticketing import refunds as refund_messages
from server.api.ticketing import rentals as rental_messages
from server.api.ticketing import tickets as ticket_messages
from server.api.ticketing.servicer_notifications import InboxMethods, NotificationDomain
from server.identity.callers import Traveller
from server.identity.travellers import Travellers
from server.orders import orders, qr_codes, travel_tickets
from server.orders.hold import OrderHolds
from server.orders.own_reads import OwnReads
from server.orders.prices import Prices
from server.orders.reader import OrderReader
from server.orders.watch import Watcher
from server.payments import payments, refunds
from server.payments.notices import NoticeHandler
from server.payments.payment_requests import Paying, PaymentHandler
from server.platform import clock
from server.platform.database import Database
from server.search.listing import SortKey
from server.search.rentals import RentalSearch
from server.search.search import Search
from server.tickets.issuing import Issuer, Sealing, issue
from server.tickets.rotating_keys import RotatingKeys


class TicketingDomain(NamedTuple):
    """What TicketingService works with."""

    order_holds: OrderHolds
    reader: OrderReader
    own_reads: OwnReads
    watcher: Watcher
    issuer: Issuer
    travellers: Travellers
    rotating_keys: RotatingKeys
    payment_handler: PaymentHandler
    notice_handler: NoticeHandler
    refund_handler: RefundHandler
    change_handler: ChangeHandler
    search: Search
    rentals: RentalSearch
    notifications: NotificationDomain


class TicketingServicer(InboxMethods):
    """The methods of TicketingService; the contract documents each. Those about messages are in
    `servicer_notifications.py`.
    """

    def __init__(
        self,
        db: Database,
        repeats: repeats_module.Repeats,
        pages: paging.PageTokens,
        domain: TicketingDomain,
    ) -> None:
        self._db = db
        self._repeats = repeats
        self._pages = pages
        self._domain = domain
        self._notifications = domain.notifications
        self._secrets = domain.reader.seals, domain.rotating_keys

    # Search

    @paged
    async def ListHotCities(
        self, request: offer_pb2.ListHotCitiesRequest, page: Page[None, SortKey]
    ) -> offer_pb2.ListHotCitiesResponse:
        cities, page.next_after = await self._domain.search.hot_cities(page.after, page.size)
        return offer_pb2.ListHotCitiesResponse(cities=map(offer_messages.city, cities))

    @paged
    async def SearchOffers(
        self, request: offer_pb2.SearchOffersRequest, page: Page[None, SortKey]
    ) -> offer_pb2.SearchOffersResponse:
        found = await self._domain.search.search(
            offer_messages.query(request), after=page.after, limit=page.size, now=clock.now()
        )
        page.next_after = found.next_after
        return offer_messages.search_response(found)

    @paged
    async def ListRentalLocations(
        self, request: rental_pb2.ListRentalLocationsRequest, page: Page[None, int]
    ) -> rental_pb2.ListRentalLocationsResponse:
        found = await self._domain.rentals.locations(request.city_code, page.after, page.size + 1)
        shown = page.cut(found, lambda last: last.location_id)
        locations = map(rental_messages.location_message, shown)
        return rental_pb2.ListRentalLocationsResponse(locations=locations)

    @paged
    async def SearchRentals(
        self, request: rental_pb2.SearchRentalsRequest, page: Page[None, SortKey]
    ) -> rental_pb2.SearchRentalsResponse:
        query = rental_messages.query(request)
        found = await self._domain.rentals.search(query, after=page.after, now=clock.now())
        shown = page.cut(found[: page.size + 1], lambda last: last.position)
        return offer_messages.rentals_response(shown)

    async def GetProduct(
        self,
        request: offer_pb2.GetProductRequest,
        context: Context[offer_pb2.GetProductRequest, offer_pb2.GetProductResponse],
    ) -> offer_pb2.GetProductResponse:
        return offer_messages.product(*await self._domain.search.product(request.product_id))

    # Orders

    async def QuoteOrder(
        self,
        request: order_pb2.QuoteOrderRequest,
        context: Context[order_pb2.QuoteOrderRequest, order_pb2.QuoteOrderResponse],
    ) -> order_pb2.QuoteOrderResponse:
        quoted = await self._domain.order_holds.quote(
            order_messages.wishes(request),
            order_messages.party(request),
            tuple(request.promotion_codes),
        )
        return order_messages.quote(*quoted)

    @plain
    def CreateOrder(
        self,
        request: order_pb2.CreateOrderRequest,
        context: Context[order_pb2.CreateOrderRequest, order_pb2.CreateOrderResponse],
    ) -> Awaitable[order_pb2.CreateOrderResponse]:
        order_holds = self._domain.order_holds
        held = order_holds.submit(
            calls.caller(Traveller),
            order_messages.new_order(request),
            request_id=request.request_id,
            content_hash=self._repeats.content_hash(request),
        )
        return Later(held, partial(order_messages.created, show_as_made=order_holds.show_as_made))

    @plain
    def GetOrder(
        self,
        request: order_pb2.GetOrderRequest,
        context: Context[order_pb2.GetOrderRequest, order_pb2.GetOrderResponse],
    ) -> Awaitable[order_pb2.GetOrderResponse]:
        reads, traveller = self._domain.own_reads, calls.caller(Traveller)
        found = reads.order(traveller.traveller_id, request.order_id)
        return Later(found, order_messages.found)

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
            shown = await self._domain.reader.show(tx, listed)
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
        (shown,) = await self._domain.reader.show(call.tx, [cancelled])
        return order_pb2.CancelOrderResponse(order=order_messages.order(shown))

    async def WatchOrder(
        self,
        request: order_pb2.WatchOrderRequest,
        context: Context[order_pb2.WatchOrderRequest, order_pb2.WatchOrderResponse],
    ) -> AsyncIterator[order_pb2.WatchOrderResponse]:
        moves = await self._domain.watcher.watch(
            calls.caller(Traveller), request.order_id, after_sequence=request.after_sequence
        )
        await context.send_initial_metadata(interceptor.STREAM_OPEN)
        async for moved in moves:
            yield order_messages.happening(moved)

    # Payments

    async def TravellerLogin(
        self,
        request: payment_pb2.TravellerLoginRequest,
        context: Context[payment_pb2.TravellerLoginRequest, payment_pb2.TravellerLoginResponse],
    ) -> payment_pb2.TravellerLoginResponse:
        now = clock.now()
        traveller = await self._domain.payment_handler.log_in(request.code, now=now)
        return payment_messages.login(
            traveller.traveller_id, self._domain.travellers.issue(traveller, now)
        )

    @in_steps
    async def CreatePayment(
        self,
        request: payment_pb2.CreatePaymentRequest,
        context: Context[payment_pb2.CreatePaymentRequest, payment_pb2.CreatePaymentResponse],
    ) -> payment_pb2.CreatePaymentResponse:
        caller = calls.caller(Traveller)
        paying = await self._domain.payment_handler.pay(caller, request.order_id, now=clock.now())
        return await self._keep_payment(request, context, paying)

    @changing
    async def _keep_payment(
        self,
        request: payment_pb2.CreatePaymentRequest,
        call: ChangingCall[Traveller],
        paying: Paying,
    ) -> payment_pb2.CreatePaymentResponse:
        return payment_messages.created(paying)

    async def GetPayment(
        self,
        request: payment_pb2.GetPaymentRequest,
        context: Context[payment_pb2.GetPaymentRequest, payment_pb2.GetPaymentResponse],
    ) -> payment_pb2.GetPaymentResponse:
        paying = await self._domain.payment_handler.show(
            calls.caller(Traveller).traveller_id, request.order_id, now=clock.now()
        )
        return payment_pb2.GetPaymentResponse(payment=payment_messages.payment(paying))

    async def ReceiveWechatPayNotice(
        self,
        request: payment_pb2.ReceiveWechatPayNoticeRequest,
        context: Context[
            payment_pb2.ReceiveWechatPayNoticeRequest, payment_pb2.ReceiveWechatPayNoticeResponse
        ],
    ) -> payment_pb2.ReceiveWechatPayNoticeResponse:
        headers = payment_messages.notice_headers(calls.current().metadata)
        await self._domain.notice_handler.receive(headers, request.body.data, now=clock.now())
        return payment_pb2.ReceiveWechatPayNoticeResponse(
            code=payment_messages.SUCCESS, message=payment_messages.SUCCESS
        )

    # Tickets

    @paged
    async def ListTickets(
        self,
        request: ticket_pb2.ListTicketsRequest,
        page: Page[Traveller, tuple[datetime, int, int]],
    ) -> ticket_pb2.ListTicketsResponse:
        async with self._db.transaction() as tx:
            found = await travel_tickets.page(
                tx,
                page.caller.traveller_id,
                order_code=request.order_id,
                state=ticket_messages.STATE_NAMES[request.status],
                after=page.after,
                limit=page.size + 1,
            )
        shown = page.cut(found, lambda last: last.position)
        return ticket_pb2.ListTicketsResponse(
            tickets=ticket_messages.own_tickets(*self._secrets, shown, clock.now())
        )

    @plain
    def GetTicket(
        self,
        request: ticket_pb2.GetTicketRequest,
        context: Context[ticket_pb2.GetTicketRequest, ticket_pb2.GetTicketResponse],
    ) -> Awaitable[ticket_pb2.GetTicketResponse]:
        reads, traveller = self._domain.own_reads, calls.caller(Traveller)
        found = reads.ticket(traveller.traveller_id, request.ticket_code)
        return Later(found, partial(ticket_messages.found, *self._secrets))

    async def IssueTicketQr(
        self,
        request: ticket_pb2.IssueTicketQrRequest,
        context: Context[ticket_pb2.IssueTicketQrRequest, ticket_pb2.IssueTicketQrResponse],
    ) -> ticket_pb2.IssueTicketQrResponse:
        sealing = await self._domain.issuer.sealing()
        issued = await self._issue_ticket_qr(request, context, sealing)
        return await pictures.draw(self._domain.issuer, issued, request.picture)

    @changing
    async def _issue_ticket_qr(
        self,
        request: ticket_pb2.IssueTicketQrRequest,
        call: ChangingCall[Traveller],
        sealing: Sealing,
    ) -> ticket_pb2.IssueTicketQrResponse:
        claims = await qr_codes.traveller_ticket(
            call.tx, call.caller, request.ticket_code, rotate=request.rotate, now=call.now
        )
        (token,) = await issue(call.tx, [claims], sealing)
        return ticket_messages.ticket_qr(request.ticket_code, claims, token)

    async def IssueOrderQr(
        self,
        request: ticket_pb2.IssueOrderQrRequest,
        context: Context[ticket_pb2.IssueOrderQrRequest, ticket_pb2.IssueOrderQrResponse],
    ) -> ticket_pb2.IssueOrderQrResponse:
        sealing = await self._domain.issuer.sealing()
        issued = await self._issue_order_qr(request, context, sealing)
        return await pictures.draw(self._domain.issuer, issued, request.picture)

    @changing
    async def _issue_order_qr(
        self,
        request: ticket_pb2.IssueOrderQrRequest,
        call: ChangingCall[Traveller],
        sealing: Sealing,
    ) -> ticket_pb2.IssueOrderQrResponse:
        claims = await qr_codes.traveller_order(
            call.tx, call.caller, request.order_id, rotate=request.rotate, now=call.now
        )
        (token,) = await issue(call.tx, [claims], sealing)
        return ticket_messages.order_qr(request.order_id, claims, token)

    # Refund and change

    async def QuoteRefund(
        self,
        request: refund_pb2.QuoteRefundRequest,
        context: Context[refund_pb2.QuoteRefundRequest, refund_pb2.QuoteRefundResponse],
    ) -> refund_pb2.QuoteRefundResponse:
        async with self._db.transaction() as tx:
            quote = await self._domain.refund_handler.quote(
                tx, calls.caller(Traveller), request.order_id, request.ticket_codes, now=clock.now()
            )
        return refund_messages.refund_quote(quote)

    @changing
    async def RequestRefund(
        self, request: refund_pb2.RequestRefundRequest, call: ChangingCall[Traveller]
    ) -> refund_pb2.RequestRefundResponse:
        refund = await self._domain.refund_handler.request(
            call.tx, call.caller, request.order_id, request.refund_quote, now=call.now
        )
        return refund_pb2.RequestRefundResponse(refund=refund_messages.refund(refund))

    @paged
    async def ListRefunds(
        self, request: refund_pb2.ListRefundsRequest, page: Page[Traveller, int]
    ) -> refund_pb2.ListRefundsResponse:
        async with self._db.transaction() as tx:
            order = await orders.find(tx, page.caller.traveller_id, request.order_id)
            found = await refunds.of_order(
                tx, order.order_id, after=page.after or 0, limit=page.size + 1
            )
        shown = page.cut(found, lambda last: last.refund_no)
        return refund_pb2.ListRefundsResponse(refunds=map(refund_messages.refund, shown))

    async def QuoteChange(
        self,
        request: refund_pb2.QuoteChangeRequest,
        context: Context[refund_pb2.QuoteChangeRequest, refund_pb2.QuoteChangeResponse],
    ) -> refund_pb2.QuoteChangeResponse:
        prices = await self._domain.order_holds.prices()
        async with self._db.transaction() as tx:
            quote = await self._domain.change_handler.quote(
                tx,
                calls.caller(Traveller),
                request.ticket_code,
                request.offer_id,
                prices=prices,
                now=clock.now(),
            )
        return refund_messages.change_quote(quote)

    async def ChangeTicket(
        self,
        request: refund_pb2.ChangeTicketRequest,
        context: Context[refund_pb2.ChangeTicketRequest, refund_pb2.ChangeTicketResponse],
    ) -> refund_pb2.ChangeTicketResponse:
        return await self._change_ticket(request, context, await self._domain.order_holds.prices())

    @changing
    async def _change_ticket(
        self,
        request: refund_pb2.ChangeTicketRequest,
        call: ChangingCall[Traveller],
        prices: Prices,
    ) -> refund_pb2.ChangeTicketResponse:
        made = await self._domain.change_handler.change(
            call.tx,
            call.caller,
            request.ticket_code,
            request.change_quote,
            prices=prices,
            now=call.now,
        )
        (shown,) = await self._domain.reader.show(call.tx, [made.order])
        order = order_messages.order(shown)
        return refund_messages.change(self._domain.reader.seals, made, order)
