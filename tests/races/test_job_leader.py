"""One process runs the jobs; when it dies, freezes or is cut off, another does within ten seconds,
and goes on with what was begun: each piece is done once.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from server.platform import job_runs
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.leadership import Leadership
from server.platform.loops import Loops
from server.platform.schedule import Job, Jobs
from tests.support.job_process import JOB, TABLES, move
from tests.support.waiting import WAIT_SECONDS, until

TAKE_OVER_SECONDS = 10.0
COMPLETED = "SELECT FROM job_history WHERE outcome = 'DONE'"


class Work:
    """What there is to be done, and who did it."""

    def __init__(self, pg: psycopg.AsyncConnection[Any]) -> None:
        self.pg = pg

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        return await (await self.pg.execute(query.encode())).fetchall()

    async def add(self, first: int, last: int) -> None:
        await self.pg.execute(
            "INSERT INTO todo SELECT generate_series(%s::int, %s::int)", (first, last)
        )

    async def worker(self, *, but: int = 0) -> int:
        """Who did the latest piece, once it is another than `but`."""
        query = f"SELECT pid FROM done WHERE pid <> {but} ORDER BY at DESC LIMIT 1"
        async with asyncio.timeout(WAIT_SECONDS):
            while not (found := await self.rows(query)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return int(found[0][0])

    async def until_completed(self) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not await self.rows(COMPLETED):  # noqa: ASYNC110 - a question to the database
                await asyncio.sleep(0.05)


@pytest.fixture
async def work(database_url: str) -> AsyncIterator[Work]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as pg:
        for statement in TABLES.split(";\n"):
            await pg.execute(statement.encode())
        yield Work(pg)


@contextmanager
def processes(url: str, count: int) -> Iterator[dict[int, subprocess.Popen[bytes]]]:
    command = [sys.executable, "-m", "tests.support.job_process", url]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield {each.pid: each for each in running}
    finally:
        for each in running:
            each.kill()
            each.wait()


async def test_next_leader_goes_on_with_what_a_killed_or_frozen_one_began(
    work: Work, database_url: str
) -> None:
    """First the leader is killed, then the next one is frozen, and goes on when a third leads.

    Seen red without idle_session_timeout: the database kept the lock of the frozen one.
    """
    await work.add(1, 2_000)
    with processes(database_url, 3) as running:
        first = await work.worker()
        running[first].kill()
        killed = time.monotonic()
        second = await work.worker(but=first)
        assert time.monotonic() - killed < TAKE_OVER_SECONDS
        os.kill(second, signal.SIGSTOP)
        frozen = time.monotonic()
        (third,) = running.keys() - {first, second}
        by_third = f"SELECT FROM done WHERE pid = {third} LIMIT 1"
        async with asyncio.timeout(WAIT_SECONDS):
            while not await work.rows(by_third):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert time.monotonic() - frozen < TAKE_OVER_SECONDS
        ((until_then,),) = await work.rows("SELECT max(n) FROM done")
        os.kill(second, signal.SIGCONT)
        await work.pg.execute("DELETE FROM todo WHERE n > (SELECT min(n) + 50 FROM todo)")
        await work.until_completed()
    by = await work.rows(f"SELECT DISTINCT pid FROM done WHERE n > {until_then}")
    assert by == [(third,)]
    assert await work.rows("SELECT n FROM done GROUP BY n HAVING count(*) > 1") == []
    runs = await work.rows(
        "SELECT outcome, count(*), sum(items) <= 2000 FROM job_history GROUP BY 1 ORDER BY 1"
    )
    assert runs == [("DONE", 1, True), ("LOST", 2, True)]


async def test_two_that_think_they_lead_do_each_piece_once(
    work: Work, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight processes all of which lead. Seen red without the looks whether a run is under way
    and still one's own: runs were lost; and without the advisory lock besides: pieces met, and
    failed. Without the lock alone it is green.
    """
    monkeypatch.setattr(Leadership, "is_leader", property(lambda _: True))
    await work.add(1, 40)
    dbs = [Database(load_settings(), database_url) for _ in range(8)]
    loops = [Jobs(db, [JOB]) for db in dbs]
    for each in loops:
        each.start()
    await work.until_completed()
    for each in loops:
        await each.stop()
    for db in dbs:
        await db.close()
    assert await work.rows("SELECT count(*), count(DISTINCT n) FROM done") == [(40, 40)]
    runs = await work.rows("SELECT outcome, items FROM job_history WHERE outcome <> 'STOPPED'")
    assert runs == [("DONE", 40)]


@asynccontextmanager
async def silent_network(url: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A way to the database that goes silent when the event is set: nothing is closed."""
    known = psycopg.conninfo.conninfo_to_dict(url)
    cut = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()
    writers: set[asyncio.StreamWriter] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while content := await reader.read(65536):
            if cut.is_set():
                await asyncio.Event().wait()
            writer.write(content)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = str(known.get("host", "127.0.0.1")), int(known.get("port") or 5432)
        if host.startswith("/"):
            far = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            far = await asyncio.open_connection(host, port)
        for one, other in ((reader, far[1]), (far[0], writer)):
            writers.add(other)
            tasks.add(asyncio.create_task(pipe(one, other)))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"postgresql://{known['user']}@127.0.0.1:{port}/{known['dbname']}", cut
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.close()
        await asyncio.gather(*(each.wait_closed() for each in writers), return_exceptions=True)


async def test_leader_that_is_cut_off_leads_no_more_before_another_does(database_url: str) -> None:
    """Seen red without idle_session_timeout: the database kept the lock."""
    leaders: list[tuple[float, str, bool]] = []

    def heard(name: str) -> Any:
        return lambda leads: leaders.append((time.monotonic(), name, leads))

    async with silent_network(database_url) as (url, cut):
        near, far = Database(load_settings(), database_url), Database(load_settings(), url)
        first = Leadership(far, Loops(), heard("far"))
        first.start()
        await until(lambda: first.is_leader)
        second = Leadership(near, Loops(), heard("near"))
        second.start()
        cut.set()
        began = time.monotonic()
        await until(lambda: second.is_leader)
        assert time.monotonic() - began < TAKE_OVER_SECONDS
        assert not first.is_leader
        assert [(name, leads) for _, name, leads in leaders] == [
            ("far", True),
            ("far", False),
            ("near", True),
        ]
        await second.stop()
        await first.stop()
        far.abandon_all()
        for db in (near, far):
            await db.close()


async def test_stopped_leader_hands_over_at_once(database_url: str) -> None:
    db = Database(load_settings(), database_url)
    first, second = Leadership(db, Loops()), Leadership(db, Loops())
    first.start()
    await until(lambda: first.is_leader)
    second.start()
    await first.stop()
    await until(lambda: second.is_leader)
    assert not first.is_leader
    await second.stop()
    await db.close()


async def test_work_is_caught_up_with_after_an_outage_of_days(
    work: Work, database_url: str
) -> None:
    """By one run, of as many pieces as it takes."""
    db = Database(load_settings(), database_url)
    jobs = Jobs(db, [JOB])
    await jobs.run_if_due(JOB)
    async with db.transaction() as tx:
        await tx.execute(text("UPDATE job_runs SET run_time = run_time - interval '9 days'"))
    await work.add(1, 9)
    await jobs.run_if_due(Job(JOB.name, JOB.cadence, move))
    async with db.transaction() as tx:
        found = await job_runs.history(tx, limit=9)
    assert [(run.outcome, run.items) for run in found] == [("DONE", 9), ("DONE", 0)]
    await db.close()
