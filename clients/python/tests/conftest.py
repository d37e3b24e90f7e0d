"""A server that fails by a script, and a real one if `DEEPTRAVEL_TEST_TARGET` names it."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from deeptravel import Client, RetryPolicy
from deeptravel._generated import ota, redemption, ticketing, tickets
from deeptravel._generated.ota import service as ota_service
from deeptravel._generated.redemption import service as redemption_service
from deeptravel._generated.ticketing import service as ticketing_service
from deeptravel._method import Method
from google.protobuf import any_pb2
from google.rpc import status_pb2

QUICK = RetryPolicy(first_pause_seconds=0.001)
METHODS = {
    each.path: each
    for module in (ota_service, redemption_service, ticketing_service)
    for each in vars(module).values()
    if isinstance(each, Method)
}
FEW = 5


class FakeServer(grpc.GenericRpcHandler):
    """Fails by a script, one status a call, None for none; and keeps what it was asked."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.asked: list[Any] = []
        self.metadata: list[dict[str, Any]] = []
        self.timeouts: list[float] = []
        self.token = "first"
        self.breaks_after: list[int] = []
        self.acknowledged, self.newest = 0, FEW

    def service(self, handler_call_details: Any) -> Any:
        method = METHODS[handler_call_details.method]
        coders = {
            "request_deserializer": method.request.FromString,
            "response_serializer": method.response.SerializeToString,
        }
        if method.name == "ScanStream":
            return grpc.stream_stream_rpc_method_handler(self._scan, **coders)
        streams = {
            "DownloadStatement": self._download,
            "ExportTickets": self._export,
            "StreamBatchTickets": self._stream,
            "WatchOrder": self._watch,
        }
        if method.name in streams:
            return grpc.unary_stream_rpc_method_handler(streams[method.name], **coders)

        def answer(request: Any, context: Any) -> Any:
            self._take(request, context)
            return getattr(self, f"_{method.name}", lambda *_: method.response())(request, context)

        return grpc.unary_unary_rpc_method_handler(answer, **coders)

    def _take(self, request: Any, context: Any) -> None:
        self.asked.append(type(request).FromString(request.SerializeToString()))
        self.metadata.append(dict(context.invocation_metadata()))
        self.timeouts.append(context.time_remaining())
        found = self.script.pop(0) if self.script else None
        if isinstance(found, bytes):
            context.set_trailing_metadata((("grpc-status-details-bin", found),))
            context.abort(grpc.StatusCode.UNAVAILABLE, "broken details")
        if found is not None:
            details = found.SerializeToString()
            context.set_trailing_metadata(
                (("grpc-status-details-bin", details), ("x-request-id", "server-7"))
            )
            codes = {each.value[0]: each for each in grpc.StatusCode}
            context.abort(codes[found.code], found.message)

    def _OperatorLogin(self, request: Any, context: Any) -> Any:  # noqa: N802
        return redemption.OperatorLoginResponse(access_token="over", refresh_token="r")

    def _RefreshToken(self, request: Any, context: Any) -> Any:  # noqa: N802
        return redemption.RefreshTokenResponse(access_token=self.token, refresh_token="s")

    def _DecryptQr(self, request: Any, context: Any) -> Any:  # noqa: N802
        if dict(context.invocation_metadata()).get("authorization") != f"Bearer {self.token}":
            self.script.insert(0, failure(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"))
            self._take(request, context)
        return redemption.DecryptQrResponse(ticket_code="T")

    def _ListTickets(self, request: Any, context: Any) -> Any:  # noqa: N802
        page = int(request.page_token or "0")
        listed = [tickets.Ticket(ticket_code=f"T-{page}{n}") for n in range(2)]
        return ota.ListTicketsResponse(
            tickets=listed, next_page_token=str(page + 1) if page < 2 else ""
        )

    def _stream(self, request: Any, context: Any) -> Iterator[Any]:
        self._take(request, context)
        first = int(request.after_ticket_code.removeprefix("T-") or "-1") + 1
        for sent, number in enumerate(range(first, FEW)):
            if self.breaks_after and sent == self.breaks_after[0]:
                self.breaks_after.pop(0)
                context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
            yield ota.StreamBatchTicketsResponse(ticket_code=f"T-{number}")

    def _export(self, request: Any, context: Any) -> Iterator[Any]:
        """Parts of two tickets; before them one with nothing to go on after."""
        self._take(request, context)
        yield ota.ExportTicketsResponse()
        first = int(request.after_ticket_code.removeprefix("T-") or "-1") + 1
        for sent, number in enumerate(range(first, FEW, 2)):
            if self.breaks_after and sent == self.breaks_after[0]:
                self.breaks_after.pop(0)
                context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
            codes = [f"T-{each}" for each in range(number, min(number + 2, FEW))]
            tickets_ = [ota.ExportedTicket(ticket_code=code) for code in codes]
            yield ota.ExportTicketsResponse(tickets=tickets_, last_ticket_code=codes[-1])

    def _download(self, request: Any, context: Any) -> Iterator[Any]:
        self._take(request, context)
        for number in range(FEW):
            if self.breaks_after and number == self.breaks_after[0]:
                self.breaks_after.pop(0)
                details = failure(grpc.StatusCode.UNAVAILABLE, "SERVER_BUSY").SerializeToString()
                context.set_trailing_metadata((("grpc-status-details-bin", details),))
                context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
            yield ota.DownloadStatementResponse(body={"data": b"%d" % number})

    def _ListEvents(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Events up to `newest`, two a page; those of odd cursors alone are of a type."""
        after = request.after_cursor if request.HasField("after_cursor") else self.acknowledged
        last = min(after + 2, self.newest)
        events = [
            ota.Event(event_id=f"evt_{number}", cursor=number)
            for number in range(after + 1, last + 1)
            if not request.types or number % 2
        ]
        more = "more" if last < self.newest else ""
        return ota.ListEventsResponse(events=events, cursor=last, next_page_token=more)

    def _AcknowledgeEvents(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.acknowledged = max(self.acknowledged, request.cursor)
        return ota.AcknowledgeEventsResponse(cursor=self.acknowledged)

    def _watch(self, request: Any, context: Any) -> Iterator[Any]:
        self._take(request, context)
        yield ticketing.WatchOrderResponse(sequence=request.after_sequence + 1)
        if self.breaks_after and self.breaks_after.pop(0):
            context.abort(grpc.StatusCode.UNAVAILABLE, "broken")

    def _scan(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        for each in requests:
            self._take(each, context)
            yield redemption.ScanStreamResponse()


def failure(code: grpc.StatusCode, reason: str = "", *details: Any) -> status_pb2.Status:
    """A failure with its details, as the server sends it."""
    from google.rpc import error_details_pb2

    found = status_pb2.Status(code=code.value[0], message="so it is")
    if reason:
        details = (error_details_pb2.ErrorInfo(reason=reason, domain="deeptravel"), *details)
    for each in details:
        packed = any_pb2.Any()
        packed.Pack(each)
        found.details.append(packed)
    return found


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer()


@pytest.fixture
def address(fake: FakeServer) -> Iterator[str]:
    """Where the fake server listens."""
    running = grpc.server(ThreadPoolExecutor(4), handlers=[fake])
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    yield f"127.0.0.1:{port}"
    running.stop(None).wait()


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    """A partner's client of it."""
    with Client(address, api_key="key", plaintext=True, retry=QUICK) as calling:
        yield calling


@pytest.fixture(scope="session")
def real() -> tuple[str, dict[str, Any]]:
    """Address and demo credentials of a real server."""
    target = os.environ.get("DEEPTRAVEL_TEST_TARGET")
    if not target:
        pytest.skip("DEEPTRAVEL_TEST_TARGET and DEEPTRAVEL_TEST_CREDENTIALS name no server")
    known = json.loads(Path(os.environ["DEEPTRAVEL_TEST_CREDENTIALS"]).read_text())
    return target, known
