"""Tickets whose validity ends, and the job that makes them EXPIRED, run by a process of the
test's own.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from server.orders.ticket_expiry import TicketExpiry
from server.platform.clock import now
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.schedule import Job, Jobs
from server.tickets import validity

JOB = "expire-tickets"
AUDITED = """
SELECT t.ticket_id, count(*), min(e.actor), min(e.state) FROM tickets t
JOIN ticket_events e USING (ticket_id)
WHERE e.action = 'expired' GROUP BY 1
"""


class Expirer:
    """A process that runs the job when asked to; `page_tickets` as of TicketExpiry."""

    def __init__(self, db: Database, *, page_tickets: int = 200) -> None:
        self.db, self._expiry = db, TicketExpiry(page_tickets=page_tickets)

    async def run(self, cadence: timedelta = timedelta()) -> None:
        """A run, unless another process is at it or was within `cadence`."""
        await Jobs(self.db, []).run_if_due(Job(JOB, cadence, self._expiry.work))

    async def settle(self) -> None:
        """A run of the job after it, whoever else is at it."""
        more = True
        while more:
            async with self.db.transaction() as tx:
                more = (await validity.settle(tx, now())).more


@asynccontextmanager
async def an_expirer(database_url: str, **options: Any) -> AsyncIterator[Expirer]:
    """One over a database."""
    db = Database(load_settings(), database_url)
    try:
        yield Expirer(db, **options)
    finally:
        await db.close()


# A departure keeps the time that it has, and so what is on sale for it: only what was sold is of
# long ago.
_LONG_AGO = """
UPDATE snapshots
SET content = jsonb_set(content, '{offer}', content -> 'offer' || jsonb_build_object(
    'valid_from_time', (content -> 'offer' ->> 'valid_from_time')::timestamptz
    - interval '400 days', 'valid_until_time',
    (content -> 'offer' ->> 'valid_until_time')::timestamptz - interval '400 days',
    'reference_time', (content -> 'offer' ->> 'reference_time')::timestamptz - interval '400 days'))
  WHERE content ? 'offer' AND snapshot_id <> ALL(%(but)s::uuid[]);
UPDATE ticket_sales s SET reference_time = reference_time - interval '400 days'
  FROM tickets t WHERE t.ticket_id = s.ticket_id AND t.snapshot_id <> ALL(%(but)s::uuid[]);
UPDATE tickets t SET valid_from_time = valid_from_time - interval '400 days',
  valid_until_time = CASE WHEN s.passenger_index < 0
  AND cardinality(%(but)s::uuid[]) > 0 THEN valid_until_time
    ELSE valid_until_time - interval '400 days' END
  FROM ticket_sales s WHERE s.ticket_id = t.ticket_id AND t.snapshot_id <> ALL(%(but)s::uuid[])
"""


async def long_ago(world: Any, *, but: str = "") -> None:
    """All that was sold was for days that are over, `but` an order and what it shares with
    others.
    """
    rows = await world.sql(
        "SELECT snapshot_id FROM tickets JOIN orders USING (order_id) WHERE order_code = %s", but
    )
    async with world.pg.transaction():
        for statement in _LONG_AGO.split(";\n"):
            await world.pg.execute(statement, {"but": [snapshot for (snapshot,) in rows]})
