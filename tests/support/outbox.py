"""An outbox under a clock of the test's own, and what its handlers did.

Run as a program it is a process that works, and can be killed: its arguments are a URL and how many
tasks at once.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table, Text, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.outbox import NewTask, Task, enqueue, outbox_tasks
from server.platform.statements import run
from server.platform.task_worker import TaskKind, TaskWorker

effects = Table("effects", MetaData(), Column("key", Text), Column("attempt", Integer))
"""What handlers do in the database."""


class Clock:
    """Stands still until it is set forward."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class TaskHandler:
    """Asks for work, and looks at it."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.clock = Clock()

    def outbox(self, kinds: Mapping[str, TaskKind], **options: Any) -> TaskWorker:
        """One process's."""
        return TaskWorker(self.db, kinds, **{"clock": self.clock} | options)

    async def ask(
        self, *keys: str, kind: str = "tell", in_seconds: float = 0, **facts: Any
    ) -> None:
        async with self.db.transaction() as tx:
            await self.ask_in(tx, *keys, kind=kind, in_seconds=in_seconds, **facts)

    async def ask_in(
        self,
        tx: AsyncConnection,
        *keys: str,
        kind: str = "tell",
        in_seconds: float = 0,
        **facts: Any,
    ) -> None:
        due = self.clock.now + timedelta(seconds=in_seconds)
        asks = [NewTask(kind, key, facts, due) for key in keys]
        await run(tx, enqueue(*asks, now=self.clock.now))

    async def rows(self, **having: Any) -> list[Any]:
        """The tasks as they are, the oldest first."""
        query = select(outbox_tasks).filter_by(**having).order_by(outbox_tasks.c.create_time)
        async with self.db.transaction() as tx:
            return list((await tx.execute(query)).all())

    async def row(self, **having: Any) -> Any:
        """The only task there is."""
        (found,) = await self.rows(**having)
        return found

    async def states(self) -> dict[str, int]:
        """How many tasks are in which state."""
        state = outbox_tasks.c.state
        async with self.db.transaction() as tx:
            found = await tx.execute(select(state, func.count()).group_by(state))
            return {name: count for name, count in found}  # noqa: C416 - its keys() are others

    async def prepare_effects(self) -> None:
        async with self.db.transaction() as tx:
            await tx.execute(text("CREATE TABLE effects (key text, attempt int)"))

    async def effects(self) -> list[str]:
        """Keys of the tasks whose effect is there, sorted."""
        async with self.db.transaction() as tx:
            return sorted(await tx.scalars(select(effects.c.key)))

    async def act(self, task: Task) -> None:
        """A handler: an effect in the database, and done in the same transaction."""

        async def work(tx: AsyncConnection) -> None:
            await tx.execute(insert(effects).values(key=task.key, attempt=task.attempt))
            await task.done(tx)

        await self.db.in_transaction(work)


@asynccontextmanager
async def a_client(url: str) -> AsyncIterator[TaskHandler]:
    """A task handler over this database."""
    db = Database(load_settings(), url)
    client = TaskHandler(db)
    await client.prepare_effects()
    yield client
    await db.close()


async def _work_for_ever(url: str, at_once: int) -> None:
    client = TaskHandler(Database(load_settings(), url))
    outbox = TaskWorker(
        client.db, {"tell": TaskKind(client.act, max_at_once=at_once)}, poll_seconds=0.01
    )
    outbox.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


class Seen:
    """A handler that only notes what it was given, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.tasks: list[Task] = []
        self.error = error

    async def handle(self, task: Task) -> None:
        self.tasks.append(task)
        if self.error:
            raise self.error

    @property
    def keys(self) -> list[str]:
        return sorted(task.key for task in self.tasks)


if __name__ == "__main__":
    asyncio.run(_work_for_ever(sys.argv[1], int(sys.argv[2])))
