"""The tasks of channels by their names and keys, and how they are asked for: in the transaction of
what makes them due.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels.facts import Capability
from server.platform.outbox import NewTask, enqueue
from server.platform.statements import run

WORK_OUT = "channel.work_out"
"""Has the values of a channel worked out; the key is its code, or `channel:PART` for a part of
them, see cadence_rules.is_due.
"""
PUSH = "channel.push"
"""Has what waits sent; the key is `channel:WHAT`."""
FETCH = "channel.fetch"
"""Has the bookings of a channel fetched; the key is `channel:NEW` or `channel:ALL`."""
BOOK = "channel.book"
"""Has a booking worked on; the key is `channel:booking`."""
DISCONNECT = "channel.disconnect"
"""Has a channel ended that is being disconnected; the key is its code."""
PROBE = "channel.probe"
"""Has a channel called that nothing else calls; the key is its code."""
NEW, ALL = "NEW", "ALL"
PUSHED = (Capability.STATIC, Capability.AVAILABILITY, Capability.PRICES)


def ask(kind: str, keys: Sequence[str], now: datetime) -> list[NewTask]:
    """Tasks of a kind, due now."""
    return [NewTask(kind, key, {}, now) for key in keys]


async def ask_for(tx: AsyncConnection, kind: str, *keys: str, now: datetime) -> None:
    """Has them done by a server that runs; one that waits already is done once."""
    await run(tx, enqueue(*ask(kind, keys, now), now=now))


def push_keys(channel_code: str) -> list[str]:
    """The keys of what is pushed to a channel."""
    return [f"{channel_code}:{what}" for what in PUSHED]


def fetch_key(channel_code: str, which: str) -> str:
    """The key of a fetch."""
    return f"{channel_code}:{which}"
