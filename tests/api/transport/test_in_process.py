"""Calls from within the process: the same handlers, the same context, the same ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from server.api.transport.in_process import InProcessServer
from server.api.transport.local_exchange import MESSAGES_AHEAD, LocalExchange
from tests.api.transport.test_calls import Ending, begun, outcome
from tests.support.echo_server import SERVICE, Echo
from tests.support.waiting import WAIT_SECONDS, until

SECONDS = 0.3
SENT = (("key", "value"), ("key-bin", b"\xff"))


@asynccontextmanager
async def serving(echo: Echo, *interceptors: Any) -> AsyncIterator[InProcessServer]:
    server = InProcessServer(interceptors)
    server.add_registered_method_handlers(SERVICE, echo.handlers)
    await server.start()
    try:
        yield server
    finally:
        echo.open.set()
        async with asyncio.timeout(WAIT_SECONDS):
            await server.stop()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def server(echo: Echo) -> AsyncIterator[InProcessServer]:
    async with serving(echo) as made:
        yield made


def call(server: InProcessServer, method: str, content: bytes = b"", **given: Any) -> LocalExchange:
    return server.call(f"/{SERVICE}/{method}", content, **given)


async def answered(exchange: LocalExchange) -> bytes:
    async with asyncio.timeout(WAIT_SECONDS):
        return await exchange.answered()


async def failed(exchange: LocalExchange) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await answered(exchange)
    return error.value


async def messages(exchange: LocalExchange) -> list[bytes]:
    found = []
    async with asyncio.timeout(WAIT_SECONDS):
        while (message := await exchange.read()) is not grpc.aio.EOF:
            found.append(message)
    return found


async def test_methods_of_one_request_and_either_kind_of_answer(
    server: InProcessServer, echo: Echo
) -> None:
    assert await answered(call(server, "Unary", b"one")) == b"one"
    assert await messages(call(server, "Split", b"abc" * 10)) == [b"a", b"b", b"c"] * 10
    assert await answered(call(server, "Join", b"all")) == b"all"
    plain = call(server, "Plain", b"now")
    assert await answered(plain) == b"now"
    assert tuple(plain.trailer) == (("key", "value"),)
    echo.open.set()
    assert await answered(call(server, "Plain", b"later")) == b"later"
    assert await answered(call(server, "Plain", b"task")) == b"task"
    assert echo.direct == 2
    refused = await failed(call(server, "Plain", b"refused"))
    assert (refused.code(), refused.details()) == (grpc.StatusCode.NOT_FOUND, "nothing")


async def test_an_unknown_method_is_unimplemented(server: InProcessServer) -> None:
    assert (await failed(call(server, "Nothing"))).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_the_context_says_what_came(server: InProcessServer, echo: Echo) -> None:
    held = call(server, "Hold", metadata=SENT, address="192.0.2.1", timeout=30)
    await begun(echo)
    assert tuple(echo.context.invocation_metadata()) == SENT
    assert [each.key for each in echo.context.invocation_metadata()] == ["key", "key-bin"]
    assert 20 < echo.context.time_remaining() <= 30
    assert echo.context.peer() == "inproc:192.0.2.1:0"
    assert echo.context.peer_identities() is None
    assert echo.context.peer_identity_key() is None
    assert echo.context.auth_context() == {}
    assert not echo.context.done()
    echo.open.set()
    await answered(held)
    assert echo.context.done()
    await answered(call(server, "Hold", address="2001:db8::7"))
    assert echo.context.peer() == "inproc:[2001:db8::7]:0"
    assert echo.context.time_remaining() is None


async def test_a_handler_ends_its_call_with_a_status() -> None:
    async with serving(Ending()) as server:
        error = await failed(call(server, "Unary", b"abort"))
        assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "так")
        assert tuple(error.trailing_metadata()) == SENT
        assert (await failed(call(server, "Unary", b"set"))).code() is grpc.StatusCode.DATA_LOSS
        late = await failed(call(server, "Unary", b"late"))
        assert tuple(late.initial_metadata()) == (("early", "1"),)
        with capture_logs() as logs:
            fault = await failed(call(server, "Unary", b"fault"))
        assert (fault.code(), fault.details()) == (
            grpc.StatusCode.UNKNOWN,
            "a fault of the server",
        )
        assert [line["path"] for line in logs] == [f"/{SERVICE}/Unary"]


@pytest.mark.parametrize(("method", "content"), [("Hold", b""), ("Plain", b"later")])
async def test_who_leaves_is_not_worked_for(
    server: InProcessServer, echo: Echo, method: str, content: bytes
) -> None:
    """Seen red with `when_cancelled` left uncalled: the handlers waited on."""
    left = call(server, method, content)
    await asyncio.sleep(0)
    left.cancel()
    assert (await failed(left)).code() is grpc.StatusCode.CANCELLED
    late = call(server, method, content, timeout=SECONDS)
    assert (await failed(late)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert late.time_remaining() == 0
    assert await outcome(echo) == "CancelledError"


async def test_a_writer_is_held_back_by_who_does_not_read(
    server: InProcessServer, echo: Echo
) -> None:
    written = call(server, "Write", b"x")
    assert await written.opened() == ()
    await asyncio.sleep(SECONDS)
    assert echo.written == MESSAGES_AHEAD
    for _ in range(100):
        assert await written.read() == b"x"
    await until(lambda: echo.written == 100 + MESSAGES_AHEAD)
    written.cancel()
    assert await outcome(echo) == "CancelledError"


async def test_initial_metadata_come_before_any_message(echo: Echo) -> None:
    class Opening(Echo):
        async def write(self, request: bytes, context: Any) -> None:
            await context.send_initial_metadata(SENT)
            await self.open.wait()
            await context.write(request)

    opening = Opening()
    async with serving(opening) as server:
        exchange = call(server, "Write", b"x")
        assert tuple(await exchange.opened()) == SENT
        opening.open.set()
        assert await messages(exchange) == [b"x"]


async def test_a_stop_cancels_what_is_left_and_waits_for_it(
    server: InProcessServer, echo: Echo
) -> None:
    left = [call(server, "Hold"), call(server, "Write", b"x"), call(server, "Plain", b"later")]
    for _ in range(2):
        await begun(echo)
    async with asyncio.timeout(WAIT_SECONDS):
        await server.stop()
    assert [(await failed(each)).code() for each in (left[0], left[2])] == [
        grpc.StatusCode.CANCELLED
    ] * 2
    assert [await outcome(echo) for _ in left] == ["CancelledError"] * 3
    assert not server._open
