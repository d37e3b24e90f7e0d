"""Calls of every kind on both transports: answers, ends, metadata, limits, compression."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from server.api.transport.choice import Transport
from tests.support.echo_server import SERVICE, Client, Echo, serving
from tests.support.waiting import WAIT_SECONDS

ours = pytest.mark.parametrize("transport", ["core"])

MIB = 1 << 20


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def client(transport: Transport, echo: Echo) -> AsyncIterator[Client]:
    async with serving(transport, echo) as (_, made):
        yield made


async def ended(call: Any) -> tuple[str, str]:
    """Code and details of a call's end."""
    async with asyncio.timeout(WAIT_SECONDS):
        return (await call.code()).name, await call.details()


async def outcome(echo: Echo) -> str:
    """What the next handler to end ended with."""
    async with asyncio.timeout(WAIT_SECONDS):
        return await echo.ended.get()


async def begun(echo: Echo) -> str:
    async with asyncio.timeout(WAIT_SECONDS):
        return await echo.began.get()


async def test_all_four_kinds(client: Client) -> None:
    assert await client.unary("Unary")(b"one") == b"one"
    assert [part async for part in client.split()(b"abc")] == [b"a", b"b", b"c"]
    assert await client.join()(iter([b"a", b"b", b"", b"c"])) == b"abc"
    both = client.both()()
    for message in (b"first", b"", b"second" * 1000):
        await both.write(message)
        assert await both.read() == message
    await both.done_writing()
    assert await both.read() is grpc.aio.EOF
    assert await ended(both) == ("OK", "")


async def test_a_plain_function_answers_refuses_or_leaves_it_to_the_coroutine(
    client: Client, echo: Echo, transport: Transport
) -> None:
    call = client.unary("Plain")(b"now")
    assert await call == b"now"
    echo.open.set()
    assert await client.unary("Plain")(b"later") == b"later"
    assert await client.unary("Plain")(b"task") == b"task"
    if transport == "core":
        assert echo.direct == 2
        assert ("key", "value") in tuple(await call.trailing_metadata())
        refused = client.unary("Plain")(b"refused")
        assert await ended(refused) == ("NOT_FOUND", "nothing")
        assert ("key", "value") in tuple(await refused.trailing_metadata())


async def test_many_calls_at_once_get_their_own_answers(client: Client) -> None:
    requests = [b"%d" % number for number in range(500)]
    for method in ("Unary", "Plain"):
        call = client.unary(method)
        assert await asyncio.gather(*[call(each) for each in requests]) == requests


async def test_an_unknown_method_is_unimplemented(client: Client) -> None:
    """Also while nothing is sent, and with a path that is no text."""
    for path in (f"/{SERVICE}/Nothing", "/no.Service/Unary", f"/{SERVICE}/"):
        unary: Any = client.channel.unary_unary(path)
        assert (await ended(unary(b"")))[0] == "UNIMPLEMENTED"
        assert (await ended(client.channel.stream_stream(path)()))[0] == "UNIMPLEMENTED"


async def test_the_context_says_what_came(client: Client, echo: Echo, transport: Transport) -> None:
    sent = (("a", "1"), ("a", "2"), ("b-bin", b"\x00\xff"))
    await client.unary("Unary")(b"", metadata=sent, timeout=30)
    assert set(sent) <= set(echo.context.invocation_metadata())
    if transport == "core":  # grpc.aio's context outlives its call no longer
        assert echo.context.peer().startswith("ipv4:127.0.0.1:") or echo.context.peer() == ""
    assert 20 < echo.context.time_remaining() < 31
    await client.unary("Unary")(b"")
    assert echo.context.time_remaining() is None


async def test_peer_and_identity_while_a_call_is_open(client: Client, echo: Echo) -> None:
    call = client.unary("Hold")(b"")
    await begun(echo)
    assert echo.context.peer().startswith("ipv4:127.0.0.1:")
    assert not echo.context.peer_identities()
    assert echo.context.peer_identity_key() is None
    assert echo.context.auth_context()["security_level"] == [b"TSI_SECURITY_NONE"]
    assert not echo.context.done()
    assert not echo.context.cancelled()
    echo.open.set()
    await call


