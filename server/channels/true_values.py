"""All that is true of what is listed at a channel, at a moment: worked out of price plans,
catalogue and stock for whoever sends it (pushing.py), and for whoever compares it with what was
sent (drifting.py).
"""

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.catalogue import Catalogue
from server.channels.channel_records import ChannelRecord
from server.channels.facts import Capability
from server.channels.feed_items import feed_values
from server.channels.listed_values import ListedDay, WantedValue, wanted_values
from server.channels.listings import ChannelListing
from server.channels.registry import VENDORS
from server.channels.static_values import static_values


async def true_values(
    tx: AsyncConnection,
    catalogue: Catalogue,
    channel: ChannelRecord,
    listings: Sequence[ChannelListing],
    days: Sequence[ListedDay],
    *,
    today: date,
    now: datetime,
) -> list[WantedValue]:
    """Prices and quantities of `days`, the days ahead of these listings, and what the listings are
    on whatever day.
    """
    able = VENDORS[channel.vendor_code].capabilities
    values = await wanted_values(tx, catalogue, days, partner_id=channel.partner_id, now=now)
    if Capability.STATIC in able:
        values += static_values(catalogue, listings)
    if Capability.FEED in able:
        values += feed_values(catalogue, listings, today=today)
    return values
