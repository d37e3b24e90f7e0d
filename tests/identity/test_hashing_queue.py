"""Whose password is hashed next: shares take turns, known ones have every second, and what waits
is bounded.
"""

import asyncio
from collections import Counter

import pytest

from server.identity import hashing_queue
from server.identity.hashing_queue import HashingQueue, Share
from server.platform.errors import DomainError, Reason


class Queue:
    """One turn at a time, given back as often as the test says; who had turns, in their order."""

    def __init__(self) -> None:
        self.turns, self.had = HashingQueue(1), list[str]()
        self.refused: Counter[str] = Counter()
        self.tasks: list[asyncio.Task[None]] = []

    async def occupy(self) -> None:
        await self.turns.take(Share("first"))

    async def join(self, key: str, *, known: bool = False, times: int = 1) -> None:
        async def wait() -> None:
            try:
                await self.turns.take(Share(key, known))
            except DomainError as error:
                self.refused[key] += error.reason == Reason.SERVER_BUSY and bool(
                    error.retry_seconds
                )
            else:
                self.had.append(key)

        self.tasks += [asyncio.create_task(wait()) for _ in range(times)]
        await asyncio.sleep(0)

    async def go(self, count: int) -> list[str]:
        """The next who have a turn."""
        before = len(self.had)
        for _ in range(count):
            self.turns.give_back()
            await asyncio.sleep(0)
        return self.had[before:]

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def queue() -> Queue:
    queue = Queue()
    await queue.occupy()
    return queue


async def test_one_with_many_waits_like_one_with_one(queue: Queue) -> None:
    """Seen red with one queue for all: `fair` was the eleventh."""
    await queue.join("guesser", times=10)
    await queue.join("fair")
    assert "fair" in await queue.go(2)
    await queue.end()


async def test_known_ones_have_every_second_turn(queue: Queue) -> None:
    """However many others wait. Seen red with one kind for all: the operator was the fortieth."""
    for number in range(40):
        await queue.join(f"guesser {number}")
    await queue.join("olga", known=True)
    await queue.join("root", known=True)
    assert {"olga", "root"} <= {*await queue.go(4)}
    await queue.end()


async def test_known_ones_do_not_keep_others_waiting(queue: Queue) -> None:
    for number in range(20):
        await queue.join(f"operator {number}", known=True)
    await queue.join("new")
    assert "new" in await queue.go(2)
    await queue.end()


async def test_what_waits_is_bounded(queue: Queue) -> None:
    await queue.join("guesser", times=hashing_queue.SHARE_WAITING + 5)
    assert queue.refused == {"guesser": 5}
    for number in range(hashing_queue.MOST_WAITING):
        await queue.join(f"n{number}")
    waiting = sum(map(len, queue.turns._waiting[False].values()))
    assert waiting == hashing_queue.MOST_WAITING
    # the places of the one with most went to those with none, until it had one like all others
    assert queue.refused["guesser"] == 5 + hashing_queue.SHARE_WAITING - 1
    await queue.join("known", known=True)
    assert not queue.refused["known"]
    await queue.end()


async def test_who_leaves_gives_the_place_back(queue: Queue) -> None:
    await queue.join("a", times=3)
    await queue.join("b")
    for task in queue.tasks[:3]:
        task.cancel()
    await asyncio.gather(*queue.tasks[:3], return_exceptions=True)
    assert await queue.go(1) == ["b"]
    assert not queue.turns._waiting[False]
    # one that leaves when it has just been given a turn hands it on
    await queue.join("c")
    await queue.join("d")
    queue.turns.give_back()
    queue.tasks[-2].cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert queue.had[-1] == "d"
    queue.turns.give_back()
    assert queue.turns._free == 1
    await queue.end()


async def test_who_was_cancelled_but_has_not_run_since_costs_nobody_a_turn(queue: Queue) -> None:
    """Seen red where it was given the turn: InvalidStateError, and nobody ever had a turn again."""
    await queue.join("gone", times=2)
    await queue.join("b")
    for task in queue.tasks[:2]:
        task.cancel()
    assert await queue.go(1) == ["b"]
    queue.turns.give_back()
    assert queue.turns._free == 1
    await queue.end()


async def test_who_was_cancelled_but_has_not_run_since_keeps_no_place(queue: Queue) -> None:
    """Seen red where it was woken to say that it lost its place: InvalidStateError for the one that
    came.
    """
    await queue.join("guesser", times=hashing_queue.SHARE_WAITING)
    for number in range(hashing_queue.MOST_WAITING - hashing_queue.SHARE_WAITING):
        await queue.join(f"n{number}")
    queue.tasks[hashing_queue.SHARE_WAITING - 1].cancel()
    came = queue.turns._join(Share("new"))
    await asyncio.sleep(0)
    assert not queue.refused
    assert not came.done()
    await queue.end()
