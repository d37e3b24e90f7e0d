"""The order of a partner's events: a sequence without gaps, given after the commit.

Events become visible in the order of commits, not of the numbers they could take when they are
made. So they take none: one sequencer, in whatever process, gives the next numbers to the events
that it finds without one. Whatever commits late comes later, and a reader who has read up to a
number has missed nothing before it.

Events of one ticket keep their order: who moves it second has waited for its lock until the first
move was committed, so whoever sees the second event sees the first as well, and `record_time`,
which both have from the database's clock while they held the lock, puts them in order.

What is to be delivered to the partner's webhook endpoints is written with the number.

Whoever has the sequencer's lock until its own commit may give its own events their numbers before
that, as the expiry of many tickets does (`record_numbered`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from server.platform import clock
from server.platform.database import Database
from server.platform.loops import Loops, Polling
from server.platform.statements import Command, Statement, commit_with
from server.webhooks import events
from server.webhooks.events import RECORDED

POLL_SECONDS = 0.5
"""How often a process looks for events that others have recorded."""
SPACING_SECONDS = 0.02
"""Between two looks: under load one look numbers many events, and each costs less."""
SEQUENCED_AT_ONCE = 2_000
LOCK = 0x44545402, 0x53455155
"""The advisory lock of the one sequencer; any numbers that nobody else uses."""
SEQUENCED = "partner_events_sequenced"
"""What a transaction that has given numbers notifies."""


class Sequenced(NamedTuple):
    """How many events of a partner got numbers."""

    partner_id: int
    events: int


# The numbers of the events in `placed`, each at a place among those of its partner.
_FEEDS = """
counted AS MATERIALIZED (SELECT partner_id, max(place) AS events FROM placed GROUP BY partner_id),
feeds AS (
  INSERT INTO partner_feeds AS f (partner_id, last_sequence)
  SELECT partner_id, events FROM counted ORDER BY partner_id
  ON CONFLICT (partner_id) DO UPDATE SET last_sequence = f.last_sequence + excluded.last_sequence
  RETURNING partner_id, last_sequence)
"""
_NUMBER = "feeds.last_sequence - counted.events + placed.place"
_NUMBERED = """
e.partner_id, e.event_id, e.sequence, e.type, e.subject, e.occurred_time,
  CASE WHEN e.type LIKE 'ticket.%' THEN e.data ->> 'batch_id' END AS batch
"""
# What waits for one of its subject, or for its batch's, that has failed for a while is not looked
# at before that. `$2` is now.
_SENT = """
sent AS (
  INSERT INTO webhook_deliveries (partner_id, endpoint_id, event_id, sequence, type, subject,
    occurred_time, state, due_time, attempts, create_time, update_time, batch)
  SELECT p.partner_id, p.endpoint_id, n.event_id, n.sequence, n.type, n.subject, n.occurred_time,
    'PENDING', greatest($2::timestamptz, (
      SELECT max(d.due_time) FROM webhook_deliveries d
      WHERE d.partner_id = p.partner_id AND d.endpoint_id = p.endpoint_id
        AND d.state = 'PENDING' AND d.subject = ANY(ARRAY[n.subject, n.batch])
        AND d.due_time > $2::timestamptz + interval '1 minute')),
    0, $2::timestamptz, $2::timestamptz, n.batch
  FROM numbered n JOIN webhook_endpoints p ON p.partner_id = n.partner_id
    AND p.state = 'ENABLED' AND (cardinality(p.types) = 0 OR n.type = ANY(p.types)))
SELECT partner_id, count(*)::int FROM numbered GROUP BY partner_id
"""
# In a statement after that of the lock: it sees all that the sequencer before it did. It is sent
# with that one, so it looks itself whether the transaction has the lock.
_SEQUENCE = Statement(
    f"""
WITH found AS MATERIALIZED (
  SELECT partner_id, event_id, record_time FROM partner_events
  WHERE sequence IS NULL AND current_setting('deeptravel.numbers_events', true) = 'true'
  ORDER BY record_time, event_id LIMIT $1::int),
