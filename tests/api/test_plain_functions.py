"""Methods that are plain functions (Redeem) get all that others get: refusals, log, limits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx2
import pytest
from deeptravel.redemption.v1 import redemption_pb2
from structlog.testing import capture_logs

from server.api import interceptor
from server.api.transport.in_process import InProcessServer
from server.api.transport.server import CoreServer
from server.app import App
from server.platform.errors import Reason
from server.redemption.redeem import Redeemer
from tests.api.test_admission import in_flight
from tests.support.app_server import channel_to, running
from tests.support.call_counts import counted_calls
from tests.support.gate import Terminal, World, a_world
from tests.support.rpc_server import read_refusal, refusal
from tests.support.waiting import WAIT_SECONDS, until

REDEEM = "/deeptravel.redemption.v1.RedemptionService/Redeem"
METHOD = "RedemptionService/Redeem"
REQUEST = redemption_pb2.RedeemRequest(qr_token="x", function_code="ferry")
SCAN = {"qr_token": "x", "function_code": "ferry"}


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with a_world(database_url) as made:
        yield made


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the calls for which a task was made."""
    made: list[str] = []
    servers: tuple[Any, ...] = (CoreServer, InProcessServer)
    for server in servers:

        def noted(
            self: Any, exchange: Any, coroutine: Any, start: Any = server._start_task
        ) -> None:
            made.append(exchange.path)
            start(self, exchange, coroutine)

        monkeypatch.setattr(server, "_start_task", noted)
    return made


@pytest.fixture
async def place(
    request: pytest.FixtureRequest,
    world: World,
    database_url: str,
    redis_url: str,
    tasks: list[str],
) -> AsyncIterator[tuple[App, Terminal]]:
    """A server on our transport, and somebody logged in who is remembered there; the parameter is
    settings of the server. In the end no call is in flight.
    """
    given: dict[str, Any] = getattr(request, "param", {})
    async with (
        running(database_url, redis_url, transport="core", **given) as app,
        channel_to(app) as channel,
    ):
        terminal = await Terminal.log_in(channel)
        with pytest.raises(grpc.aio.AioRpcError):
            await terminal.call("Redeem", redemption_pb2.RedeemRequest())
        tasks.clear()
        yield app, terminal
        await in_flight(0)


@pytest.fixture
def app(place: tuple[App, Terminal]) -> App:
    return place[0]


@pytest.fixture
def terminal(place: tuple[App, Terminal]) -> Terminal:
    return place[1]


