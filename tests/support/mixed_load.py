"""Callers of the echo server who cancel, reset, come late, read slowly, or are simply answered."""

import asyncio
import random
import time
from collections import Counter
from contextlib import suppress

import grpc

from tests.support.echo_server import Client

MAX_PAUSE_SECONDS = 0.02
MESSAGE_LIMIT = 150_000
"""Bytes; what the server should take at the most."""
FAULTS = frozenset({grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS})
"""Codes that no caller here should ever see. INTERNAL is what grpc.aio's own client makes of a
write that comes after the end.
"""


class Load:
    """Callers of all kinds, each of whom does what chance says.

    Attributes:
        calls: what was done so far, by its name.
        faults: what should never have been, in words.
    """

    def __init__(self, client: Client, chance: random.Random, *, pause_seconds: float) -> None:
        self.client = client
        self.calls: Counter[str] = Counter()
        self.faults: list[str] = []
        self._chance = chance
        self._pause_seconds = pause_seconds

    async def call_until(self, end: float) -> None:
        """One caller, until `time.monotonic()` is `end`."""
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
            doing = self._chance.choice(doings)
            try:
                with suppress(asyncio.CancelledError, asyncio.InvalidStateError):
                    await doing()
            except grpc.aio.AioRpcError as error:
                if doing == self.answered or error.code() in FAULTS:
                    self.faults.append(f"{doing.__name__}: {error.code()} {error.details()}")
            self.calls[doing.__name__] += 1
            await asyncio.sleep(self._chance.random() * self._pause_seconds)

    async def _pause(self) -> None:
        await asyncio.sleep(self._chance.random() * MAX_PAUSE_SECONDS)

    def _waiting(self) -> tuple[str, bytes]:
        return self._chance.choice((("Hold", b""), ("Plain", b"later")))

    async def answered(self) -> None:
        """Two calls that get what they sent."""
        for method in ("Unary", "Plain"):
            content = self._chance.randbytes(self._chance.randrange(100_000))
            if await self.client.unary(method)(content) != content:
                self.faults.append(f"{method} answered something else")

    async def cancelled(self) -> None:
        """A call that its client gives up."""
        method, content = self._waiting()
        call = self.client.unary(method)(content)
        await self._pause()
        call.cancel()

    async def late(self) -> None:
        """A call whose deadline passes."""
        method, content = self._waiting()
        await self.client.unary(method)(content, timeout=self._chance.random() * MAX_PAUSE_SECONDS)

    async def streamed(self) -> None:
        """Some messages there and back, and an end of either kind."""
        both = self.client.both()()
        for _ in range(5):
            await both.write(b"x" * 1000)
            await both.read()
        if self._chance.random() < 0.5:
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
            await self._pause()
            del calls

    async def slow(self) -> None:
        """Reads less than is written to it."""
        call = self.client.split("Write")(bytes(50_000))
        for _ in range(3):
            await call.read()
            await self._pause()
        call.cancel()

    async def unread(self) -> None:
        """Ends a stream that was written to, half of it unread."""
        both = self.client.both()(timeout=self._chance.random() * MAX_PAUSE_SECONDS)
        for _ in range(10):
            await both.write(bytes(10_000))

    async def too_large(self) -> None:
        """A message that the server does not take."""
        method = self._chance.choice(("Unary", "Plain"))
        await self.client.unary(method)(bytes(MESSAGE_LIMIT + 50_000))
