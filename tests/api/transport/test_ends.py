"""How calls end early: by the client, by the deadline, by a broken connection, and by the stop."""

import asyncio
import gc
import weakref
from contextlib import suppress
from typing import Any

import grpc
import pytest

from server.api.transport.choice import Transport
from tests.api.transport.test_calls import begun, ended, ours, outcome
from tests.support.echo_server import Client, Echo, serving
from tests.support.waiting import WAIT_SECONDS, until

SECONDS = 0.3


@pytest.fixture
def echo() -> Echo:
    return Echo()


async def test_a_call_that_is_cancelled_is_cancelled_here(transport: Transport, echo: Echo) -> None:
    async with serving(transport, echo) as (_, client):
        call = client.unary("Hold")(b"")
        await begun(echo)
        call.cancel()
        assert await outcome(echo) == "CancelledError"
        both = client.both()()
        await begun(echo)
        await both.write(b"first")
        await both.read()
        both.cancel()
        # grpc.aio may tell of the end of the messages before the end of the call
        assert await outcome(echo) == "CancelledError" or transport == "aio"
        await client.unary("Unary")(b"")


@ours
async def test_a_plain_function_hears_of_it_too(transport: Transport, echo: Echo) -> None:
    async with serving(transport, echo) as (server, client):
        call = client.unary("Plain")(b"later")
        await until(lambda: echo.direct == 1)
        call.cancel()
        assert await outcome(echo) == "CancelledError"
        late = client.unary("Plain")(b"later", timeout=SECONDS)
        assert (await ended(late))[0] == "DEADLINE_EXCEEDED"
        assert await outcome(echo) == "CancelledError"
        assert not server._serving


async def test_a_deadline_ends_the_call_here(transport: Transport, echo: Echo) -> None:
    async with serving(transport, echo) as (_, client):
        call = client.unary("Hold")(b"", timeout=SECONDS)
        assert (await ended(call))[0] == "DEADLINE_EXCEEDED"
        assert await outcome(echo) == "CancelledError"
        assert echo.context.time_remaining() == 0


async def test_a_connection_that_breaks_ends_its_calls(transport: Transport, echo: Echo) -> None:
    async with serving(transport, echo) as (_, client):
        async with grpc.aio.insecure_channel(client.target) as other:
            held = Client(other).unary("Hold")(b"")
            await begun(echo)
        with pytest.raises(asyncio.CancelledError):
            await held
        assert await outcome(echo) == "CancelledError"


async def test_a_writer_is_held_back_by_who_does_not_read(transport: Transport, echo: Echo) -> None:
    """Flow control: what is written ahead is bounded by windows of a few mebibytes at the most."""
    size = 100_000
    async with serving(transport, echo) as (_, client):
        call = client.split("Write")(bytes(size))
        await begun(echo)
        await asyncio.sleep(SECONDS)
        written = echo.written
        assert written * size < 20_000_000
        await asyncio.sleep(SECONDS)
        assert echo.written <= written + 1, "it waits"
        for _ in range(written + 10):
            assert len(await call.read()) == size
        assert echo.written > written, "and goes on"
        call.cancel()
        assert await outcome(echo) in ("CancelledError", "ExecuteBatchError")


class Slow(Echo):
    """Reads when `open` is set."""

    async def join(self, requests: Any, context: Any) -> bytes:
        self.began.put_nowait("join")
        await self.open.wait()
        return b"%d" % len(await super().join(requests, context))


async def test_a_client_is_held_back_by_a_handler_that_does_not_read(transport: Transport) -> None:
    echo, size = Slow(), 100_000
    async with serving(transport, echo) as (_, client):
        call, sent = client.join()(), 0

        async def send() -> None:
            nonlocal sent
            for _ in range(300):
                await call.write(bytes(size))
                sent += 1
            await call.done_writing()

        sending = asyncio.create_task(send())
        await begun(echo)
        await asyncio.sleep(SECONDS)
        assert sent * size < 20_000_000
        assert not sending.done()
        echo.open.set()
        await sending
        assert await call == b"%d" % (300 * size)


class Impatient(Echo):
    """Gives up reading again and again, and keeps what it could not write at once."""

    async def both(self, _requests: Any, context: Any) -> None:
        while True:
            try:
                async with asyncio.timeout(0.001):
                    request = await context.read()
            except TimeoutError:
                continue
            if request is grpc.aio.EOF:
                return
            await context.write(request)


@ours
async def test_a_read_that_is_given_up_loses_nothing(transport: Transport) -> None:
    """grpc.aio loses the message, and the read after it fails."""
    async with serving(transport, Impatient()) as (_, client):
        both = client.both()()
        for number in range(100):
            await asyncio.sleep(0.001 if number % 3 else 0.005)
            await both.write(b"%d" % number)
            assert await both.read() == b"%d" % number
        await both.done_writing()
        assert await ended(both) == ("OK", "")


