"""The log of calls to channels: every attempt, kept for a while."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from server.channels.calling import CallRecord
from server.platform.database import Database
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
VALUES ($1, $2::uuid, $3, $4, $5::int, $6, $7::int, $8::int, $9::int, $10, $11::timestamptz)
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


async def note(db: Database, call: CallRecord) -> None:
    """Keeps a call, in a transaction of its own."""
    row = (
        *(call.channel_code, task_id(call.create_time), call.endpoint, call.method),
        *(call.http_status, call.outcome, call.duration_ms, call.request_bytes),
        *(call.response_bytes, call.error, call.create_time),
    )
    async with db.transaction() as tx:
        await run(tx, _NOTE(*row))


def newest(channel_code: str, *, before: UUID | None, limit: int) -> Command[LoggedCall]:
    """A channel's calls, the newest first; from one on if `before` is given."""
    return _NEWEST(channel_code, before, limit)


def purge(now: datetime, keep: timedelta, *, limit: int) -> Command[bool]:
    """Forgets calls that are older; a row for each."""
    return _PURGE(now - keep, limit)
