"""Processes that share the work, die at it, and are asked for more meanwhile: each effect once, no
ask lost.

"Seen red" in a test says which guard was taken out, and that the test then failed.
"""

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import make_url, text
from structlog.testing import capture_logs

from server.platform import dead_letters, outbox
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.outbox import LeaseLostError, Task
from server.platform.presence import Presence
from server.platform.statements import run
from server.platform.task_worker import TaskKind, TaskWorker
from tests.support.outbox import TaskHandler


@asynccontextmanager
async def process(url: str, *, pool: int = 10) -> AsyncIterator[TaskHandler]:
    """What a process has of its own: the connections."""
    db = Database(load_settings(database_pool=pool), url)
    yield TaskHandler(db)
    await db.close()


@pytest.fixture
async def client(module_database_url: str) -> AsyncIterator[TaskHandler]:
    async with process(module_database_url) as client:
        await client.prepare_effects()
        yield client


@pytest.fixture
async def other(module_database_url: str, client: TaskHandler) -> AsyncIterator[TaskHandler]:
    async with process(module_database_url) as other:
        other.clock = client.clock
        yield other


async def all_done(client: TaskHandler) -> None:
    async with asyncio.timeout(30):
        while set(await client.states()) != {"DONE"}:  # noqa: ASYNC110 - of two processes
            await asyncio.sleep(0.05)


async def test_two_processes_do_each_task_once(client: TaskHandler, other: TaskHandler) -> None:
    """Seen red without FOR UPDATE SKIP LOCKED: tasks ran twice."""
    keys = [f"{n:03}" for n in range(500)]
    runs: list[str] = []

    def handler(of: TaskHandler) -> TaskKind:
        async def act(task: Task) -> None:
            runs.append(task.key)
            await of.act(task)

        return TaskKind(act, max_at_once=8)

    await client.ask(*keys)
    processes = [each.outbox({"tell": handler(each)}) for each in (client, other)]
    for each in processes:
        each.start()
    await all_done(client)
    for each in processes:
        await each.stop()
    assert sorted(runs) == keys
    assert await client.effects() == keys


async def test_task_of_a_dead_process_is_taken_over_when_its_lease_ends(
    client: TaskHandler, other: TaskHandler
) -> None:
    begun = asyncio.Event()

    async def hang(task: Task) -> None:
        begun.set()
        await asyncio.Event().wait()

    await client.ask("one")
    dying = client.outbox({"tell": TaskKind(hang, most_seconds=30)})
    dying.start()
    await begun.wait()
    survivor = other.outbox({"tell": TaskKind(other.act, most_seconds=30)})
    assert await survivor.drain() == 0
    client.clock.forward(39.9)
    assert await survivor.drain() == 0
    client.clock.forward(0.1)
    assert await survivor.drain() == 1
    assert await client.effects() == ["one"]
    assert (await client.row()).attempts == 2
    for running in list(dying._running):
        running.cancel()
    await dying.stop()


async def test_task_of_a_dead_process_is_given_back_at_once(
    client: TaskHandler, other: TaskHandler
) -> None:
    """Of one whose session is there nothing is given back; once it is gone another does the task,
    and what the first still does is rolled back.
    """
    began, goes_on = asyncio.Event(), asyncio.Event()

    async def late(task: Task) -> None:
        began.set()
        await goes_on.wait()
        await client.act(task)

    async def given_back() -> list[str]:
        now = client.clock.now
        async with other.db.transaction() as tx:
            return list(await run(tx, outbox.give_back(now=now, limit=10)))

    presence, session = Presence(), await client.db.connect()
    await presence.show(session)
    await client.ask("one")
    dying = client.outbox({"tell": TaskKind(late)}, presence=presence)
    survivor = other.outbox({"tell": TaskKind(other.act)})
    first = asyncio.create_task(dying.drain())
    await began.wait()
    assert await given_back() == []
    assert await survivor.drain() == 0
    await session.close()
    async with asyncio.timeout(30):
        while await given_back() != ["tell"]:  # noqa: ASYNC110 - the session ends by itself
            await asyncio.sleep(0.01)
    assert await survivor.drain() == 1
    with capture_logs() as logs:
        goes_on.set()
        await first
    assert [line["event"] for line in logs] == ["outbox.lost"]
    assert await client.effects() == ["one"]
    assert await given_back() == []


