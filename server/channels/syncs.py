"""When each channel was last compared with each part of what it is to know, or asked for its
bookings, and when it is next.
"""

from collections.abc import Container, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from server.channels.cadence_rules import SyncPart, next_time
from server.channels.facts import Capability
from server.channels.registry import VENDORS
from server.platform.statements import Command, Statement, Transaction, run


class ChannelSync(NamedTuple):
    """A part of a channel: when the clock asked for it last, when it was done, when it is due."""

    channel_code: str
    part: SyncPart
    asked_time: datetime | None
    done_time: datetime | None
    due_time: datetime


class _Kept(NamedTuple):
    channel_code: str
    vendor_code: str
    part: str | None
    asked_time: datetime | None
    done_time: datetime | None


_ACTIVE = Statement(
    """
SELECT c.channel_code, c.vendor_code, s.part, s.asked_time, s.done_time
FROM channels c LEFT JOIN channel_syncs s USING (channel_code)
WHERE c.state = 'ACTIVE' AND ($1 = '' OR c.channel_code = $1) ORDER BY c.channel_code
""",
    _Kept,
)
_ASKED = Statement("""
INSERT INTO channel_syncs (channel_code, part, asked_time)
SELECT n.channel_code, n.part, $1::timestamptz
FROM unnest($2::text[], $3::text[]) AS n (channel_code, part) ORDER BY 1, 2
ON CONFLICT (channel_code, part) DO UPDATE SET asked_time = excluded.asked_time
""")
_DONE = Statement("""
INSERT INTO channel_syncs (channel_code, part, asked_time, done_time)
SELECT $1, n.part, $2::timestamptz, $2::timestamptz FROM unnest($3::text[]) AS n (part) ORDER BY 2
ON CONFLICT (channel_code, part) DO UPDATE SET done_time = excluded.done_time
""")


async def active(
    tx: Transaction, now: datetime, zone: ZoneInfo, peak: Container[int], channel_code: str = ""
) -> list[ChannelSync]:
    """The parts of one channel, or of all, that are neither paused nor revoked."""
    found = await run(tx, _ACTIVE(channel_code))
    kept = {(each.channel_code, each.part): each for each in found}
    vendors = dict.fromkeys((each.channel_code, each.vendor_code) for each in found)
    syncs = []
    for code, vendor_code in vendors:
        for part in _parts(VENDORS[vendor_code].capabilities):
            row = kept.get((code, part))
            asked, done = (row.asked_time, row.done_time) if row else (None, None)
            due = next_time(part, asked, now.astimezone(zone), peak)
            syncs.append(ChannelSync(code, part, asked, done, due))
    return syncs


def note_asked(asked: Iterable[ChannelSync], *, now: datetime) -> Command[None] | None:
    """The clock has asked for these."""
    return _ASKED.of_rows([(each.channel_code, each.part) for each in asked], now)


def note_done(channel_code: str, *parts: str, now: datetime) -> Command[None]:
    """These parts of a channel are done."""
    return _DONE(channel_code, now, parts)


def _parts(capabilities: frozenset[Capability]) -> Iterator[SyncPart]:
    fetches = Capability.FEED in capabilities
    for part in SyncPart:
        needed = Capability.PRICES if part.startswith("PRICES") else part
        if part in {SyncPart.BOOKINGS, SyncPart.STATUS}:
            if {Capability.BOOKINGS, Capability.CONFIRM} <= capabilities:
                yield part
        elif part is SyncPart.EVERYTHING:
            if not fetches:  # which gets everything each time
                yield part
        elif fetches or needed in capabilities:
            yield part
