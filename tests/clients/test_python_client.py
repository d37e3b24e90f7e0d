"""The Python client: what it repeats, what not, and what it says of a failure."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.ota.v1 import ota_service_pb2_grpc
from deeptravel.redemption.v1 import access_pb2, redemption_pb2, redemption_service_pb2_grpc
from deeptravel_client import CallError, Connection, Partner, Terminal, connection
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

UNAVAILABLE, REFUSED = code_pb2.UNAVAILABLE, code_pb2.FAILED_PRECONDITION


class FakeServer(
    ota_service_pb2_grpc.OtaServiceServicer, redemption_service_pb2_grpc.RedemptionServiceServicer
):
    """Fails by a script, one status a call, and keeps what it was asked."""

    def __init__(self) -> None:
        self.script: list[status_pb2.Status] = []
        self.asked: list[Any] = []
        self.token = "first"

    def BulkGenerateTickets(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._take(request, context)
        return ota.BulkGenerateTicketsResponse(batch_id="b")

    def GetInventory(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._take(request, context)
        return ota.GetInventoryResponse()

    def OperatorLogin(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._take(request, context)
        return access_pb2.OperatorLoginResponse(access_token="over", refresh_token="r")

    def RefreshToken(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._take(request, context)
        return access_pb2.RefreshTokenResponse(access_token=self.token, refresh_token="s")

    def DecryptQr(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._take(request, context)
        if dict(context.invocation_metadata())["authorization"] != f"Bearer {self.token}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "over")
        return redemption_pb2.DecryptQrResponse(ticket_code="T")

    def _take(self, request: Any, context: Any) -> None:
        self.asked.append(request)
        if self.script:
            context.abort_with_status(rpc_status.to_status(self.script.pop(0)))


def failure(code: int, *details: Any) -> status_pb2.Status:
    found = status_pb2.Status(code=code, message="so it is")
    for each in details:
        packed = any_pb2.Any()
        packed.Pack(each)
        found.details.append(packed)
    return found


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer()  # type: ignore[abstract] # the other methods are not called


@pytest.fixture
def server(fake: FakeServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    monkeypatch.setattr(connection, "FIRST_PAUSE_SECONDS", 0.001)
    running = grpc.server(ThreadPoolExecutor(2))
    ota_service_pb2_grpc.add_OtaServiceServicer_to_server(fake, running)
    redemption_service_pb2_grpc.add_RedemptionServiceServicer_to_server(fake, running)
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    calling = Connection(f"127.0.0.1:{port}", call_seconds=20)
    yield calling
    calling.channel.close()
    running.stop(None).wait()


def test_a_change_is_repeated_under_its_request_id(fake: FakeServer, server: Connection) -> None:
    """One id for all attempts. Seen red with an id made for each attempt."""
    fake.script = [failure(UNAVAILABLE)] * 2
    assert Partner(server, "key").generate(106, 3).batch_id == "b"
    assert len(fake.asked) == 3
    assert len({each.request_id for each in fake.asked}) == 1
    assert fake.asked[0].request_id


def test_a_read_is_repeated(fake: FakeServer, server: Connection) -> None:
    fake.script = [failure(code_pb2.ABORTED)]
    assert list(Partner(server, "key").inventory()) == []
    assert len(fake.asked) == 2


def test_what_may_do_harm_twice_is_called_once(fake: FakeServer, server: Connection) -> None:
    """A log-in has no request id. Seen red with repeats of every call."""
    fake.script = [failure(UNAVAILABLE)]
    with pytest.raises(CallError):
        Terminal(server, "operator", "password", "T-1")
    assert len(fake.asked) == 1


def test_attempts_end(fake: FakeServer, server: Connection) -> None:
    fake.script = [failure(UNAVAILABLE)] * 10
    with pytest.raises(CallError, match="UNAVAILABLE"):
        Partner(server, "key").generate(106, 3)
    assert len(fake.asked) == connection.ATTEMPTS


def test_a_refusal_is_raised_with_its_reason_and_not_repeated(
    fake: FakeServer, server: Connection
) -> None:
    info = error_details_pb2.ErrorInfo(reason="SOLD_OUT", metadata={"product": "106"})
    fake.script = [failure(REFUSED, info)]
    with pytest.raises(CallError) as raised:
        Partner(server, "key").generate(106, 3)
    assert raised.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert (raised.value.reason, raised.value.details) == ("SOLD_OUT", {"product": "106"})
    assert len(fake.asked) == 1


def test_a_long_wait_is_the_callers_decision(fake: FakeServer, server: Connection) -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromSeconds(60)
    fake.script = [failure(code_pb2.RESOURCE_EXHAUSTED, retry)]
    with pytest.raises(CallError) as raised:
        Partner(server, "key").generate(106, 3)
    assert raised.value.retry_seconds == 60
    assert len(fake.asked) == 1


def test_an_access_token_that_is_over_is_refreshed(fake: FakeServer, server: Connection) -> None:
    terminal = Terminal(server, "operator", "password", "T-1")
    assert terminal.look("qr").ticket_code == "T"
    assert terminal.look("qr").ticket_code == "T"
    asked = [type(each).__name__ for each in fake.asked]
    assert asked[1:] == ["DecryptQrRequest", "RefreshTokenRequest", *["DecryptQrRequest"] * 2]
