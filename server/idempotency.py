"""A repeat of a changing call gets the first answer again.

The row is inserted before the work, in the same transaction: a repeat that comes while the first is still at it waits
on the primary key, and finds the answer, or finds nothing because the first rolled back and does the work itself.
(DOMAIN, Redemption 3.)
"""

from datetime import datetime, timedelta

from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    Index,
    LargeBinary,
    Table,
    Text,
    delete,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.db import metadata
from server.errors import DomainError, Reason

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
# rows arrive in the order of time, so a block range index finds the old ones at next to no cost for the new
Index("ix_idempotency_records_time", idempotency_records.c.create_time, postgresql_using="brin")

Key = tuple[str, str, str]
"""Caller (`partner:CP`, `terminal:T-1`, `admin:root`), method, request_id."""


def mismatch(request_id: str) -> DomainError:
    """IDEMPOTENCY_MISMATCH for a request_id that came with other content before."""
    return DomainError(
        Reason.IDEMPOTENCY_MISMATCH,
        f"request_id {request_id!r} was used with other content; use a new one for a new request",
    )


async def begin(
    tx: AsyncConnection, key: Key, content_hash: bytes, *, now: datetime
) -> bytes | None:
    """Claims the key: None if the caller is to do the work and `finish`, else the first answer.

    Raises IDEMPOTENCY_MISMATCH. Waits while another transaction holds the key, up to the lock timeout.
    """
    caller, method, request_id = key
    claimed = await tx.execute(
        pg_insert(idempotency_records)
        .values(
            caller=caller,
            method=method,
            request_id=request_id,
            content_hash=content_hash,
            create_time=now,
        )
        .on_conflict_do_nothing()
        .returning(idempotency_records.c.request_id)  # rowcount says nothing about an INSERT
    )
    if claimed.one_or_none():
        return None
    found = (
        await tx.execute(
            select(idempotency_records.c.content_hash, idempotency_records.c.answer).where(_is(key))
        )
    ).one()
    if found.content_hash != content_hash:
        raise mismatch(request_id)
    assert found.answer is not None, "a committed record has its answer"
    answer: bytes = found.answer
    return answer


async def finish(tx: AsyncConnection, key: Key, answer: bytes) -> None:
    """Stores the answer under the claimed key."""
    await tx.execute(update(idempotency_records).where(_is(key)).values(answer=answer))


async def purge(tx: AsyncConnection, *, now: datetime, keep: timedelta, most: int) -> int:
    """Forgets up to `most` answers older than `keep`; returns how many."""
    caller, method, request_id = (
        idempotency_records.c.caller,
        idempotency_records.c.method,
        idempotency_records.c.request_id,
    )
    old = (
        select(caller, method, request_id)
        .where(idempotency_records.c.create_time < now - keep)
        .limit(most)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    gone = await tx.execute(
        delete(idempotency_records).where(
            caller == old.c.caller, method == old.c.method, request_id == old.c.request_id
        )
    )
    return gone.rowcount


def _is(key: Key) -> ColumnElement[bool]:
    caller, method, request_id = key
    return (
        (idempotency_records.c.caller == caller)
        & (idempotency_records.c.method == method)
        & (idempotency_records.c.request_id == request_id)
    )
