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
from server.audit.segments import Segment


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
    one; and checkpoints and segments by number.
    """

    head: Head | None
    is_head_ours: bool
    checkpoints: Sequence[Checkpoint]
    segments: Sequence[Segment] = ()


class StartingPoint(NamedTuple):
    """Where a verification begins: after a position whose hash is trusted, and how many checkpoints
    and segments are left out.
    """

    position: int = 0
    chain_hash: bytes = canonical.FIRST_HASH
    checkpoints: int = 0
    segments: int = 0


FROM_THE_FIRST = StartingPoint()


def verify(
    events: Iterable[ChainedEvent],
    stored: Stored,
    keys: ChainKeys,
    *,
    kept: Sequence[Checkpoint] = (),
    start: StartingPoint = FROM_THE_FIRST,
    on_event: Callable[[int], None] = lambda _position: None,
) -> Fault | None:
    """The first fault of events in the order of their positions after that of `start`; None if
    there is none. What was found when the chain was resumed after a break is none: it stands in
    `stored.segments`, and whoever shows the one shows the other.

    `kept` are checkpoints that were kept elsewhere; `on_event` hears of each position that holds.
    """
    if fault := _segment_fault(stored.segments, keys) or _kept_fault(kept, keys):
        return fault
    stream = _Stream(events)
    for segment in stored.segments[start.segments :]:
        end = segment.begin_position - 1
        part = _Part(start, end, _between(stored, start.checkpoints, segment.checkpoints), kept)
        begun = stream.before(segment.begin_position)
        resumed = {each.fault for each in stored.segments[segment.segment_number - 2 :]}
        for fault in (
            part.checkpoint_fault(keys, segment.checkpoints, end),
            _part_fault(part, begun, keys, on_event),
        ):
            if fault and str(fault) not in resumed:
                return fault
        for _ in begun:  # after a fault: they hang on what is broken
            pass
        number = segment.segment_number - 1
        start = StartingPoint(end, segment.first_hash(), segment.checkpoints, number)
    last = _Part(start, None, _between(stored, start.checkpoints, None), kept)
    expected, at = (stored.head.checkpoints, stored.head.position) if stored.head else (0, 0)
    return last.checkpoint_fault(keys, expected, at) or _part_fault(
        last, stream.before(None), keys, on_event, stored=stored
    )


def _between(stored: Stored, after: int, until: int | None) -> list[Checkpoint]:
    """The checkpoints by number; below the first there are none but those somebody has made."""
    return [
        each
        for each in stored.checkpoints
        if (not after or each.checkpoint_number > after)
        and (until is None or each.checkpoint_number <= until)
    ]


class _Stream:
    """Events, up to one that is looked at before it is taken."""

    def __init__(self, events: Iterable[ChainedEvent]) -> None:
        self._events = iter(events)
        self._next = next(self._events, None)

    def before(self, position: int | None) -> Iterator[ChainedEvent]:
        """Those below a position; all without one."""
        while (found := self._next) and (position is None or found.position < position):
            self._next = next(self._events, None)
            yield found


class _Part(NamedTuple):
    """A segment of the chain as it is verified: where it begins, its last position, None for the
    one that goes on, its checkpoints, and those that were kept, of all segments.
    """

    start: StartingPoint
    end: int | None
    checkpoints: Sequence[Checkpoint]
    kept: Sequence[Checkpoint]

    def marks(self) -> dict[int, list[bytes]]:
        """What the chain's hash is at a position, by checkpoints."""
        marks: dict[int, list[bytes]] = {}
        for checkpoint in (*self.checkpoints, *self.kept):
            if self.start.position < checkpoint.position <= (self.end or checkpoint.position):
                marks.setdefault(checkpoint.position, []).append(checkpoint.chain_hash)
        return marks

    def checkpoint_fault(self, keys: ChainKeys, expected: int, end: int) -> Fault | None:
        """Whether one is missing, of those up to the number `expected` too, or is not ours; `end`
        is the position that stands for those missing from the end.
        """
        first = self.start.checkpoints + 1
        for index in range(max(len(self.checkpoints), expected - first + 1)):
            found = self.checkpoints[index] if index < len(self.checkpoints) else None
            if found is None or found.checkpoint_number != first + index:
                at = found.position if found else end
                what = f"checkpoint {first + index} is deleted from audit_checkpoints"
                return Fault(at, None, what)
            if not keys.has_signed(found):
                return Fault(
                    found.position, None, f"checkpoint {first + index} is not signed by us"
                )
        return None


def _part_fault(
    part: _Part,
    events: Iterable[ChainedEvent],
    keys: ChainKeys,
    on_event: Callable[[int], None],
    *,
    stored: Stored | None = None,
) -> Fault | None:
    """The first fault of a segment; `stored` for the one that goes on, whose end the head knows."""
    marks = part.marks()
    position, chain_hash = part.start.position, part.start.chain_hash
    for each in events:
        fault = _event_fault(each, position, chain_hash, keys)
        if fault is None and any(mark != each.chain_hash for mark in marks.get(each.position, ())):
            what = "the chain up to here is not the one that was signed by a checkpoint"
            fault = Fault(each.position, each.event.audit_id, what)
        if fault:
            return fault
        position, chain_hash = each.position, each.chain_hash
        on_event(position)
    if stored is not None:
        return _end_fault(position, chain_hash, stored, max(marks, default=0))
    assert part.end is not None
    return _deleted(position, part.end) if position < part.end else None


def _deleted(position: int, end: int) -> Fault:
    what = f"{end - position} deleted from the end" if end - position > 1 else "deleted"
    return Fault(position + 1, None, what)


def _segment_fault(segments: Sequence[Segment], keys: ChainKeys) -> Fault | None:
    for number, segment in enumerate(segments, start=2):
        if segment.segment_number != number:
            what = f"segment {number} is deleted from audit_segments"
            return Fault(segment.begin_position, None, what)
        if not keys.has_signed(segment):
            what = f"segment {number} is not signed by us"
            return Fault(segment.begin_position, None, what)
    return None


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
    if position < marked and not (head and stored.is_head_ours):
        return _deleted(position, marked)
    if head is None:
        if position or stored.checkpoints:
            return Fault(position + 1, None, "the chain's head is deleted from audit_heads")
        return None
    if not stored.is_head_ours:
        return Fault(position + 1, None, "the chain's head in audit_heads was changed")
    end = max(head.position, marked)
    if position < end:
        return _deleted(position, end)
    if position > head.position or chain_hash != head.chain_hash:
        return Fault(position, None, "the chain's head in audit_heads is of another chain")
    return None


def _kept_fault(kept: Sequence[Checkpoint], keys: ChainKeys) -> Fault | None:
    for checkpoint in kept:
        if not keys.has_signed(checkpoint):
            what = f"the line of checkpoint {checkpoint.checkpoint_number} is not signed by us"
            return Fault(checkpoint.position, None, what)
    return None