class Twice(Echo):
    """Reads and writes twice at once."""

    async def both(self, _requests: Any, context: Any) -> None:
        reads = await asyncio.gather(context.read(), context.read(), return_exceptions=True)
        big = bytes(1_000_000)
        writes = await asyncio.gather(
            context.write(big), context.write(big), return_exceptions=True
        )
        self.ended.put_nowait(f"{[type(each).__name__ for each in reads + writes]}")


@ours
async def test_two_at_once_are_refused(transport: Transport) -> None:
    echo = Twice()
    async with serving(transport, echo) as (_, client):
        both = client.both()()
        await both.write(b"one")
        assert len(await both.read()) == 1_000_000
        assert await outcome(echo) == "['bytes', 'UsageError', 'NoneType', 'UsageError']"
        assert await ended(both) == ("OK", "")


# the stop


async def test_a_stop_with_grace_lets_calls_finish(transport: Transport, echo: Echo) -> None:
    async with serving(transport, echo) as (server, client):
        held = client.unary("Hold")(b"held")
        await begun(echo)
        later = client.unary("Plain")(b"later")
        if transport == "core":
            await until(lambda: echo.direct == 1)
        stopping = asyncio.create_task(server.stop(WAIT_SECONDS))
        await asyncio.sleep(SECONDS)
        assert not stopping.done()
        echo.open.set()
        assert await held == b"held"
        if transport == "core":
            assert await later == b"later"
        async with asyncio.timeout(WAIT_SECONDS):
            await stopping
        assert await outcome(echo) == "OK"


async def test_a_stop_cuts_off_what_outlives_its_grace(transport: Transport, echo: Echo) -> None:
    async with serving(transport, echo) as (server, client):
        calls = [client.unary("Hold")(b""), client.both()()]
        written = client.split("Write")(bytes(100_000))
        for _ in range(3):
            await begun(echo)
        if transport == "core":
            calls.append(client.unary("Plain")(b"later"))
            await until(lambda: echo.direct == 1)
        async with asyncio.timeout(WAIT_SECONDS):
            await server.stop(SECONDS)
        if transport == "core":  # it returns when all handlers have ended
            assert not server._serving
            assert echo.ended.qsize() == 4
        with suppress(grpc.aio.AioRpcError):  # its end comes after its messages
            while await written.read():
                pass
        for call in (*calls, written):
            assert (await ended(call))[0] in ("CANCELLED", "UNAVAILABLE")


class Tidy(Echo):
    """Its handlers need a moment to end."""

    async def hold(self, request: bytes, context: Any) -> bytes:
        try:
            return await super().hold(request, context)
        finally:
            await asyncio.sleep(SECONDS)
            self.ended.put_nowait("tidied")


@ours
async def test_a_stop_waits_for_handlers_that_tidy_up(transport: Transport) -> None:
    echo = Tidy()
    async with serving(transport, echo) as (server, client):
        held = client.unary("Hold")(b"")
        await begun(echo)
        await server.stop(None)
        assert [echo.ended.get_nowait() for _ in range(2)] == ["CancelledError", "tidied"]
        assert (await ended(held))[0] in ("CANCELLED", "UNAVAILABLE")


@ours
async def test_a_stop_under_load_loses_no_answer(transport: Transport, echo: Echo) -> None:
    """Every call that was begun is answered. The core ends others as CANCELLED or UNAVAILABLE, in
    grpc.aio too; the interceptor refuses calls before the stop, so that few hear this.
    """
    async with serving(transport, echo) as (server, client):
        ends: list[str] = []

        async def calling(method: str) -> None:
            while True:
                code, _ = await ended(client.unary(method)(b"x"))
                ends.append(code)
                if code != "OK":
                    return

        callers = [
            asyncio.create_task(calling("Plain" if number % 2 else "Unary")) for number in range(20)
        ]
        await until(lambda: len(ends) > 500)
        async with asyncio.timeout(WAIT_SECONDS):
            await server.stop(WAIT_SECONDS)
            await asyncio.gather(*callers)
        assert set(ends) <= {"OK", "UNAVAILABLE", "CANCELLED"}
        assert ends.count("OK") == echo.direct + echo.answered


@ours
async def test_a_server_is_stopped_twice_and_never_started(transport: Transport) -> None:
    async with serving(transport, Echo()) as (server, _):
        assert await server.wait_for_termination(timeout=0.01)
        await asyncio.gather(server.stop(None), server.stop(1), server.wait_for_termination())
        await server.stop(None)
        assert not await server.wait_for_termination()


@ours
async def test_nothing_is_left_of_a_server_that_has_stopped(
    transport: Transport, echo: Echo
) -> None:
    async with serving(transport, echo) as (server, client):
        for method in ("Unary", "Plain"):
            await client.unary(method)(b"")
        completions = weakref.ref(server._completions)
        thread = server._completions._thread
    del server
    gc.collect()
    assert not thread.is_alive()
    assert completions() is None