class Ending(Echo):
    """Ends calls as the request says."""

    async def unary(self, request: bytes, context: Any) -> bytes:
        context.add_done_callback(lambda _: self.ended.put_nowait("done"))
        match request:
            case b"abort":
                trailer = (("key", "value"), ("key-bin", b"\xff"))
                await context.abort(grpc.StatusCode.ABORTED, "так", trailer)
            case b"set":
                context.set_code(grpc.StatusCode.DATA_LOSS)
                context.set_details("lost")
                context.set_trailing_metadata((("key", "value"),))
            case b"fault":
                raise ValueError("a secret")
            case b"late":
                await context.send_initial_metadata((("early", "1"),))
                await context.abort(grpc.StatusCode.ABORTED, "after all")
            case b"swallowed":
                with suppress(grpc.aio.AbortError):
                    await context.abort(grpc.StatusCode.ABORTED, "first")
        return request


async def test_a_handler_ends_its_call_with_a_status(transport: Transport) -> None:
    echo = Ending()
    async with serving(transport, echo) as (_, client):
        call = client.unary("Unary")(b"abort")
        assert await ended(call) == ("ABORTED", "так")
        assert {("key", "value"), ("key-bin", b"\xff")} <= set(await call.trailing_metadata())
        call = client.unary("Unary")(b"set")
        assert await ended(call) == ("DATA_LOSS", "lost")
        assert ("key", "value") in tuple(await call.trailing_metadata())
        call = client.unary("Unary")(b"late")
        assert await ended(call) == ("ABORTED", "after all")
        assert ("early", "1") in tuple(await call.initial_metadata())
        assert await ended(client.unary("Unary")(b"swallowed")) == ("ABORTED", "first")
        for _ in range(4):
            assert await outcome(echo) == "done"


@ours
async def test_a_fault_of_a_handler_is_logged_and_not_shown(transport: Transport) -> None:
    async with serving(transport, Ending()) as (_, client):
        with capture_logs() as logs:
            code, details = await ended(client.unary("Unary")(b"fault"))
        assert (code, details) == ("UNKNOWN", "a fault of the server")
        assert [line["path"] for line in logs] == [f"/{SERVICE}/Unary"]


class Trailing(Echo):
    """Its answers cannot be sent."""

    async def unary(self, request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("key", "no\nheader"),))
        return request

    def plain(self, call: Any, request: bytes) -> bool:
        trailer = ("key", "no\nheader") if request == b"header" else ("key-bin", "no bytes")
        call.answer(request, (trailer,))
        return True


@ours
async def test_an_answer_that_cannot_be_sent_ends_the_call(transport: Transport) -> None:
    """Seen red with the refusal left out: the call hung."""
    async with serving(transport, Trailing()) as (_, client):
        for method, request in (("Unary", b""), ("Plain", b"header"), ("Plain", b"text")):
            code, _ = await ended(client.unary(method)(request))
            assert code == "INTERNAL", (method, request)


LIMITS = (
    ("grpc.max_receive_message_length", MIB),
    ("grpc.max_send_message_length", MIB),
)
AT_THE_CLIENT = (
    ("grpc.max_receive_message_length", 64 * MIB),
    ("grpc.max_send_message_length", 64 * MIB),
)


async def test_messages_are_limited_both_ways(transport: Transport, echo: Echo) -> None:
    async with serving(transport, echo, options=LIMITS, client_options=AT_THE_CLIENT) as (
        _,
        client,
    ):
        for method in ("Unary", "Plain"):
            assert (await ended(client.unary(method)(bytes(MIB + 1))))[0] == "RESOURCE_EXHAUSTED"
            assert await client.unary(method)(bytes(MIB)) == bytes(MIB)
        both = client.both()()
        await both.write(bytes(MIB + 1))
        assert (await ended(both))[0] == "RESOURCE_EXHAUSTED"
        parts = client.join()(iter([bytes(MIB)] * 2))
        assert (await ended(parts))[0] == "RESOURCE_EXHAUSTED", "the answer is too long"
        assert await client.unary("Unary")(b"still here") == b"still here"


