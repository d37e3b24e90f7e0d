"""The log of calls to channels, and of those that come from them: every attempt, kept for a while.

A call of ours is noted before anything follows from it. Whoever calls us is answered first: what he
has ordered is in its own rows, and the log's are written beside the answers, those of many calls
together. So a process that is killed loses the notes of its last moment, and says nowhere that they
were.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog

from server.channels.calling import CallRecord
from server.platform.database import Database
from server.platform.errors import DomainError
from server.platform.loops import Loops, Polling
from server.platform.outbox import task_id
from server.platform.statements import Command, Statement, run


class LoggedCall(NamedTuple):
    """A call as the log shows it."""

    call_id: UUID
    endpoint: str
    method: str
    http_status: int
    outcome: str
    duration_ms: int
    request_bytes: int
    response_bytes: int
    error: str
    create_time: datetime


_NOTE = Statement("""
INSERT INTO channel_calls
  (channel_code, call_id, endpoint, method, http_status, outcome, duration_ms, request_bytes,
   response_bytes, error, create_time)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::int[], $6::text[],
  $7::int[], $8::int[], $9::int[], $10::text[], $11::timestamptz[])
""")
_NEWEST = Statement(
    """
SELECT call_id, endpoint, method, http_status, outcome, duration_ms, request_bytes,
  response_bytes, error, create_time
FROM channel_calls WHERE channel_code = $1 AND ($2::uuid IS NULL OR call_id < $2::uuid)
ORDER BY call_id DESC LIMIT $3::int
""",
    LoggedCall,
)
_PURGE = Statement(
    """
DELETE FROM channel_calls WHERE (channel_code, call_id) IN (
  SELECT channel_code, call_id FROM channel_calls WHERE create_time < $1::timestamptz
  LIMIT $2::int FOR UPDATE SKIP LOCKED)
RETURNING true
""",
    bool,
)


POLL_SECONDS = 5.0
"""What could not be written is tried again so much later."""
SPACING_SECONDS = 0.2
"""Between two writes at the least: one writes the notes of many calls."""
MOST_WAITING = 10_000
"""Notes that wait while the database is away; of more the oldest stand in the process's log."""

log = structlog.get_logger()


async def note(db: Database, *calls: CallRecord) -> None:
    """Keeps calls, in a transaction of its own."""
    rows = [
        (
            *(call.channel_code, task_id(call.create_time), call.endpoint, call.method),
            *(call.http_status, call.outcome, call.duration_ms, call.request_bytes),
            *(call.response_bytes, call.error, call.create_time),
        )
        for call in calls
    ]
    async with db.transaction() as tx:
        await run(tx, _NOTE.of_rows(rows))


class CallJournal:
    """Notes calls beside their answers, from `start` to `stop`."""

    def __init__(self, db: Database, loops: Loops) -> None:
        self._db = db
        self._waiting: list[CallRecord] = []
        poll = Polling(
            self.write, POLL_SECONDS, spacing_seconds=SPACING_SECONDS, tolerated=(DomainError,)
        )
        self._loop = loops.add("channel-call-log", poll)

    def note(self, call: CallRecord) -> None:
        """Has a call written soon."""
        self._waiting.append(call)
        if len(self._waiting) > MOST_WAITING:
            _report([self._waiting.pop(0)])
        self._loop.wake()

    def start(self) -> None:
        """Begins to write."""
        self._loop.start()

    async def stop(self) -> None:
        """Writes what waits; what cannot be written then stands in the process's log."""
        await self._loop.end()
        try:
            await self.write()
        except DomainError:
            _report(self._waiting)

    async def write(self) -> None:
        """Writes what waits. Raises DATABASE_UNAVAILABLE, and then it waits on."""
        calls, self._waiting = self._waiting, []
        if not calls:
            return
        try:
            await note(self._db, *calls)
        except Exception:
            self._waiting = calls + self._waiting
            raise


def _report(calls: Sequence[CallRecord]) -> None:
    for call in calls:
        log.warning(
            "channel.call_not_noted",
            channel=call.channel_code,
            endpoint=call.endpoint,
            outcome=call.outcome,
            error=call.error,
            called=call.create_time.isoformat(),
        )


def newest(channel_code: str, *, before: UUID | None, limit: int) -> Command[LoggedCall]:
    """A channel's calls, the newest first; from one on if `before` is given."""
    return _NEWEST(channel_code, before, limit)


def purge(now: datetime, keep: timedelta, *, limit: int) -> Command[bool]:
    """Forgets calls that are older; a row for each."""
    return _PURGE(now - keep, limit)
