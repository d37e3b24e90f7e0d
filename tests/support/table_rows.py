"""What is in all tables of a database, to be compared with what is there later."""

import asyncio
from typing import Any

import psycopg
from psycopg import sql

from tests.support import databases
from tests.support.waiting import WAIT_SECONDS

CLOCKWORK = [
    *("job_history", "job_runs", "notification_marks", "state_counts", "stuck_findings"),
    *("ticket_reminders", "audit_heads", "audit_checkpoints"),
]
"""What the clock does says nothing of a call; nor when a key was used, which is noted later, nor
when the sequencer came to an audit event, which is there before.
"""
NOTED = ["last_used_time"]
CHAINED = ["position", "chain_hash", "chain_seal", "seal"]
"""Of an audit event, what the sequencer adds."""
TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> ALL(%s)
"""
ROWS = """
SELECT {name}, count(*), md5(string_agg({row}, ',' ORDER BY {row})) FROM {table} t
"""
ROW = "(to_jsonb(t) - {}::text[])::text"
DUE = """
SELECT (SELECT count(*) FROM order_events WHERE notify)
  + (SELECT count(*) FROM outbox_tasks WHERE state = 'OPEN' AND due_time <= now())
  + (SELECT count(*) FROM partner_events WHERE sequence IS NULL)
  + (SELECT count(*) FROM partner_events e LEFT JOIN ledgers l USING (partner_id)
     WHERE e.sequence > coalesce(l.posted_sequence, 0))
"""


async def rows(database_url: str) -> dict[str, tuple[int, str]]:
    """The number of rows of each table, and a hash of them."""

    def read() -> dict[str, tuple[int, str]]:
        with databases.connected(database_url) as pg:
            query = _rows_of_all(pg)
            return {
                name: (count, digest) for name, count, digest in pg.execute(query, prepare=True)
            }

    return await asyncio.to_thread(read)  # a server of this thread may hold what it waits for


def _rows_of_all(pg: psycopg.Connection[Any]) -> sql.Composed:
    queries = []
    for (name,) in pg.execute(TABLES, [CLOCKWORK]):
        later = [*NOTED, *(CHAINED if name == "audit_events" else [])]
        row = sql.SQL(ROW).format(sql.Literal(later))
        table = sql.Identifier(name)
        queries.append(sql.SQL(ROWS).format(name=sql.Literal(name), row=row, table=table))
    return sql.SQL(" UNION ALL ").join(queries)


async def nothing_due(database_url: str) -> None:
    """Waits until no task is due, and every partner event has its number."""
    with databases.connected(database_url) as pg:
        async with asyncio.timeout(WAIT_SECONDS):
            while pg.execute(DUE).fetchall()[0][0]:  # noqa: ASYNC110 - a question
                await asyncio.sleep(0.01)
