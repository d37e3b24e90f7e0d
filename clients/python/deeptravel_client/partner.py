"""What an OTA partner calls."""

from collections.abc import Iterable, Iterator

from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.ota.v1 import ota_service_pb2_grpc
from deeptravel.tickets.v1.ticket_pb2 import CustomerInfo, PaymentProof

from deeptravel_client.connection import Connection, new_request_id


class Partner:
    """A partner by its API key. Every method raises CallError."""

    def __init__(self, connection: Connection, api_key: str) -> None:
        self._stub = ota_service_pb2_grpc.OtaServiceStub(connection.channel)
        self._server = connection.authorized("x-api-key", api_key)

    def generate(
        self, product_id: int, quantity: int, *, distributor_id: str = "", request_id: str = ""
    ) -> ota.BulkGenerateTicketsResponse:
        """A batch of tickets that are not sold yet; `batch_tickets` has all of a large one."""
        request = ota.BulkGenerateTicketsRequest(
            product_id=product_id,
            quantity=quantity,
            distributor_id=distributor_id,
            request_id=request_id or new_request_id(),
        )
        return self._server.call(self._stub.BulkGenerateTickets, request)

    def batch_tickets(
        self, batch_id: str, *, with_qr: bool = True, after: str = ""
    ) -> Iterator[ota.StreamBatchTicketsResponse]:
        """The tickets of a batch with their QR texts, on from `after` where a stream broke."""
        request = ota.StreamBatchTicketsRequest(
            batch_id=batch_id, with_qr=with_qr, after_ticket_code=after
        )
        return self._server.stream(self._stub.StreamBatchTickets, request)

    def issue_qr(self, ticket_code: str) -> ota.IssueQrResponse:
        """The QR of a ticket: its text and pictures. A repeat leaves the former ones good."""
        request = ota.IssueQrRequest(ticket_code=ticket_code)
        return self._server.call(self._stub.IssueQr, request, reads=True)

    def activate(
        self,
        ticket_code: str,
        customer: CustomerInfo,
        payment: PaymentProof,
        *,
        request_id: str = "",
    ) -> ota.ActivateTicketResponse:
        """Makes a sold ticket valid."""
        request = ota.ActivateTicketRequest(
            ticket_code=ticket_code,
            customer=customer,
            payment=payment,
            request_id=request_id or new_request_id(),
        )
        return self._server.call(self._stub.ActivateTicket, request)

    def inventory(self) -> Iterable[ota.Inventory]:
        """What is left of each product."""
        request = ota.GetInventoryRequest()
        return self._server.call(self._stub.GetInventory, request, reads=True).inventory