placed AS MATERIALIZED (
  SELECT partner_id, event_id,
    row_number() OVER (PARTITION BY partner_id ORDER BY record_time, event_id) AS place
  FROM found),
{_FEEDS},
numbered AS (
  UPDATE partner_events e SET sequence = {_NUMBER}
  FROM placed JOIN counted USING (partner_id) JOIN feeds USING (partner_id)
  WHERE e.partner_id = placed.partner_id AND e.event_id = placed.event_id
  RETURNING {_NUMBERED}),
{_SENT}
""",  # noqa: S608 - our own
    Sequenced,
    notifies=SEQUENCED,
)
_RECORD_NUMBERED = Statement(
    f"""
WITH made AS MATERIALIZED ({events.OF_ALL}),
placed AS MATERIALIZED (
  SELECT *, row_number() OVER (PARTITION BY partner_id ORDER BY event_id) AS place FROM made),
{_FEEDS},
numbered AS (
  INSERT INTO partner_events AS e
    (partner_id, event_id, type, subject, data, occurred_time, sequence)
  SELECT partner_id, event_id, type, subject, data, occurred_time, {_NUMBER}
  FROM placed JOIN counted USING (partner_id) JOIN feeds USING (partner_id)
  RETURNING {_NUMBERED}),
{_SENT}
""",  # noqa: S608
    Sequenced,
    notifies=SEQUENCED,
)
_ANY_UNNUMBERED = Statement(
    "SELECT EXISTS (SELECT FROM partner_events WHERE sequence IS NULL)", bool
)
# by key whatever the tables have when it is planned, as those of pipelines are (PLANS_BY_KEY)
_TRY_LOCK = Statement(
    """
SELECT set_config('deeptravel.numbers_events',
    pg_try_advisory_xact_lock($1::int, $2::int)::text, true) = 'true'
  AND set_config('enable_seqscan', 'off', true) IS NOT NULL
  AND set_config('enable_hashjoin', 'off', true) IS NOT NULL
  AND set_config('enable_mergejoin', 'off', true) IS NOT NULL
""",
    bool,
)


class Sequencer:
    """Gives numbers to events, in the one process that has the lock at the moment."""

    def __init__(self, db: Database, loops: Loops | None = None) -> None:
        self._db = db
        self._loop = (loops or Loops()).add(
            "partner-events",
            Polling(
                self._look,
                POLL_SECONDS,
                spacing_seconds=SPACING_SECONDS,
                at_once=True,
                tolerated=(Exception,),  # one look that fails must not be the last
                due=_ANY_UNNUMBERED,
            ),
        )

    def start(self) -> None:
        """Begins to look, at once, and after each commit of this process that records."""
        self._db.notifications.listen(RECORDED, self._loop.wake)
        self._loop.start()

    async def stop(self) -> None:
        """Stops looking."""
        self._db.notifications.unlisten(RECORDED, self._loop.wake)
        await self._loop.end()

    async def _look(self) -> None:
        found = await sequence(self._db)
        if found is None or found == SEQUENCED_AT_ONCE:
            self._loop.wake()  # what the other process has not seen yet, and the rest


async def sequence(db: Database) -> int | None:
    """Gives numbers to events that are committed and have none, at most SEQUENCED_AT_ONCE; how
    many. None where another process is at it. Raises DATABASE_UNAVAILABLE.
    """
    async with db.pipeline() as pipeline, pipeline.transaction():
        (is_ours,), rows = await commit_with(pipeline, take_turn())
    return sum(row.events for row in rows) if is_ours else None


def take_turn() -> tuple[Command[bool], Command[Sequenced]]:
    """Takes the sequencer's lock, unless another process has it, and gives numbers to events that
    are committed and have none, at most SEQUENCED_AT_ONCE. To be run in this order.
    """
    return _TRY_LOCK(*LOCK), _SEQUENCE(SEQUENCED_AT_ONCE, clock.now())


def has_turn(locked: Sequence[bool], sequenced: Sequence[Sequenced]) -> bool:
    """Whether, after `take_turn`, no event that is committed waits for a number, nor gets one from
    anybody else until the end of the transaction.
    """
    return all(locked) and sum(row.events for row in sequenced) < SEQUENCED_AT_ONCE


def record_numbered(
    ticket_ids: Sequence[int], event_type: str, data: Mapping[str, Any], *, now: datetime
) -> Command[Sequenced]:
    """As `events.record_of_all`, with numbers at once, so that each event is written only once; for
    a transaction that `has_turn` and ends soon, since no other event gets a number until then.
    """
    return _RECORD_NUMBERED(*events.of_all(ticket_ids, event_type, data, now=now))
