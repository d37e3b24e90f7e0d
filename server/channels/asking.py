"""What administrators ask for at once instead of by the clock: audited, and done by a server that
runs.
"""

from typing import Unpack

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.audit.trail import AuditedChange, audit
from server.channels import booking_rules as rules
from server.channels import bookings
from server.channels.booking_seals import StoredBooking
from server.channels.cadence_rules import SyncPart
from server.channels.channel_records import CHANNELS
from server.channels.due import ALL, BOOK, FETCH, WORK_OUT, ask_for, fetch_key
from server.channels.facts import Capability
from server.channels.registry import VENDORS
from server.platform.errors import invalid, not_found
from server.platform.statements import run


async def sync_channel(
    tx: AsyncConnection, channel_code: str, *, everything: bool, **by: Unpack[By]
) -> None:
    """Has a channel compared with catalogue and stock, and sent what differs, or everything with a
    report of what differed. Raises NOT_FOUND, REVOKED.
    """
    await CHANNELS.lock_active(tx, channel_code)
    key = f"{channel_code}:{SyncPart.EVERYTHING}" if everything else channel_code
    await ask_for(tx, WORK_OUT, key, now=by["now"])
    await _trace(tx, "sync", "channel", channel_code, {"everything": everything}, **by)


async def fetch_bookings(tx: AsyncConnection, channel_code: str, **by: Unpack[By]) -> None:
    """Has all bookings of a channel fetched that are not over. Raises NOT_FOUND, REVOKED,
    INVALID_FIELD for a channel that lists none.
    """
    channel = await CHANNELS.lock_active(tx, channel_code)
    vendor = VENDORS[channel.vendor_code]
    if Capability.BOOKINGS not in vendor.capabilities:
        raise invalid("channel_code", f"is of {vendor.display_name_en}, which lists no bookings")
    await ask_for(tx, FETCH, fetch_key(channel_code, ALL), now=by["now"])
    await _trace(tx, "fetch", "channel", channel_code, {}, **by)


async def get_booking(tx: AsyncConnection, channel_code: str, booking_id: str) -> StoredBooking:
    """A booking of a channel. Raises NOT_FOUND, also for the channel."""
    await CHANNELS.get(tx, channel_code)
    found = await run(tx, bookings.read(channel_code, booking_id))
    if not found:
        raise not_found("channel booking", f"{channel_code}/{booking_id}")
    return found[0]


async def retry_booking(
    tx: AsyncConnection, channel_code: str, booking_id: str, **by: Unpack[By]
) -> StoredBooking:
    """Has a booking looked at again at once; of one that is over that changes nothing. Raises
    NOT_FOUND, REVOKED, INVALID_FIELD for one that could not be read.
    """
    await CHANNELS.lock_active(tx, channel_code)
    booking = await get_booking(tx, channel_code, booking_id)
    if booking.state == rules.UNREADABLE:
        raise invalid("booking_id", "is of one that could not be read; have bookings fetched anew")
    await ask_for(tx, BOOK, booking.name, now=by["now"])
    await _trace(tx, "retry", "channel_booking", booking.name, {"state": booking.state}, **by)
    return booking


async def _trace(
    tx: AsyncConnection,
    action: str,
    resource: str,
    name: str,
    after: dict[str, object],
    **by: Unpack[By],
) -> None:
    change = AuditedChange(by["actor"], action, resource, name, None, after)
    await run(tx, audit(change, now=by["now"]))
