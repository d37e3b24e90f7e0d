"""Loops of a process: no error ends one, each is reported, and a stop never fails."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from server.platform import loops as loops_module
from server.platform.loops import Loops
from tools.dev.embedded import child as child_module
from tools.dev.embedded.child import Child


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops_module, "FIRST_RESTART_SECONDS", 0.01)
    monkeypatch.setattr(loops_module, "STEADY_SECONDS", 0.05)


async def test_a_loop_that_fails_runs_again_and_is_down_until_it_has_run_for_a_while() -> None:
    runs, downs = 0, []
    loops = Loops(lambda: downs.append(loops.down))

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ZeroDivisionError
        if runs == 2:  # what it waited for was cancelled by somebody, not the loop
            raise asyncio.CancelledError
        await asyncio.Event().wait()

    loop = loops.add("counted", run)
    loop.start()
    async with asyncio.timeout(5):
        while len(downs) < 2:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    assert (runs, downs, loop.is_running) == (3, [["counted"], []], True)
    await loop.cancel()
    assert not loop.is_running
    assert loops.down == []


async def test_a_loop_that_ends_by_itself_is_no_fault_and_may_be_started_again() -> None:
    runs = 0
    loops = Loops()

    async def run() -> None:
        nonlocal runs
        runs += 1

    loop = loops.add("short", run)
    for _ in range(2):
        loop.start()
        loop.start()
        await loop.end()
    assert (runs, loops.down, loop.is_running) == (2, [], False)


async def test_an_end_waits_for_the_work_under_way_and_never_raises() -> None:
    ended, begun, worked = asyncio.Event(), asyncio.Event(), []

    async def run() -> None:
        begun.set()
        await ended.wait()
        worked.append(1)
        raise ZeroDivisionError

    loop = Loops().add("failing", run)
    loop.start()
    await begun.wait()
    ended.set()
    await loop.end()
    assert (worked, loop.is_running, loop.is_down) == ([1], False, False)


async def test_an_end_does_not_wait_for_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops_module, "FIRST_RESTART_SECONDS", 60.0)
    loops = Loops()

    async def run() -> None:
        raise ZeroDivisionError

    loop = loops.add("failing", run)
    loop.start()
    while not loop.is_down:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await loop.end()


async def test_an_end_that_takes_too_long_cancels() -> None:
    async def run() -> None:
        await asyncio.Event().wait()

    loop = Loops().add("stuck", run)
    loop.start()
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await loop.end(within_seconds=0.01)
    assert not loop.is_running


async def test_a_child_that_dies_is_started_again_also_when_its_start_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LOOK_SECONDS", "FIRST_RESTART_SECONDS"):
        monkeypatch.setattr(child_module, name, 0.01)
    failures = [BlockingIOError("no process is left")]
    born: list[subprocess.Popen[bytes]] = []

    def spawn() -> subprocess.Popen[bytes]:
        if born and failures:
            raise failures.pop()
        born.append(subprocess.Popen(["sleep", "60"]))
        return born[-1]

    child = Child("sleep", spawn, lambda: True, Path("output"))
    loop = Loops().add("embedded sleep", child.keep)
    loop.start()
    try:
        for count in (2, 3):
            born[-1].kill()
            async with asyncio.timeout(10):
                while len(born) < count:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
        assert (failures, child.process) == ([], born[-1])
    finally:
        await loop.cancel()
        for each in born:
            each.kill()
            each.wait()
