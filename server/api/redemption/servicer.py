"""RedemptionService: protobuf messages to plain arguments and back."""

import asyncio
from dataclasses import replace
from datetime import datetime, time
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from deeptravel.redemption.v1 import access_pb2, redemption_pb2, redemption_service_pb2_grpc

from server.api import calls, convert, paging
from server.api import repeats as repeats_module
from server.api.paging import paged
from server.api.redemption import messages
from server.api.redemption.messages import answer_message, refusal_fields
from server.api.redemption.scan_stream import ScanStream
from server.identity.callers import Admin, Operator, Partner
from server.identity.service import Identity
from server.platform import clock
from server.platform.database import Database
from server.platform.errors import DomainError, Reason, invalid
from server.redemption import lookup, sessions
from server.redemption.redeem import Answer, Item, Redeemer
from server.redemption.statements import SnapshotCache

ORDER_PAGE_TICKETS = 200
"""Of an order that is looked up, if the terminal does not say how many."""


class RedemptionServicer(redemption_service_pb2_grpc.RedemptionServiceServicer):
    """The methods of RedemptionService; the contract documents each."""

    def __init__(
        self,
        db: Database,
        identity: Identity,
        redeemer: Redeemer,
        repeats: repeats_module.Repeats,
        pages: paging.PageTokens,
        *,
        zone: ZoneInfo,
        stopping: asyncio.Event,
    ) -> None:
        self._db = db
        self._identity = identity
        self._redeemer = redeemer
        self._repeats = repeats
        self._pages = pages
        self._zone = zone
        self._stopping = stopping
        self._snapshots = SnapshotCache()

    async def OperatorLogin(self, request: Any, context: Any) -> Any:
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
        )

    async def RefreshToken(self, request: Any, context: Any) -> Any:
        tokens = await self._identity.refresh(request.refresh_token, clock.now())
        return access_pb2.RefreshTokenResponse(
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            expires_in=tokens.expires_in_seconds,
        )

    async def Logout(self, request: Any, context: Any) -> Any:
        await self._identity.log_out(calls.caller(Operator, Admin), clock.now())
        return access_pb2.LogoutResponse()

    async def OpenValidatorSession(self, request: Any, context: Any) -> Any:
        async with self._db.transaction() as tx:
            departure = await sessions.find_departure(
                tx,
                departure_id=request.departure_id,
                service_number=request.service_number,
                travel_date=request.travel_date,
            )
        code = await self._identity.sessions.open(
            calls.caller(Operator),
            request.terminal_device_id,
            clock.now(),
            departure=(departure.departure_id, departure.service_number) if departure else None,
        )
        return messages.session_message(code, departure)

    async def CloseValidatorSession(self, request: Any, context: Any) -> Any:
        await self._identity.sessions.close(
            calls.caller(Operator), request.session_code, clock.now()
        )
        return access_pb2.CloseValidatorSessionResponse()

    def _local_now(self) -> datetime:
        """The time of the call, in the time zone whose days count for the caller."""
        return clock.now().astimezone(
            lookup.days_of(calls.caller(Partner, Operator, Admin), self._zone)
        )

    async def DecryptQr(self, request: Any, context: Any) -> Any:
        now = self._local_now()
        opened = await self._redeemer.open(request.encrypted_data, now)
        async with self._db.hot() as hot, hot.transaction():
            look = await lookup.look(
                hot, self._snapshots, opened, caller=calls.caller(Partner, Operator, Admin), now=now
            )
        response = redemption_pb2.DecryptQrResponse(
            jti=str(look.jti or ""), **refusal_fields(look.refusal)
        )
        if look.ticket:
            response.ticket_code = look.ticket.ticket_code
            response.ticket_info.CopyFrom(messages.ticket_info(look.ticket))
        return response

    async def LookupOrder(self, request: Any, context: Any) -> Any:
        now = self._local_now()
        token: str = request.encrypted_data
        opened = await self._redeemer.open(token, now) if token else None
        (after,) = self._pages.decode(request) or [0]
        async with self._db.transaction() as tx:
            order = await lookup.look_up_order(
                tx,
                self._snapshots,
                opened=opened,
                order_code=request.order_id,
                now=now,
                caller=calls.caller(Operator, Admin),
                after=after,
                limit=request.page_size or ORDER_PAGE_TICKETS,
            )
        response = messages.order_message(order)
        if order.next_after:
            response.next_page_token = self._pages.encode(request, [order.next_after])
        return response

    async def Redeem(self, request: Any, context: Any) -> Any:
        (answer,) = await self._submit(request, [_item(request)])
        return answer_message(answer)

    async def RedeemMany(self, request: Any, context: Any) -> Any:
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

    async def RedeemByCode(self, request: Any, context: Any) -> Any:
        async with self._db.transaction() as tx:
            ticket_id = await lookup.ticket_number(tx, request.ticket_code) or 0
        quantity, code = request.quantity or 1, request.ticket_code
        item = Item("", request.function_code, quantity, code, ticket_id)
        call = {"method": "RedeemByCode", "comment": request.comment}
        (answer,) = await self._submit(request, [item], **call)
        same = answer_message(answer).SerializeToString()
        return redemption_pb2.RedeemByCodeResponse.FromString(same)

    async def ScanStream(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]
        stream = ScanStream(
            context,
            submit=lambda scan: self._queue(scan, [_item(scan)]),
            answer_message=answer_message,
            stopping=self._stopping,
        )
        await stream.run()

    async def ReverseRedemption(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            reversal = await lookup.reverse(
                tx,
                redemption=request.redemption_id,
                comment=request.comment,
                caller=calls.caller(Operator),
                now=clock.now(),
            )
            return redemption_pb2.ReverseRedemptionResponse(
                redemption_id=reversal.redemption_id,
                ticket_code=reversal.ticket_code,
                ticket_status=messages.TICKET_STATE[reversal.ticket_state],
                entitlements=messages.entitlements(reversal.remaining),
            )

        return await self._repeats.once(request, redemption_pb2.ReverseRedemptionResponse, work)

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
                most=page.size + 1,
            )
        shown = page.cut(found, lambda row: (row.occurred_time, row.event_id, row.ticket_id))
        return redemption_pb2.ListRedemptionsResponse(
            redemptions=map(messages.redemption_message, shown)
        )

    async def SummarizeRedemptions(self, request: Any, context: Any) -> Any:
        now, zone = clock.now(), lookup.days_of(calls.caller(Operator, Admin), self._zone)
        today = datetime.combine(now.astimezone(zone), time(), zone)
        async with self._db.report(calls.caller(Operator, Admin).key) as tx:
            rows = await lookup.summarize(
                tx,
                caller=calls.caller(Operator, Admin),
                merchant_code=request.merchant_code,
                group_by=messages.GROUPING[request.group_by],
                time_from=convert.moment(request, "time_from") or today,
                time_until=convert.moment(request, "time_until") or now,
                zone=zone,
            )
        return redemption_pb2.SummarizeRedemptionsResponse(rows=map(messages.summary_row, rows))

    async def _submit(self, request: Any, items: list[Item], **options: Any) -> list[Answer]:
        return await (await self._queue(request, items, **options))

    async def _queue(
        self, request: Any, items: list[Item], **options: Any
    ) -> asyncio.Future[list[Answer]]:
        operator = calls.caller(Operator)
        terminal = request.terminal_device_id
        if terminal and terminal != operator.terminal_device_id:
            raise DomainError(
                Reason.TERMINAL_MISMATCH,
                f"terminal_device_id: the access token is bound to {operator.terminal_device_id};"
                " log in at this terminal",
                terminal_device_id=terminal,
            )
        if request.session_code:
            departure = await self._identity.sessions.require(operator, request.session_code)
            if departure != operator.departure:
                operator = replace(operator, departure=departure)
        return self._redeemer.submit(
            operator,
            items,
            request_id=request.request_id,
            session_code=request.session_code,
            **options,
        )


def _item(request: Any) -> Item:
    return Item(request.qr_token, request.function_code, request.quantity or 1, request.ticket_code)


def _event_filter(request: Any) -> lookup.EventFilter:
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
