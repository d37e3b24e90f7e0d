"""Reads the audit trail for its verification: as a stream, in one snapshot, with little memory."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import psycopg

from server.audit.chain_keys import ChainKeys, Checkpoint, Head
from server.audit.chaining import EVENT_COLUMNS, RecordedEvent
from server.audit.segments import Segment
from server.audit.verifying import (
    FROM_THE_FIRST,
    ChainedEvent,
    Fault,
    StartingPoint,
    Stored,
    verify,
)

READ_AT_ONCE = 2_000
"""Rows fetched in one round trip."""
BEFORE_ALL = -(1 << 63)
"""Below every position, also one that only SQL has given."""

_EVENTS = (
    f"SELECT position, chain_hash, chain_seal, {EVENT_COLUMNS} FROM audit_events"  # noqa: S608
    " WHERE position > %s ORDER BY position"
)
_HEAD = "SELECT position, chain_hash, checkpoints, begin_time, seal FROM audit_heads"
_CHECKPOINTS = (
    "SELECT checkpoint_number, position, chain_hash, create_time, signature FROM audit_checkpoints"
    " ORDER BY checkpoint_number"
)
_SEGMENTS = (
    "SELECT segment_number, begin_position, checkpoints, fault, actor, reason, create_time,"
    " signature FROM audit_segments ORDER BY segment_number"
)
_WAITING = (
    "SELECT count(*) FROM audit_events WHERE position IS NULL"
    " AND occurred_time < now() - interval '1 minute'"
)


class Verified(NamedTuple):
    """What a verification found: the first fault if any, how many events held, up to where the
    chain goes, the checkpoints, and how many events wait for their place for more than a minute.
    """

    fault: Fault | None
    events: int
    stored: Stored
    waiting: int


def verify_chain(
    connection: psycopg.Connection[Any],
    keys: ChainKeys,
    *,
    kept: Sequence[Checkpoint] = (),
    since_checkpoint: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Verified:
    """Verifies the chain, all of it or what came after the last checkpoint, in one snapshot.

    `connection` is in autocommit; `on_progress` hears now and then of the position reached and of
    the head's.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        stored = _stored(connection, keys)
        length, done = stored.head.position if stored.head else 0, 0

        def count(position: int) -> None:
            nonlocal done
            done += 1
            if done % READ_AT_ONCE == 0:
                on_progress(position, length)

        start = FROM_THE_FIRST
        if since_checkpoint:
            if (last := _last(stored)) and (fault := _last_fault(connection, last)):
                return Verified(fault, 0, stored, 0)
            start = _since(stored, last)
        events = _events(connection, start.position or BEFORE_ALL)
        fault = verify(events, stored, keys, kept=kept, on_event=count, start=start)
        ((waiting,),) = connection.execute(_WAITING).fetchall()
    return Verified(fault, done, stored, waiting)


def _last(stored: Stored) -> Checkpoint | None:
    """The last checkpoint of the segment that goes on."""
    begun = stored.segments[-1].begin_position if stored.segments else 0
    last = stored.checkpoints[-1] if stored.checkpoints else None
    return last if last and last.position >= begun else None


def _since(stored: Stored, last: Checkpoint | None) -> StartingPoint:
    """After a checkpoint; without one where the segment that goes on begins. All checkpoints of
    that are looked at.
    """
    begun = FROM_THE_FIRST
    if stored.segments:
        segment = stored.segments[-1]
        begun = StartingPoint(
            segment.begin_position - 1,
            segment.first_hash(),
            segment.checkpoints,
            len(stored.segments),
        )
    return begun._replace(position=last.position, chain_hash=last.chain_hash) if last else begun


def _last_fault(connection: psycopg.Connection[Any], last: Checkpoint) -> Fault | None:
    """Whether the event that a checkpoint was taken of is there yet."""
    if not last.position:
        return None
    query = "SELECT chain_hash FROM audit_events WHERE position = %s"
    if connection.execute(query, [last.position]).fetchall() == [(last.chain_hash,)]:
        return None
    what = f"not what checkpoint {last.checkpoint_number} was taken of"
    return Fault(last.position, None, what)


def _stored(connection: psycopg.Connection[Any], keys: ChainKeys) -> Stored:
    rows = connection.execute(_HEAD).fetchall()
    checkpoints = [Checkpoint(*row) for row in connection.execute(_CHECKPOINTS).fetchall()]
    segments = [Segment(*row) for row in connection.execute(_SEGMENTS).fetchall()]
    if not rows:
        return Stored(None, is_head_ours=False, checkpoints=checkpoints, segments=segments)
    *fields, seal = rows[0]
    head = Head(*fields)
    is_ours = keys.seal_head(head) == seal
    return Stored(head, is_head_ours=is_ours, checkpoints=checkpoints, segments=segments)


def _events(connection: psycopg.Connection[Any], after: int) -> Iterator[ChainedEvent]:
    with connection.cursor("audit_events") as cursor:
        cursor.itersize = READ_AT_ONCE
        for position, chain_hash, chain_seal, *event in cursor.execute(_EVENTS, [after]):
            yield ChainedEvent(position, chain_hash, chain_seal, RecordedEvent(*event))
