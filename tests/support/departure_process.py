"""A process that has orders follow their departures, two in a transaction: `python -m
tests.support.departure_process URL` runs until it is killed.
"""

import asyncio
import sys
from typing import Any

from server.aftersales import tasks
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.task_worker import TaskWorker

ORDERS_AT_ONCE = 2
PAUSE_SECONDS = 0.05


async def _run(url: str) -> None:
    db = Database(load_settings(), url)
    transaction = db.in_transaction

    async def slowly(work: Any) -> Any:
        done: Any = await transaction(work)
        await asyncio.sleep(PAUSE_SECONDS)
        return done

    db.in_transaction = slowly  # type: ignore[method-assign]
    tasks.FOLLOW_AT_ONCE = ORDERS_AT_ONCE
    TaskWorker(db, tasks.kinds(db)).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1]))
