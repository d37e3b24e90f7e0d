"""Whether the audit trail is as it was written: the first event that is not. Pure: rows in, fault
out, one by one.

What is known, with the secret key: an event that was changed, deleted from the middle, written past
the server or put at another place, and events deleted from the end, whose head stays; a checkpoint
that was changed or deleted. What cannot be known from the database alone: that all of it (events,
head and checkpoints) was put back to what it was at an earlier moment. A checkpoint's line that is
kept elsewhere shows that, up to the moment it was taken; and an event deleted in the second before
it is chained is not missed by anybody.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from server.audit import canonical
from server.audit.chain_keys import ChainKeys, Checkpoint, Head
from server.audit.chaining import RecordedEvent


class ChainedEvent(NamedTuple):
    """An event at its place in the chain."""

    position: int
    chain_hash: bytes
    chain_seal: bytes
    event: RecordedEvent


class Fault(NamedTuple):
    """The first thing that is wrong: where, which event if it is there, and what."""

    position: int
    audit_id: UUID | None
    what: str

    def __str__(self) -> str:
        named = f" ({self.audit_id})" if self.audit_id else ""
        return f"position {self.position}{named}: {self.what}"


class Stored(NamedTuple):
    """What the database has beside the events: the head, whether its seal is ours, None without
    one; and the checkpoints by number.
    """

    head: Head | None
    is_head_ours: bool
    checkpoints: Sequence[Checkpoint]


def verify(
    events: Iterable[ChainedEvent],
    stored: Stored,
    keys: ChainKeys,
    *,
    kept: Sequence[Checkpoint] = (),
    start: tuple[int, bytes] = (0, canonical.FIRST_HASH),
    on_event: Callable[[int], None] = lambda _position: None,
) -> Fault | None:
    """The first fault of events in the order of their positions after that of `start`, whose hash
    is trusted; None if there is none.

    `kept` are checkpoints that were kept elsewhere; `on_event` hears of each position that holds.
    """
    if fault := _checkpoint_fault(stored, keys, kept):
        return fault
    marks: dict[int, list[bytes]] = {}
    for checkpoint in (*stored.checkpoints, *kept):
        marks.setdefault(checkpoint.position, []).append(checkpoint.chain_hash)
    position, chain_hash = start
    for each in events:
        fault = _event_fault(each, position, chain_hash, keys)
        if fault is None and any(mark != each.chain_hash for mark in marks.get(each.position, ())):
            what = "the chain up to here is not the one that was signed by a checkpoint"
            fault = Fault(each.position, each.event.audit_id, what)
        if fault:
            return fault
        position, chain_hash = each.position, each.chain_hash
        on_event(position)
    return _end_fault(position, chain_hash, stored, max(marks, default=0))


def _event_fault(
    each: ChainedEvent, position: int, chain_hash: bytes, keys: ChainKeys
) -> Fault | None:
    event, digest = each.event, each.event.digest()
    if each.position <= position:
        return Fault(each.position, event.audit_id, "written past the server")
    if each.position != position + 1:
        missing = each.position - position - 1
        what = f"{missing} deleted, up to position {each.position - 1}"
        return Fault(position + 1, None, what if missing > 1 else "deleted")
    if not keys.is_ours(digest, event.seal):
        what = "changed since it was recorded" if event.seal else "written past the server"
        return Fault(each.position, event.audit_id, what)
    if each.chain_hash != canonical.chain_hash(chain_hash, each.position, digest):
        what = "not the event that was chained here, or the one before is not"
        return Fault(each.position, event.audit_id, what)
    if each.chain_seal != keys.seal_place(each.position, each.chain_hash):
        return Fault(each.position, event.audit_id, "chained by somebody without the secret key")
    return None


def _end_fault(position: int, chain_hash: bytes, stored: Stored, marked: int) -> Fault | None:
    head = stored.head
    if head is None:
        if position or stored.checkpoints:
            return Fault(position + 1, None, "the chain's head is deleted from audit_heads")
        return Fault(1, None, "deleted: a checkpoint was taken of it") if marked else None
    if not stored.is_head_ours:
        return Fault(position + 1, None, "the chain's head in audit_heads was changed")
    end = max(head.position, marked)
    if position < end:
        what = f"{end - position} deleted from the end" if end - position > 1 else "deleted"
        return Fault(position + 1, None, what)
    if position > head.position or chain_hash != head.chain_hash:
        return Fault(position, None, "the chain's head in audit_heads is of another chain")
    return None


def _checkpoint_fault(stored: Stored, keys: ChainKeys, kept: Sequence[Checkpoint]) -> Fault | None:
    for number, checkpoint in _numbered(stored):
        if checkpoint is None or checkpoint.checkpoint_number != number:
            at = checkpoint.position if checkpoint else stored.head.position if stored.head else 0
            return Fault(at, None, f"checkpoint {number} is deleted from audit_checkpoints")
        if not keys.has_signed(checkpoint):
            return Fault(checkpoint.position, None, f"checkpoint {number} is not signed by us")
    for checkpoint in kept:
        if not keys.has_signed(checkpoint):
            what = f"the line of checkpoint {checkpoint.checkpoint_number} is not signed by us"
            return Fault(checkpoint.position, None, what)
    return None


def _numbered(stored: Stored) -> Iterator[tuple[int, Checkpoint | None]]:
    """The checkpoints by the numbers they should have; None for those missing from the end."""
    found = len(stored.checkpoints)
    expected = stored.head.checkpoints if stored.head else found
    for index in range(max(found, expected)):
        yield index + 1, stored.checkpoints[index] if index < found else None
