"""Tasks that were given up: listed, replayed, and what is done is forgotten in time."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform import dead_letters, outbox
from server.platform.errors import DomainError, Reason
from server.platform.outbox import GiveUpError, Task
from server.platform.task_worker import TaskKind
from tests.support.outbox import Seen, TaskHandler, a_client, effects


@pytest.fixture
async def client(module_database_url: str) -> AsyncIterator[TaskHandler]:
    async with a_client(module_database_url) as client:
        yield client


async def test_dead_letter_and_replay(client: TaskHandler) -> None:
    seen = Seen(ConnectionError("down"))
    process = client.outbox({"tell": TaskKind(seen.handle, max_attempts=3)})
    await client.ask("one", to="somebody")
    for _ in range(5):
        await process.drain()
        client.clock.forward(600)
    assert len(seen.tasks) == 3
    async with client.db.transaction() as tx:
        (letter,) = await dead_letters.dead(tx, limit=10)
        assert (letter.kind, letter.key, letter.payload) == ("tell", "one", {"to": "somebody"})
        assert (letter.attempts, letter.last_error) == (3, "ConnectionError: down")
        assert await dead_letters.dead(tx, kind="write", limit=10) == []
        assert await dead_letters.replay(tx, letter.task_id, now=client.clock.now) == letter.task_id
    seen.error = None
    await process.drain()
    row = await client.row()
    assert (row.state, row.attempts) == ("DONE", 1)


async def test_hopeless_work_is_dead_at_once(client: TaskHandler) -> None:
    await client.ask("one")
    await client.outbox({"tell": TaskKind(Seen(GiveUpError("no such order")).handle)}).drain()
    row = await client.row()
    assert (row.state, row.last_error) == ("DEAD", "GiveUpError: no such order")


async def test_what_follows_a_death_is_there_exactly_when_it_is(client: TaskHandler) -> None:
    """In one transaction: not if it was asked for again meanwhile, and again if it failed."""
    followed: list[tuple[str, str]] = []
    fails = True

    async def mourn(tx: AsyncConnection, task: Task, cause: str) -> None:
        await tx.execute(insert(effects).values(key=task.key, attempt=task.attempt))
        followed.append((task.key, cause))
        if fails:
            raise ConnectionError

    async def again(task: Task) -> None:
        await client.ask("one")
        raise GiveUpError("no")

    await client.ask("one")
    await client.outbox({"tell": TaskKind(again, on_give_up=mourn)}).drain()
    assert await client.effects() == []
    fails = False
    await client.outbox({"tell": TaskKind(again, on_give_up=mourn)}).drain()
    assert (await client.states(), await client.effects()) == ({"OPEN": 1}, [])
    seen = Seen(GiveUpError("no such order"))
    client.clock.forward(600)
    await client.outbox({"tell": TaskKind(seen.handle, on_give_up=mourn)}).drain()
    assert (await client.states(), await client.effects()) == ({"DEAD": 1}, ["one"])
    assert followed[-1] == ("one", "GiveUpError: no such order")


async def test_dead_are_paged_latest_first(client: TaskHandler) -> None:
    seen = Seen(GiveUpError("no"))
    for number in range(7):
        await client.ask(str(number))
        await client.outbox({"tell": TaskKind(seen.handle)}).drain()
        client.clock.forward(number % 2)  # some die at the same moment
    found: list[Any] = []
    async with client.db.transaction() as tx:
        while page := await dead_letters.dead(
            tx, after=(found[-1].update_time, found[-1].task_id) if found else None, limit=2
        ):
            found += page
    assert sorted(each.key for each in found) == [str(n) for n in range(7)]
    times = [each.update_time for each in found]
    assert times == sorted(times, reverse=True)


async def test_replay_of_what_is_asked_for_again(client: TaskHandler) -> None:
    """One of them carries on; the other is closed."""
    await client.ask("one")
    await client.outbox({"tell": TaskKind(Seen(GiveUpError("no")).handle)}).drain()
    dead_id = (await client.row()).task_id
    await client.ask("one", in_seconds=60)
    twin_id = (await client.row(state="OPEN")).task_id
    async with client.db.transaction() as tx:
        assert await dead_letters.replay(tx, dead_id, now=client.clock.now) == twin_id
    assert (await client.row(state="OPEN")).due_time == client.clock.now
    assert str(twin_id) in (await client.row(state="DONE")).last_error


async def test_only_the_dead_are_replayed(client: TaskHandler) -> None:
    await client.ask("one")
    for task_id in ((await client.row()).task_id, uuid4()):
        async with client.db.transaction() as tx:
            with pytest.raises(DomainError) as refused:
                await dead_letters.replay(tx, task_id, now=client.clock.now)
            assert refused.value.reason is Reason.NOT_FOUND


async def test_done_are_forgotten_in_time(client: TaskHandler) -> None:
    seen = Seen()
    process = client.outbox({"tell": TaskKind(seen.handle)})
    for keys in (["old", "older"], ["young"]):
        await client.ask(*keys)
        await process.drain()
        client.clock.forward(3600)
    await client.ask("dead")
    seen.error = GiveUpError("no")
    await process.drain()
    await client.ask("open")
    client.clock.forward(1800)

    async def purge() -> int:
        async with client.db.transaction() as tx:
            keep = timedelta(hours=2)
            return await outbox.purge(tx, now=client.clock.now, keep=keep, limit=1)

    assert [await purge() for _ in range(3)] == [1, 1, 0]
    assert {row.key for row in await client.rows()} == {"young", "dead", "open"}
