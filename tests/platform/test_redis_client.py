"""What happens when Redis is slow, away, or answers what cannot be read: in one place, for all."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from server.platform import redis_client
from server.platform.redis_client import RedisClient

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[str]:
    """The URL of a server that is no Redis: it does with each connection what it is given."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        host, port = listening.sockets[0].getsockname()
        yield f"redis://{host}:{port}/0"
    finally:
        listening.close()


def always(text: bytes) -> Answer:
    """Answers every command alike."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            writer.write(text)
            await writer.drain()

    return answer


async def never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(4096):
        pass


@asynccontextmanager
async def client(url: str) -> AsyncIterator[RedisClient]:
    made = RedisClient(url, "test")
    try:
        yield made
    finally:
        await made.aclose()


class Asker:
    """Asks for a key, and counts how often Redis was really asked."""

    def __init__(self, client: RedisClient, read: Callable[[bytes], object] = bytes) -> None:
        self._client = client
        self._read = read
        self.asked = 0

    async def __call__(self, key: str = "key") -> object:
        async def work() -> object:
            self.asked += 1
            return self._read(await self._client.redis.get(key))

        return await self._client.ask(key, work, "otherwise")


def with_times_of_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are longer in tests."""
    monkeypatch.setattr(redis_client, "SOCKET_SECONDS", 0.25)
    monkeypatch.setattr(redis_client, "CALL_SECONDS", 0.5)


@pytest.mark.parametrize("kind", ["slow", "away"])
async def test_one_that_does_not_answer_is_left_in_peace(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red without `is_away`: each call asked."""
    with_times_of_production(monkeypatch)
    monkeypatch.setattr(redis_client, "SILENT_SECONDS", 60.0)
    async with (
        server(never) as url,
        client("redis://127.0.0.1:1/0" if kind == "away" else url) as c,
    ):
        ask = Asker(c)
        assert await ask() == "otherwise"
        asked = ask.asked
        assert await asyncio.gather(*(ask() for _ in range(50))) == ["otherwise"] * 50
        assert ask.asked == asked == 1


async def test_it_is_asked_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    is_back = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            writer.write(b"$4\r\nback\r\n" if is_back.is_set() else b"")

    with_times_of_production(monkeypatch)
    monkeypatch.setattr(redis_client, "SILENT_SECONDS", 0.05)
    async with server(answer) as url, client(url) as c:
        ask = Asker(c)
        assert await ask() == "otherwise"
        is_back.set()
        async with asyncio.timeout(20):
            while await ask() != b"back":  # noqa: ASYNC110 - it comes back when it is asked
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "text",
    [
        b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        b"?what is this\r\n",
        b":7\r\n",
    ],
)
async def test_an_answer_that_is_none_is_that_calls_alone(text: bytes) -> None:
    """Nobody is kept from Redis by it. Seen red with such an error raised."""

    def parse(value: bytes) -> bytes:
        if not isinstance(value, bytes):
            raise TypeError("no text")
        return value

    async with server(always(text)) as url, client(url) as c:
        ask = Asker(c, parse)
        assert [await ask() for _ in range(3)] == ["otherwise"] * 3
        assert ask.asked == 3


async def test_what_cannot_be_read_is_that_calls_alone() -> None:
    """Seen red with the reading outside of `ask`: the caller got the ValueError."""
    async with server(always(b"$4\r\nlies\r\n")) as url, client(url) as c:
        assert [await Asker(c, int)() for _ in range(3)] == ["otherwise"] * 3
        assert await Asker(c)() == b"lies"


async def test_a_burst_does_not_look_like_a_loss() -> None:
    async with server(always(b"$2\r\nok\r\n")) as url, client(url) as c:
        began = time.monotonic()
        found = await asyncio.gather(*(Asker(c)(f"key{n}") for n in range(200)))
        assert found == [b"ok"] * 200, f"after {time.monotonic() - began:.1f} s"
