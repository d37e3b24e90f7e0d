"""How calls are gathered into batches: whoever is likely to call is waited for, for a moment, and
two workers do not halve the batches for good.

Seen red: with a window whoever calls, which keeps a single caller waiting; without one, where those
who were answered together come back in several batches; without its end after a pause; without the
rule that the batch which began last goes on, where two workers share the calls.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry, Gauge, Histogram

from server.platform import batching
from server.platform.batching import Batcher, Work
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.pipeline import PipelineConnection
from server.platform.statements import Command

FOR_EVER = 3600.0
SECONDS = 20


@dataclass
class Calls:
    """Takes numbers in batches, and gives each back. One that is in `held` holds up its batch."""

    held: dict[int, asyncio.Event] = field(default_factory=dict)
    begun: list[list[int]] = field(default_factory=list)
    prepared: list[int] = field(default_factory=list)

    def prepare(self, unit: int) -> None:
        self.prepared.append(unit)
        if unit < 0:
            raise ZeroDivisionError

    async def read(
        self, _: PipelineConnection, units: Sequence[int], *, skip_locked: bool
    ) -> list[int]:
        assert not skip_locked
        self.begun.append([*units])
        for unit in units:
            if unit in self.held:
                await self.held[unit].wait()
        return [*units]

    def decide(self, unit: int, _: list[int]) -> int:
        return unit

    async def write(self, _: PipelineConnection, __: list[int]) -> list[Command[None] | None]:
        return []


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(load_settings(), database_url)
    yield database
    await database.close()


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def batcher(db: Database, calls: Calls) -> Batcher[int, list[int], int]:
    registry = CollectorRegistry()
    return Batcher(
        db,
        Work(calls.read, calls.decide, calls.write, prepare=calls.prepare),
        batch=64,
        workers=2,
        queue=Gauge("queue", "queue", registry=registry),
        batches=Histogram("batch", "batch", registry=registry),
    )


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not true():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


async def caller(batcher: Batcher[int, list[int], int], unit: int, times: int) -> None:
    for _ in range(times):
        assert await batcher.submit(unit) == unit


async def test_a_single_caller_never_waits(
    batcher: Batcher[int, list[int], int], calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "BATCH_WINDOW_SECONDS", FOR_EVER)
    async with asyncio.timeout(SECONDS):
        await caller(batcher, 1, 20)
    assert calls.begun == [[1]] * 20


async def test_those_who_were_answered_together_are_waited_for(
    batcher: Batcher[int, list[int], int], calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "BATCH_WINDOW_SECONDS", FOR_EVER)
    monkeypatch.setattr(batching, "CALLS_AGAIN_SECONDS", FOR_EVER)

    async def after_a_moment(unit: int) -> None:
        for _ in range(5):
            await batcher.submit(unit)
            await asyncio.sleep(0.001 * unit)

    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*map(after_a_moment, range(8)))
    assert list(map(len, calls.begun)) == [8] * 5


async def test_who_does_not_call_again_is_not_waited_for_longer_than_the_window(
    batcher: Batcher[int, list[int], int], calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "BATCH_WINDOW_SECONDS", 0.05)
    monkeypatch.setattr(batching, "CALLS_AGAIN_SECONDS", FOR_EVER)
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*(caller(batcher, unit, 1) for unit in range(8)))
        await asyncio.gather(*(caller(batcher, unit, 1) for unit in range(2)))
        monkeypatch.setattr(batching, "BATCH_WINDOW_SECONDS", FOR_EVER)
        await asyncio.gather(*(caller(batcher, unit, 3) for unit in range(2)))
    assert list(map(len, calls.begun)) == [8, 2, 2, 2, 2]


async def test_nobody_is_expected_after_a_pause(
    batcher: Batcher[int, list[int], int], calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "BATCH_WINDOW_SECONDS", FOR_EVER)
    monkeypatch.setattr(batching, "CALLS_AGAIN_SECONDS", 0.0)
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*(caller(batcher, unit, 1) for unit in range(8)))
        await asyncio.sleep(0.01)
        await caller(batcher, 1, 1)
    assert list(map(len, calls.begun)) == [8, 1]


async def test_a_call_is_prepared_when_it_arrives(
    batcher: Batcher[int, list[int], int], calls: Calls
) -> None:
    """While another is in its transaction. What fails then fails alone."""
    calls.held[1] = asyncio.Event()
    first = batcher.submit(1)
    await until(lambda: calls.begun == [[1]])
    others = [batcher.submit(unit) for unit in (2, -1, 3)]
    assert calls.prepared == [1, 2, -1, 3]
    with pytest.raises(ZeroDivisionError):
        await others[1]
    calls.held[1].set()
    assert [await first, await others[0], await others[2]] == [1, 2, 3]
    assert calls.begun[1:] == [[2, 3]]


async def test_a_second_worker_serves_while_the_first_waits(
    batcher: Batcher[int, list[int], int], calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as it does: one that waits for a row holds up nobody else."""
    monkeypatch.setattr(batching, "SECOND_WORKER_SECONDS", 0.001)
    monkeypatch.setattr(batching, "BATCH_WINDOW_SECONDS", 0.001)
    calls.held[1] = asyncio.Event()
    first = batcher.submit(1)
    await until(lambda: calls.begun == [[1]])
    second = batcher.submit(2)
    await asyncio.sleep(0.005)
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*(caller(batcher, unit, 5) for unit in (3, 4)), second)
    calls.held[1].set()
    assert await first == 1


async def test_two_workers_become_one_again(
    batcher: Batcher[int, list[int], int], calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whom the first answers meanwhile is taken by the second, with whom it answers itself."""
    monkeypatch.setattr(batching, "SECOND_WORKER_SECONDS", 0.001)
    monkeypatch.setattr(batching, "BATCH_WINDOW_SECONDS", 0.001)
    monkeypatch.setattr(batching, "CALLS_AGAIN_SECONDS", FOR_EVER)
    calls.held = {1: asyncio.Event(), 2: asyncio.Event()}
    callers = [asyncio.create_task(caller(batcher, 1, 2))]
    await until(lambda: calls.begun == [[1]])
    callers.append(asyncio.create_task(caller(batcher, 2, 2)))
    await until(lambda: calls.begun == [[1], [2]])
    monkeypatch.setattr(batching, "SECOND_WORKER_SECONDS", FOR_EVER)
    callers.append(asyncio.create_task(caller(batcher, 3, 1)))
    await asyncio.sleep(0)
    calls.held[1].set()
    await asyncio.sleep(0.05)
    assert calls.begun == [[1], [2]]
    monkeypatch.setattr(batching, "BATCH_WINDOW_SECONDS", FOR_EVER)
    calls.held[2].set()
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*callers)
    assert list(map(sorted, calls.begun)) == [[1], [2], [1, 2, 3]]
