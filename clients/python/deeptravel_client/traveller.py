"""What a traveller's mini program calls."""

from collections.abc import Iterable, Iterator

from deeptravel.ticketing.v1 import (
    offer_pb2,
    order_pb2,
    payment_pb2,
    refund_pb2,
    ticketing_service_pb2_grpc,
)
from deeptravel.ticketing.v1 import ticket_pb2 as travel_ticket_pb2

from deeptravel_client.connection import Connection, new_request_id


class Traveller:
    """A traveller by a code of `wx.login`, which is good once. Every method raises CallError."""

    def __init__(self, connection: Connection, code: str) -> None:
        self._stub = ticketing_service_pb2_grpc.TicketingServiceStub(connection.channel)
        request = payment_pb2.TravellerLoginRequest(code=code)
        token = connection.call(self._stub.TravellerLogin, request).access_token
        self._server = connection.authorized("authorization", f"Bearer {token}")

    def search(self, request: offer_pb2.SearchOffersRequest) -> offer_pb2.SearchOffersResponse:
        """Offers of a day with the price of the whole party and the seats left now."""
        return self._server.call(self._stub.SearchOffers, request, reads=True)

    def order(
        self, offer_id: str, passengers: Iterable[order_pb2.Passenger], *, request_id: str = ""
    ) -> order_pb2.Order:
        """Holds seats for a party until `lock_expire_time`."""
        request = order_pb2.CreateOrderRequest(
            items=[order_pb2.OrderItem(offer_id=offer_id)],
            passengers=passengers,
            request_id=request_id or new_request_id(),
        )
        return self._server.call(self._stub.CreateOrder, request).order

    def pay(self, order_id: str) -> payment_pb2.CreatePaymentResponse:
        """What `wx.requestPayment` takes; a repeat gives the same payment."""
        request = payment_pb2.CreatePaymentRequest(order_id=order_id)
        return self._server.call(self._stub.CreatePayment, request, reads=True)

    def watch(self, order_id: str, after: int = 0) -> Iterator[order_pb2.WatchOrderResponse]:
        """Every move of an order, on from sequence `after` where a stream broke."""
        request = order_pb2.WatchOrderRequest(order_id=order_id, after_sequence=after)
        return self._server.stream(self._stub.WatchOrder, request)

    def tickets(self, order_id: str) -> Iterable[travel_ticket_pb2.TravellerTicket]:
        """The tickets of a paid order, up to 200."""
        request = travel_ticket_pb2.ListTicketsRequest(order_id=order_id, page_size=200)
        return self._server.call(self._stub.ListTickets, request, reads=True).tickets

    def issue_qr(self, ticket_code: str) -> travel_ticket_pb2.IssueTicketQrResponse:
        """The QR of a ticket. A repeat leaves the former ones good."""
        request = travel_ticket_pb2.IssueTicketQrRequest(ticket_code=ticket_code)
        return self._server.call(self._stub.IssueTicketQr, request, reads=True)

    def refund(self, order_id: str, *, request_id: str = "") -> refund_pb2.RequestRefundResponse:
        """Gives back all tickets of an order, for what a quote offers now."""
        asked = refund_pb2.QuoteRefundRequest(order_id=order_id)
        quote = self._server.call(self._stub.QuoteRefund, asked, reads=True)
        request = refund_pb2.RequestRefundRequest(
            order_id=order_id,
            refund_quote=quote.refund_quote,
            request_id=request_id or new_request_id(),
        )
        return self._server.call(self._stub.RequestRefund, request)
