"""Resumes a chain that is broken: a new segment, signed with what was found, who says so and why.

A sequencer chains nothing to a head that was deleted or changed, and no verification gets past an
event that was: somebody has to look at it first. What is found then stays in `audit_segments`, in
an event of the trail and in the new segment's first hash.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.chain_keys import ChainKeys, Checkpoint, Head
from server.audit.chaining import move_head
from server.audit.segments import Segment
from server.audit.trail import AuditedChange, audit
from server.platform.statements import Statement, run


class _Known(NamedTuple):
    """The highest that is known: position, number of a checkpoint and of a segment."""

    position: int
    checkpoints: int
    segments: int


_KNOWN = Statement(
    "SELECT greatest((SELECT max(position) FROM audit_events),"
    " (SELECT max(position) FROM audit_checkpoints),"
    " (SELECT max(begin_position) - 1 FROM audit_segments), 0),"
    " greatest((SELECT max(checkpoint_number) FROM audit_checkpoints),"
    " (SELECT max(checkpoints) FROM audit_segments), 0),"
    " (SELECT coalesce(max(segment_number), 1) FROM audit_segments)",
    _Known,
)
_INSERT = Statement("""
INSERT INTO audit_segments (segment_number, begin_position, checkpoints, fault, actor, reason,
  create_time, signature)
VALUES ($1::bigint, $2::bigint, $3::bigint, $4::text, $5::text, $6::text, $7::timestamptz,
  decode($8::text, 'hex'))
""")


async def resume(
    tx: AsyncConnection,
    keys: ChainKeys,
    *,
    fault: str,
    head: Head | None,
    kept: Sequence[Checkpoint],
    actor: str,
    reason: str,
    now: datetime,
) -> Segment:
    """Begins a segment after all that is known of the chain, under the sequencer's lock, which the
    caller has; `head` is the stored one if it is ours.
    """
    (known,) = await run(tx, _KNOWN())
    position = max(known.position, head.position if head else 0, *(each.position for each in kept))
    checkpoints = max(known.checkpoints, head.checkpoints if head else 0)
    segment = keys.sign(
        Segment(known.segments + 1, position + 1, checkpoints, fault, actor, reason, now)
    )
    fields: list[Any] = [*segment[:-1], segment.signature.hex()]
    await run(tx, _INSERT(*fields))
    begun = head.begin_time if head else now
    await move_head(tx, keys, Head(position, segment.first_hash(), checkpoints, begun))
    after = {"begin_position": segment.begin_position, "checkpoints": checkpoints}
    number = segment.segment_number
    change = AuditedChange(
        actor, "resume", "audit_chain", number, {"fault": fault}, after, reason=reason
    )
    await run(tx, audit(change, now=now))
    return segment