async def test_task_that_kills_its_process_dies_in_the_end(client: TaskHandler) -> None:
    """Each time it is taken counts, also when nobody lives to write down the result."""
    await client.ask("poison")
    for _ in range(3):
        process = client.outbox({"tell": TaskKind(client.act, max_attempts=3)})
        await process._take()
        for running in list(process._running):
            running.cancel()  # before its first step
        client.clock.forward(60)
    assert await client.outbox({"tell": TaskKind(client.act, max_attempts=3)}).drain() == 1
    row = await client.row()
    assert (row.state, row.last_error) == ("DEAD", "GiveUpError: the last attempt never ended")
    assert await client.effects() == []


async def test_killed_processes(client: TaskHandler, module_database_url: str) -> None:
    """SIGKILL at any moment of 600 tasks; a survivor whose clock is ahead does what is left.

    Seen red without `done` in the transaction of the effect: there were effects of tasks still
    open. Once in some fifty runs on a loaded machine none of four deaths had met a task.
    """
    keys = [f"{n:03}" for n in range(600)]
    client.clock.now = datetime.now(UTC)
    await client.ask(*keys)
    command = [sys.executable, "-m", "tests.support.outbox", module_database_url, "8"]
    interrupted: list[str] = []
    deaths = 0
    while deaths < 4 or not interrupted:  # it may die between two tasks, four times too
        before = len(await client.effects())
        with subprocess.Popen(command, stdout=subprocess.PIPE) as working:  # noqa: ASYNC220
            assert working.stdout
            await asyncio.to_thread(working.stdout.readline)
            async with asyncio.timeout(30):
                # of another process; a loaded one takes its time
                while len(await client.effects()) == before:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await asyncio.sleep(random.uniform(0.05, 0.2))
            working.kill()
            await asyncio.to_thread(working.wait)
        deaths += 1
        interrupted += [row.key for row in await client.rows(state="OPEN") if row.lease_until]
    done = await client.effects()
    assert 0 < len(done) < 600
    assert len(done) + len(await client.rows(state="OPEN")) == 600
    client.clock.now = datetime.now(UTC) + timedelta(hours=1)
    await client.outbox({"tell": TaskKind(client.act)}).drain()
    assert await client.effects() == keys
    assert await client.states() == {"DONE": 600}


async def test_lost_connections(
    client: TaskHandler, other: TaskHandler, module_database_url: str
) -> None:
    """The server ends connections all the time, also in the middle of a commit."""
    keys = [f"{n:03}" for n in range(200)]
    await client.ask(*keys)
    processes = [
        each.outbox({"tell": TaskKind(each.act, max_attempts=1000)}, poll_seconds=0.02)
        for each in (client, other)
    ]
    for each in processes:
        each.start()
    plain = make_url(module_database_url).set(drivername="postgresql")
    async with await psycopg.AsyncConnection.connect(
        plain.render_as_string(hide_password=False), autocommit=True
    ) as killer:
        for _ in range(40):
            await killer.execute("""
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()
                ORDER BY random() LIMIT 2""")
            await asyncio.sleep(0.02)
    for each in processes:
        await each.stop()
    for _ in range(20):
        client.clock.forward(3600)
        with suppress(DomainError):  # a connection found dead only now
            await processes[0].drain()
    assert await client.effects() == keys
    assert await client.states() == {"DONE": 200}


