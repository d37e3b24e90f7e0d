"""Methods of deeptravel.ota.v1.OtaService."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping

from deeptravel._generated import ota, tickets
from deeptravel._async_calls import AsyncCalls
from deeptravel._calls import Calls
from deeptravel._fields import Duration, FieldMask, Moment, Struct, timestamp
from deeptravel._method import Method

_RESERVE_INVENTORY = Method(
    "/deeptravel.ota.v1.OtaService/ReserveInventory",
    ota.ReserveInventoryRequest,
    ota.ReserveInventoryResponse,
    safe=False,
)
_GET_RESERVATION = Method(
    "/deeptravel.ota.v1.OtaService/GetReservation",
    ota.GetReservationRequest,
    ota.GetReservationResponse,
    safe=True,
)
_LIST_RESERVATIONS = Method(
    "/deeptravel.ota.v1.OtaService/ListReservations",
    ota.ListReservationsRequest,
    ota.ListReservationsResponse,
    safe=True,
    items="reservations",
)
_EXTEND_RESERVATION = Method(
    "/deeptravel.ota.v1.OtaService/ExtendReservation",
    ota.ExtendReservationRequest,
    ota.ExtendReservationResponse,
    safe=False,
)
_RELEASE_RESERVATION = Method(
    "/deeptravel.ota.v1.OtaService/ReleaseReservation",
    ota.ReleaseReservationRequest,
    ota.ReleaseReservationResponse,
    safe=False,
)
_BULK_GENERATE_TICKETS = Method(
    "/deeptravel.ota.v1.OtaService/BulkGenerateTickets",
    ota.BulkGenerateTicketsRequest,
    ota.BulkGenerateTicketsResponse,
    safe=False,
)
_LIST_BATCHES = Method(
    "/deeptravel.ota.v1.OtaService/ListBatches",
    ota.ListBatchesRequest,
    ota.ListBatchesResponse,
    safe=True,
    items="batches",
)
_GET_BATCH = Method(
    "/deeptravel.ota.v1.OtaService/GetBatch",
    ota.GetBatchRequest,
    ota.GetBatchResponse,
    safe=True,
)
_LIST_BATCH_TICKETS = Method(
    "/deeptravel.ota.v1.OtaService/ListBatchTickets",
    ota.ListBatchTicketsRequest,
    ota.ListBatchTicketsResponse,
    safe=True,
    items="tickets",
)
_STREAM_BATCH_TICKETS = Method(
    "/deeptravel.ota.v1.OtaService/StreamBatchTickets",
    ota.StreamBatchTicketsRequest,
    ota.StreamBatchTicketsResponse,
    safe=True,
    resume=("after_ticket_code", "ticket_code"),
)
_ACTIVATE_TICKET = Method(
    "/deeptravel.ota.v1.OtaService/ActivateTicket",
    ota.ActivateTicketRequest,
    ota.ActivateTicketResponse,
    safe=False,
)
_ACTIVATE_TICKETS = Method(
    "/deeptravel.ota.v1.OtaService/ActivateTickets",
    ota.ActivateTicketsRequest,
    ota.ActivateTicketsResponse,
    safe=False,
)
_GET_INVENTORY = Method(
    "/deeptravel.ota.v1.OtaService/GetInventory",
    ota.GetInventoryRequest,
    ota.GetInventoryResponse,
    safe=True,
)
_LIST_TICKETS = Method(
    "/deeptravel.ota.v1.OtaService/ListTickets",
    ota.ListTicketsRequest,
    ota.ListTicketsResponse,
    safe=True,
    items="tickets",
)
_EXPORT_TICKETS = Method(
    "/deeptravel.ota.v1.OtaService/ExportTickets",
    ota.ExportTicketsRequest,
    ota.ExportTicketsResponse,
    safe=True,
    resume=("after_ticket_code", "last_ticket_code"),
)
_ISSUE_QR = Method(
    "/deeptravel.ota.v1.OtaService/IssueQr",
    ota.IssueQrRequest,
    ota.IssueQrResponse,
    safe=False,
)
_ISSUE_ORDER_QR = Method(
    "/deeptravel.ota.v1.OtaService/IssueOrderQr",
    ota.IssueOrderQrRequest,
    ota.IssueOrderQrResponse,
    safe=False,
)
_LIST_EVENTS = Method(
    "/deeptravel.ota.v1.OtaService/ListEvents",
    ota.ListEventsRequest,
    ota.ListEventsResponse,
    safe=True,
    items="events",
)
_ACKNOWLEDGE_EVENTS = Method(
    "/deeptravel.ota.v1.OtaService/AcknowledgeEvents",
    ota.AcknowledgeEventsRequest,
    ota.AcknowledgeEventsResponse,
    safe=True,
)
_CANCEL_TICKETS = Method(
    "/deeptravel.ota.v1.OtaService/CancelTickets",
    ota.CancelTicketsRequest,
    ota.CancelTicketsResponse,
    safe=False,
)
_REASSIGN_TICKETS = Method(
    "/deeptravel.ota.v1.OtaService/ReassignTickets",
    ota.ReassignTicketsRequest,
    ota.ReassignTicketsResponse,
    safe=False,
)
_CREATE_DISTRIBUTOR = Method(
    "/deeptravel.ota.v1.OtaService/CreateDistributor",
    ota.CreateDistributorRequest,
    ota.CreateDistributorResponse,
    safe=False,
)
_GET_DISTRIBUTOR = Method(
    "/deeptravel.ota.v1.OtaService/GetDistributor",
    ota.GetDistributorRequest,
    ota.GetDistributorResponse,
    safe=True,
)
_LIST_DISTRIBUTORS = Method(
    "/deeptravel.ota.v1.OtaService/ListDistributors",
    ota.ListDistributorsRequest,
    ota.ListDistributorsResponse,
    safe=True,
    items="distributors",
)
_UPDATE_DISTRIBUTOR = Method(
    "/deeptravel.ota.v1.OtaService/UpdateDistributor",
    ota.UpdateDistributorRequest,
    ota.UpdateDistributorResponse,
    safe=False,
)
_ARCHIVE_DISTRIBUTOR = Method(
    "/deeptravel.ota.v1.OtaService/ArchiveDistributor",
    ota.ArchiveDistributorRequest,
    ota.ArchiveDistributorResponse,
    safe=False,
)
_CREATE_WEBHOOK_ENDPOINT = Method(
    "/deeptravel.ota.v1.OtaService/CreateWebhookEndpoint",
    ota.CreateWebhookEndpointRequest,
    ota.CreateWebhookEndpointResponse,
    safe=False,
)
_GET_WEBHOOK_ENDPOINT = Method(
    "/deeptravel.ota.v1.OtaService/GetWebhookEndpoint",
    ota.GetWebhookEndpointRequest,
    ota.GetWebhookEndpointResponse,
    safe=True,
)
_LIST_WEBHOOK_ENDPOINTS = Method(
    "/deeptravel.ota.v1.OtaService/ListWebhookEndpoints",
    ota.ListWebhookEndpointsRequest,
    ota.ListWebhookEndpointsResponse,
    safe=True,
    items="endpoints",
)
_UPDATE_WEBHOOK_ENDPOINT = Method(
    "/deeptravel.ota.v1.OtaService/UpdateWebhookEndpoint",
    ota.UpdateWebhookEndpointRequest,
    ota.UpdateWebhookEndpointResponse,
    safe=False,
)
_DELETE_WEBHOOK_ENDPOINT = Method(
    "/deeptravel.ota.v1.OtaService/DeleteWebhookEndpoint",
    ota.DeleteWebhookEndpointRequest,
    ota.DeleteWebhookEndpointResponse,
    safe=False,
)
_ROTATE_WEBHOOK_SECRET = Method(
    "/deeptravel.ota.v1.OtaService/RotateWebhookSecret",
    ota.RotateWebhookSecretRequest,
    ota.RotateWebhookSecretResponse,
    safe=False,
)
_SEND_TEST_EVENT = Method(
    "/deeptravel.ota.v1.OtaService/SendTestEvent",
    ota.SendTestEventRequest,
    ota.SendTestEventResponse,
    safe=False,
)
_LIST_WEBHOOK_DELIVERIES = Method(
    "/deeptravel.ota.v1.OtaService/ListWebhookDeliveries",
    ota.ListWebhookDeliveriesRequest,
    ota.ListWebhookDeliveriesResponse,
    safe=True,
    items="deliveries",
)
_REPLAY_WEBHOOK_DELIVERY = Method(
    "/deeptravel.ota.v1.OtaService/ReplayWebhookDelivery",
    ota.ReplayWebhookDeliveryRequest,
    ota.ReplayWebhookDeliveryResponse,
    safe=False,
)
_REPLAY_WEBHOOK_DELIVERIES = Method(
    "/deeptravel.ota.v1.OtaService/ReplayWebhookDeliveries",
    ota.ReplayWebhookDeliveriesRequest,
    ota.ReplayWebhookDeliveriesResponse,
    safe=False,
)
_ROTATE_PAYMENT_WEBHOOK_SECRET = Method(
    "/deeptravel.ota.v1.OtaService/RotatePaymentWebhookSecret",
    ota.RotatePaymentWebhookSecretRequest,
    ota.RotatePaymentWebhookSecretResponse,
    safe=False,
)
_LIST_STATEMENTS = Method(
    "/deeptravel.ota.v1.OtaService/ListStatements",
    ota.ListStatementsRequest,
    ota.ListStatementsResponse,
    safe=True,
    items="statements",
)
_GET_STATEMENT = Method(
    "/deeptravel.ota.v1.OtaService/GetStatement",
    ota.GetStatementRequest,
    ota.GetStatementResponse,
    safe=True,
    items="lines",
)
_DOWNLOAD_STATEMENT = Method(
    "/deeptravel.ota.v1.OtaService/DownloadStatement",
    ota.DownloadStatementRequest,
    ota.DownloadStatementResponse,
    safe=True,
)
_GET_SANDBOX = Method(
    "/deeptravel.ota.v1.OtaService/GetSandbox",
    ota.GetSandboxRequest,
    ota.GetSandboxResponse,
    safe=True,
)
_SET_SANDBOX_STOCK = Method(
    "/deeptravel.ota.v1.OtaService/SetSandboxStock",
    ota.SetSandboxStockRequest,
    ota.SetSandboxStockResponse,
    safe=False,
)
_SIMULATE_REDEMPTION = Method(
    "/deeptravel.ota.v1.OtaService/SimulateRedemption",
    ota.SimulateRedemptionRequest,
    ota.SimulateRedemptionResponse,
    safe=False,
)
_SIMULATE_REVERSAL = Method(
    "/deeptravel.ota.v1.OtaService/SimulateReversal",
    ota.SimulateReversalRequest,
    ota.SimulateReversalResponse,
    safe=False,
)
_GET_TEST_CLOCK = Method(
    "/deeptravel.ota.v1.OtaService/GetTestClock",
    ota.GetTestClockRequest,
    ota.GetTestClockResponse,
    safe=True,
)
_ADVANCE_TEST_CLOCK = Method(
    "/deeptravel.ota.v1.OtaService/AdvanceTestClock",
    ota.AdvanceTestClockRequest,
    ota.AdvanceTestClockResponse,
    safe=False,
)


class OtaService:
    """What OTA partners do: pre-generate tickets out of their own stock, for themselves or for their
    distributors, print their QR codes, activate them when sold, cancel or reassign them before.

    Every call carries the partner's API key in the metadata (or header) `x-api-key`; a partner sees
    only its own. Each partner has a number of requests a minute (100 by default): `x-ratelimit-
    limit`, `x-ratelimit-remaining` and `x-ratelimit-reset` (seconds) come with every answer. A call
    with a `request_id` may be repeated safely with the same id: it gets the first answer again; the
    same id with other content gets IDEMPOTENCY_MISMATCH.

    A key of test mode (`dtk_test_…`) calls as the partner's sandbox: a partner of its own, with
    test stock and test tickets, which no terminal of a venue admits. There a `request_id` that
    begins with `sandbox-` has what follows happen, e.g. `sandbox-SOLD_OUT-1`; of a live key it is a
    `request_id` like any other.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def reserve_inventory(
        self,
        *,
        product_id: int,
        quantity: int,
        departure_id: str = "",
        fare_class: str = "",
        use_date: str = "",
        hold_seconds: int | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.ReserveInventoryResponse:
        """Reserves stock for the partner, without payment, until the reservation expires: of a
        product, of a class of a departure, or of a day of use. Tickets are made of it with
        BulkGenerateTickets (`reservation_id`). When it expires, to the second, what is not
        activated of it returns to the partner's stock within five seconds and its tickets that are
        not activated are VOIDED. A repeat with the same `request_id` gets the first answer.
        Reasons: SOLD_OUT, PRODUCT_NOT_ON_SALE, INVALID_FIELD (also where nothing of that departure
        or day is allotted to the partner, or it has left or is over), DEPARTURE_CANCELLED,
        RESERVATION_TOO_LONG, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_RESERVE_INVENTORY, ota.ReserveInventoryRequest(product_id=product_id, quantity=quantity, departure_id=departure_id, fare_class=fare_class, use_date=use_date, hold_seconds=hold_seconds, request_id=request_id), timeout)

    def get_reservation(
        self,
        *,
        reservation_id: str,
        timeout: float | None = None,
    ) -> ota.GetReservationResponse:
        """Reads a reservation. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_RESERVATION, ota.GetReservationRequest(reservation_id=reservation_id), timeout)

    def list_reservations(
        self,
        *,
        status: ota.ReservationState.ValueType = ota.RESERVATION_STATE_UNSPECIFIED,
        product_id: int = 0,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.ListReservationsResponse:
        """Lists the partner's reservations, newest first, by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_RESERVATIONS, ota.ListReservationsRequest(status=status, product_id=product_id, page_size=page_size, page_token=page_token), timeout)

    def iter_reservations(
        self,
        *,
        status: ota.ReservationState.ValueType = ota.RESERVATION_STATE_UNSPECIFIED,
        product_id: int = 0,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ota.Reservation]:
        """All `reservations` of list_reservations, page after page."""
        return self._calls.pages(_LIST_RESERVATIONS, ota.ListReservationsRequest(status=status, product_id=product_id, page_size=page_size), timeout)

    def extend_reservation(
        self,
        *,
        reservation_id: str,
        hold_seconds: int,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.ExtendReservationResponse:
        """Has a reservation that is OPEN end later, up to its `max_expire_time`. A repeat with the
        same `request_id` gets the first answer. Reasons: NOT_FOUND, RESERVATION_EXPIRED,
        RESERVATION_STATE_REFUSES, RESERVATION_TOO_LONG, DEPARTURE_CANCELLED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_EXTEND_RESERVATION, ota.ExtendReservationRequest(reservation_id=reservation_id, hold_seconds=hold_seconds, request_id=request_id), timeout)

    def release_reservation(
        self,
        *,
        reservation_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.ReleaseReservationResponse:
        """Ends a reservation that is OPEN: what is not activated of it returns to the partner's stock,
        and its tickets that are not activated are VOIDED: the first 2,000 at once, the others
        within seconds; none of them can be activated any more. Activated ones stay sold. A repeat
        with the same `request_id` gets the first answer. Reasons: NOT_FOUND, RESERVATION_EXPIRED,
        RESERVATION_STATE_REFUSES, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_RELEASE_RESERVATION, ota.ReleaseReservationRequest(reservation_id=reservation_id, request_id=request_id), timeout)

    def bulk_generate_tickets(
        self,
        *,
        product_id: int,
        quantity: int,
        request_id: str = "",
        distributor_id: str = "",
        activation: ota.Activation | None = None,
        valid_from_time: Moment | None = None,
        reservation_id: str = "",
        origin_stop_code: str = "",
        destination_stop_code: str = "",
        timeout: float | None = None,
    ) -> ota.BulkGenerateTicketsResponse:
        """Makes 1 to 50,000 tickets of a product, all or nothing, out of the partner's allotment,
        under one price snapshot. With `activation` they are born ACTIVE and linked to one order.
        Answers the first page of tickets; the others come from ListTickets (by `batch_id`), and
        with their QR tokens from ListBatchTickets or StreamBatchTickets.

        Batches of more than 1,000 are made one at a time for each partner, at a pace that leaves
        others their time: 50,000 take some seconds, and those that wait for their turn as long
        again each. Let the deadline be a minute or more; when it has passed, repeat the call with
        the same `request_id`: it gets the batch if that was made, or makes it.

        With a `reservation_id` they are made of what that holds: it stays held until they are
        activated, and they are VOIDED when the reservation ends. Without one they count as sold at
        once.

        Of a reservation of a departure each ticket is one person's, from `origin_stop_code` to
        `destination_stop_code`, at the fares of that departure's day. Where the class has numbered
        seats each gets one when it is made, beside each other as far as there are such; a ticket
        that is VOIDED or REFUNDED leaves it. Names and customer types come with the activation;
        travel documents are not taken: the partner looks at them. When the departure is cancelled,
        unsold tickets are VOIDED and sold ones REFUNDED, with events; when it is moved, their times
        move.

        Reasons: SOLD_OUT, PRODUCT_NOT_ON_SALE, DISTRIBUTOR_REFUSED (archived), PAYMENT_MISMATCH
        (the proof of an `activation` is not `quantity` times the price), NOT_FOUND,
        RESERVATION_EXPIRED, RESERVATION_STATE_REFUSES and RESERVATION_USED_UP (of the reservation),
        DEPARTURE_CANCELLED and OFFER_NOT_AVAILABLE (of the departure: its sale is over, or no fare,
        or a blackout date), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_BULK_GENERATE_TICKETS, ota.BulkGenerateTicketsRequest(product_id=product_id, quantity=quantity, request_id=request_id, distributor_id=distributor_id, activation=activation, valid_from_time=timestamp(valid_from_time), reservation_id=reservation_id, origin_stop_code=origin_stop_code, destination_stop_code=destination_stop_code), timeout)

    def list_batches(
        self,
        *,
        distributor_id: str = "",
        product_id: int = 0,
        create_time_from: Moment | None = None,
        create_time_until: Moment | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.ListBatchesResponse:
        """Lists the partner's batches in the order of their tickets' codes, by page. Reasons:
        PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_BATCHES, ota.ListBatchesRequest(distributor_id=distributor_id, product_id=product_id, create_time_from=timestamp(create_time_from), create_time_until=timestamp(create_time_until), page_size=page_size, page_token=page_token), timeout)

    def iter_batches(
        self,
        *,
        distributor_id: str = "",
        product_id: int = 0,
        create_time_from: Moment | None = None,
        create_time_until: Moment | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ota.BatchSummary]:
        """All `batches` of list_batches, page after page."""
        return self._calls.pages(_LIST_BATCHES, ota.ListBatchesRequest(distributor_id=distributor_id, product_id=product_id, create_time_from=timestamp(create_time_from), create_time_until=timestamp(create_time_until), page_size=page_size), timeout)

    def get_batch(
        self,
        *,
        batch_id: str,
        timeout: float | None = None,
    ) -> ota.GetBatchResponse:
        """Reads a batch with its price snapshot and its line of sale, as they were when it was made.
        Reasons: NOT_FOUND.
        """
        return self._calls.unary(_GET_BATCH, ota.GetBatchRequest(batch_id=batch_id), timeout)

    def list_batch_tickets(
        self,
        *,
        batch_id: str,
        with_qr: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.ListBatchTicketsResponse:
        """Lists the tickets of a batch in the order of their codes, page by page, with a QR token for
        each where asked: the text of its QR code. A repeat is safe; each token is another text of
        the same QR. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_BATCH_TICKETS, ota.ListBatchTicketsRequest(batch_id=batch_id, with_qr=with_qr, page_size=page_size, page_token=page_token), timeout)

    def iter_batch_tickets(
        self,
        *,
        batch_id: str,
        with_qr: bool = False,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ota.BatchTicket]:
        """All `tickets` of list_batch_tickets, page after page."""
        return self._calls.pages(_LIST_BATCH_TICKETS, ota.ListBatchTicketsRequest(batch_id=batch_id, with_qr=with_qr, page_size=page_size), timeout)

    def stream_batch_tickets(
        self,
        *,
        batch_id: str,
        with_qr: bool = False,
        after_ticket_code: str = "",
        timeout: float | None = None,
    ) -> Iterator[ota.StreamBatchTicketsResponse]:
        """Streams all tickets of a batch in the order of their codes, with a QR token for each where
        asked; over HTTP one line of JSON for each (application/x-ndjson). One call of the rate
        limit however large the batch, as slowly as it is read; resume after a break with
        `after_ticket_code`. Reasons: NOT_FOUND.
        """
        return self._calls.stream(_STREAM_BATCH_TICKETS, ota.StreamBatchTicketsRequest(batch_id=batch_id, with_qr=with_qr, after_ticket_code=after_ticket_code), timeout)

    def activate_ticket(
        self,
        *,
        ticket_code: str,
        customer: tickets.CustomerInfo,
        payment: tickets.PaymentProof,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.ActivateTicketResponse:
        """Activates one sold ticket and creates the linked order. Reasons: NOT_FOUND,
        TICKET_STATE_REFUSES (not PRE_GENERATED, blocked, validity over), PAYMENT_MISMATCH (amount
        or currency is not that of the price snapshot, see PaymentProof), RESERVATION_EXPIRED and
        RESERVATION_STATE_REFUSES (the reservation that it was made of has ended),
        DEPARTURE_CANCELLED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ACTIVATE_TICKET, ota.ActivateTicketRequest(ticket_code=ticket_code, customer=customer, payment=payment, request_id=request_id), timeout)

    def activate_tickets(
        self,
        *,
        activations: Iterable[ota.TicketActivation],
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.ActivateTicketsResponse:
        """Activates up to 1,000 sold tickets, each with a verdict of its own; tickets under one
        payment reference share one order. A payment that is not what the ticket's price snapshot
        asks for is a verdict too, with both amounts; that ticket stays as it is. Reasons:
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ACTIVATE_TICKETS, ota.ActivateTicketsRequest(activations=activations, request_id=request_id), timeout)

    def get_inventory(
        self,
        *,
        product_id: int = 0,
        departure_id: str = "",
        use_date: str = "",
        timeout: float | None = None,
    ) -> ota.GetInventoryResponse:
        """Reads the partner's stock now, from the database."""
        return self._calls.unary(_GET_INVENTORY, ota.GetInventoryRequest(product_id=product_id, departure_id=departure_id, use_date=use_date), timeout)

    def list_tickets(
        self,
        *,
        status: tickets.TicketState.ValueType = tickets.TICKET_STATE_UNSPECIFIED,
        batch_id: str = "",
        distributor_id: str = "",
        create_time_from: Moment | None = None,
        create_time_until: Moment | None = None,
        page_size: int = 0,
        page_token: str = "",
        product_id: int = 0,
        order_id: str = "",
        payment_reference: str = "",
        with_lines_of_sale: bool = False,
        timeout: float | None = None,
    ) -> ota.ListTicketsResponse:
        """Lists the partner's tickets in the order of their codes, which is that of the days they were
        made, by page; a ticket that is there stands at its place whatever else is made meanwhile. A
        page may be short, or empty, where few tickets pass the filter: go on while there is a
        next_page_token. Reasons: PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_TICKETS, ota.ListTicketsRequest(status=status, batch_id=batch_id, distributor_id=distributor_id, create_time_from=timestamp(create_time_from), create_time_until=timestamp(create_time_until), page_size=page_size, page_token=page_token, product_id=product_id, order_id=order_id, payment_reference=payment_reference, with_lines_of_sale=with_lines_of_sale), timeout)

    def iter_tickets(
        self,
        *,
        status: tickets.TicketState.ValueType = tickets.TICKET_STATE_UNSPECIFIED,
        batch_id: str = "",
        distributor_id: str = "",
        create_time_from: Moment | None = None,
        create_time_until: Moment | None = None,
        page_size: int = 0,
        product_id: int = 0,
        order_id: str = "",
        payment_reference: str = "",
        with_lines_of_sale: bool = False,
        timeout: float | None = None,
    ) -> Iterator[tickets.Ticket]:
        """All `tickets` of list_tickets, page after page."""
        return self._calls.pages(_LIST_TICKETS, ota.ListTicketsRequest(status=status, batch_id=batch_id, distributor_id=distributor_id, create_time_from=timestamp(create_time_from), create_time_until=timestamp(create_time_until), page_size=page_size, product_id=product_id, order_id=order_id, payment_reference=payment_reference, with_lines_of_sale=with_lines_of_sale), timeout)

    def export_tickets(
        self,
        *,
        format: ota.ExportFormat.ValueType = ota.EXPORT_FORMAT_UNSPECIFIED,
        with_qr: bool = False,
        after_ticket_code: str = "",
        status: tickets.TicketState.ValueType = tickets.TICKET_STATE_UNSPECIFIED,
        batch_id: str = "",
        distributor_id: str = "",
        create_time_from: Moment | None = None,
        create_time_until: Moment | None = None,
        product_id: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ota.ExportTicketsResponse]:
        """Streams all of the partner's tickets that pass a filter, in the order of their codes; over
        HTTP one download, e.g. `GET /ota/tickets:export?format=csv`. One call of the rate limit
        however many they are, as slowly as it is read. Each ticket is as it was when its part was
        read, not all as of one moment; those that are made meanwhile come at the end. After a break
        resume with `after_ticket_code`. Over HTTP a failure cuts the transfer off before its end.
        Reasons: INVALID_FIELD (`after_ticket_code`).
        """
        return self._calls.stream(_EXPORT_TICKETS, ota.ExportTicketsRequest(format=format, with_qr=with_qr, after_ticket_code=after_ticket_code, status=status, batch_id=batch_id, distributor_id=distributor_id, create_time_from=timestamp(create_time_from), create_time_until=timestamp(create_time_until), product_id=product_id), timeout)

    def issue_qr(
        self,
        *,
        ticket_code: str,
        rotate: bool = False,
        request_id: str = "",
        picture: tickets.QrPicture | None = None,
        timeout: float | None = None,
    ) -> ota.IssueQrResponse:
        """Issues the QR of a ticket: the token, and its picture as PNG and SVG. May be repeated at
        will: the ticket keeps its jti and codes printed before still work, unless `rotate` is set,
        which supersedes them all. A ticket may be printed before it is activated. Reasons:
        NOT_FOUND, TICKET_STATE_REFUSES (final state, blocked, validity over), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ISSUE_QR, ota.IssueQrRequest(ticket_code=ticket_code, rotate=rotate, request_id=request_id, picture=picture), timeout)

    def issue_order_qr(
        self,
        *,
        order_id: str,
        rotate: bool = False,
        request_id: str = "",
        picture: tickets.QrPicture | None = None,
        timeout: float | None = None,
    ) -> ota.IssueOrderQrResponse:
        """Issues the QR of an order's code: scanned at a venue it lists the order's tickets, and
        redeems them by `ticket_code`, except those whose own QR was rotated after it was issued:
        issue it again then. May be repeated at will: codes issued before still work, unless
        `rotate` is set, which supersedes them all. Reasons: NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ISSUE_ORDER_QR, ota.IssueOrderQrRequest(order_id=order_id, rotate=rotate, request_id=request_id, picture=picture), timeout)

    def list_events(
        self,
        *,
        types: Iterable[str] = (),
        after_cursor: int | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.ListEventsResponse:
        """Lists what happened to the partner's stock, batches and tickets, in order, page by page; an
        event is there within a second, and none comes later before one that was read. Without
        `after_cursor` it goes on after what was acknowledged. Events are kept for 90 days, unless
        the platform sets another time. A page may be short, or empty, where few events are of the
        `types`: go on while there is a next_page_token. Reasons: EVENTS_REMOVED (older than the
        time they are kept), PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_EVENTS, ota.ListEventsRequest(types=types, after_cursor=after_cursor, page_size=page_size, page_token=page_token), timeout)

    def iter_events(
        self,
        *,
        types: Iterable[str] = (),
        after_cursor: int | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ota.Event]:
        """All `events` of list_events, page after page."""
        return self._calls.pages(_LIST_EVENTS, ota.ListEventsRequest(types=types, after_cursor=after_cursor, page_size=page_size), timeout)

    def acknowledge_events(
        self,
        *,
        cursor: int = 0,
        timeout: float | None = None,
    ) -> ota.AcknowledgeEventsResponse:
        """Keeps on the server up to where the partner has dealt with its events. May be repeated at
        will: a smaller cursor than the one acknowledged before changes nothing.
        """
        return self._calls.unary(_ACKNOWLEDGE_EVENTS, ota.AcknowledgeEventsRequest(cursor=cursor), timeout)

    def cancel_tickets(
        self,
        *,
        request_id: str = "",
        ticket_codes: Iterable[str] = (),
        batch_id: str = "",
        timeout: float | None = None,
    ) -> ota.CancelTicketsResponse:
        """Voids tickets that were not sold (PRE_GENERATED → VOIDED), blocked ones too, and returns
        their stock: up to 1,000 by code, each with a verdict of its own, or all of a batch. Of an
        activation of the same ticket at the same moment exactly one wins. A large batch takes some
        seconds; let the deadline be a minute or more. Reasons: NOT_FOUND (the batch),
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CANCEL_TICKETS, ota.CancelTicketsRequest(request_id=request_id, ticket_codes=ticket_codes, batch_id=batch_id), timeout)

    def reassign_tickets(
        self,
        *,
        request_id: str = "",
        ticket_codes: Iterable[str] = (),
        batch_id: str = "",
        distributor_id: str = "",
        timeout: float | None = None,
    ) -> ota.ReassignTicketsResponse:
        """Gives tickets that were not sold to another distributor of the partner: up to 1,000 by code,
        each with a verdict of its own, or all of a batch. Their price stays that of their price
        snapshot; their line of sale is taken anew, with the commissions as they are now. A large
        batch takes some seconds; let the deadline be a minute or more. Reasons: NOT_FOUND (the
        batch, the distributor), DISTRIBUTOR_REFUSED (archived), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REASSIGN_TICKETS, ota.ReassignTicketsRequest(request_id=request_id, ticket_codes=ticket_codes, batch_id=batch_id, distributor_id=distributor_id), timeout)

    def create_distributor(
        self,
        *,
        distributor_id: str,
        display_name: str,
        parent_distributor_id: str = "",
        commission_basis_points: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.CreateDistributorResponse:
        """Adds a distributor to the partner's tree. Reasons: ALREADY_EXISTS, NOT_FOUND (the parent),
        DISTRIBUTOR_REFUSED (the parent is archived, the line too deep, its commissions more than
        the price, or there are too many), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_DISTRIBUTOR, ota.CreateDistributorRequest(distributor_id=distributor_id, display_name=display_name, parent_distributor_id=parent_distributor_id, commission_basis_points=commission_basis_points, request_id=request_id), timeout)

    def get_distributor(
        self,
        *,
        distributor_id: str,
        timeout: float | None = None,
    ) -> ota.GetDistributorResponse:
        """Reads a distributor, with the line of sale that a batch made for it now would get. Reasons:
        NOT_FOUND.
        """
        return self._calls.unary(_GET_DISTRIBUTOR, ota.GetDistributorRequest(distributor_id=distributor_id), timeout)

    def list_distributors(
        self,
        *,
        parent_distributor_id: str = "",
        all_below: bool = False,
        state: ota.DistributorState.ValueType = ota.DISTRIBUTOR_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.ListDistributorsResponse:
        """Lists distributors in the order of their ids: of one parent, or all below it. Reasons:
        NOT_FOUND (the parent), PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_DISTRIBUTORS, ota.ListDistributorsRequest(parent_distributor_id=parent_distributor_id, all_below=all_below, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_distributors(
        self,
        *,
        parent_distributor_id: str = "",
        all_below: bool = False,
        state: ota.DistributorState.ValueType = ota.DISTRIBUTOR_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ota.Distributor]:
        """All `distributors` of list_distributors, page after page."""
        return self._calls.pages(_LIST_DISTRIBUTORS, ota.ListDistributorsRequest(parent_distributor_id=parent_distributor_id, all_below=all_below, state=state, page_size=page_size), timeout)

    def update_distributor(
        self,
        *,
        distributor_id: str,
        update_mask: FieldMask,
        parent_distributor_id: str | None = None,
        display_name: str = "",
        commission_basis_points: int | None = None,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.UpdateDistributorResponse:
        """Changes what `update_mask` names of an active distributor. What was made before keeps its
        line of sale: a commission counts for the batches to come, and with another parent the
        tickets that are there still pay the levels that stood above it when they were made;
        ReassignTickets gives unsold ones the new line. Reasons: NOT_FOUND (it, the parent),
        VERSION_MISMATCH, DISTRIBUTOR_REFUSED (it or the parent is archived, a circle, the line too
        deep, its commissions more than the price), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_DISTRIBUTOR, ota.UpdateDistributorRequest(distributor_id=distributor_id, update_mask=update_mask, parent_distributor_id=parent_distributor_id, display_name=display_name, commission_basis_points=commission_basis_points, version=version, request_id=request_id), timeout)

    def archive_distributor(
        self,
        *,
        distributor_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.ArchiveDistributorResponse:
        """Sells nothing new through a distributor, for good; one that is archived stays so. What it
        has can still be activated, cancelled and reassigned. Reasons: NOT_FOUND,
        DISTRIBUTOR_REFUSED (an active one is below it), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_DISTRIBUTOR, ota.ArchiveDistributorRequest(distributor_id=distributor_id, request_id=request_id), timeout)

    def create_webhook_endpoint(
        self,
        *,
        url: str,
        types: Iterable[str] = (),
        description: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.CreateWebhookEndpointResponse:
        """Adds an endpoint to which the partner's events are sent as signed webhooks (Standard
        Webhooks): POST with a JSON object `{type, timestamp, data}` and the headers `webhook-id`,
        `webhook-timestamp` and `webhook-signature`. Answer with 2xx within 15 s. Anything else is
        tried again for three days, 410 disables the endpoint. Each event comes at least once, those
        of one ticket in their order, and after that of its batch. At most 20 endpoints. Reasons:
        ENDPOINT_LIMIT, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_WEBHOOK_ENDPOINT, ota.CreateWebhookEndpointRequest(url=url, types=types, description=description, request_id=request_id), timeout)

    def get_webhook_endpoint(
        self,
        *,
        endpoint_id: str,
        timeout: float | None = None,
    ) -> ota.GetWebhookEndpointResponse:
        """Reads an endpoint. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_WEBHOOK_ENDPOINT, ota.GetWebhookEndpointRequest(endpoint_id=endpoint_id), timeout)

    def list_webhook_endpoints(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.ListWebhookEndpointsResponse:
        """Lists the partner's endpoints. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_WEBHOOK_ENDPOINTS, ota.ListWebhookEndpointsRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_webhook_endpoints(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ota.WebhookEndpoint]:
        """All `endpoints` of list_webhook_endpoints, page after page."""
        return self._calls.pages(_LIST_WEBHOOK_ENDPOINTS, ota.ListWebhookEndpointsRequest(page_size=page_size), timeout)

    def update_webhook_endpoint(
        self,
        *,
        endpoint_id: str,
        url: str,
        state: ota.WebhookEndpointState.ValueType,
        types: Iterable[str] = (),
        description: str = "",
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> ota.UpdateWebhookEndpointResponse:
        """Sets what a partner sets of an endpoint, all of it. What waits for an endpoint that is
        enabled again is sent then. Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_WEBHOOK_ENDPOINT, ota.UpdateWebhookEndpointRequest(endpoint_id=endpoint_id, url=url, state=state, types=types, description=description, request_id=request_id, version=version), timeout)

    def delete_webhook_endpoint(
        self,
        *,
        endpoint_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.DeleteWebhookEndpointResponse:
        """Removes an endpoint. Reasons: NOT_FOUND, IDEMPOTENCY_MISMATCH."""
        return self._calls.unary(_DELETE_WEBHOOK_ENDPOINT, ota.DeleteWebhookEndpointRequest(endpoint_id=endpoint_id, request_id=request_id), timeout)

    def rotate_webhook_secret(
        self,
        *,
        endpoint_id: str,
        overlap_seconds: int | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.RotateWebhookSecretResponse:
        """Gives an endpoint a new secret; the former one signs as well for a while, so that a receiver
        can take over the new one without losing an event. Reasons: NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ROTATE_WEBHOOK_SECRET, ota.RotateWebhookSecretRequest(endpoint_id=endpoint_id, overlap_seconds=overlap_seconds, request_id=request_id), timeout)

    def send_test_event(
        self,
        *,
        endpoint_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.SendTestEventResponse:
        """Sends an event of the type `endpoint.test` to one endpoint. Reasons: NOT_FOUND,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_SEND_TEST_EVENT, ota.SendTestEventRequest(endpoint_id=endpoint_id, request_id=request_id), timeout)

    def list_webhook_deliveries(
        self,
        *,
        endpoint_id: str,
        state: ota.WebhookDeliveryState.ValueType = ota.WEBHOOK_DELIVERY_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.ListWebhookDeliveriesResponse:
        """Lists what was sent to an endpoint, latest first, with its attempts and their answers; kept
        for 30 days, unless the platform sets another time. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_WEBHOOK_DELIVERIES, ota.ListWebhookDeliveriesRequest(endpoint_id=endpoint_id, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_webhook_deliveries(
        self,
        *,
        endpoint_id: str,
        state: ota.WebhookDeliveryState.ValueType = ota.WEBHOOK_DELIVERY_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ota.WebhookDelivery]:
        """All `deliveries` of list_webhook_deliveries, page after page."""
        return self._calls.pages(_LIST_WEBHOOK_DELIVERIES, ota.ListWebhookDeliveriesRequest(endpoint_id=endpoint_id, state=state, page_size=page_size), timeout)

    def replay_webhook_delivery(
        self,
        *,
        endpoint_id: str,
        event_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.ReplayWebhookDeliveryResponse:
        """Has one event delivered again, whatever became of it. Reasons: NOT_FOUND,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REPLAY_WEBHOOK_DELIVERY, ota.ReplayWebhookDeliveryRequest(endpoint_id=endpoint_id, event_id=event_id, request_id=request_id), timeout)

    def replay_webhook_deliveries(
        self,
        *,
        endpoint_id: str,
        until_cursor: int,
        after_cursor: int = 0,
        with_delivered: bool = False,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.ReplayWebhookDeliveriesResponse:
        """Has a range of events delivered: those that were never sent, as while the endpoint was
        disabled, those that were given up, and with `with_delivered` all others too. Reasons:
        NOT_FOUND, EVENTS_REMOVED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REPLAY_WEBHOOK_DELIVERIES, ota.ReplayWebhookDeliveriesRequest(endpoint_id=endpoint_id, until_cursor=until_cursor, after_cursor=after_cursor, with_delivered=with_delivered, request_id=request_id), timeout)

    def rotate_payment_webhook_secret(
        self,
        *,
        overlap_seconds: int | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.RotatePaymentWebhookSecretResponse:
        """Gives the partner a secret with which it signs its own payment webhook, see
        ReceivePartnerPayment. Reasons: IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ROTATE_PAYMENT_WEBHOOK_SECRET, ota.RotatePaymentWebhookSecretRequest(overlap_seconds=overlap_seconds, request_id=request_id), timeout)

    def list_statements(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.ListStatementsResponse:
        """Lists the partner's monthly statements, the latest first: one for each month since its
        ledger began, the running one too. Reasons: PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_STATEMENTS, ota.ListStatementsRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_statements(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ota.StatementSummary]:
        """All `statements` of list_statements, page after page."""
        return self._calls.pages(_LIST_STATEMENTS, ota.ListStatementsRequest(page_size=page_size), timeout)

    def get_statement(
        self,
        *,
        month: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.GetStatementResponse:
        """Reads the partner's statement of a month: balances, sums by currency and distributor, and a
        page of its lines. That of a running month is PROVISIONAL: events are in it some seconds
        after they happened. It is SEALED some hours after the month is over; the event
        `statement.ready` says so. Reasons: NOT_FOUND (a month to come, or before the ledger began),
        PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_GET_STATEMENT, ota.GetStatementRequest(month=month, page_size=page_size, page_token=page_token), timeout)

    def iter_statement_lines(
        self,
        *,
        month: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ota.StatementLine]:
        """All `lines` of get_statement, page after page."""
        return self._calls.pages(_GET_STATEMENT, ota.GetStatementRequest(month=month, page_size=page_size), timeout)

    def download_statement(
        self,
        *,
        month: str,
        format: ota.StatementFormat.ValueType,
        timeout: float | None = None,
    ) -> Iterator[ota.DownloadStatementResponse]:
        """Downloads the partner's statement of a month as CSV, JSON or PDF. A SEALED one has the same
        content, and so the same hash, whenever it is asked for. Reasons: NOT_FOUND (as
        GetStatement).
        """
        return self._calls.stream(_DOWNLOAD_STATEMENT, ota.DownloadStatementRequest(month=month, format=format), timeout)

    def get_sandbox(
        self,
        *,
        timeout: float | None = None,
    ) -> ota.GetSandboxResponse:
        """Reads the sandbox that a key of test mode calls as. Reasons: TEST_MODE_ONLY."""
        return self._calls.unary(_GET_SANDBOX, ota.GetSandboxRequest(), timeout)

    def set_sandbox_stock(
        self,
        *,
        product_id: int,
        departure_id: str = "",
        fare_class: str = "",
        use_date: str = "",
        total: int = 0,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> ota.SetSandboxStockResponse:
        """Sets the total of the sandbox's own stock, which is nobody else's: of whatever the partner
        itself has stock of the product. A repeat with the same `request_id` gets the first answer.
        Reasons: TEST_MODE_ONLY, PRODUCT_NOT_ON_SALE (the partner has no stock of the product),
        NOT_FOUND (the departure has no such class), STOCK_IN_USE, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_SET_SANDBOX_STOCK, ota.SetSandboxStockRequest(product_id=product_id, departure_id=departure_id, fare_class=fare_class, use_date=use_date, total=total, request_id=request_id, version=version), timeout)

    def simulate_redemption(
        self,
        *,
        function_code: str,
        qr_token: str = "",
        ticket_code: str = "",
        quantity: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.SimulateRedemptionResponse:
        """Redeems a test ticket of the caller's at a simulated terminal, by all the rules that hold at
        those of venues, which admit no test ticket. DecryptQr is the first look. A repeat with the
        same `request_id` gets the first answer. Reasons: TEST_MODE_ONLY, IDEMPOTENCY_MISMATCH; why
        a scan is refused stands in the answer, see deeptravel.redemption.v1.RefusalReason.
        """
        return self._calls.unary(_SIMULATE_REDEMPTION, ota.SimulateRedemptionRequest(function_code=function_code, qr_token=qr_token, ticket_code=ticket_code, quantity=quantity, request_id=request_id), timeout)

    def simulate_reversal(
        self,
        *,
        redemption_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.SimulateReversalResponse:
        """Takes a simulated redemption back: the uses are free again. A repeat with the same
        `request_id` gets the first answer. Reasons: TEST_MODE_ONLY, NOT_FOUND, REVERSAL_REFUSED,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_SIMULATE_REVERSAL, ota.SimulateReversalRequest(redemption_id=redemption_id, request_id=request_id), timeout)

    def get_test_clock(
        self,
        *,
        timeout: float | None = None,
    ) -> ota.GetTestClockResponse:
        """Reads the sandbox's test clock, by which all in it goes. Reasons: TEST_MODE_ONLY."""
        return self._calls.unary(_GET_TEST_CLOCK, ota.GetTestClockRequest(), timeout)

    def advance_test_clock(
        self,
        *,
        request_id: str = "",
        to_time: Moment | None = None,
        by_seconds: int = 0,
        timeout: float | None = None,
    ) -> ota.AdvanceTestClockResponse:
        """Moves the sandbox's test clock forward. All that falls due on the way happens, in order and
        each at its own moment, as it would have with time: reservations are warned of and expire,
        tickets are reminded of and expire, statements are sealed; events have the clock's time. It
        is done within 20 s and the call's deadline, or the answer says how far it is and it goes on
        by itself. A move that is asked for while another is under way begins where that ends. A
        repeat with the same `request_id` gets the answer of the same move. Reasons: TEST_MODE_ONLY,
        INVALID_FIELD (a time that is not ahead of the clock, or too far), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ADVANCE_TEST_CLOCK, ota.AdvanceTestClockRequest(request_id=request_id, to_time=timestamp(to_time), by_seconds=by_seconds), timeout)


class AsyncOtaService:
    """What OTA partners do: pre-generate tickets out of their own stock, for themselves or for their
    distributors, print their QR codes, activate them when sold, cancel or reassign them before.

    Every call carries the partner's API key in the metadata (or header) `x-api-key`; a partner sees
    only its own. Each partner has a number of requests a minute (100 by default): `x-ratelimit-
    limit`, `x-ratelimit-remaining` and `x-ratelimit-reset` (seconds) come with every answer. A call
    with a `request_id` may be repeated safely with the same id: it gets the first answer again; the
    same id with other content gets IDEMPOTENCY_MISMATCH.

    A key of test mode (`dtk_test_…`) calls as the partner's sandbox: a partner of its own, with
    test stock and test tickets, which no terminal of a venue admits. There a `request_id` that
    begins with `sandbox-` has what follows happen, e.g. `sandbox-SOLD_OUT-1`; of a live key it is a
    `request_id` like any other.
    """

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    async def reserve_inventory(
        self,
        *,
        product_id: int,
        quantity: int,
        departure_id: str = "",
        fare_class: str = "",
        use_date: str = "",
        hold_seconds: int | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.ReserveInventoryResponse:
        """Reserves stock for the partner, without payment, until the reservation expires: of a
        product, of a class of a departure, or of a day of use. Tickets are made of it with
        BulkGenerateTickets (`reservation_id`). When it expires, to the second, what is not
        activated of it returns to the partner's stock within five seconds and its tickets that are
        not activated are VOIDED. A repeat with the same `request_id` gets the first answer.
        Reasons: SOLD_OUT, PRODUCT_NOT_ON_SALE, INVALID_FIELD (also where nothing of that departure
        or day is allotted to the partner, or it has left or is over), DEPARTURE_CANCELLED,
        RESERVATION_TOO_LONG, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_RESERVE_INVENTORY, ota.ReserveInventoryRequest(product_id=product_id, quantity=quantity, departure_id=departure_id, fare_class=fare_class, use_date=use_date, hold_seconds=hold_seconds, request_id=request_id), timeout)

    async def get_reservation(
        self,
        *,
        reservation_id: str,
        timeout: float | None = None,
    ) -> ota.GetReservationResponse:
        """Reads a reservation. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_RESERVATION, ota.GetReservationRequest(reservation_id=reservation_id), timeout)

    async def list_reservations(
        self,
        *,
        status: ota.ReservationState.ValueType = ota.RESERVATION_STATE_UNSPECIFIED,
        product_id: int = 0,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.ListReservationsResponse:
        """Lists the partner's reservations, newest first, by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_RESERVATIONS, ota.ListReservationsRequest(status=status, product_id=product_id, page_size=page_size, page_token=page_token), timeout)

    def iter_reservations(
        self,
        *,
        status: ota.ReservationState.ValueType = ota.RESERVATION_STATE_UNSPECIFIED,
        product_id: int = 0,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ota.Reservation]:
        """All `reservations` of list_reservations, page after page."""
        return self._calls.pages(_LIST_RESERVATIONS, ota.ListReservationsRequest(status=status, product_id=product_id, page_size=page_size), timeout)

    async def extend_reservation(
        self,
        *,
        reservation_id: str,
        hold_seconds: int,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.ExtendReservationResponse:
        """Has a reservation that is OPEN end later, up to its `max_expire_time`. A repeat with the
        same `request_id` gets the first answer. Reasons: NOT_FOUND, RESERVATION_EXPIRED,
        RESERVATION_STATE_REFUSES, RESERVATION_TOO_LONG, DEPARTURE_CANCELLED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_EXTEND_RESERVATION, ota.ExtendReservationRequest(reservation_id=reservation_id, hold_seconds=hold_seconds, request_id=request_id), timeout)

    async def release_reservation(
        self,
        *,
        reservation_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.ReleaseReservationResponse:
        """Ends a reservation that is OPEN: what is not activated of it returns to the partner's stock,
        and its tickets that are not activated are VOIDED: the first 2,000 at once, the others
        within seconds; none of them can be activated any more. Activated ones stay sold. A repeat
        with the same `request_id` gets the first answer. Reasons: NOT_FOUND, RESERVATION_EXPIRED,
        RESERVATION_STATE_REFUSES, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_RELEASE_RESERVATION, ota.ReleaseReservationRequest(reservation_id=reservation_id, request_id=request_id), timeout)

    async def bulk_generate_tickets(
        self,
        *,
        product_id: int,
        quantity: int,
        request_id: str = "",
        distributor_id: str = "",
        activation: ota.Activation | None = None,
        valid_from_time: Moment | None = None,
        reservation_id: str = "",
        origin_stop_code: str = "",
        destination_stop_code: str = "",
        timeout: float | None = None,
    ) -> ota.BulkGenerateTicketsResponse:
        """Makes 1 to 50,000 tickets of a product, all or nothing, out of the partner's allotment,
        under one price snapshot. With `activation` they are born ACTIVE and linked to one order.
        Answers the first page of tickets; the others come from ListTickets (by `batch_id`), and
        with their QR tokens from ListBatchTickets or StreamBatchTickets.

        Batches of more than 1,000 are made one at a time for each partner, at a pace that leaves
        others their time: 50,000 take some seconds, and those that wait for their turn as long
        again each. Let the deadline be a minute or more; when it has passed, repeat the call with
        the same `request_id`: it gets the batch if that was made, or makes it.

        With a `reservation_id` they are made of what that holds: it stays held until they are
        activated, and they are VOIDED when the reservation ends. Without one they count as sold at
        once.

        Of a reservation of a departure each ticket is one person's, from `origin_stop_code` to
        `destination_stop_code`, at the fares of that departure's day. Where the class has numbered
        seats each gets one when it is made, beside each other as far as there are such; a ticket
        that is VOIDED or REFUNDED leaves it. Names and customer types come with the activation;
        travel documents are not taken: the partner looks at them. When the departure is cancelled,
        unsold tickets are VOIDED and sold ones REFUNDED, with events; when it is moved, their times
        move.

        Reasons: SOLD_OUT, PRODUCT_NOT_ON_SALE, DISTRIBUTOR_REFUSED (archived), PAYMENT_MISMATCH
        (the proof of an `activation` is not `quantity` times the price), NOT_FOUND,
        RESERVATION_EXPIRED, RESERVATION_STATE_REFUSES and RESERVATION_USED_UP (of the reservation),
        DEPARTURE_CANCELLED and OFFER_NOT_AVAILABLE (of the departure: its sale is over, or no fare,
        or a blackout date), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_BULK_GENERATE_TICKETS, ota.BulkGenerateTicketsRequest(product_id=product_id, quantity=quantity, request_id=request_id, distributor_id=distributor_id, activation=activation, valid_from_time=timestamp(valid_from_time), reservation_id=reservation_id, origin_stop_code=origin_stop_code, destination_stop_code=destination_stop_code), timeout)

    async def list_batches(
        self,
        *,
        distributor_id: str = "",
        product_id: int = 0,
        create_time_from: Moment | None = None,
        create_time_until: Moment | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.ListBatchesResponse:
        """Lists the partner's batches in the order of their tickets' codes, by page. Reasons:
        PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_BATCHES, ota.ListBatchesRequest(distributor_id=distributor_id, product_id=product_id, create_time_from=timestamp(create_time_from), create_time_until=timestamp(create_time_until), page_size=page_size, page_token=page_token), timeout)

    def iter_batches(
        self,
        *,
        distributor_id: str = "",
        product_id: int = 0,
        create_time_from: Moment | None = None,
        create_time_until: Moment | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ota.BatchSummary]:
        """All `batches` of list_batches, page after page."""
        return self._calls.pages(_LIST_BATCHES, ota.ListBatchesRequest(distributor_id=distributor_id, product_id=product_id, create_time_from=timestamp(create_time_from), create_time_until=timestamp(create_time_until), page_size=page_size), timeout)

    async def get_batch(
        self,
        *,
        batch_id: str,
        timeout: float | None = None,
    ) -> ota.GetBatchResponse:
        """Reads a batch with its price snapshot and its line of sale, as they were when it was made.
        Reasons: NOT_FOUND.
        """
        return await self._calls.unary(_GET_BATCH, ota.GetBatchRequest(batch_id=batch_id), timeout)

    async def list_batch_tickets(
        self,
        *,
        batch_id: str,
        with_qr: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.ListBatchTicketsResponse:
        """Lists the tickets of a batch in the order of their codes, page by page, with a QR token for
        each where asked: the text of its QR code. A repeat is safe; each token is another text of
        the same QR. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_BATCH_TICKETS, ota.ListBatchTicketsRequest(batch_id=batch_id, with_qr=with_qr, page_size=page_size, page_token=page_token), timeout)

    def iter_batch_tickets(
        self,
        *,
        batch_id: str,
        with_qr: bool = False,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ota.BatchTicket]:
        """All `tickets` of list_batch_tickets, page after page."""
        return self._calls.pages(_LIST_BATCH_TICKETS, ota.ListBatchTicketsRequest(batch_id=batch_id, with_qr=with_qr, page_size=page_size), timeout)

    def stream_batch_tickets(
        self,
        *,
        batch_id: str,
        with_qr: bool = False,
        after_ticket_code: str = "",
        timeout: float | None = None,
    ) -> AsyncIterator[ota.StreamBatchTicketsResponse]:
        """Streams all tickets of a batch in the order of their codes, with a QR token for each where
        asked; over HTTP one line of JSON for each (application/x-ndjson). One call of the rate
        limit however large the batch, as slowly as it is read; resume after a break with
        `after_ticket_code`. Reasons: NOT_FOUND.
        """
        return self._calls.stream(_STREAM_BATCH_TICKETS, ota.StreamBatchTicketsRequest(batch_id=batch_id, with_qr=with_qr, after_ticket_code=after_ticket_code), timeout)

    async def activate_ticket(
        self,
        *,
        ticket_code: str,
        customer: tickets.CustomerInfo,
        payment: tickets.PaymentProof,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.ActivateTicketResponse:
        """Activates one sold ticket and creates the linked order. Reasons: NOT_FOUND,
        TICKET_STATE_REFUSES (not PRE_GENERATED, blocked, validity over), PAYMENT_MISMATCH (amount
        or currency is not that of the price snapshot, see PaymentProof), RESERVATION_EXPIRED and
        RESERVATION_STATE_REFUSES (the reservation that it was made of has ended),
        DEPARTURE_CANCELLED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ACTIVATE_TICKET, ota.ActivateTicketRequest(ticket_code=ticket_code, customer=customer, payment=payment, request_id=request_id), timeout)

    async def activate_tickets(
        self,
        *,
        activations: Iterable[ota.TicketActivation],
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.ActivateTicketsResponse:
        """Activates up to 1,000 sold tickets, each with a verdict of its own; tickets under one
        payment reference share one order. A payment that is not what the ticket's price snapshot
        asks for is a verdict too, with both amounts; that ticket stays as it is. Reasons:
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ACTIVATE_TICKETS, ota.ActivateTicketsRequest(activations=activations, request_id=request_id), timeout)

    async def get_inventory(
        self,
        *,
        product_id: int = 0,
        departure_id: str = "",
        use_date: str = "",
        timeout: float | None = None,
    ) -> ota.GetInventoryResponse:
        """Reads the partner's stock now, from the database."""
        return await self._calls.unary(_GET_INVENTORY, ota.GetInventoryRequest(product_id=product_id, departure_id=departure_id, use_date=use_date), timeout)

    async def list_tickets(
        self,
        *,
        status: tickets.TicketState.ValueType = tickets.TICKET_STATE_UNSPECIFIED,
        batch_id: str = "",
        distributor_id: str = "",
        create_time_from: Moment | None = None,
        create_time_until: Moment | None = None,
        page_size: int = 0,
        page_token: str = "",
        product_id: int = 0,
        order_id: str = "",
        payment_reference: str = "",
        with_lines_of_sale: bool = False,
        timeout: float | None = None,
    ) -> ota.ListTicketsResponse:
        """Lists the partner's tickets in the order of their codes, which is that of the days they were
        made, by page; a ticket that is there stands at its place whatever else is made meanwhile. A
        page may be short, or empty, where few tickets pass the filter: go on while there is a
        next_page_token. Reasons: PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_TICKETS, ota.ListTicketsRequest(status=status, batch_id=batch_id, distributor_id=distributor_id, create_time_from=timestamp(create_time_from), create_time_until=timestamp(create_time_until), page_size=page_size, page_token=page_token, product_id=product_id, order_id=order_id, payment_reference=payment_reference, with_lines_of_sale=with_lines_of_sale), timeout)

    def iter_tickets(
        self,
        *,
        status: tickets.TicketState.ValueType = tickets.TICKET_STATE_UNSPECIFIED,
        batch_id: str = "",
        distributor_id: str = "",
        create_time_from: Moment | None = None,
        create_time_until: Moment | None = None,
        page_size: int = 0,
        product_id: int = 0,
        order_id: str = "",
        payment_reference: str = "",
        with_lines_of_sale: bool = False,
        timeout: float | None = None,
    ) -> AsyncIterator[tickets.Ticket]:
        """All `tickets` of list_tickets, page after page."""
        return self._calls.pages(_LIST_TICKETS, ota.ListTicketsRequest(status=status, batch_id=batch_id, distributor_id=distributor_id, create_time_from=timestamp(create_time_from), create_time_until=timestamp(create_time_until), page_size=page_size, product_id=product_id, order_id=order_id, payment_reference=payment_reference, with_lines_of_sale=with_lines_of_sale), timeout)

    def export_tickets(
        self,
        *,
        format: ota.ExportFormat.ValueType = ota.EXPORT_FORMAT_UNSPECIFIED,
        with_qr: bool = False,
        after_ticket_code: str = "",
        status: tickets.TicketState.ValueType = tickets.TICKET_STATE_UNSPECIFIED,
        batch_id: str = "",
        distributor_id: str = "",
        create_time_from: Moment | None = None,
        create_time_until: Moment | None = None,
        product_id: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ota.ExportTicketsResponse]:
        """Streams all of the partner's tickets that pass a filter, in the order of their codes; over
        HTTP one download, e.g. `GET /ota/tickets:export?format=csv`. One call of the rate limit
        however many they are, as slowly as it is read. Each ticket is as it was when its part was
        read, not all as of one moment; those that are made meanwhile come at the end. After a break
        resume with `after_ticket_code`. Over HTTP a failure cuts the transfer off before its end.
        Reasons: INVALID_FIELD (`after_ticket_code`).
        """
        return self._calls.stream(_EXPORT_TICKETS, ota.ExportTicketsRequest(format=format, with_qr=with_qr, after_ticket_code=after_ticket_code, status=status, batch_id=batch_id, distributor_id=distributor_id, create_time_from=timestamp(create_time_from), create_time_until=timestamp(create_time_until), product_id=product_id), timeout)

    async def issue_qr(
        self,
        *,
        ticket_code: str,
        rotate: bool = False,
        request_id: str = "",
        picture: tickets.QrPicture | None = None,
        timeout: float | None = None,
    ) -> ota.IssueQrResponse:
        """Issues the QR of a ticket: the token, and its picture as PNG and SVG. May be repeated at
        will: the ticket keeps its jti and codes printed before still work, unless `rotate` is set,
        which supersedes them all. A ticket may be printed before it is activated. Reasons:
        NOT_FOUND, TICKET_STATE_REFUSES (final state, blocked, validity over), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ISSUE_QR, ota.IssueQrRequest(ticket_code=ticket_code, rotate=rotate, request_id=request_id, picture=picture), timeout)

    async def issue_order_qr(
        self,
        *,
        order_id: str,
        rotate: bool = False,
        request_id: str = "",
        picture: tickets.QrPicture | None = None,
        timeout: float | None = None,
    ) -> ota.IssueOrderQrResponse:
        """Issues the QR of an order's code: scanned at a venue it lists the order's tickets, and
        redeems them by `ticket_code`, except those whose own QR was rotated after it was issued:
        issue it again then. May be repeated at will: codes issued before still work, unless
        `rotate` is set, which supersedes them all. Reasons: NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ISSUE_ORDER_QR, ota.IssueOrderQrRequest(order_id=order_id, rotate=rotate, request_id=request_id, picture=picture), timeout)

    async def list_events(
        self,
        *,
        types: Iterable[str] = (),
        after_cursor: int | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.ListEventsResponse:
        """Lists what happened to the partner's stock, batches and tickets, in order, page by page; an
        event is there within a second, and none comes later before one that was read. Without
        `after_cursor` it goes on after what was acknowledged. Events are kept for 90 days, unless
        the platform sets another time. A page may be short, or empty, where few events are of the
        `types`: go on while there is a next_page_token. Reasons: EVENTS_REMOVED (older than the
        time they are kept), PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_EVENTS, ota.ListEventsRequest(types=types, after_cursor=after_cursor, page_size=page_size, page_token=page_token), timeout)

    def iter_events(
        self,
        *,
        types: Iterable[str] = (),
        after_cursor: int | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ota.Event]:
        """All `events` of list_events, page after page."""
        return self._calls.pages(_LIST_EVENTS, ota.ListEventsRequest(types=types, after_cursor=after_cursor, page_size=page_size), timeout)

    async def acknowledge_events(
        self,
        *,
        cursor: int = 0,
        timeout: float | None = None,
    ) -> ota.AcknowledgeEventsResponse:
        """Keeps on the server up to where the partner has dealt with its events. May be repeated at
        will: a smaller cursor than the one acknowledged before changes nothing.
        """
        return await self._calls.unary(_ACKNOWLEDGE_EVENTS, ota.AcknowledgeEventsRequest(cursor=cursor), timeout)

    async def cancel_tickets(
        self,
        *,
        request_id: str = "",
        ticket_codes: Iterable[str] = (),
        batch_id: str = "",
        timeout: float | None = None,
    ) -> ota.CancelTicketsResponse:
        """Voids tickets that were not sold (PRE_GENERATED → VOIDED), blocked ones too, and returns
        their stock: up to 1,000 by code, each with a verdict of its own, or all of a batch. Of an
        activation of the same ticket at the same moment exactly one wins. A large batch takes some
        seconds; let the deadline be a minute or more. Reasons: NOT_FOUND (the batch),
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CANCEL_TICKETS, ota.CancelTicketsRequest(request_id=request_id, ticket_codes=ticket_codes, batch_id=batch_id), timeout)

    async def reassign_tickets(
        self,
        *,
        request_id: str = "",
        ticket_codes: Iterable[str] = (),
        batch_id: str = "",
        distributor_id: str = "",
        timeout: float | None = None,
    ) -> ota.ReassignTicketsResponse:
        """Gives tickets that were not sold to another distributor of the partner: up to 1,000 by code,
        each with a verdict of its own, or all of a batch. Their price stays that of their price
        snapshot; their line of sale is taken anew, with the commissions as they are now. A large
        batch takes some seconds; let the deadline be a minute or more. Reasons: NOT_FOUND (the
        batch, the distributor), DISTRIBUTOR_REFUSED (archived), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REASSIGN_TICKETS, ota.ReassignTicketsRequest(request_id=request_id, ticket_codes=ticket_codes, batch_id=batch_id, distributor_id=distributor_id), timeout)

    async def create_distributor(
        self,
        *,
        distributor_id: str,
        display_name: str,
        parent_distributor_id: str = "",
        commission_basis_points: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.CreateDistributorResponse:
        """Adds a distributor to the partner's tree. Reasons: ALREADY_EXISTS, NOT_FOUND (the parent),
        DISTRIBUTOR_REFUSED (the parent is archived, the line too deep, its commissions more than
        the price, or there are too many), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_DISTRIBUTOR, ota.CreateDistributorRequest(distributor_id=distributor_id, display_name=display_name, parent_distributor_id=parent_distributor_id, commission_basis_points=commission_basis_points, request_id=request_id), timeout)

    async def get_distributor(
        self,
        *,
        distributor_id: str,
        timeout: float | None = None,
    ) -> ota.GetDistributorResponse:
        """Reads a distributor, with the line of sale that a batch made for it now would get. Reasons:
        NOT_FOUND.
        """
        return await self._calls.unary(_GET_DISTRIBUTOR, ota.GetDistributorRequest(distributor_id=distributor_id), timeout)

    async def list_distributors(
        self,
        *,
        parent_distributor_id: str = "",
        all_below: bool = False,
        state: ota.DistributorState.ValueType = ota.DISTRIBUTOR_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.ListDistributorsResponse:
        """Lists distributors in the order of their ids: of one parent, or all below it. Reasons:
        NOT_FOUND (the parent), PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_DISTRIBUTORS, ota.ListDistributorsRequest(parent_distributor_id=parent_distributor_id, all_below=all_below, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_distributors(
        self,
        *,
        parent_distributor_id: str = "",
        all_below: bool = False,
        state: ota.DistributorState.ValueType = ota.DISTRIBUTOR_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ota.Distributor]:
        """All `distributors` of list_distributors, page after page."""
        return self._calls.pages(_LIST_DISTRIBUTORS, ota.ListDistributorsRequest(parent_distributor_id=parent_distributor_id, all_below=all_below, state=state, page_size=page_size), timeout)

    async def update_distributor(
        self,
        *,
        distributor_id: str,
        update_mask: FieldMask,
        parent_distributor_id: str | None = None,
        display_name: str = "",
        commission_basis_points: int | None = None,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.UpdateDistributorResponse:
        """Changes what `update_mask` names of an active distributor. What was made before keeps its
        line of sale: a commission counts for the batches to come, and with another parent the
        tickets that are there still pay the levels that stood above it when they were made;
        ReassignTickets gives unsold ones the new line. Reasons: NOT_FOUND (it, the parent),
        VERSION_MISMATCH, DISTRIBUTOR_REFUSED (it or the parent is archived, a circle, the line too
        deep, its commissions more than the price), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_DISTRIBUTOR, ota.UpdateDistributorRequest(distributor_id=distributor_id, update_mask=update_mask, parent_distributor_id=parent_distributor_id, display_name=display_name, commission_basis_points=commission_basis_points, version=version, request_id=request_id), timeout)

    async def archive_distributor(
        self,
        *,
        distributor_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.ArchiveDistributorResponse:
        """Sells nothing new through a distributor, for good; one that is archived stays so. What it
        has can still be activated, cancelled and reassigned. Reasons: NOT_FOUND,
        DISTRIBUTOR_REFUSED (an active one is below it), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_DISTRIBUTOR, ota.ArchiveDistributorRequest(distributor_id=distributor_id, request_id=request_id), timeout)

    async def create_webhook_endpoint(
        self,
        *,
        url: str,
        types: Iterable[str] = (),
        description: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.CreateWebhookEndpointResponse:
        """Adds an endpoint to which the partner's events are sent as signed webhooks (Standard
        Webhooks): POST with a JSON object `{type, timestamp, data}` and the headers `webhook-id`,
        `webhook-timestamp` and `webhook-signature`. Answer with 2xx within 15 s. Anything else is
        tried again for three days, 410 disables the endpoint. Each event comes at least once, those
        of one ticket in their order, and after that of its batch. At most 20 endpoints. Reasons:
        ENDPOINT_LIMIT, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_WEBHOOK_ENDPOINT, ota.CreateWebhookEndpointRequest(url=url, types=types, description=description, request_id=request_id), timeout)

    async def get_webhook_endpoint(
        self,
        *,
        endpoint_id: str,
        timeout: float | None = None,
    ) -> ota.GetWebhookEndpointResponse:
        """Reads an endpoint. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_WEBHOOK_ENDPOINT, ota.GetWebhookEndpointRequest(endpoint_id=endpoint_id), timeout)

    async def list_webhook_endpoints(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.ListWebhookEndpointsResponse:
        """Lists the partner's endpoints. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_WEBHOOK_ENDPOINTS, ota.ListWebhookEndpointsRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_webhook_endpoints(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ota.WebhookEndpoint]:
        """All `endpoints` of list_webhook_endpoints, page after page."""
        return self._calls.pages(_LIST_WEBHOOK_ENDPOINTS, ota.ListWebhookEndpointsRequest(page_size=page_size), timeout)

    async def update_webhook_endpoint(
        self,
        *,
        endpoint_id: str,
        url: str,
        state: ota.WebhookEndpointState.ValueType,
        types: Iterable[str] = (),
        description: str = "",
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> ota.UpdateWebhookEndpointResponse:
        """Sets what a partner sets of an endpoint, all of it. What waits for an endpoint that is
        enabled again is sent then. Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_WEBHOOK_ENDPOINT, ota.UpdateWebhookEndpointRequest(endpoint_id=endpoint_id, url=url, state=state, types=types, description=description, request_id=request_id, version=version), timeout)

    async def delete_webhook_endpoint(
        self,
        *,
        endpoint_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.DeleteWebhookEndpointResponse:
        """Removes an endpoint. Reasons: NOT_FOUND, IDEMPOTENCY_MISMATCH."""
        return await self._calls.unary(_DELETE_WEBHOOK_ENDPOINT, ota.DeleteWebhookEndpointRequest(endpoint_id=endpoint_id, request_id=request_id), timeout)

    async def rotate_webhook_secret(
        self,
        *,
        endpoint_id: str,
        overlap_seconds: int | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.RotateWebhookSecretResponse:
        """Gives an endpoint a new secret; the former one signs as well for a while, so that a receiver
        can take over the new one without losing an event. Reasons: NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ROTATE_WEBHOOK_SECRET, ota.RotateWebhookSecretRequest(endpoint_id=endpoint_id, overlap_seconds=overlap_seconds, request_id=request_id), timeout)

    async def send_test_event(
        self,
        *,
        endpoint_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.SendTestEventResponse:
        """Sends an event of the type `endpoint.test` to one endpoint. Reasons: NOT_FOUND,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_SEND_TEST_EVENT, ota.SendTestEventRequest(endpoint_id=endpoint_id, request_id=request_id), timeout)

    async def list_webhook_deliveries(
        self,
        *,
        endpoint_id: str,
        state: ota.WebhookDeliveryState.ValueType = ota.WEBHOOK_DELIVERY_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.ListWebhookDeliveriesResponse:
        """Lists what was sent to an endpoint, latest first, with its attempts and their answers; kept
        for 30 days, unless the platform sets another time. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_WEBHOOK_DELIVERIES, ota.ListWebhookDeliveriesRequest(endpoint_id=endpoint_id, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_webhook_deliveries(
        self,
        *,
        endpoint_id: str,
        state: ota.WebhookDeliveryState.ValueType = ota.WEBHOOK_DELIVERY_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ota.WebhookDelivery]:
        """All `deliveries` of list_webhook_deliveries, page after page."""
        return self._calls.pages(_LIST_WEBHOOK_DELIVERIES, ota.ListWebhookDeliveriesRequest(endpoint_id=endpoint_id, state=state, page_size=page_size), timeout)

    async def replay_webhook_delivery(
        self,
        *,
        endpoint_id: str,
        event_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.ReplayWebhookDeliveryResponse:
        """Has one event delivered again, whatever became of it. Reasons: NOT_FOUND,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REPLAY_WEBHOOK_DELIVERY, ota.ReplayWebhookDeliveryRequest(endpoint_id=endpoint_id, event_id=event_id, request_id=request_id), timeout)

    async def replay_webhook_deliveries(
        self,
        *,
        endpoint_id: str,
        until_cursor: int,
        after_cursor: int = 0,
        with_delivered: bool = False,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.ReplayWebhookDeliveriesResponse:
        """Has a range of events delivered: those that were never sent, as while the endpoint was
        disabled, those that were given up, and with `with_delivered` all others too. Reasons:
        NOT_FOUND, EVENTS_REMOVED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REPLAY_WEBHOOK_DELIVERIES, ota.ReplayWebhookDeliveriesRequest(endpoint_id=endpoint_id, until_cursor=until_cursor, after_cursor=after_cursor, with_delivered=with_delivered, request_id=request_id), timeout)

    async def rotate_payment_webhook_secret(
        self,
        *,
        overlap_seconds: int | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.RotatePaymentWebhookSecretResponse:
        """Gives the partner a secret with which it signs its own payment webhook, see
        ReceivePartnerPayment. Reasons: IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ROTATE_PAYMENT_WEBHOOK_SECRET, ota.RotatePaymentWebhookSecretRequest(overlap_seconds=overlap_seconds, request_id=request_id), timeout)

    async def list_statements(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.ListStatementsResponse:
        """Lists the partner's monthly statements, the latest first: one for each month since its
        ledger began, the running one too. Reasons: PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_STATEMENTS, ota.ListStatementsRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_statements(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ota.StatementSummary]:
        """All `statements` of list_statements, page after page."""
        return self._calls.pages(_LIST_STATEMENTS, ota.ListStatementsRequest(page_size=page_size), timeout)

    async def get_statement(
        self,
        *,
        month: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ota.GetStatementResponse:
        """Reads the partner's statement of a month: balances, sums by currency and distributor, and a
        page of its lines. That of a running month is PROVISIONAL: events are in it some seconds
        after they happened. It is SEALED some hours after the month is over; the event
        `statement.ready` says so. Reasons: NOT_FOUND (a month to come, or before the ledger began),
        PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_GET_STATEMENT, ota.GetStatementRequest(month=month, page_size=page_size, page_token=page_token), timeout)

    def iter_statement_lines(
        self,
        *,
        month: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ota.StatementLine]:
        """All `lines` of get_statement, page after page."""
        return self._calls.pages(_GET_STATEMENT, ota.GetStatementRequest(month=month, page_size=page_size), timeout)

    def download_statement(
        self,
        *,
        month: str,
        format: ota.StatementFormat.ValueType,
        timeout: float | None = None,
    ) -> AsyncIterator[ota.DownloadStatementResponse]:
        """Downloads the partner's statement of a month as CSV, JSON or PDF. A SEALED one has the same
        content, and so the same hash, whenever it is asked for. Reasons: NOT_FOUND (as
        GetStatement).
        """
        return self._calls.stream(_DOWNLOAD_STATEMENT, ota.DownloadStatementRequest(month=month, format=format), timeout)

    async def get_sandbox(
        self,
        *,
        timeout: float | None = None,
    ) -> ota.GetSandboxResponse:
        """Reads the sandbox that a key of test mode calls as. Reasons: TEST_MODE_ONLY."""
        return await self._calls.unary(_GET_SANDBOX, ota.GetSandboxRequest(), timeout)

    async def set_sandbox_stock(
        self,
        *,
        product_id: int,
        departure_id: str = "",
        fare_class: str = "",
        use_date: str = "",
        total: int = 0,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> ota.SetSandboxStockResponse:
        """Sets the total of the sandbox's own stock, which is nobody else's: of whatever the partner
        itself has stock of the product. A repeat with the same `request_id` gets the first answer.
        Reasons: TEST_MODE_ONLY, PRODUCT_NOT_ON_SALE (the partner has no stock of the product),
        NOT_FOUND (the departure has no such class), STOCK_IN_USE, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_SET_SANDBOX_STOCK, ota.SetSandboxStockRequest(product_id=product_id, departure_id=departure_id, fare_class=fare_class, use_date=use_date, total=total, request_id=request_id, version=version), timeout)

    async def simulate_redemption(
        self,
        *,
        function_code: str,
        qr_token: str = "",
        ticket_code: str = "",
        quantity: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.SimulateRedemptionResponse:
        """Redeems a test ticket of the caller's at a simulated terminal, by all the rules that hold at
        those of venues, which admit no test ticket. DecryptQr is the first look. A repeat with the
        same `request_id` gets the first answer. Reasons: TEST_MODE_ONLY, IDEMPOTENCY_MISMATCH; why
        a scan is refused stands in the answer, see deeptravel.redemption.v1.RefusalReason.
        """
        return await self._calls.unary(_SIMULATE_REDEMPTION, ota.SimulateRedemptionRequest(function_code=function_code, qr_token=qr_token, ticket_code=ticket_code, quantity=quantity, request_id=request_id), timeout)

    async def simulate_reversal(
        self,
        *,
        redemption_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ota.SimulateReversalResponse:
        """Takes a simulated redemption back: the uses are free again. A repeat with the same
        `request_id` gets the first answer. Reasons: TEST_MODE_ONLY, NOT_FOUND, REVERSAL_REFUSED,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_SIMULATE_REVERSAL, ota.SimulateReversalRequest(redemption_id=redemption_id, request_id=request_id), timeout)

    async def get_test_clock(
        self,
        *,
        timeout: float | None = None,
    ) -> ota.GetTestClockResponse:
        """Reads the sandbox's test clock, by which all in it goes. Reasons: TEST_MODE_ONLY."""
        return await self._calls.unary(_GET_TEST_CLOCK, ota.GetTestClockRequest(), timeout)

    async def advance_test_clock(
        self,
        *,
        request_id: str = "",
        to_time: Moment | None = None,
        by_seconds: int = 0,
        timeout: float | None = None,
    ) -> ota.AdvanceTestClockResponse:
        """Moves the sandbox's test clock forward. All that falls due on the way happens, in order and
        each at its own moment, as it would have with time: reservations are warned of and expire,
        tickets are reminded of and expire, statements are sealed; events have the clock's time. It
        is done within 20 s and the call's deadline, or the answer says how far it is and it goes on
        by itself. A move that is asked for while another is under way begins where that ends. A
        repeat with the same `request_id` gets the answer of the same move. Reasons: TEST_MODE_ONLY,
        INVALID_FIELD (a time that is not ahead of the clock, or too far), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ADVANCE_TEST_CLOCK, ota.AdvanceTestClockRequest(request_id=request_id, to_time=timestamp(to_time), by_seconds=by_seconds), timeout)