@pytest.fixture
def unanswered(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> list[asyncio.Future[Any]]:
    """The scans from here on, each of which nobody ever answers."""
    futures: list[asyncio.Future[Any]] = []

    def never(*_: Any, **__: Any) -> Any:
        futures.append(asyncio.get_running_loop().create_future())
        return futures[-1]

    monkeypatch.setattr(Redeemer, "submit", never)
    return futures


def calls(code: str) -> float:
    """Calls of Redeem that ended with the code, as the metrics tell."""
    return counted_calls("redemption", METHOD, code)


async def test_redeem_needs_no_task_where_the_caller_is_remembered(
    world: World, terminal: Terminal, tasks: list[str]
) -> None:
    ticket = await world.ticket()
    before = calls("OK")
    answer = terminal.call(
        "Redeem", redemption_pb2.RedeemRequest(qr_token=ticket.qr, function_code="ferry")
    )
    decided = await answer
    assert decided.redemption_id
    trailer: Any = await answer.trailing_metadata()  # type: ignore[attr-defined]
    assert "x-request-id" in dict(trailer)
    assert tasks == []
    assert calls("OK") == before + 1


async def test_who_is_not_remembered_or_may_not_call_is_left_to_the_coroutine(
    terminal: Terminal, tasks: list[str]
) -> None:
    for metadata in ((), (("authorization", "Bearer ?"),), (("authorization", "Basic x"),)):
        found = await refusal(terminal.stub.Redeem(REQUEST, metadata=metadata))
        assert found.reason is Reason.UNAUTHENTICATED
    assert tasks == [REDEEM] * 3


async def test_refusals_are_those_of_every_method(
    app: App, terminal: Terminal, tasks: list[str]
) -> None:
    found = await refusal(terminal.call("Redeem", redemption_pb2.RedeemRequest()))
    assert (found.reason, set(found.fields)) == (
        Reason.INVALID_FIELD,
        {"qr_token", "function_code"},
    )
    request = redemption_pb2.RedeemRequest(
        qr_token="x", function_code="ferry", terminal_device_id="T-2"
    )
    found = await refusal(terminal.call("Redeem", request))
    assert found.reason is Reason.TERMINAL_MISMATCH
    async with channel_to(app) as channel:
        raw: Any = channel.unary_unary(REDEEM)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await raw(b"\xff\xff\xff", metadata=terminal.metadata)
        assert read_refusal(refused.value).reason is Reason.INVALID_FIELD
    assert tasks == []


async def test_a_fault_is_logged_under_the_calls_id_and_not_shown(
    terminal: Terminal, tasks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and in the future."""

    def at_once(*_: Any, **__: Any) -> Any:
        raise ValueError("a secret")

    def later(*_: Any, **__: Any) -> Any:
        future = asyncio.get_running_loop().create_future()
        future.set_exception(ValueError("a secret"))
        return future

    for submit in (at_once, later):
        monkeypatch.setattr(Redeemer, "submit", submit)
        with capture_logs() as logs:
            call: Any = terminal.stub.Redeem(
                REQUEST, metadata=(*terminal.metadata, ("x-request-id", "mine"))
            )
            found = await refusal(call)
        assert found.reason is Reason.INTERNAL
        assert "secret" not in await call.details()
        faults = [line for line in logs if line["event"] == "call.fault"]
        assert [line["request_id"] for line in faults] == ["mine"]
    assert tasks == []


async def test_whoever_leaves_is_not_worked_for(
    terminal: Terminal, tasks: list[str], unanswered: list[asyncio.Future[Any]]
) -> None:
    """The future is cancelled when the client cancels, and at the deadline."""
    before = calls("CANCELLED"), calls("DEADLINE_EXCEEDED")
    call: Any = terminal.call("Redeem", REQUEST)
    await until(lambda: len(unanswered) == 1)
    await in_flight(1)
    call.cancel()
    await until(unanswered[0].cancelled)
    await in_flight(0)
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await terminal.call("Redeem", REQUEST, timeout=0.3)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(unanswered[1].cancelled)
    await in_flight(0)
    # the client's deadline passes a little earlier than ours, and it says then that it leaves
    await until(lambda: calls("CANCELLED") + calls("DEADLINE_EXCEEDED") == sum(before) + 2)
    assert calls("CANCELLED") > before[0]
    assert tasks == []


@asynccontextmanager
async def browser(app: App, terminal: Terminal) -> AsyncIterator[httpx2.AsyncClient]:
    """Of the same terminal, over JSON."""
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{app.http_port}",
        headers=[(key, str(value)) for key, value in terminal.metadata],
        timeout=WAIT_SECONDS,
    ) as client:
        yield client


async def test_it_is_the_same_over_json(
    world: World, app: App, terminal: Terminal, tasks: list[str]
) -> None:
    """Answers, refusals, and who is not remembered."""
    async with browser(app, terminal) as http:
        before = calls("OK")
        scan = {"qr_token": (await world.ticket()).qr, "function_code": "ferry"}
        answer = await http.post("/venue/scan", json=scan, headers={"x-request-id": "mine"})
        assert (answer.status_code, answer.json()["result"]) == (200, "success")
        assert answer.headers["x-request-id"] == "mine"
        assert calls("OK") == before + 1
        refused = await http.post("/venue/scan", json=scan)
        assert (refused.status_code, refused.json()["reason"]) == (422, "ALREADY_REDEEMED")
        assert (await http.post("/venue/scan", json={})).status_code == 400
        assert tasks == []
        unknown = await http.post("/venue/scan", json=scan, headers={"authorization": "Bearer ?"})
        assert unknown.status_code == 401


async def test_whoever_leaves_is_not_worked_for_over_json_either(
    app: App, terminal: Terminal, tasks: list[str], unanswered: list[asyncio.Future[Any]]
) -> None:
    """Who hangs up, and whose time is over. Seen red with `when_cancelled` not called."""
    before = calls("CANCELLED"), calls("DEADLINE_EXCEEDED")
    async with browser(app, terminal) as http:
        waiting = asyncio.ensure_future(http.post("/venue/scan", json=SCAN))
        await until(lambda: len(unanswered) == 1)
        await in_flight(1)
        waiting.cancel()
    await until(unanswered[0].cancelled)
    await in_flight(0)
    async with browser(app, terminal) as http:
        late = await http.post("/venue/scan", json=SCAN, headers={"x-request-timeout": "0.3"})
        assert (late.status_code, late.json()["code"]) == (504, 4)
    assert unanswered[1].cancelled()
    await in_flight(0)
    assert (calls("CANCELLED"), calls("DEADLINE_EXCEEDED")) == (before[0] + 1, before[1] + 1)
    assert tasks == []


@pytest.mark.parametrize("place", [{"max_calls_in_flight": 2}], indirect=True)
async def test_calls_in_flight_are_bounded(
    terminal: Terminal, tasks: list[str], unanswered: list[asyncio.Future[Any]]
) -> None:
    waiting = [asyncio.ensure_future(terminal.call("Redeem", REQUEST)) for _ in range(2)]
    await until(lambda: len(unanswered) == 2)
    busy = await refusal(terminal.call("Redeem", REQUEST))
    assert (busy.reason, bool(busy.retry_seconds)) == (Reason.SERVER_BUSY, True)
    for call in waiting:
        call.cancel()
    await in_flight(0)
    assert tasks == []


async def test_the_stop_waits_for_them_and_refuses_others(
    world: World, app: App, terminal: Terminal, tasks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`_finish_calls` has all answered before the listener closes."""
    submit, gate = Redeemer.submit, asyncio.Event()
    begun: list[Any] = []

    def held(self: Redeemer, *given: Any, **options: Any) -> Any:
        async def then() -> Any:
            await gate.wait()
            return await submit(self, *given, **options)

        begun.append(asyncio.ensure_future(then()))
        return begun[-1]

    ticket = await world.ticket()
    request = redemption_pb2.RedeemRequest(qr_token=ticket.qr, function_code="ferry")
    monkeypatch.setattr(Redeemer, "submit", held)
    call = asyncio.ensure_future(terminal.call("Redeem", request))
    await until(lambda: len(begun) == 1)
    stopping = asyncio.create_task(app.stop())
    await until(lambda: app._interceptor._unfinished == 1)
    late = await refusal(terminal.call("Redeem", request))
    assert late.reason is Reason.SHUTTING_DOWN
    gate.set()
    async with asyncio.timeout(WAIT_SECONDS):
        assert (await call).redemption_id
        await stopping
    assert tasks == []


def test_the_name_of_the_end_depends_on_the_deadline() -> None:
    assert interceptor._cancelled_code(None) == "CANCELLED"
    assert interceptor._cancelled_code(1.0) == "CANCELLED"
    assert interceptor._cancelled_code(0) == "DEADLINE_EXCEEDED"