async def test_no_ask_is_lost(client: TaskHandler, other: TaskHandler) -> None:
    """What was asked for while a handler runs is handled too: the last version sent is the
    last there is.

    Seen red with ON CONFLICT DO NOTHING, and with an update that leaves out again_time.
    """
    async with client.db.transaction() as tx:
        await tx.execute(text("CREATE TABLE facts (key text PRIMARY KEY, version int, sent int)"))
        await tx.execute(
            text("INSERT INTO facts SELECT n::text, 0, 0 FROM generate_series(0, 4) n")
        )

    def handler(of: TaskHandler) -> TaskKind:
        async def tell(task: Task) -> None:
            read = text("SELECT version FROM facts WHERE key = :key")
            async with of.db.transaction() as tx:
                version = await tx.scalar(read, {"key": task.key})
            await asyncio.sleep(random.uniform(0, 0.01))  # the outside
            write = text("UPDATE facts SET sent = :version WHERE key = :key")
            async with of.db.transaction() as tx:
                await tx.execute(write, {"version": version, "key": task.key})
                if random.random() < 0.5:
                    await task.done(tx)

        return TaskKind(tell, max_at_once=5)

    async def change(of: TaskHandler, process: TaskWorker) -> None:
        for _ in range(40):
            key = str(random.randrange(5))
            count_up = text("UPDATE facts SET version = version + 1 WHERE key = :key")
            async with of.db.transaction() as tx:
                await tx.execute(count_up, {"key": key})
                await of.ask_in(tx, key)
            await asyncio.sleep(random.uniform(0, 0.005))

    processes = {each: each.outbox({"tell": handler(each)}) for each in (client, other)}
    for each in processes.values():
        each.start()
    await asyncio.gather(*(change(*pair) for pair in processes.items() for _ in range(2)))
    await all_done(client)
    for each in processes.values():
        await each.stop()
    async with client.db.transaction() as tx:
        facts = (
            await tx.execute(text("SELECT sum(version), sum(version - sent) FROM facts"))
        ).one()
    assert tuple(facts) == (160, 0)


async def test_many_ask_for_the_same_at_once(client: TaskHandler, other: TaskHandler) -> None:
    """Also for sets that overlap, in any order: one task each, and no deadlock.

    Seen red without the sorting: deadlocks.
    """
    keys = [str(n) for n in range(20)]

    async def ask(of: TaskHandler) -> None:
        for _ in range(10):
            await of.ask(*random.sample(keys, 10))

    await asyncio.gather(*(ask(each) for each in (client, other) for _ in range(8)))
    assert sorted(row.key for row in await client.rows()) == sorted(keys)


async def test_replay_at_once(client: TaskHandler, other: TaskHandler) -> None:
    """Two administrators, and the same work asked for at the same moment: one task is open in
    the end.
    """
    for number in range(20):
        key = str(number)
        async with client.db.transaction() as tx:
            now = client.clock.now
            await run(tx, outbox.enqueue(outbox.NewTask("tell", key, {}, now), now=now))
            await tx.execute(text("UPDATE outbox_tasks SET state = 'DEAD', last_error = ''"))
        task_id = (await client.row(key=key)).task_id

        async def replay(of: TaskHandler, task_id: UUID = task_id) -> Reason | None:
            try:
                await of.db.in_transaction(
                    lambda tx: dead_letters.replay(tx, task_id, now=of.clock.now)
                )
            except DomainError as error:
                return error.reason
            return None

        *results, _ = await asyncio.gather(replay(client), replay(other), other.ask(key))
        assert sorted(results, key=str) == [Reason.NOT_FOUND, None]
        assert len(await client.rows(key=key, state="OPEN")) == 1
        assert not await client.rows(key=key, state="DEAD")


async def test_holders_of_one_task_in_turn(client: TaskHandler, other: TaskHandler) -> None:
    """One that was too slow and one that took over finish at the same moment: one of them has done
    it.

    Seen red without lease and state in the UPDATE of `settle`: both had.
    """
    for number in range(20):
        await client.ask(str(number))
        outcomes: list[str] = []
        together = asyncio.Barrier(2)

        def holder(
            of: TaskHandler, outcomes: list[str] = outcomes, together: asyncio.Barrier = together
        ) -> TaskKind:
            async def act(task: Task) -> None:
                await together.wait()
                try:
                    await of.act(task)
                    outcomes.append("done")
                except LeaseLostError:
                    outcomes.append("lost")
                    raise

            return TaskKind(act)

        first = asyncio.create_task(client.outbox({"tell": holder(client)}).drain())
        while together.n_waiting == 0:  # noqa: ASYNC110 - a barrier has no event
            await asyncio.sleep(0.001)
        client.clock.forward(3600)
        await other.outbox({"tell": holder(other)}).drain()
        await first
        assert sorted(outcomes) == ["done", "lost"]
    assert await client.effects() == sorted(str(n) for n in range(20))
