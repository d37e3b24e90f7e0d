"""The feed of configuration changes stops when it is told to, and what is remembered outlives a late poll."""

import asyncio
import time
from typing import Any, cast

import pytest

from server import changes
from server.changes import ChangeFeed, Remembered


async def test_a_stop_that_comes_with_the_end_of_a_poll_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seen red: with asyncio.wait_for around the poll the server hung at its stop, once in some hundred stops."""
    monkeypatch.setattr(changes, "POLL_SECONDS", 0)
    polling, answered = asyncio.Event(), asyncio.get_running_loop().create_future()

    class Polled(ChangeFeed):
        async def poll(self) -> None:
            if self._task:
                polling.set()
                await answered

    feed = Polled(cast("Any", None))
    await feed.start()
    await polling.wait()
    answered.set_result(None)
    async with asyncio.timeout(5):
        await feed.stop()


class Late(ChangeFeed):
    """Nobody polls but who must know."""

    def __init__(self) -> None:
        super().__init__(cast("Any", None))
        self.polls, self.count = 0, 7

    async def poll(self) -> None:
        self.polls += 1
        began = time.monotonic()
        await asyncio.sleep(0.01)
        self._version, self._read_at = self.count, began


async def test_when_a_poll_is_late_one_is_made_for_all_who_ask_and_nothing_is_loaded_anew() -> None:
    """Seen red: every call loaded all by itself, and a server that was busy was so for good."""
    feed, loaded = Late(), []

    async def load(key: str) -> str:
        loaded.append(key)
        await asyncio.sleep(0.01)
        return key * 2

    remembered = Remembered(feed, load)
    for polls in (1, 2):
        assert await asyncio.gather(*(remembered.get("a") for _ in range(50))) == ["aa"] * 50
        assert (feed.polls, loaded) == (polls, ["a"])
        feed._read_at = float("-inf")
    feed.count += 1
    assert await remembered.get("a") == "aa"
    assert loaded == ["a", "a"]
