"""Methods of deeptravel.redemption.v1.RedemptionService."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping

from deeptravel._generated import redemption
from deeptravel._async_calls import AsyncCalls
from deeptravel._calls import Calls
from deeptravel._fields import Duration, FieldMask, Moment, Struct, timestamp
from deeptravel._method import Method

_OPERATOR_LOGIN = Method(
    "/deeptravel.redemption.v1.RedemptionService/OperatorLogin",
    redemption.OperatorLoginRequest,
    redemption.OperatorLoginResponse,
    safe=False,
)
_REFRESH_TOKEN = Method(
    "/deeptravel.redemption.v1.RedemptionService/RefreshToken",
    redemption.RefreshTokenRequest,
    redemption.RefreshTokenResponse,
    safe=True,
)
_LOGOUT = Method(
    "/deeptravel.redemption.v1.RedemptionService/Logout",
    redemption.LogoutRequest,
    redemption.LogoutResponse,
    safe=True,
)
_OPEN_VALIDATOR_SESSION = Method(
    "/deeptravel.redemption.v1.RedemptionService/OpenValidatorSession",
    redemption.OpenValidatorSessionRequest,
    redemption.OpenValidatorSessionResponse,
    safe=True,
)
_CLOSE_VALIDATOR_SESSION = Method(
    "/deeptravel.redemption.v1.RedemptionService/CloseValidatorSession",
    redemption.CloseValidatorSessionRequest,
    redemption.CloseValidatorSessionResponse,
    safe=True,
)
_DECRYPT_QR = Method(
    "/deeptravel.redemption.v1.RedemptionService/DecryptQr",
    redemption.DecryptQrRequest,
    redemption.DecryptQrResponse,
    safe=True,
)
_LOOKUP_ORDER = Method(
    "/deeptravel.redemption.v1.RedemptionService/LookupOrder",
    redemption.LookupOrderRequest,
    redemption.LookupOrderResponse,
    safe=True,
    items="tickets",
)
_REDEEM = Method(
    "/deeptravel.redemption.v1.RedemptionService/Redeem",
    redemption.RedeemRequest,
    redemption.RedeemResponse,
    safe=False,
)
_REDEEM_MANY = Method(
    "/deeptravel.redemption.v1.RedemptionService/RedeemMany",
    redemption.RedeemManyRequest,
    redemption.RedeemManyResponse,
    safe=False,
)
_REDEEM_BY_CODE = Method(
    "/deeptravel.redemption.v1.RedemptionService/RedeemByCode",
    redemption.RedeemByCodeRequest,
    redemption.RedeemByCodeResponse,
    safe=False,
)
_SCAN_STREAM = Method(
    "/deeptravel.redemption.v1.RedemptionService/ScanStream",
    redemption.ScanStreamRequest,
    redemption.ScanStreamResponse,
    safe=False,
)
_GET_VENUE_PACK = Method(
    "/deeptravel.redemption.v1.RedemptionService/GetVenuePack",
    redemption.GetVenuePackRequest,
    redemption.GetVenuePackResponse,
    safe=True,
)
_UPLOAD_SCANS = Method(
    "/deeptravel.redemption.v1.RedemptionService/UploadScans",
    redemption.UploadScansRequest,
    redemption.UploadScansResponse,
    safe=True,
)
_LEASE_TICKETS = Method(
    "/deeptravel.redemption.v1.RedemptionService/LeaseTickets",
    redemption.LeaseTicketsRequest,
    redemption.LeaseTicketsResponse,
    safe=False,
)
_GIVE_BACK_LEASES = Method(
    "/deeptravel.redemption.v1.RedemptionService/GiveBackLeases",
    redemption.GiveBackLeasesRequest,
    redemption.GiveBackLeasesResponse,
    safe=False,
)
_REVERSE_REDEMPTION = Method(
    "/deeptravel.redemption.v1.RedemptionService/ReverseRedemption",
    redemption.ReverseRedemptionRequest,
    redemption.ReverseRedemptionResponse,
    safe=False,
)
_LIST_REDEMPTIONS = Method(
    "/deeptravel.redemption.v1.RedemptionService/ListRedemptions",
    redemption.ListRedemptionsRequest,
    redemption.ListRedemptionsResponse,
    safe=True,
    items="redemptions",
)
_GET_REDEMPTION_RECEIPT = Method(
    "/deeptravel.redemption.v1.RedemptionService/GetRedemptionReceipt",
    redemption.GetRedemptionReceiptRequest,
    redemption.GetRedemptionReceiptResponse,
    safe=True,
)
_GET_RECEIPT_KEYS = Method(
    "/deeptravel.redemption.v1.RedemptionService/GetReceiptKeys",
    redemption.GetReceiptKeysRequest,
    redemption.GetReceiptKeysResponse,
    safe=True,
)
_SUMMARIZE_REDEMPTIONS = Method(
    "/deeptravel.redemption.v1.RedemptionService/SummarizeRedemptions",
    redemption.SummarizeRedemptionsRequest,
    redemption.SummarizeRedemptionsResponse,
    safe=True,
)


class RedemptionService:
    """What merchants do at their terminals: log in, look at a QR without consuming anything, redeem
    entitlements, reverse a mistake, read what was redeemed.

    A refused scan is an answer (`result` REJECT, in JSON with HTTP 422), not an error. A scan
    repeated with the same `request_id` from the same terminal gets the first answer again.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def operator_login(
        self,
        *,
        username: str,
        password: str,
        terminal_device_id: str,
        with_offline_key: bool = False,
        timeout: float | None = None,
    ) -> redemption.OperatorLoginResponse:
        """Logs an operator in at a terminal and binds the access token to it. Failures are counted by
        name, terminal and address together: who guesses elsewhere does not lock an operator out.
        Log-ins that arrive together take turns by address, those at a terminal where the operator
        has logged in before first. Reasons: LOGIN_FAILED, LOGIN_LOCKED, SERVER_BUSY (more than 16
        wait from one place, or too many in all).
        """
        return self._calls.unary(_OPERATOR_LOGIN, redemption.OperatorLoginRequest(username=username, password=password, terminal_device_id=terminal_device_id, with_offline_key=with_offline_key), timeout)

    def refresh_token(
        self,
        *,
        refresh_token: str,
        timeout: float | None = None,
    ) -> redemption.RefreshTokenResponse:
        """Gives a new access and refresh token for a refresh token; each works once. A repeat within
        30 s, for an answer that was lost, gets the same tokens again; one that comes later, or a
        token older still, ends the log-in. Reasons: UNAUTHENTICATED.
        """
        return self._calls.unary(_REFRESH_TOKEN, redemption.RefreshTokenRequest(refresh_token=refresh_token), timeout)

    def logout(
        self,
        *,
        timeout: float | None = None,
    ) -> redemption.LogoutResponse:
        """Ends the caller's log-in: its tokens and validator sessions. A repeat does no harm."""
        return self._calls.unary(_LOGOUT, redemption.LogoutRequest(), timeout)

    def open_validator_session(
        self,
        *,
        terminal_device_id: str,
        departure_id: str = "",
        service_number: str = "",
        travel_date: str = "",
        timeout: float | None = None,
    ) -> redemption.OpenValidatorSessionResponse:
        """Opens the caller's session at the terminal its token is bound to; answers the open one if
        there is one for the same departure, and closes one for another. While a session for a
        departure is open, every scan of this log-in, with its `session_code` or without, refuses
        the tickets of other departures as WRONG_DEPARTURE; tickets of no departure, and shared
        entitlements, are not concerned. Reasons: TERMINAL_MISMATCH, NOT_FOUND (departure).
        """
        return self._calls.unary(_OPEN_VALIDATOR_SESSION, redemption.OpenValidatorSessionRequest(terminal_device_id=terminal_device_id, departure_id=departure_id, service_number=service_number, travel_date=travel_date), timeout)

    def close_validator_session(
        self,
        *,
        session_code: str,
        timeout: float | None = None,
    ) -> redemption.CloseValidatorSessionResponse:
        """Closes the caller's session. A repeat does no harm. Reasons: SESSION_NOT_OPEN (unknown or
        another's).
        """
        return self._calls.unary(_CLOSE_VALIDATOR_SESSION, redemption.CloseValidatorSessionRequest(session_code=session_code), timeout)

    def decrypt_qr(
        self,
        *,
        encrypted_data: str,
        timeout: float | None = None,
    ) -> redemption.DecryptQrResponse:
        """Looks at a QR: reads, writes nothing, may be called any number of times, needs no venue. A
        partner sees only its own tickets.
        """
        return self._calls.unary(_DECRYPT_QR, redemption.DecryptQrRequest(encrypted_data=encrypted_data), timeout)

    def lookup_order(
        self,
        *,
        encrypted_data: str = "",
        order_id: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> redemption.LookupOrderResponse:
        """Lists the tickets of an order, by the order's QR, by the QR of any of its tickets, or by its
        id, then only to administrators and where one of its functions is redeemed. Writes nothing.
        Reasons: NOT_FOUND.
        """
        return self._calls.unary(_LOOKUP_ORDER, redemption.LookupOrderRequest(encrypted_data=encrypted_data, order_id=order_id, page_size=page_size, page_token=page_token), timeout)

    def iter_order_tickets(
        self,
        *,
        encrypted_data: str = "",
        order_id: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[redemption.OrderTicket]:
        """All `tickets` of lookup_order, page after page."""
        return self._calls.pages(_LOOKUP_ORDER, redemption.LookupOrderRequest(encrypted_data=encrypted_data, order_id=order_id, page_size=page_size), timeout)

    def redeem(
        self,
        *,
        qr_token: str,
        function_code: str,
        terminal_device_id: str = "",
        quantity: int = 0,
        request_id: str = "",
        session_code: str = "",
        ticket_code: str = "",
        timeout: float | None = None,
    ) -> redemption.RedeemResponse:
        """Consumes uses of one entitlement of a ticket. Reasons: TERMINAL_MISMATCH, SESSION_NOT_OPEN,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REDEEM, redemption.RedeemRequest(qr_token=qr_token, function_code=function_code, terminal_device_id=terminal_device_id, quantity=quantity, request_id=request_id, session_code=session_code, ticket_code=ticket_code), timeout)

    def redeem_many(
        self,
        *,
        items: Iterable[redemption.RedeemItem],
        all_or_nothing: bool = False,
        request_id: str = "",
        terminal_device_id: str = "",
        session_code: str = "",
        timeout: float | None = None,
    ) -> redemption.RedeemManyResponse:
        """Consumes uses of several entitlements in one call, of one ticket or several; with
        `all_or_nothing` either all or none. Reasons as Redeem.
        """
        return self._calls.unary(_REDEEM_MANY, redemption.RedeemManyRequest(items=items, all_or_nothing=all_or_nothing, request_id=request_id, terminal_device_id=terminal_device_id, session_code=session_code), timeout)

    def redeem_by_code(
        self,
        *,
        ticket_code: str,
        function_code: str,
        comment: str,
        request_id: str = "",
        quantity: int = 0,
        terminal_device_id: str = "",
        session_code: str = "",
        timeout: float | None = None,
    ) -> redemption.RedeemByCodeResponse:
        """Redeems without a QR at hand (a torn print), by the ticket's code and with the reason in
        words; all else is as in Redeem, as if the ticket's QR that is valid now had been scanned.
        Supervisors only; recorded in the audit trail. Reasons as Redeem.
        """
        return self._calls.unary(_REDEEM_BY_CODE, redemption.RedeemByCodeRequest(ticket_code=ticket_code, function_code=function_code, comment=comment, request_id=request_id, quantity=quantity, terminal_device_id=terminal_device_id, session_code=session_code), timeout)

    def scan_stream(
        self,
        requests: Iterable[redemption.ScanStreamRequest],
        *,
        timeout: float | None = None,
    ) -> Iterator[redemption.ScanStreamResponse]:
        """Redeems over one stream, for gates with many scans in flight. Answers come as they are
        decided, matched by `scan_id`, several in one message where they were decided together. When
        256 scans of a stream are in flight the server reads no further until some are answered. The
        stream ends with UNAUTHENTICATED within a second of the operator's or the terminal's
        revocation. Parties, redemptions by code and reversals go over it too, with orders and
        history: each has the reasons, and asks for the rights, of the call it stands for. To a
        terminal that asks for it what changes of its venue's pack is pushed between the answers.
        """
        return self._calls.scan(_SCAN_STREAM, requests, timeout)

    def get_venue_pack(
        self,
        *,
        cursor: str = "",
        timeout: float | None = None,
    ) -> Iterator[redemption.GetVenuePackResponse]:
        """Streams what the caller's terminal needs to decide scans without network: the tickets that
        its venue redeems, states, uses left and validity, departures, functions and keys of QR
        tokens; no names. In full, or what has changed since a cursor; in chunks, each signed for
        the terminal of the access token, to be gone on from after the last one that was stored.
        Ends with a chunk that `is_last`. Writes nothing. Reasons: SERVER_BUSY (go on later, with
        the cursor of the last chunk).
        """
        return self._calls.stream(_GET_VENUE_PACK, redemption.GetVenuePackRequest(cursor=cursor), timeout)

    def upload_scans(
        self,
        *,
        scans: Iterable[redemption.OfflineScan],
        timeout: float | None = None,
    ) -> redemption.UploadScansResponse:
        """Uploads scans of the caller's terminal that were decided without network, and answers each
        with a verdict. In any order and any number of times: a scan that was uploaded before gets
        its verdict again, one with other content is another scan. It is decided by the rules of
        Redeem at the time of the scan, and recorded whatever it is; never are more uses accepted
        than a ticket has. Upload 10,000 in calls of 1,000, one after the other. Those of tickets
        that were admitted by their number, without a QR, a supervisor uploads, and what is accepted
        of them stands in the audit trail; else nothing of the call is recorded. Reasons:
        ROLE_NOT_ALLOWED (without a QR), CONFLICT and DATABASE_UNAVAILABLE, after which the same
        call may be repeated.
        """
        return self._calls.unary(_UPLOAD_SCANS, redemption.UploadScansRequest(scans=scans), timeout)

    def lease_tickets(
        self,
        *,
        function_code: str,
        ticket_codes: Iterable[str] = (),
        departure_id: int = 0,
        share: int = 0,
        share_count: int = 0,
        duration_seconds: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> redemption.LeaseTicketsResponse:
        """Leases a function of tickets to the caller's terminal, before it goes where there is no
        network: until the lease is over, which it is by itself, or given back, the server refuses
        it at every other terminal as LEASED_ELSEWHERE, uploads included. So what the terminal
        admits meanwhile, and uploads before the end, is ACCEPTED, unless the ticket is given back
        or blocked. A terminal leases up to 5,000 at once. Recorded in the audit trail. Reasons:
        CONFLICT, NOT_FOUND (departure), RANGE_TOO_LARGE (too many), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_LEASE_TICKETS, redemption.LeaseTicketsRequest(function_code=function_code, ticket_codes=ticket_codes, departure_id=departure_id, share=share, share_count=share_count, duration_seconds=duration_seconds, request_id=request_id), timeout)

    def give_back_leases(
        self,
        *,
        ticket_codes: Iterable[str] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> redemption.GiveBackLeasesResponse:
        """Gives leases of the caller's terminal back before they end. Recorded in the audit trail.
        Reasons: CONFLICT, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_GIVE_BACK_LEASES, redemption.GiveBackLeasesRequest(ticket_codes=ticket_codes, request_id=request_id), timeout)

    def reverse_redemption(
        self,
        *,
        redemption_id: str,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> redemption.ReverseRedemptionResponse:
        """Takes a redemption back within the merchant's window: its uses are free again, and the QR
        may redeem the function again. Supervisors of the same merchant only. Reasons: NOT_FOUND,
        REVERSAL_REFUSED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REVERSE_REDEMPTION, redemption.ReverseRedemptionRequest(redemption_id=redemption_id, comment=comment, request_id=request_id), timeout)

    def list_redemptions(
        self,
        *,
        jti: str = "",
        ticket_code: str = "",
        terminal_device_id: str = "",
        operator: str = "",
        merchant_code: str = "",
        result: redemption.RedemptionResult.ValueType = redemption.REDEMPTION_RESULT_UNSPECIFIED,
        time_from: Moment | None = None,
        time_until: Moment | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> redemption.ListRedemptionsResponse:
        """Lists redemption events, newest first, by page: of the caller's merchant, or for an
        administrator of all. Reasons: PAGE_TOKEN_INVALID, SERVER_BUSY (two lists and reports of a
        caller are read at once), RANGE_TOO_LARGE.
        """
        return self._calls.unary(_LIST_REDEMPTIONS, redemption.ListRedemptionsRequest(jti=jti, ticket_code=ticket_code, terminal_device_id=terminal_device_id, operator=operator, merchant_code=merchant_code, result=result, time_from=timestamp(time_from), time_until=timestamp(time_until), page_size=page_size, page_token=page_token), timeout)

    def iter_redemptions(
        self,
        *,
        jti: str = "",
        ticket_code: str = "",
        terminal_device_id: str = "",
        operator: str = "",
        merchant_code: str = "",
        result: redemption.RedemptionResult.ValueType = redemption.REDEMPTION_RESULT_UNSPECIFIED,
        time_from: Moment | None = None,
        time_until: Moment | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[redemption.Redemption]:
        """All `redemptions` of list_redemptions, page after page."""
        return self._calls.pages(_LIST_REDEMPTIONS, redemption.ListRedemptionsRequest(jti=jti, ticket_code=ticket_code, terminal_device_id=terminal_device_id, operator=operator, merchant_code=merchant_code, result=result, time_from=timestamp(time_from), time_until=timestamp(time_until), page_size=page_size), timeout)

    def get_redemption_receipt(
        self,
        *,
        redemption_id: str,
        timeout: float | None = None,
    ) -> redemption.GetRedemptionReceiptResponse:
        """Makes the receipt of a redemption or of a reversal: who redeemed what, when and where, its
        place among all that was redeemed of the ticket, and whether it was taken back by now; a
        text that is signed, and verified by anybody with a key of GetReceiptKeys alone. To
        operators for what their merchant redeemed, to a partner for its own tickets. Each call
        makes it anew, of the time of the call. Reasons: NOT_FOUND, RECEIPT_REFUSED (the scan was
        refused).
        """
        return self._calls.unary(_GET_REDEMPTION_RECEIPT, redemption.GetRedemptionReceiptRequest(redemption_id=redemption_id), timeout)

    def get_receipt_keys(
        self,
        *,
        timeout: float | None = None,
    ) -> redemption.GetReceiptKeysResponse:
        """Gives the public keys that verify receipts, former ones included. For everybody; to be kept,
        so that receipts are verified without asking again.
        """
        return self._calls.unary(_GET_RECEIPT_KEYS, redemption.GetReceiptKeysRequest(), timeout)

    def summarize_redemptions(
        self,
        *,
        time_from: Moment | None = None,
        time_until: Moment | None = None,
        merchant_code: str = "",
        group_by: redemption.SummaryGrouping.ValueType = redemption.SUMMARY_GROUPING_UNSPECIFIED,
        timeout: float | None = None,
    ) -> redemption.SummarizeRedemptionsResponse:
        """Counts redemption events of a span of up to 31 days, by function, result and reason, and by
        one more grouping. What has just happened counts. Reasons: SERVER_BUSY (as ListRedemptions),
        RANGE_TOO_LARGE.
        """
        return self._calls.unary(_SUMMARIZE_REDEMPTIONS, redemption.SummarizeRedemptionsRequest(time_from=timestamp(time_from), time_until=timestamp(time_until), merchant_code=merchant_code, group_by=group_by), timeout)


class AsyncRedemptionService:
    """What merchants do at their terminals: log in, look at a QR without consuming anything, redeem
    entitlements, reverse a mistake, read what was redeemed.

    A refused scan is an answer (`result` REJECT, in JSON with HTTP 422), not an error. A scan
    repeated with the same `request_id` from the same terminal gets the first answer again.
    """

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    async def operator_login(
        self,
        *,
        username: str,
        password: str,
        terminal_device_id: str,
        with_offline_key: bool = False,
        timeout: float | None = None,
    ) -> redemption.OperatorLoginResponse:
        """Logs an operator in at a terminal and binds the access token to it. Failures are counted by
        name, terminal and address together: who guesses elsewhere does not lock an operator out.
        Log-ins that arrive together take turns by address, those at a terminal where the operator
        has logged in before first. Reasons: LOGIN_FAILED, LOGIN_LOCKED, SERVER_BUSY (more than 16
        wait from one place, or too many in all).
        """
        return await self._calls.unary(_OPERATOR_LOGIN, redemption.OperatorLoginRequest(username=username, password=password, terminal_device_id=terminal_device_id, with_offline_key=with_offline_key), timeout)

    async def refresh_token(
        self,
        *,
        refresh_token: str,
        timeout: float | None = None,
    ) -> redemption.RefreshTokenResponse:
        """Gives a new access and refresh token for a refresh token; each works once. A repeat within
        30 s, for an answer that was lost, gets the same tokens again; one that comes later, or a
        token older still, ends the log-in. Reasons: UNAUTHENTICATED.
        """
        return await self._calls.unary(_REFRESH_TOKEN, redemption.RefreshTokenRequest(refresh_token=refresh_token), timeout)

    async def logout(
        self,
        *,
        timeout: float | None = None,
    ) -> redemption.LogoutResponse:
        """Ends the caller's log-in: its tokens and validator sessions. A repeat does no harm."""
        return await self._calls.unary(_LOGOUT, redemption.LogoutRequest(), timeout)

    async def open_validator_session(
        self,
        *,
        terminal_device_id: str,
        departure_id: str = "",
        service_number: str = "",
        travel_date: str = "",
        timeout: float | None = None,
    ) -> redemption.OpenValidatorSessionResponse:
        """Opens the caller's session at the terminal its token is bound to; answers the open one if
        there is one for the same departure, and closes one for another. While a session for a
        departure is open, every scan of this log-in, with its `session_code` or without, refuses
        the tickets of other departures as WRONG_DEPARTURE; tickets of no departure, and shared
        entitlements, are not concerned. Reasons: TERMINAL_MISMATCH, NOT_FOUND (departure).
        """
        return await self._calls.unary(_OPEN_VALIDATOR_SESSION, redemption.OpenValidatorSessionRequest(terminal_device_id=terminal_device_id, departure_id=departure_id, service_number=service_number, travel_date=travel_date), timeout)

    async def close_validator_session(
        self,
        *,
        session_code: str,
        timeout: float | None = None,
    ) -> redemption.CloseValidatorSessionResponse:
        """Closes the caller's session. A repeat does no harm. Reasons: SESSION_NOT_OPEN (unknown or
        another's).
        """
        return await self._calls.unary(_CLOSE_VALIDATOR_SESSION, redemption.CloseValidatorSessionRequest(session_code=session_code), timeout)

    async def decrypt_qr(
        self,
        *,
        encrypted_data: str,
        timeout: float | None = None,
    ) -> redemption.DecryptQrResponse:
        """Looks at a QR: reads, writes nothing, may be called any number of times, needs no venue. A
        partner sees only its own tickets.
        """
        return await self._calls.unary(_DECRYPT_QR, redemption.DecryptQrRequest(encrypted_data=encrypted_data), timeout)

    async def lookup_order(
        self,
        *,
        encrypted_data: str = "",
        order_id: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> redemption.LookupOrderResponse:
        """Lists the tickets of an order, by the order's QR, by the QR of any of its tickets, or by its
        id, then only to administrators and where one of its functions is redeemed. Writes nothing.
        Reasons: NOT_FOUND.
        """
        return await self._calls.unary(_LOOKUP_ORDER, redemption.LookupOrderRequest(encrypted_data=encrypted_data, order_id=order_id, page_size=page_size, page_token=page_token), timeout)

    def iter_order_tickets(
        self,
        *,
        encrypted_data: str = "",
        order_id: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[redemption.OrderTicket]:
        """All `tickets` of lookup_order, page after page."""
        return self._calls.pages(_LOOKUP_ORDER, redemption.LookupOrderRequest(encrypted_data=encrypted_data, order_id=order_id, page_size=page_size), timeout)

    async def redeem(
        self,
        *,
        qr_token: str,
        function_code: str,
        terminal_device_id: str = "",
        quantity: int = 0,
        request_id: str = "",
        session_code: str = "",
        ticket_code: str = "",
        timeout: float | None = None,
    ) -> redemption.RedeemResponse:
        """Consumes uses of one entitlement of a ticket. Reasons: TERMINAL_MISMATCH, SESSION_NOT_OPEN,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REDEEM, redemption.RedeemRequest(qr_token=qr_token, function_code=function_code, terminal_device_id=terminal_device_id, quantity=quantity, request_id=request_id, session_code=session_code, ticket_code=ticket_code), timeout)

    async def redeem_many(
        self,
        *,
        items: Iterable[redemption.RedeemItem],
        all_or_nothing: bool = False,
        request_id: str = "",
        terminal_device_id: str = "",
        session_code: str = "",
        timeout: float | None = None,
    ) -> redemption.RedeemManyResponse:
        """Consumes uses of several entitlements in one call, of one ticket or several; with
        `all_or_nothing` either all or none. Reasons as Redeem.
        """
        return await self._calls.unary(_REDEEM_MANY, redemption.RedeemManyRequest(items=items, all_or_nothing=all_or_nothing, request_id=request_id, terminal_device_id=terminal_device_id, session_code=session_code), timeout)

    async def redeem_by_code(
        self,
        *,
        ticket_code: str,
        function_code: str,
        comment: str,
        request_id: str = "",
        quantity: int = 0,
        terminal_device_id: str = "",
        session_code: str = "",
        timeout: float | None = None,
    ) -> redemption.RedeemByCodeResponse:
        """Redeems without a QR at hand (a torn print), by the ticket's code and with the reason in
        words; all else is as in Redeem, as if the ticket's QR that is valid now had been scanned.
        Supervisors only; recorded in the audit trail. Reasons as Redeem.
        """
        return await self._calls.unary(_REDEEM_BY_CODE, redemption.RedeemByCodeRequest(ticket_code=ticket_code, function_code=function_code, comment=comment, request_id=request_id, quantity=quantity, terminal_device_id=terminal_device_id, session_code=session_code), timeout)

    def scan_stream(
        self,
        requests: AsyncIterable[redemption.ScanStreamRequest],
        *,
        timeout: float | None = None,
    ) -> AsyncIterator[redemption.ScanStreamResponse]:
        """Redeems over one stream, for gates with many scans in flight. Answers come as they are
        decided, matched by `scan_id`, several in one message where they were decided together. When
        256 scans of a stream are in flight the server reads no further until some are answered. The
        stream ends with UNAUTHENTICATED within a second of the operator's or the terminal's
        revocation. Parties, redemptions by code and reversals go over it too, with orders and
        history: each has the reasons, and asks for the rights, of the call it stands for. To a
        terminal that asks for it what changes of its venue's pack is pushed between the answers.
        """
        return self._calls.scan(_SCAN_STREAM, requests, timeout)

    def get_venue_pack(
        self,
        *,
        cursor: str = "",
        timeout: float | None = None,
    ) -> AsyncIterator[redemption.GetVenuePackResponse]:
        """Streams what the caller's terminal needs to decide scans without network: the tickets that
        its venue redeems, states, uses left and validity, departures, functions and keys of QR
        tokens; no names. In full, or what has changed since a cursor; in chunks, each signed for
        the terminal of the access token, to be gone on from after the last one that was stored.
        Ends with a chunk that `is_last`. Writes nothing. Reasons: SERVER_BUSY (go on later, with
        the cursor of the last chunk).
        """
        return self._calls.stream(_GET_VENUE_PACK, redemption.GetVenuePackRequest(cursor=cursor), timeout)

    async def upload_scans(
        self,
        *,
        scans: Iterable[redemption.OfflineScan],
        timeout: float | None = None,
    ) -> redemption.UploadScansResponse:
        """Uploads scans of the caller's terminal that were decided without network, and answers each
        with a verdict. In any order and any number of times: a scan that was uploaded before gets
        its verdict again, one with other content is another scan. It is decided by the rules of
        Redeem at the time of the scan, and recorded whatever it is; never are more uses accepted
        than a ticket has. Upload 10,000 in calls of 1,000, one after the other. Those of tickets
        that were admitted by their number, without a QR, a supervisor uploads, and what is accepted
        of them stands in the audit trail; else nothing of the call is recorded. Reasons:
        ROLE_NOT_ALLOWED (without a QR), CONFLICT and DATABASE_UNAVAILABLE, after which the same
        call may be repeated.
        """
        return await self._calls.unary(_UPLOAD_SCANS, redemption.UploadScansRequest(scans=scans), timeout)

    async def lease_tickets(
        self,
        *,
        function_code: str,
        ticket_codes: Iterable[str] = (),
        departure_id: int = 0,
        share: int = 0,
        share_count: int = 0,
        duration_seconds: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> redemption.LeaseTicketsResponse:
        """Leases a function of tickets to the caller's terminal, before it goes where there is no
        network: until the lease is over, which it is by itself, or given back, the server refuses
        it at every other terminal as LEASED_ELSEWHERE, uploads included. So what the terminal
        admits meanwhile, and uploads before the end, is ACCEPTED, unless the ticket is given back
        or blocked. A terminal leases up to 5,000 at once. Recorded in the audit trail. Reasons:
        CONFLICT, NOT_FOUND (departure), RANGE_TOO_LARGE (too many), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_LEASE_TICKETS, redemption.LeaseTicketsRequest(function_code=function_code, ticket_codes=ticket_codes, departure_id=departure_id, share=share, share_count=share_count, duration_seconds=duration_seconds, request_id=request_id), timeout)

    async def give_back_leases(
        self,
        *,
        ticket_codes: Iterable[str] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> redemption.GiveBackLeasesResponse:
        """Gives leases of the caller's terminal back before they end. Recorded in the audit trail.
        Reasons: CONFLICT, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_GIVE_BACK_LEASES, redemption.GiveBackLeasesRequest(ticket_codes=ticket_codes, request_id=request_id), timeout)

    async def reverse_redemption(
        self,
        *,
        redemption_id: str,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> redemption.ReverseRedemptionResponse:
        """Takes a redemption back within the merchant's window: its uses are free again, and the QR
        may redeem the function again. Supervisors of the same merchant only. Reasons: NOT_FOUND,
        REVERSAL_REFUSED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REVERSE_REDEMPTION, redemption.ReverseRedemptionRequest(redemption_id=redemption_id, comment=comment, request_id=request_id), timeout)

    async def list_redemptions(
        self,
        *,
        jti: str = "",
        ticket_code: str = "",
        terminal_device_id: str = "",
        operator: str = "",
        merchant_code: str = "",
        result: redemption.RedemptionResult.ValueType = redemption.REDEMPTION_RESULT_UNSPECIFIED,
        time_from: Moment | None = None,
        time_until: Moment | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> redemption.ListRedemptionsResponse:
        """Lists redemption events, newest first, by page: of the caller's merchant, or for an
        administrator of all. Reasons: PAGE_TOKEN_INVALID, SERVER_BUSY (two lists and reports of a
        caller are read at once), RANGE_TOO_LARGE.
        """
        return await self._calls.unary(_LIST_REDEMPTIONS, redemption.ListRedemptionsRequest(jti=jti, ticket_code=ticket_code, terminal_device_id=terminal_device_id, operator=operator, merchant_code=merchant_code, result=result, time_from=timestamp(time_from), time_until=timestamp(time_until), page_size=page_size, page_token=page_token), timeout)

    def iter_redemptions(
        self,
        *,
        jti: str = "",
        ticket_code: str = "",
        terminal_device_id: str = "",
        operator: str = "",
        merchant_code: str = "",
        result: redemption.RedemptionResult.ValueType = redemption.REDEMPTION_RESULT_UNSPECIFIED,
        time_from: Moment | None = None,
        time_until: Moment | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[redemption.Redemption]:
        """All `redemptions` of list_redemptions, page after page."""
        return self._calls.pages(_LIST_REDEMPTIONS, redemption.ListRedemptionsRequest(jti=jti, ticket_code=ticket_code, terminal_device_id=terminal_device_id, operator=operator, merchant_code=merchant_code, result=result, time_from=timestamp(time_from), time_until=timestamp(time_until), page_size=page_size), timeout)

    async def get_redemption_receipt(
        self,
        *,
        redemption_id: str,
        timeout: float | None = None,
    ) -> redemption.GetRedemptionReceiptResponse:
        """Makes the receipt of a redemption or of a reversal: who redeemed what, when and where, its
        place among all that was redeemed of the ticket, and whether it was taken back by now; a
        text that is signed, and verified by anybody with a key of GetReceiptKeys alone. To
        operators for what their merchant redeemed, to a partner for its own tickets. Each call
        makes it anew, of the time of the call. Reasons: NOT_FOUND, RECEIPT_REFUSED (the scan was
        refused).
        """
        return await self._calls.unary(_GET_REDEMPTION_RECEIPT, redemption.GetRedemptionReceiptRequest(redemption_id=redemption_id), timeout)

    async def get_receipt_keys(
        self,
        *,
        timeout: float | None = None,
    ) -> redemption.GetReceiptKeysResponse:
        """Gives the public keys that verify receipts, former ones included. For everybody; to be kept,
        so that receipts are verified without asking again.
        """
        return await self._calls.unary(_GET_RECEIPT_KEYS, redemption.GetReceiptKeysRequest(), timeout)

    async def summarize_redemptions(
        self,
        *,
        time_from: Moment | None = None,
        time_until: Moment | None = None,
        merchant_code: str = "",
        group_by: redemption.SummaryGrouping.ValueType = redemption.SUMMARY_GROUPING_UNSPECIFIED,
        timeout: float | None = None,
    ) -> redemption.SummarizeRedemptionsResponse:
        """Counts redemption events of a span of up to 31 days, by function, result and reason, and by
        one more grouping. What has just happened counts. Reasons: SERVER_BUSY (as ListRedemptions),
        RANGE_TOO_LARGE.
        """
        return await self._calls.unary(_SUMMARIZE_REDEMPTIONS, redemption.SummarizeRedemptionsRequest(time_from=timestamp(time_from), time_until=timestamp(time_until), merchant_code=merchant_code, group_by=group_by), timeout)