async def test_a_message_is_limited_as_it_is_when_unpacked(
    transport: Transport, echo: Echo
) -> None:
    """Twenty mebibytes of zeros are twenty kibibytes on the way."""
    packed = grpc.Compression.Gzip
    assert len(gzip.compress(bytes(20 * MIB))) < MIB
    async with serving(transport, echo, options=LIMITS, client_options=AT_THE_CLIENT) as (
        _,
        client,
    ):
        for method in ("Unary", "Plain"):
            call = client.unary(method)(bytes(20 * MIB), compression=packed)
            assert (await ended(call))[0] == "RESOURCE_EXHAUSTED"
            assert await client.unary(method)(bytes(1000), compression=packed) == bytes(1000)


async def test_metadata_are_limited(client: Client) -> None:
    for method in ("Unary", "Plain"):
        call = client.unary(method)(b"", metadata=(("a", "x" * 32_000),))
        assert (await ended(call))[0] == "RESOURCE_EXHAUSTED"
        assert await client.unary(method)(b"", metadata=(("a", "x" * 4000),)) == b""


class Packing(Echo):
    """Its answers are packed."""

    async def unary(self, request: bytes, context: Any) -> bytes:
        context.set_compression(grpc.Compression.Gzip)
        return request

    async def both(self, _requests: Any, context: Any) -> None:
        context.set_compression(grpc.Compression.Gzip)
        while (request := await context.read()) is not grpc.aio.EOF:
            if request.startswith(b"\x00"):
                context.disable_next_message_compression()
            await context.write(request)


async def test_answers_are_packed_where_the_handler_says_so(transport: Transport) -> None:
    async with serving(transport, Packing()) as (_, direct):
        port = int(direct.target.rpartition(":")[2])
        async with (
            counting(port) as (target, received),
            grpc.aio.insecure_channel(target) as channel,
        ):
            client = Client(channel)
            if transport == "core":  # grpc.aio forgets it for a single answer
                assert await client.unary("Unary")(b"x" * 100_000) == b"x" * 100_000
            both = client.both()()
            await both.write(b"x" * 100_000)
            assert await both.read() == b"x" * 100_000
            assert sum(received) < 10_000
            await both.write(b"\x00" * 100_000)
            assert await both.read() == b"\x00" * 100_000
            assert sum(received) > 100_000
            await both.done_writing()
            assert await ended(both) == ("OK", "")


class Passing(asyncio.Protocol):
    """Passes what comes on to `other`, and notes how much that is."""

    def __init__(self, port: int, sizes: list[int], other: Any = None) -> None:
        self._port, self._sizes, self._other = port, sizes, other
        self._early: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self._own = transport
        if self._other is None:
            self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        self._other, _ = await loop.create_connection(
            lambda: Passing(0, self._sizes, self._own), "127.0.0.1", self._port
        )
        self._other.writelines(self._early)

    def data_received(self, data: bytes) -> None:
        if not self._port:  # from the server
            self._sizes.append(len(data))
        if self._other is None:
            self._early.append(data)
        else:
            self._other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._other is not None:
            self._other.close()


@asynccontextmanager
async def counting(port: int) -> AsyncIterator[tuple[str, list[int]]]:
    """A way to the port which notes how many bytes come back."""
    sizes: list[int] = []
    loop = asyncio.get_running_loop()
    way = await loop.create_server(lambda: Passing(port, sizes), "127.0.0.1", 0)
    async with way:
        yield f"127.0.0.1:{way.sockets[0].getsockname()[1]}", sizes
