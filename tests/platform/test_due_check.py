"""Loops look when the database says that there is something to do, and by themselves where it says
nothing.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable

import pytest

from server.platform import due_check
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.due_check import DueCheck
from server.platform.errors import DomainError, Reason
from server.platform.loops import Due, Loop, Loops, Polling
from server.platform.statements import Command, Statement
from tools.dev.embedded.services import EmbeddedServices

SAYS = Statement("SELECT $1::bool", bool)
FAILS = Statement("SELECT 1 / (random() * 0)::int = 1", bool)
QUICK, FOR_EVER = 0.001, math.inf


@pytest.fixture
async def db(services: EmbeddedServices) -> AsyncIterator[Database]:
    opened = Database(load_settings(), services.database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def loops(db: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Loops]:
    """Those of a process that asks all the time."""
    monkeypatch.setattr(due_check, "TICK_SECONDS", QUICK)
    made = Loops()
    check = DueCheck(db, made)
    check.start()
    yield made
    await check.stop()


class Looker:
    """A loop that counts how often it was asked for, and looked."""

    def __init__(self, loops: Loops, name: str, due: Due, interval_seconds: float = QUICK) -> None:
        self.asked = self.looks = 0
        self.is_failing = False
        self._due = due
        self.loop: Loop = loops.add(
            name,
            Polling(
                self.look, interval_seconds, at_once=True, tolerated=(DomainError,), due=self.due
            ),
        )
        self.loop.start()

    def due(self) -> Command[bool] | bool:
        self.asked += 1
        return self._due()

    async def look(self) -> None:
        self.looks += 1
        if self.is_failing:
            raise DomainError(Reason.DATABASE_UNAVAILABLE, "away")


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(QUICK)


async def test_it_looks_when_there_is_something_to_do(loops: Loops) -> None:
    """Seen red when every loop was woken, and when none was."""
    idle = Looker(loops, "idle", lambda: SAYS(False))
    paused = Looker(loops, "paused", lambda: False)
    busy = [
        Looker(loops, "says the database", lambda: SAYS(True)),
        Looker(loops, "it knows", lambda: True),
    ]
    await until(lambda: all(each.looks > 3 for each in busy))
    await until(lambda: min(idle.asked, paused.asked) > 3)
    assert (idle.looks, paused.looks) == (1, 1)
    idle.loop.wake()
    await until(lambda: idle.looks == 2)
    for each in (idle, paused, *busy):
        await each.loop.end()


async def test_it_is_asked_for_not_oftener_than_it_would_look(loops: Loops) -> None:
    rare = Looker(loops, "rare", lambda: SAYS(False), FOR_EVER)
    often = Looker(loops, "often", lambda: SAYS(False))
    await until(lambda: often.asked > 5)
    assert rare.asked == 1
    await rare.loop.end()
    await often.loop.end()


async def test_where_no_answer_can_be_had_all_look(loops: Loops) -> None:
    """Seen red without the wake: nobody looked any more."""
    others = Looker(loops, "others", lambda: SAYS(False))
    failing = Looker(loops, "failing", FAILS)
    await until(lambda: min(others.looks, failing.looks) > 3)
    await failing.loop.end()
    await others.loop.end()


async def test_after_a_look_that_failed_the_next_is_an_interval_later(loops: Loops) -> None:
    """Nobody is asked for it meanwhile, and no answer has it look sooner."""
    away = Looker(loops, "away", lambda: SAYS(True), FOR_EVER)
    often = Looker(loops, "often", lambda: SAYS(False))
    await until(lambda: away.looks == 2)
    away.is_failing = True
    away.loop.wake()
    await until(lambda: away.looks == 3)
    asked, seen = away.asked, often.asked
    await until(lambda: often.asked > seen + 3)
    assert (away.looks, away.asked) == (3, asked)
    away.loop.cancel_soon()
    await often.loop.end()


async def test_without_it_each_looks_by_itself() -> None:
    alone = Looker(Loops(), "alone", lambda: SAYS(False))
    await until(lambda: alone.looks > 3)
    assert alone.asked == 0
    await alone.loop.end()
