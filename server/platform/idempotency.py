"""A repeat of a changing call gets the first answer again.

The row is inserted in the transaction of the work: a repeat that comes while the first is still at
it waits on the primary key, and finds the answer, or finds nothing because the first rolled back
and does the work itself. (DOMAIN, Redemption 3.)

The row is as small as it can be, since every scan writes one: docs/decisions.md has what it costs,
and why the answer to a scan is not read from its redemption event instead.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Self

from sqlalchemy import Column, DateTime, Index, LargeBinary, Table, Uuid, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.crypto import digest
from server.platform.database import metadata
from server.platform.errors import DomainError, Reason
from server.platform.statements import Command, Statement, run, run_together

idempotency_records = Table(
    "idempotency_records",
    metadata,
    # see KeyedCall
    Column("key", Uuid, primary_key=True),
    Column("content_hash", LargeBinary, nullable=False),
    Column("answer", LargeBinary),
    Column("create_time", DateTime(timezone=True), nullable=False),
)
# rows arrive in the order of time, so a block range index finds the old ones at next to no cost for
# the new
Index("ix_idempotency_records_time", idempotency_records.c.create_time, postgresql_using="brin")

HASH_BYTES = 16
"""Of a key and of a content. Nobody finds two keys alike among those of another caller, and who
makes two of his own alike only gets IDEMPOTENCY_MISMATCH.
"""


class KeyedCall(NamedTuple):
    """A call that may be repeated: its key, and the hash of what it asks for."""

    key: str
    """In hexadecimal digits: what makes two calls the same one."""
    request_id: str
    content_hash: bytes

    @classmethod
    def of(cls, caller: str, method: str, request_id: str, content_hash: bytes) -> Self:
        """A call of `caller` (`partner:CP`, `terminal:T-1`, `admin:root`)."""
        named = f"{caller}\0{method}\0{request_id}"  # neither a caller nor a method has a NUL
        key = digest(named.encode())[:HASH_BYTES].hex()
        return cls(key, request_id, content_hash[:HASH_BYTES])


class KeptAnswer(NamedTuple):
    """The key of a call, the hash of what it asked for, and what it was answered."""

    key: str
    content_hash: bytes
    answer: bytes


_READ = Statement(
    """
SELECT encode(uuid_send(key), 'hex'), content_hash, answer
FROM idempotency_records WHERE key = ANY($1::uuid[])
""",
    KeptAnswer,
)
# a key that is there already loses the race by its primary key
_STORE = Statement("""
INSERT INTO idempotency_records (key, content_hash, answer, create_time)
SELECT v.*, $1::timestamptz FROM unnest($2::uuid[], $3::bytea[], $4::bytea[]) v
""")

REPEAT_WAITS_SECONDS = 5
"""So long a repeat waits for the first call, if that is still at it; for any other row a call
waits much shorter.
"""


_WAIT = Statement("SELECT set_config('lock_timeout', $1, true)", str)
_CLAIM = Statement(
    """
INSERT INTO idempotency_records (key, content_hash, create_time)
VALUES ($1::uuid, $2::bytea, $3::timestamptz) ON CONFLICT DO NOTHING RETURNING true
""",
    bool,
)
_WAIT_AS_USUAL = Statement("SET LOCAL lock_timeout TO DEFAULT")
_FINISH = Statement("UPDATE idempotency_records SET answer = $2::bytea WHERE key = $1::uuid")


def read(keys: Sequence[str]) -> Command[KeptAnswer] | None:
    """The first answers of calls with these keys."""
    return _READ(keys) if keys else None


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
    tx: AsyncConnection, call: KeyedCall, *, now: datetime, is_slow: bool = False
) -> bytes | None:
    """Claims the key: None if the caller is to do the work and `finish`, else the first answer.

    Raises IDEMPOTENCY_MISMATCH. Waits while another transaction holds the key, REPEAT_WAITS_SECONDS
    at the most, or as long as the transaction waits for any lock if it `is_slow`.
    """
    wait = None if is_slow else _WAIT(f"{REPEAT_WAITS_SECONDS}s")
    wait_as_usual = None if is_slow else _WAIT_AS_USUAL()
    claim = _CLAIM(call.key, call.content_hash, now)
    _, claimed, _ = await run_together(tx, wait, claim, wait_as_usual)
    if claimed:
        return None
    answer = await find(tx, call)
    assert answer is not None, "a committed record has its answer"
    return answer


async def find(tx: AsyncConnection, call: KeyedCall) -> bytes | None:
    """The first answer; None if there is none. Raises IDEMPOTENCY_MISMATCH."""
    found = await run(tx, _READ([call.key]))
    if not found:
        return None
    if found[0].content_hash != call.content_hash:
        raise mismatch(call.request_id)
    return found[0].answer


async def finish(tx: AsyncConnection, call: KeyedCall, answer: bytes) -> None:
    """Stores the answer under the claimed key."""
    await run(tx, _FINISH(call.key, answer))


async def purge(tx: AsyncConnection, *, now: datetime, keep: timedelta, limit: int) -> int:
    """Forgets up to `limit` answers older than `keep`; returns how many."""
    records = idempotency_records.c
    old = (
        select(records.key)
        .where(records.create_time < now - keep)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    gone = await tx.execute(delete(idempotency_records).where(records.key == old.c.key))
    return gone.rowcount
