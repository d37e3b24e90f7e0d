"""Loops that poll: interval, wake, errors, and their end."""

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from server.platform import loops as loops_module
from server.platform.errors import DomainError, Reason
from server.platform.loops import Loop, Loops, Polling

FOR_EVER = 3600.0


class Looks:
    """A function that counts its looks, and fails as given."""

    def __init__(self, *errors: Exception) -> None:
        self.count = 0
        self.errors = list(errors)

    async def look(self) -> None:
        self.count += 1
        if self.errors:
            raise self.errors.pop(0)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


async def turns(count: int = 20) -> None:
    """Lets everything run that is ready."""
    for _ in range(count):
        await asyncio.sleep(0)


def started(polling: Polling) -> Loop:
    loop = Loops().add("polling", polling)
    loop.start()
    return loop


async def test_it_looks_again_after_each_interval() -> None:
    looks = Looks()
    loop = started(Polling(looks.look, 0.001, jitter_seconds=0.001))
    await until(lambda: looks.count > 3)
    await loop.end()


@pytest.mark.parametrize("at_once", [True, False])
async def test_the_first_look_and_a_woken_one(at_once: bool) -> None:
    """Seen red with `wake` as a no-op, and with `at_once` ignored."""
    looks = Looks()
    loop = started(Polling(looks.look, FOR_EVER, at_once=at_once))
    await turns()
    assert looks.count == at_once
    loop.wake()
    await until(lambda: looks.count == at_once + 1)
    await loop.end()
    assert looks.count == at_once + 1


async def test_after_a_failed_look_a_wake_changes_nothing() -> None:
    """What failed, as a database that is away, does not come back by it. Seen red without."""
    looks = Looks(ZeroDivisionError())
    loop = started(Polling(looks.look, FOR_EVER, at_once=True, tolerated=(Exception,)))
    await until(lambda: looks.count == 1)
    loop.wake()
    await turns()
    assert (looks.count, loop.is_down) == (1, False)
    await loop.end()


async def test_what_is_tolerated_is_logged_and_looked_after_again() -> None:
    errors = DomainError(Reason.DATABASE_UNAVAILABLE, "away"), ZeroDivisionError()
    looks = Looks(*errors)
    with capture_logs() as logs:
        loop = started(Polling(looks.look, 0.001, tolerated=(Exception,)))
        await until(lambda: looks.count > 2)
        await loop.end()
    assert [(line["event"], line["loop"]) for line in logs] == [("loop.poll_failed", "polling")] * 2
    assert [line["log_level"] for line in logs] == ["warning", "error"]
    assert [line.get("exc_info") for line in logs] == [None, errors[1]]


async def test_any_other_error_makes_the_loop_be_down_and_start_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loops_module, "FIRST_RESTART_SECONDS", 0.001)
    monkeypatch.setattr(loops_module, "STEADY_SECONDS", FOR_EVER)
    looks = Looks(ZeroDivisionError())
    loop = started(Polling(looks.look, 0.001, tolerated=(DomainError,)))
    await until(lambda: looks.count > 2)
    assert loop.is_down
    await loop.end()


async def test_a_look_that_takes_too_long_is_a_timeout() -> None:
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        await asyncio.Event().wait()

    loop = started(Polling(look, 0.001, timeout_seconds=0.001, tolerated=(TimeoutError,)))
    await until(lambda: looks > 1)
    assert not loop.is_down
    await loop.cancel()


async def test_it_ends_by_itself_when_there_is_nothing_to_look_at() -> None:
    looks = Looks()
    loop = started(Polling(looks.look, 0.001, wanted=lambda: looks.count < 2))
    await until(lambda: not loop.is_running)
    assert (looks.count, loop.is_down) == (2, False)


async def test_an_end_lets_the_look_under_way_finish_and_waits_for_no_interval() -> None:
    begun, free, ended = asyncio.Event(), asyncio.Event(), []

    async def look() -> None:
        begun.set()
        await free.wait()
        ended.append(loop.is_ending)

    loop = started(Polling(look, FOR_EVER, at_once=True))
    await begun.wait()
    ending = asyncio.create_task(loop.end())
    await turns()
    assert not ending.done()
    free.set()
    async with asyncio.timeout(20):
        await ending
    assert ended == [True]
