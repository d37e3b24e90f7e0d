"""A repeat of a changing call gets the first answer again.

The row is inserted before the work, in the same transaction: a repeat that comes while the first is
still at it waits on the primary key, and finds the answer, or finds nothing because the first
rolled back and does the work itself. (DOMAIN, Redemption 3.)
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import (
    Column,
    DateTime,
    Index,
    LargeBinary,
    Table,
    Text,
    delete,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.database import metadata
from server.platform.errors import DomainError, Reason
from server.platform.statements import Command, Statement, run, run_together

idempotency_records = Table(
    "idempotency_records",
    metadata,
    Column("caller", Text, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("content_hash", LargeBinary, nullable=False),
    Column("answer", LargeBinary),
    Column("create_time", DateTime(timezone=True), nullable=False),
)
# rows arrive in the order of time, so a block range index finds the old ones at next to no cost for
# the new
Index("ix_idempotency_records_time", idempotency_records.c.create_time, postgresql_using="brin")

Key = tuple[str, str, str]
"""Caller (`partner:CP`, `terminal:T-1`, `admin:root`), method, request_id."""


class KeyedCall(NamedTuple):
    """A call that may be repeated: its key, and the hash of what it asks for."""

    key: Key
    content_hash: bytes


class KeptAnswer(NamedTuple):
    """A call, and what it was answered."""

    caller: str
    method: str
    request_id: str
    content_hash: bytes
    answer: bytes


_READ = Statement(
    """
SELECT r.caller, r.method, r.request_id, r.content_hash, r.answer
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (caller, method, request_id)
JOIN idempotency_records r USING (caller, method, request_id)
""",
    KeptAnswer,
)
# a key that is there already loses the race by its primary key
_STORE = Statement("""
INSERT INTO idempotency_records (caller, method, request_id, content_hash, answer, create_time)
SELECT v.*, $1::timestamptz
FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[]) v
""")

REPEAT_WAITS_SECONDS = 5
"""So long a repeat waits for the first call, if that is still at it; for any other row a call
waits much shorter.
"""


class StoredAnswer(NamedTuple):
    """What a call was answered, and the hash of what it asked for."""

    content_hash: bytes
    answer: bytes


_WAIT = Statement("SELECT set_config('lock_timeout', $1, true)", str)
_CLAIM = Statement(
    """
INSERT INTO idempotency_records (caller, method, request_id, content_hash, create_time)
VALUES ($1, $2, $3, $4::bytea, $5::timestamptz) ON CONFLICT DO NOTHING RETURNING request_id
""",
    str,
)
_WAIT_AS_USUAL = Statement("SET LOCAL lock_timeout TO DEFAULT")
_FIND = Statement(
    """
SELECT content_hash, answer FROM idempotency_records
WHERE caller = $1 AND method = $2 AND request_id = $3
""",
    StoredAnswer,
)
_FINISH = Statement("""
UPDATE idempotency_records SET answer = $4::bytea
WHERE caller = $1 AND method = $2 AND request_id = $3
""")


def read(keys: Sequence[Key]) -> Command[KeptAnswer] | None:
    """The first answers of calls with these keys."""
    return _READ.of_rows(keys)


def store(answers: Iterable[KeptAnswer], *, now: datetime) -> Command[None] | None:
    """Keeps answers for repeats, in the order of their keys: others may keep the same."""
    return _STORE.of_rows(sorted(answers), now)


def mismatch(request_id: str) -> DomainError:
    """IDEMPOTENCY_MISMATCH for a request_id that came with other content before."""
    return DomainError(
        Reason.IDEMPOTENCY_MISMATCH,
        f"request_id {request_id!r} was used with other content; use a new one for a new request",
    )


async def begin(
    tx: AsyncConnection,
    key: Key,
    content_hash: bytes,
    *,
    now: datetime,
    is_slow: bool = False,
) -> bytes | None:
    """Claims the key: None if the caller is to do the work and `finish`, else the first answer.

    Raises IDEMPOTENCY_MISMATCH. Waits while another transaction holds the key, REPEAT_WAITS_SECONDS
    at the most, or as long as the transaction waits for any lock if it `is_slow`.
    """
    wait = None if is_slow else _WAIT(f"{REPEAT_WAITS_SECONDS}s")
    wait_as_usual = None if is_slow else _WAIT_AS_USUAL()
    _, claimed, _ = await run_together(tx, wait, _CLAIM(*key, content_hash, now), wait_as_usual)
    if claimed:
        return None
    answer = await find(tx, key, content_hash)
    assert answer is not None, "a committed record has its answer"
    return answer


async def find(tx: AsyncConnection, key: Key, content_hash: bytes) -> bytes | None:
    """The first answer; None if there is none. Raises IDEMPOTENCY_MISMATCH."""
    found = await run(tx, _FIND(*key))
    if not found:
        return None
    if found[0].content_hash != content_hash:
        raise mismatch(key[2])
    return found[0].answer


async def finish(tx: AsyncConnection, key: Key, answer: bytes) -> None:
    """Stores the answer under the claimed key."""
    await run(tx, _FINISH(*key, answer))


async def purge(tx: AsyncConnection, *, now: datetime, keep: timedelta, limit: int) -> int:
    """Forgets up to `limit` answers older than `keep`; returns how many."""
    caller, method, request_id = (
        idempotency_records.c.caller,
        idempotency_records.c.method,
        idempotency_records.c.request_id,
    )
    old = (
        select(caller, method, request_id)
        .where(idempotency_records.c.create_time < now - keep)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    gone = await tx.execute(
        delete(idempotency_records).where(
            caller == old.c.caller, method == old.c.method, request_id == old.c.request_id
        )
    )
    return gone.rowcount
