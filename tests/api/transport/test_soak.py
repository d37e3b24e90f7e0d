"""Mixed load with cancellations, resets and slow readers, after which nothing is left over.

A few seconds by default; `TEST_SOAK_SECONDS=3600` for an hour. Of memory nothing is said: grpcio's
client in the same process keeps 29 kB of each stream that it cancels with messages unread.
"""

import asyncio
import gc
import os
import random
import threading
import time
from contextlib import suppress
from typing import Any

import grpc
import psutil

from server.api.transport.context import Context
from server.api.transport.exchange import Exchange
from tests.api.transport.test_calls import ours
from tests.support.echo_server import Client, Echo, serving
from tests.support.waiting import until

SECONDS = float(os.environ.get("TEST_SOAK_SECONDS", "4"))
CALLERS = 24
PAUSE_SECONDS = 0.02
BETWEEN_SECONDS = 0.02 if SECONDS < 60 else 0.3
"""Between two calls of a caller; a long run leaves the machine to others."""
WARM_SHARE = 0.25
"""After this much of the time everything is as large as it gets."""


class Load:
    """Callers of all kinds, each of whom does what chance says."""

    def __init__(self, client: Client, chance: random.Random) -> None:
        self.client = client
        self.chance = chance
        self.calls = 0

    async def call_until(self, end: float) -> None:
        doings = [
            self.answered,
            self.cancelled,
            self.late,
            self.streamed,
            self.reset,
            self.slow,
            self.unread,
            self.too_large,
        ]
        while time.monotonic() < end:
            with suppress(grpc.aio.AioRpcError, asyncio.CancelledError, asyncio.InvalidStateError):
                await self.chance.choice(doings)()
            self.calls += 1
            await asyncio.sleep(self.chance.random() * BETWEEN_SECONDS)

    async def answered(self) -> None:
        for method in ("Unary", "Plain"):
            content = bytes(self.chance.randrange(100_000))
            assert await self.client.unary(method)(content) == content

    async def cancelled(self) -> None:
        method, content = self.chance.choice((("Hold", b""), ("Plain", b"later")))
        call = self.client.unary(method)(content)
        await asyncio.sleep(self.chance.random() * PAUSE_SECONDS)
        call.cancel()

    async def late(self) -> None:
        method, content = self.chance.choice((("Hold", b""), ("Plain", b"later")))
        await self.client.unary(method)(content, timeout=self.chance.random() * PAUSE_SECONDS)

    async def streamed(self) -> None:
        both = self.client.both()()
        for _ in range(5):
            await both.write(b"x" * 1000)
            await both.read()
        if self.chance.random() < 0.5:
            await both.done_writing()
            await both.code()
        else:
            both.cancel()

    async def reset(self) -> None:
        """The connection goes away under its calls."""
        async with grpc.aio.insecure_channel(
            self.client.target, options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            other = Client(channel)
            calls = [other.unary("Hold")(b""), other.both()(), other.unary("Plain")(b"later")]
            await asyncio.sleep(self.chance.random() * PAUSE_SECONDS)
            del calls

    async def slow(self) -> None:
        """Reads less than is written to it."""
        call = self.client.split("Write")(bytes(50_000))
        for _ in range(3):
            await call.read()
            await asyncio.sleep(self.chance.random() * PAUSE_SECONDS)
        call.cancel()

    async def unread(self) -> None:
        """Ends a stream that was written to, half of it unread."""
        both = self.client.both()(timeout=self.chance.random() * PAUSE_SECONDS)
        for _ in range(10):
            await both.write(bytes(10_000))

    async def too_large(self) -> None:
        await self.client.unary(self.chance.choice(("Unary", "Plain")))(bytes(200_000))


def left() -> tuple[int, int]:
    """Calls that are still known, after a collection."""
    gc.collect()
    objects: list[Any] = gc.get_objects()
    return (
        sum(type(each) is Exchange for each in objects),
        sum(type(each) is Context for each in objects),
    )


@ours
async def test_nothing_is_left_of_calls_that_ended_in_any_way(transport: Any) -> None:
    """Exchanges and contexts, tasks, descriptors, threads."""
    echo, process = Echo(), psutil.Process()
    limit = (("grpc.max_receive_message_length", 150_000),)
    async with serving(transport, echo, options=limit) as (server, client):
        chance = random.Random(7)
        load, began = Load(client, chance), time.monotonic()
        end = began + SECONDS
        callers = [asyncio.create_task(load.call_until(end)) for _ in range(CALLERS)]
        await asyncio.sleep(SECONDS * WARM_SHARE)
        descriptors, threads = process.num_fds(), threading.active_count()
        await asyncio.gather(*callers)
        await client.unary("Unary")(b"")
        echo.context = None
        assert load.calls > 50
        await until(lambda: not server._serving and not server._unsent)
        await until(lambda: left() == (0, 0))
        await until(lambda: process.num_fds() <= descriptors)
        assert threading.active_count() <= threads
