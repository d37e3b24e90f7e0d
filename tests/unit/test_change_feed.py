"""The feed of configuration changes stops when it is told to."""

import asyncio
from typing import Any, cast

import pytest

from server import changes
from server.changes import ChangeFeed


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
