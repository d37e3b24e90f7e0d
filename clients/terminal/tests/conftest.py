"""A server that answers scans by a script, and a real one if `DEEPTRAVEL_TEST_TARGET` names it."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from deeptravel import redemption, tickets
from deeptravel._generated.redemption import service
from deeptravel._method import Method
from google.rpc import error_details_pb2, status_pb2

METHODS = {each.path: each for each in vars(service).values() if isinstance(each, Method)}
DEVICE = "TERMINAL-CP-001"
CALLS = {
    "order": "LookupOrder",
    "history": "ListRedemptions",
    "party": "RedeemMany",
    "by_code": "RedeemByCode",
    "reversal": "ReverseRedemption",
}
"""Which a stream carries."""


class FakeServer(grpc.GenericRpcHandler):
    """A platform with one ticket, kept as the contract says: the same request id, the same answer.

    Attributes:
        asked: every request, in the order it came; what a stream carries after its message.
        breaks_before_answer: how many scans and calls of streams are done, and these broken before
            the answer.
        silent: whether scans get no answer.
        failures: of scans, each used once.
        answers: of other calls, by method; of a stream the one that it has, and those of calls that
            it carries.
        redeem_by: decides scans.
        done: what calls of streams changed, by their request id.
        pushes: sent to whoever asks for them on a stream, the first when it asks, each other after
            an answer.
        only_with_qr: whether uploads without a QR are refused, as an operator's are.
        lost_uploads: how many uploads get no answer.
        revoked: whether nobody is logged in any more; streams end.
    """

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.breaks_before_answer = 0
        self.silent = False
        self.failures: list[str] = []
        self.redeemed: dict[str, redemption.RedeemResponse] = {}
        self.done: list[str] = []
        self.redeem_by = self._redeem
        self.answers: dict[str, Any] = {}
        self.uses = 1
        self.revoked = False
        self.lost_uploads = 0
        self.only_with_qr = False
        self.pushes: list[redemption.PackPush] = []

    def service(self, handler_call_details: Any) -> Any:
        method = METHODS[handler_call_details.method]
        coders = {
            "request_deserializer": method.request.FromString,
            "response_serializer": method.response.SerializeToString,
        }
        if method.name == "ScanStream":
            return grpc.stream_stream_rpc_method_handler(self._scan, **coders)

        if method.name == "GetVenuePack":
            return grpc.unary_stream_rpc_method_handler(self._pack, **coders)

        async def answer(request: Any, context: Any) -> Any:
            self.asked.append(request)
            if self.revoked:
                await self._refuse(context)
            if method.name == "OperatorLogin" and request.password != "right":
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such log-in")
            if method.name == "UploadScans":
                if self.only_with_qr and any(each.ticket_code for each in request.scans):
                    await self._refuse(context, "ROLE_NOT_ALLOWED")
                if self.lost_uploads:
                    self.lost_uploads -= 1
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
                return redemption.UploadScansResponse(scans=map(a_verdict, request.scans))
            return self.answers.get(method.name, method.response())

        return grpc.unary_unary_rpc_method_handler(answer, **coders)

    async def _refuse(self, context: Any, reason: str = "UNAUTHENTICATED") -> None:
        info = error_details_pb2.ErrorInfo(reason=reason, domain="deeptravel")
        status = status_pb2.Status(code=grpc.StatusCode.UNAUTHENTICATED.value[0])
        status.details.add().Pack(info)
        details = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "revoked", details)

    async def _pack(self, request: Any, context: Any) -> AsyncIterator[Any]:
        if "GetVenuePack" in self.answers:
            yield self.answers["GetVenuePack"]

    async def _scan(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        self._end_when_revoked(context)
        is_pushed_to = False
        async for each in requests:
            self.asked.append(each)
            if each.with_pack_pushes:
                is_pushed_to = True
                if self.pushes:
                    yield redemption.ScanStreamResponse(push=self.pushes.pop(0))
                continue
            if self.silent:
                continue
            answer = redemption.ScanAnswer(scan_id=each.scan_id)
            if self.failures:
                answer.failure.reason = self.failures.pop(0)
                answer.failure.message = "so it is"
            else:
                self._answer(each, answer)
                if self.breaks_before_answer:
                    self.breaks_before_answer -= 1
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
            yield redemption.ScanStreamResponse(answers=[answer])
            if is_pushed_to and self.pushes:
                yield redemption.ScanStreamResponse(push=self.pushes.pop(0))

    def _end_when_revoked(self, context: Any) -> None:
        async def ends() -> None:
            await until(lambda: self.revoked or context.done())
            if not context.done():
                # else nobody takes it, and it is shown whenever garbage is collected, while a
                # module is compiled too, which ends the tests
                with contextlib.suppress(grpc.aio.AbortError):
                    await self._refuse(context)

        self.watching = asyncio.create_task(ends())

    def _answer(self, asked: redemption.ScanStreamRequest, answer: redemption.ScanAnswer) -> None:
        field = asked.WhichOneof("call")
        if field is None:
            answer.answer.CopyFrom(self.redeem_by(asked.scan))
            return
        self.asked.append(getattr(asked, field))
        request_id = getattr(getattr(asked, field), "request_id", "")
        if request_id and request_id not in self.done:
            self.done.append(request_id)
        known = self.answers.get(CALLS[field])
        getattr(answer, field).MergeFrom(known or type(getattr(answer, field))())
        getattr(answer, field).SetInParent()

    def _redeem(self, scan: redemption.RedeemRequest) -> redemption.RedeemResponse:
        if scan.request_id not in self.redeemed:
            admitted = self.uses >= scan.quantity
            self.uses -= scan.quantity if admitted else 0
            answer = an_answer(admitted=admitted, left=self.uses)
            self.redeemed[scan.request_id] = answer
        return self.redeemed[scan.request_id]

    @property
    def scans(self) -> list[Any]:
        """The scans that came."""
        return [
            each
            for each in self.asked
            if isinstance(each, redemption.ScanStreamRequest) and each.HasField("scan")
        ]


def a_verdict(scan: redemption.OfflineScan) -> redemption.UploadedScan:
    """Of what was admitted that another terminal had redeemed it before."""
    verdict = redemption.UploadedScan(
        scan_id=scan.scan_id, verdict=redemption.OFFLINE_VERDICT_RECORDED
    )
    if scan.admitted:
        verdict.verdict = redemption.OFFLINE_VERDICT_CONFLICT
        verdict.liable = redemption.LIABILITY_MERCHANT
        verdict.ticket_code = "OTA-CP-20261204-000017"
        verdict.earlier.redeemed_at.FromJsonString("2026-12-03T22:58:00Z")
        verdict.earlier.terminal_device_id = "TERMINAL-CP-002"
    return verdict


def an_answer(*, admitted: bool = True, left: int = 0) -> redemption.RedeemResponse:
    """An answer of a ferry's ticket with a seat."""
    answer = redemption.RedeemResponse(
        result=redemption.REDEMPTION_RESULT_SUCCESS
        if admitted
        else redemption.REDEMPTION_RESULT_REJECT,
        ticket_code="DIR-XH-20261204-000017",
        redemption_id="0" * 32,
        entitlements=[
            tickets.Entitlement(function_code="ferry", remaining_uses=left, total_uses=2),
        ],
        details=the_details(),
    )
    if not admitted:
        answer.reason = redemption.REFUSAL_REASON_ALREADY_REDEEMED
        answer.explanation.en = "ferry of this ticket was redeemed at 2026-12-04 06:58 UTC+08:00."
        answer.explanation.zh = "此票已于 2026-12-04 06:58 UTC+08:00 核销过 ferry。"
        answer.earlier.redeemed_at.FromJsonString("2026-12-03T22:58:00Z")
        answer.earlier.terminal_device_id = "TERMINAL-CP-002"
        answer.earlier.venue_code = "PIER"
    return answer


