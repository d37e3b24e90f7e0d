"""How many tickets and orders are in each state, for dashboards and `/metrics`.

No index names a ticket's state, since a redemption would have to change it (tickets/models.py): so
all rows are counted, by one job of the whole installation, and what it found is read by everybody.
The longer it takes the less often it is done: COUNTING_SHARE of the time at the most.
"""

import time
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.parties.rules import SANDBOX_BIT
from server.platform.database import Database, set_statement_timeout
from server.platform.loops import Loops, Polling
from server.platform.metrics import ORDER_STATES, STATES_AGE, TICKET_STATES
from server.platform.schedule import Progress
from server.tickets.rules import DAY_BITS, SEQUENCE_BITS

COUNTING_SHARE = 0.01
"""Of the time of one connection to the database."""
COUNT_SECONDS = 300
"""A count may take so long."""
SAMPLE_SECONDS = 15.0
"""How often a process reads what was counted; up to JITTER_SECONDS more, so that they take
turns.
"""
JITTER_SECONDS = 1.0

FIRST_OF_SANDBOXES = SANDBOX_BIT << DAY_BITS + SEQUENCE_BITS
STATES = {
    "TICKET": (
        *("PRE_GENERATED", "ACTIVE", "PARTIALLY_REDEEMED", "USED", "REFUNDING", "REFUNDED"),
        *("CHANGING", "CHANGED", "EXPIRED", "VOIDED"),
    ),
    "ORDER": ("PENDING", "PAID", "COMPLETED", "CANCELLED"),
}
_GAUGES = {"TICKET": TICKET_STATES, "ORDER": ORDER_STATES}
_COUNT = {
    "TICKET": """
SELECT state, count(*) AS items FROM tickets WHERE ticket_id < :sandboxes GROUP BY state
""",
    "ORDER": """
SELECT state, count(*) AS items FROM orders WHERE order_id < :sandboxes GROUP BY state
""",
}
_LAST = text(
    "SELECT max(count_time) AS counted, sum(DISTINCT seconds) AS seconds FROM state_counts"
)
_KEEP = text("""
INSERT INTO state_counts AS c (noun, state, items, count_time, seconds)
SELECT :noun, v.state, v.items, :now, :seconds
FROM unnest(CAST(:states AS text[]), CAST(:items AS bigint[])) AS v (state, items)
ON CONFLICT (noun, state) DO UPDATE SET
  items = excluded.items, count_time = excluded.count_time, seconds = excluded.seconds
""")
_READ = text("SELECT noun, state, items, count_time FROM state_counts")


class StateCount(NamedTuple):
    """How many tickets or orders (`noun` TICKET or ORDER) were in a state then."""

    noun: str
    state: str
    items: int
    count_time: datetime


async def count(tx: AsyncConnection, now: datetime) -> Progress:
    """The work of the job: counts, unless the last count took so long that it is too early."""
    last = (await tx.execute(_LAST)).one()
    if last.counted and now < last.counted + timedelta(seconds=last.seconds / COUNTING_SHARE):
        return Progress(more=False)
    await set_statement_timeout(tx, seconds=COUNT_SECONDS)
    for noun, query in _COUNT.items():
        began = time.perf_counter()
        rows = await tx.execute(text(query), {"sandboxes": FIRST_OF_SANDBOXES})
        found = {row.state: row.items for row in rows}
        states = STATES[noun]
        await tx.execute(
            _KEEP,
            {
                "noun": noun,
                "states": list(states),
                "items": [found.get(state, 0) for state in states],
                "now": now,
                "seconds": time.perf_counter() - began,
            },
        )
    return Progress(more=False)


async def read(tx: AsyncConnection) -> list[StateCount]:
    """What was counted last, in the order in which states follow each other; nothing before the
    first count.
    """
    found = {(row.noun, row.state): StateCount(*row) for row in await tx.execute(_READ)}
    every = [(noun, state) for noun, states in STATES.items() for state in states]
    return [found[each] for each in every if each in found]


class StateMetrics:
    """Has what was counted in this process's metrics."""

    def __init__(self, db: Database, loops: Loops) -> None:
        self._db = db
        polling = Polling(
            self.sample,
            SAMPLE_SECONDS,
            jitter_seconds=JITTER_SECONDS,
            at_once=True,
            tolerated=(Exception,),
        )
        self._loop = loops.add("state-metrics", polling)

    def start(self) -> None:
        """Begins to read, at once."""
        self._loop.start()

    async def stop(self) -> None:
        """Ends it."""
        await self._loop.end(within_seconds=2.0)

    async def sample(self) -> None:
        """Reads once. Raises DATABASE_UNAVAILABLE."""
        async with self._db.transaction() as tx:
            counts = await read(tx)
        for each in counts:
            _GAUGES[each.noun].labels(each.state).set(each.items)
            STATES_AGE.set(each.count_time.timestamp())
