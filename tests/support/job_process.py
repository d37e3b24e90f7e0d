"""A process that has one job: to move the rows of `todo` to `done`, one in each piece, with its own
number beside them. `python -m tests.support.job_process URL` runs until it is killed.
"""

import asyncio
import os
import sys
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.schedule import Job, Jobs, Progress

PIECE_SECONDS = 0.02
TABLES = """
CREATE TABLE todo (n int PRIMARY KEY);
CREATE TABLE done (n int NOT NULL, pid int NOT NULL, at timestamptz NOT NULL)
"""
_MOVE = text("""
WITH next AS (DELETE FROM todo WHERE n = (SELECT min(n) FROM todo) RETURNING n)
INSERT INTO done SELECT n, :pid, clock_timestamp() FROM next RETURNING n
""")


async def move(tx: AsyncConnection, now: datetime) -> Progress:
    """Moves a row."""
    moved = await tx.scalar(_MOVE, {"pid": os.getpid()})
    await asyncio.sleep(PIECE_SECONDS)
    return Progress(moved is not None, int(moved is not None))


JOB = Job("move", timedelta(days=1), move)


async def _run(url: str) -> None:
    Jobs(Database(load_settings(), url), [JOB]).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1]))