def the_details() -> redemption.TicketDetails:
    """A seat on a train."""
    details = redemption.TicketDetails(
        product_id=201, display_name_en="High-speed rail", display_name_zh="高铁", seat="12F"
    )
    journey = details.journey
    journey.service_number = "G5711"
    journey.fare_class_name_en, journey.fare_class_name_zh = "Second class", "二等座"
    journey.origin.display_name_en, journey.origin.display_name_zh = "West Kowloon", "香港西九龙"
    journey.destination.display_name_en = "Guangzhou South"
    journey.destination.display_name_zh = "广州南"
    journey.departure_time.FromJsonString("2026-12-03T23:40:00Z")
    return details


def a_look() -> redemption.DecryptQrResponse:
    """Of the same ticket, with its customer."""
    look = redemption.DecryptQrResponse(ticket_code="DIR-XH-20261204-000017")
    info = look.ticket_info
    info.status = tickets.TICKET_STATE_ACTIVE
    info.customer_info.name, info.customer_info.type = "陈大文", tickets.CUSTOMER_TYPE_ADULT
    info.entitlements.add(function_code="ferry", remaining_uses=2, total_uses=2)
    info.details.CopyFrom(the_details())
    return look


@contextlib.asynccontextmanager
async def serving(fake: FakeServer, port: int = 0) -> AsyncIterator[str]:
    """Its address, as long as the block lasts."""
    running = grpc.aio.server(handlers=[fake])
    bound = running.add_insecure_port(f"127.0.0.1:{port}")
    await running.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await running.stop(None)


async def until(holds: Any, seconds: float = 6.0) -> None:
    """Waits for it, looking each few milliseconds; fails if it never comes."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer()


@pytest.fixture(scope="session")
def real() -> tuple[str, dict[str, Any]]:
    """Address and demo credentials of a real server."""
    target = os.environ.get("DEEPTRAVEL_TEST_TARGET")
    if not target:
        pytest.skip("DEEPTRAVEL_TEST_TARGET and DEEPTRAVEL_TEST_CREDENTIALS name no server")
    known = json.loads(Path(os.environ["DEEPTRAVEL_TEST_CREDENTIALS"]).read_text())
    return target, known
