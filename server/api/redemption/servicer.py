"""RedemptionService: protobuf messages to plain arguments and back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import datetime
from functools import partial
from typing import NamedTuple, TypedDict, Unpack
from uuid import UUID
from zoneinfo import ZoneInfo

from deeptravel.redemption.v1 import (
    access_pb2,
    leases_pb2,
    offline_pb2,
    receipts_pb2,
    redemption_pb2,
    redemption_service_pb2_grpc,
)

from server.api import calls, convert, paging
from server.api import repeats as repeats_module
from server.api.calls import Context, Later, plain
from server.api.paging import paged
from server.api.redemption import leases, messages, packs, stream_calls, uploads
from server.api.redemption.messages import answer_message
from server.api.redemption.scan_stream import ScanStream
from server.api.repeats import ChangingCall, changing
from server.identity.callers import Admin, Operator, Partner
from server.identity.service import Identity
from server.platform import clock
from server.platform.database import Database
from server.platform.errors import invalid
from server.redemption import leases as terminal_leases
from server.redemption import lookup, receipt_keys, receipts, reversals, sessions
from server.redemption.answers import Answer
from server.redemption.offline_keys import OfflineKeys
from server.redemption.pack_pushes import PackPushes
from server.redemption.redeem import Redeemer, ScanItem
from server.redemption.statements import SnapshotCache
from server.redemption.uploads import Uploads
from server.redemption.venue_packs import VenuePacks

ORDER_PAGE_TICKETS = 200
"""Of an order that is looked up, if the terminal does not say how many."""

Scans = (
    redemption_pb2.RedeemRequest
    | redemption_pb2.RedeemManyRequest
    | redemption_pb2.RedeemByCodeRequest
)


class ScanOptions(TypedDict, total=False):
    """What makes a call another than Redeem, see `Redeemer.submit`."""

    all_or_nothing: bool
    method: str
    comment: str


class RedemptionDomain(NamedTuple):
    """What RedemptionService works with."""

    identity: Identity
    redeemer: Redeemer
    looks: lookup.QrLooks
    packs: VenuePacks
    pushes: PackPushes[redemption_pb2.PackPush]
    uploads: Uploads
    offline_keys: OfflineKeys
    zone: ZoneInfo
    secret_key: bytes


class RedemptionServicer(redemption_service_pb2_grpc.RedemptionServiceServicer):
    """The methods of RedemptionService; the contract documents each."""

    def __init__(
        self,
        db: Database,
        repeats: repeats_module.Repeats,
        pages: paging.PageTokens,
        domain: RedemptionDomain,
        stopping: asyncio.Event,
    ) -> None:
        self._db = db
        self._repeats = repeats
        self._pages = pages
        self._identity, self._redeemer, self._looks = domain[:3]
        self._packs, self._pushes = domain.packs, domain.pushes
        self._uploads, self._offline_keys, self._zone, self._secret_key = domain[5:]
        self._stopping = stopping
        self._snapshots = SnapshotCache()

    async def OperatorLogin(
        self,
        request: access_pb2.OperatorLoginRequest,
        context: Context[access_pb2.OperatorLoginRequest, access_pb2.OperatorLoginResponse],
    ) -> access_pb2.OperatorLoginResponse:
        tokens = await self._identity.log_in(
            request.username,
            request.password,
            request.terminal_device_id,
            clock.now(),
            address=calls.current().address,
        )
        return access_pb2.OperatorLoginResponse(
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            expires_in=tokens.expires_in_seconds,
            offline_verify_key=self._offline_keys.verify_key if request.with_offline_key else None,
        )

    async def RefreshToken(
        self,
        request: access_pb2.RefreshTokenRequest,
        context: Context[access_pb2.RefreshTokenRequest, access_pb2.RefreshTokenResponse],
    ) -> access_pb2.RefreshTokenResponse:
        tokens = await self._identity.refresh(request.refresh_token, clock.now())
        return access_pb2.RefreshTokenResponse(
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            expires_in=tokens.expires_in_seconds,
        )

    async def Logout(
        self,
        request: access_pb2.LogoutRequest,
        context: Context[access_pb2.LogoutRequest, access_pb2.LogoutResponse],
    ) -> access_pb2.LogoutResponse:
        await self._identity.log_out(calls.caller(Operator, Admin), clock.now())
        return access_pb2.LogoutResponse()

    async def OpenValidatorSession(
        self,
        request: access_pb2.OpenValidatorSessionRequest,
        context: Context[
            access_pb2.OpenValidatorSessionRequest, access_pb2.OpenValidatorSessionResponse
        ],
    ) -> access_pb2.OpenValidatorSessionResponse:
        async with self._db.transaction() as tx:
            departure = await sessions.find_departure(
                tx,
                departure_id=request.departure_id,
                service_number=request.service_number,
                travel_date=request.travel_date,
            )
        admitted = (departure.departure_id, departure.service_number) if departure else None
        operator = calls.caller(Operator)
        code = await self._identity.sessions.open(
            operator, request.terminal_device_id, clock.now(), departure=admitted
        )
        return messages.session_message(code, departure, operator)

    async def CloseValidatorSession(
        self,
        request: access_pb2.CloseValidatorSessionRequest,
        context: Context[
            access_pb2.CloseValidatorSessionRequest, access_pb2.CloseValidatorSessionResponse
        ],
    ) -> access_pb2.CloseValidatorSessionResponse:
        await self._identity.sessions.close(
            calls.caller(Operator), request.session_code, clock.now()
        )
        return access_pb2.CloseValidatorSessionResponse()

    def _local_now(self) -> datetime:
        """The time of the call, in the time zone whose days count for the caller; for a sandbox
        what its test clock shows.
        """
        caller = calls.caller(Partner, Operator, Admin)
        now = caller.now() if isinstance(caller, Partner) else clock.now()
        return now.astimezone(lookup.days_of(caller, self._zone))

    @plain
    def DecryptQr(
        self,
        request: redemption_pb2.DecryptQrRequest,
        context: Context[redemption_pb2.DecryptQrRequest, redemption_pb2.DecryptQrResponse],
    ) -> Awaitable[redemption_pb2.DecryptQrResponse]:
        look = self._looks.submit(
            request.encrypted_data,
            caller=calls.caller(Partner, Operator, Admin),
            now=self._local_now(),
        )
        return Later(look, messages.look_message)

    @paged
    async def LookupOrder(
        self, request: redemption_pb2.LookupOrderRequest, page: paging.Page[Operator | Admin, int]
    ) -> redemption_pb2.LookupOrderResponse:
        now, text = self._local_now(), request.encrypted_data
        scanned = await self._redeemer.open(text, now) if text else None
        async with self._db.transaction() as tx:
            order = await lookup.look_up_order(
                tx,
                self._snapshots,
                scanned=scanned,
                order_code=request.order_id,
                now=now,
                caller=page.caller,
                after=page.after or 0,
                limit=request.page_size or ORDER_PAGE_TICKETS,
            )
        page.next_after = order.next_after
        return messages.order_message(order)

    @plain
    def Redeem(
        self,
        request: redemption_pb2.RedeemRequest,
        context: Context[redemption_pb2.RedeemRequest, redemption_pb2.RedeemResponse],
    ) -> Awaitable[redemption_pb2.RedeemResponse]:
        return self._scanned(request)

    def _scanned(
        self, request: redemption_pb2.RedeemRequest
    ) -> Awaitable[redemption_pb2.RedeemResponse]:
        operator = self._identity.sessions.remembered(
            calls.caller(Operator), request.terminal_device_id, request.session_code
        )
        if operator is None:
            return self._scanned_later(request)
        return Later(self._queued(operator, request, [_item(request)]), _first_message)

    async def _scanned_later(
        self, request: redemption_pb2.RedeemRequest
    ) -> redemption_pb2.RedeemResponse:
        """Where the session has to be read first."""
        return _first_message(await self._submit(request, [_item(request)]))

    async def RedeemMany(
        self,
        request: redemption_pb2.RedeemManyRequest,
        context: Context[redemption_pb2.RedeemManyRequest, redemption_pb2.RedeemManyResponse],
    ) -> redemption_pb2.RedeemManyResponse:
        answers = await self._submit(
            request,
            [_item(item) for item in request.items],
            all_or_nothing=request.all_or_nothing,
            method="RedeemMany",
        )
        return redemption_pb2.RedeemManyResponse(
            results=map(answer_message, answers),
            all_redeemed=all(answer.result == "SUCCESS" for answer in answers),
        )

    async def RedeemByCode(
        self,
        request: redemption_pb2.RedeemByCodeRequest,
        context: Context[redemption_pb2.RedeemByCodeRequest, redemption_pb2.RedeemByCodeResponse],
    ) -> redemption_pb2.RedeemByCodeResponse:
        async with self._db.transaction() as tx:
            ticket_id = await lookup.ticket_number(tx, request.ticket_code) or 0
        quantity, code = request.quantity or 1, request.ticket_code
        item = ScanItem("", request.function_code, quantity, code, ticket_id)
        (answer,) = await self._submit(
            request, [item], method="RedeemByCode", comment=request.comment
        )
        same = answer_message(answer).SerializeToString()
        return redemption_pb2.RedeemByCodeResponse.FromString(same)

    async def ScanStream(  # type: ignore[override]  # it writes its answers
        self,
        request_iterator: AsyncIterator[redemption_pb2.ScanStreamRequest],
        context: Context[redemption_pb2.ScanStreamRequest, redemption_pb2.ScanStreamResponse],
    ) -> None:
        stream = ScanStream(
            context,
            submit=lambda scan: self._queue(scan, [_item(scan)]),
            serve=partial(stream_calls.called, self),
            answer_message=answer_message,
            stopping=self._stopping,
            follow=partial(self._pushes.follow, calls.caller(Operator)),
        )
        await stream.run()

    async def GetVenuePack(
        self,
        request: offline_pb2.GetVenuePackRequest,
        context: Context[offline_pb2.GetVenuePackRequest, offline_pb2.GetVenuePackResponse],
    ) -> AsyncIterator[offline_pb2.GetVenuePackResponse]:
        operator = calls.caller(Operator)
        async for part in self._packs.parts(operator, request.cursor):
            yield await packs.signed_chunk(self._offline_keys, operator, part)

    async def UploadScans(
        self,
        request: offline_pb2.UploadScansRequest,
        context: Context[offline_pb2.UploadScansRequest, offline_pb2.UploadScansResponse],
    ) -> offline_pb2.UploadScansResponse:
        scans = [uploads.scan(each) for each in request.scans]
        found, breaks = await self._uploads.upload(calls.caller(Operator), scans)
        return uploads.answers(request.scans, found, breaks)

    @changing
    async def LeaseTickets(
        self, request: leases_pb2.LeaseTicketsRequest, call: ChangingCall[Operator]
    ) -> leases_pb2.LeaseTicketsResponse:
        return await leases.lease(request, call)

    @changing
    async def GiveBackLeases(
        self, request: leases_pb2.GiveBackLeasesRequest, call: ChangingCall[Operator]
    ) -> leases_pb2.GiveBackLeasesResponse:
        count = await terminal_leases.give_back(
            call.tx, request.ticket_codes, caller=call.caller, now=call.now
        )
        return leases_pb2.GiveBackLeasesResponse(lease_count=count)

    @changing
    async def ReverseRedemption(
        self, request: redemption_pb2.ReverseRedemptionRequest, call: ChangingCall[Operator]
    ) -> redemption_pb2.ReverseRedemptionResponse:
        reversal = await reversals.reverse(
            call.tx,
            redemption=request.redemption_id,
            comment=request.comment,
            caller=call.caller,
            now=call.now,
        )
        return messages.reversal_message(reversal)

    async def GetRedemptionReceipt(
        self,
        request: receipts_pb2.GetRedemptionReceiptRequest,
        context: Context[
            receipts_pb2.GetRedemptionReceiptRequest, receipts_pb2.GetRedemptionReceiptResponse
        ],
    ) -> receipts_pb2.GetRedemptionReceiptResponse:
        caller = calls.caller(Partner, Operator, Admin)
        async with self._db.transaction() as tx:
            made = await receipts.receipt(
                tx, self._secret_key, request.redemption_id, caller=caller, now=clock.now()
            )
        return receipts_pb2.GetRedemptionReceiptResponse(receipt=made)

    async def GetReceiptKeys(
        self,
        request: receipts_pb2.GetReceiptKeysRequest,
        context: Context[receipts_pb2.GetReceiptKeysRequest, receipts_pb2.GetReceiptKeysResponse],
    ) -> receipts_pb2.GetReceiptKeysResponse:
        async with self._db.transaction() as tx:
            await receipt_keys.signing_key(tx, self._secret_key, clock.now())
            keys = await receipt_keys.list_keys(tx)
        return receipts_pb2.GetReceiptKeysResponse(keys=map(messages.receipt_key, keys))

    @paged
    async def ListRedemptions(
        self,
        request: redemption_pb2.ListRedemptionsRequest,
        page: paging.Page[Operator | Admin, tuple[datetime, int, int]],
    ) -> redemption_pb2.ListRedemptionsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await lookup.list_events(
                tx,
                _event_filter(request),
                caller=page.caller,
                after=page.after,
                limit=page.size + 1,
            )
        shown = page.cut(found, lambda row: (row.occurred_time, row.event_id, row.ticket_id))
        return redemption_pb2.ListRedemptionsResponse(
            redemptions=map(messages.redemption_message, shown)
        )

    async def SummarizeRedemptions(
        self,
        request: redemption_pb2.SummarizeRedemptionsRequest,
        context: Context[
            redemption_pb2.SummarizeRedemptionsRequest, redemption_pb2.SummarizeRedemptionsResponse
        ],
    ) -> redemption_pb2.SummarizeRedemptionsResponse:
        caller = calls.caller(Operator, Admin)
        async with self._db.report(caller.key) as tx:
            rows = await lookup.summarize(
                tx, _summary_filter(request), caller=caller, now=clock.now(), zone=self._zone
            )
        return redemption_pb2.SummarizeRedemptionsResponse(rows=map(messages.summary_row, rows))

    async def _submit(
        self, request: Scans, items: list[ScanItem], **options: Unpack[ScanOptions]
    ) -> list[Answer]:
        return await (await self._queue(request, items, **options))

    async def _queue(
        self, request: Scans, items: list[ScanItem], **options: Unpack[ScanOptions]
    ) -> asyncio.Future[list[Answer]]:
        operator = await self._identity.sessions.bound(
            calls.caller(Operator), request.terminal_device_id, request.session_code
        )
        return self._queued(operator, request, items, **options)

    def _queued(
        self,
        operator: Operator,
        request: Scans,
        items: list[ScanItem],
        **options: Unpack[ScanOptions],
    ) -> asyncio.Future[list[Answer]]:
        return self._redeemer.submit(
            operator,
            items,
            request_id=request.request_id,
            session_code=request.session_code,
            **options,
        )


def _first_message(answers: list[Answer]) -> redemption_pb2.RedeemResponse:
    return answer_message(answers[0])


def _item(request: redemption_pb2.RedeemRequest | redemption_pb2.RedeemItem) -> ScanItem:
    return ScanItem(
        request.qr_token, request.function_code, request.quantity or 1, request.ticket_code
    )


def _event_filter(request: redemption_pb2.ListRedemptionsRequest) -> lookup.EventFilter:
    try:
        jti = UUID(request.jti) if request.jti else None
    except ValueError:
        raise invalid("jti", "is not a UUID") from None
    return lookup.EventFilter(
        merchant_code=request.merchant_code,
        jti=jti,
        ticket_code=request.ticket_code,
        terminal_device_id=request.terminal_device_id,
        operator=request.operator,
        result=messages.RESULT_NAME[request.result],
        time_from=convert.moment(request, "time_from"),
        time_until=convert.moment(request, "time_until"),
    )


def _summary_filter(request: redemption_pb2.SummarizeRedemptionsRequest) -> lookup.SummaryFilter:
    return lookup.SummaryFilter(
        merchant_code=request.merchant_code,
        group_by=messages.GROUPING[request.group_by],
        time_from=convert.moment(request, "time_from"),
        time_until=convert.moment(request, "time_until"),
    )
