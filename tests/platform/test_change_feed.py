"""The feed of configuration changes stops when asked to, and what is remembered outlives a
late poll.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Any, cast

import pytest

from server.platform import change_feed
from server.platform.change_feed import ChangeFeed, ChangeKind, Remembered, Subject


@pytest.fixture(autouse=True)
def _however_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_feed, "TRUST_SECONDS", 60.0)


async def test_a_stop_that_comes_with_the_end_of_a_poll_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seen red: with asyncio.wait_for around the poll the server hung at its stop, once in some
    hundred stops.
    """
    monkeypatch.setattr(change_feed, "POLL_SECONDS", 0)
    polling, answered = asyncio.Event(), asyncio.get_running_loop().create_future()

    class Polled(ChangeFeed):
        async def poll(self) -> None:
            if self._loop.is_running:
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
        self.polls = 0
        self.changed: set[Subject] = set()

    async def poll(self) -> None:
        self.polls += 1
        began = time.monotonic()
        await asyncio.sleep(0.01)
        self._read_at = began
        changed, self.changed = self.changed, set()
        for listener in self._listeners:
            listener(changed)


async def test_when_a_poll_is_late_one_is_made_for_all_who_ask_and_nothing_is_loaded_anew() -> None:
    """Seen red: every call loaded all by itself, and a server that was busy was so for good."""
    feed, loaded = Late(), []

    async def load(key: str) -> str:
        loaded.append(key)
        await asyncio.sleep(0.01)
        return key * 2

    remembered = Remembered(feed, load, kinds=[ChangeKind.VENUE])
    for polls in (1, 2):
        assert await asyncio.gather(*(remembered.get("a") for _ in range(50))) == ["aa"] * 50
        assert (feed.polls, loaded) == (polls, ["a"])
        feed._read_at = float("-inf")
    feed.changed.add(Subject(ChangeKind.VENUE))
    assert await remembered.get("a") == "aa"
    assert loaded == ["a", "a"]


async def test_while_no_poll_succeeds_in_time_a_value_is_loaded_once_for_all_who_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And remembered for none that come later. Seen red: in a rush of 10,000 orders each call
    loaded who is blocked, and most got no connection.
    """
    monkeypatch.setattr(change_feed, "TRUST_SECONDS", 0.0)
    feed, loaded = Late(), []

    async def load(key: str) -> str:
        loaded.append(key)
        await asyncio.sleep(0.01)
        if key == "?":
            raise KeyError(key)
        return key * 2

    remembered = Remembered(feed, load, kinds=[ChangeKind.VENUE])
    for _ in range(2):
        assert await asyncio.gather(*(remembered.get("a") for _ in range(50))) == ["aa"] * 50
    assert loaded == ["a", "a"]
    faults = await asyncio.gather(*(remembered.get("?") for _ in range(50)), return_exceptions=True)
    assert [type(fault) for fault in faults] == [KeyError] * 50
    assert loaded == ["a", "a", "?"]
    assert not remembered._unremembered


class Names(Remembered[str, str]):
    """Two letters, each made of the two venues they name."""

    def __init__(self, feed: ChangeFeed, kinds: Iterable[ChangeKind]) -> None:
        self.loaded: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()
        super().__init__(feed, self.read, kinds=kinds, subjects=self.venues)

    async def read(self, key: str) -> str:
        self.loaded.append(key)
        await self.hold.wait()
        return key

    def venues(self, value: str) -> list[Subject]:
        return [Subject(ChangeKind.VENUE, letter) for letter in value]


async def poll_with(feed: Late, *changed: Subject) -> None:
    feed.changed.update(changed)
    await feed.poll()


@pytest.mark.parametrize(
    ("changed", "dropped"),
    [
        (Subject(ChangeKind.VENUE, "a"), ["ab", "ca"]),
        (Subject(ChangeKind.VENUE, "d"), []),
        (Subject(ChangeKind.LOGIN, "a"), []),
        (Subject(ChangeKind.LOGIN), []),
        (Subject(ChangeKind.VENUE), ["ab", "bc", "ca"]),
        (Subject(ChangeKind.EVERYTHING), ["ab", "bc", "ca"]),
    ],
)
async def test_a_change_drops_what_is_made_of_it(changed: Subject, dropped: list[str]) -> None:
    feed = Late()
    names = Names(feed, [ChangeKind.VENUE])
    keys = ["ab", "bc", "ca"]
    await asyncio.gather(*map(names.get, keys))
    names.loaded.clear()
    await poll_with(feed, changed)
    assert [key for key in keys if names.peek(key) is None] == dropped
    assert await asyncio.gather(*map(names.get, keys)) == keys
    assert names.loaded == dropped


async def test_what_was_being_read_when_it_changed_is_not_remembered() -> None:
    """Seen red: without the clearing of what is loading the value of before stays."""
    feed = Late()
    names = Names(feed, [ChangeKind.VENUE])
    await feed.poll()
    names.hold.clear()
    before = asyncio.create_task(names.get("ab"))
    while not names.loaded:  # noqa: ASYNC110 - one turn of the loop
        await asyncio.sleep(0)
    await poll_with(feed, Subject(ChangeKind.VENUE, "a"))
    after = asyncio.create_task(names.get("ab"))
    await asyncio.sleep(0)
    names.hold.set()
    assert (await before, await after, names.loaded) == ("ab", "ab", ["ab", "ab"])
    await names.get("ab")
    assert names.loaded == ["ab", "ab"]
    assert names.peek("ab") == "ab"
