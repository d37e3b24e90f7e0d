"""The services that Ctrip's attractions channel calls: bytes in, bytes out.

A call is proven by the channel's keys, carried out, and noted in the log of calls with its result
code. What is refused, and what fails here, is an answer of the protocol like any other.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog

from server.channels import ttd_answers, ttd_messages, ttd_wire
from server.channels.call_log import CallJournal
from server.channels.calling import OK, CallRecord
from server.channels.connecting import ChannelClients
from server.channels.ctrip_ttd import CtripTtdCodec
from server.channels.ttd_memory import ForASecond
from server.channels.ttd_notices import CONFIRMS, TtdNotices
from server.channels.ttd_orders import TtdOrders
from server.channels.ttd_wire import ResultCode, TtdCall, TtdKeys, TtdRefusal
from server.platform import clock
from server.platform.errors import DomainError

ANSWER_SECONDS = 2.0
"""What takes longer, and may be confirmed later, is answered as pending: the vendor's page speaks
of 3 seconds for VerifyOrder.
"""
ASYNCHRONOUS = 2
"""`confirmType` of a call that may be answered as pending."""
NOT_OFFERED = {
    "RefundOrder": "money goes back with what CancelOrder cancels, and no other way",
}
"""Services of the protocol that are refused, and why."""
OURS = "IN"
"""The log's method of a call that came to us."""

log = structlog.get_logger()

Service = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


class TtdService:
    """Answers calls."""

    def __init__(
        self,
        clients: ChannelClients,
        ttd_orders: TtdOrders,
        notices: TtdNotices,
        journal: CallJournal,
    ) -> None:
        self._journal = journal
        self._clients = clients
        self._notices = notices
        self._known = ForASecond[tuple[TtdKeys, bool]]()
        self._services: dict[str, Service] = {
            "VerifyOrder": ttd_orders.sales.verify,
            "CreatePreOrder": partial(ttd_orders.sales.create, is_direct=False),
            "CreateOrder": partial(ttd_orders.sales.create, is_direct=True),
            "PayPreOrder": ttd_orders.sales.pay,
            "CancelPreOrder": ttd_orders.sales.cancel_held,
            "CancelOrder": ttd_orders.cancels.cancel,
            "QueryOrder": ttd_orders.cancels.query,
            "EditOrder": ttd_orders.edits.edit,
            "SendVoucher": ttd_orders.vouchers.again,
        }

    async def answer(self, channel_code: str, raw: bytes) -> bytes:
        """The answer to a call, sealed if it has content."""
        keys: TtdKeys | None = None
        call, began = TtdCall("?", {}), time.monotonic()
        code, message, content = ResultCode.OK, "", None
        try:
            keys, is_active = await self._known.get(
                channel_code, partial(self._opened, channel_code)
            )
            call = ttd_wire.read_call(raw, keys)
            if not is_active:
                raise TtdRefusal(ResultCode.OFF_SALE, "the channel is paused")
            content = await self._carried_out(channel_code, call)
        except TtdRefusal as refusal:
            code, message = refusal.code, refusal.message
        except DomainError as error:
            code, message = ResultCode.FAULT, str(error.reason)
        except Exception:
            log.exception("ttd.fault", channel=channel_code, service=call.service)
            code, message = ResultCode.FAULT, "a fault of the supplier"
        said = ttd_wire.answer(code, message, content, keys)
        if call.service != "?":
            self._note(channel_code, call.service, code, message, began, raw, said)
        else:  # whoever cannot prove himself writes nothing
            log.warning("ttd.call_refused", channel=channel_code[:64], code=code, why=message)
        return said

    async def _opened(self, channel_code: str) -> tuple[TtdKeys, bool]:
        try:
            channel = await self._clients.get(channel_code)
        except DomainError as error:
            if error.retry_seconds is not None:
                raise
            raise TtdRefusal(ResultCode.WRONG_ACCOUNT, "there is no such channel") from None
        codec = channel.client.codec
        if not isinstance(codec, CtripTtdCodec):
            raise TtdRefusal(ResultCode.WRONG_ACCOUNT, "there is no such channel")
        if channel.record.partner_id:
            raise TtdRefusal(ResultCode.WRONG_ACCOUNT, "the channel sells a partner's allotment")
        return codec.keys, channel.is_active

    async def _carried_out(self, channel_code: str, call: TtdCall) -> dict[str, Any]:
        service = self._services.get(call.service)
        if service is None:
            why = NOT_OFFERED.get(call.service, "serviceName is none of the protocol's")
            raise TtdRefusal(ResultCode.UNKNOWN_SERVICE, f"not offered: {why}")
        may_wait = call.service in CONFIRMS and call.content.get("confirmType") == ASYNCHRONOUS
        if not may_wait:
            return await service(channel_code, call.content)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await service(channel_code, call.content)
        except TimeoutError:
            return await self._pending(channel_code, call)

    async def _pending(self, channel_code: str, call: TtdCall) -> dict[str, Any]:
        kept = ttd_messages.without_more_than_ids(call.content)
        await self._notices.later(channel_code, call.service, kept, clock.now())
        return {"otaOrderId": kept["otaOrderId"], "supplierConfirmType": ttd_answers.PENDING}

    def _note(  # noqa: PLR0917 - a row of the log
        self,
        channel_code: str,
        service: str,
        code: ResultCode,
        message: str,
        began: float,
        raw: bytes,
        said: bytes,
    ) -> None:
        failed = "REFUSED" if code != ResultCode.FAULT else "UNKNOWN_OUTCOME"
        made = CallRecord(
            channel_code=channel_code,
            endpoint=service,
            method=OURS,
            http_status=200,
            outcome=OK if code == ResultCode.OK else failed,
            duration_ms=round((time.monotonic() - began) * 1000),
            request_bytes=len(raw),
            response_bytes=len(said),
            error=f"{code}: {message}"[:300] if code != ResultCode.OK else "",
            create_time=clock.now(),
        )
        self._journal.note(made)
