"""The drift detector: what a channel was sent, value by value, beside what is true at this moment.

The truth is worked out anew of price plans, catalogue and stock, by the function that works it out
for sending; nothing is written. Seed 003 has no call that reads back what a vendor knows: what it
took when we sent it stands for that.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import REVOKED
from server.catalog.catalogue import Catalogues
from server.channels.channel_credentials import DISCONNECTING
from server.channels.channel_records import ChannelRecord
from server.channels.facts import Capability
from server.channels.listed_values import ListedDay, WantedValue, listed_days
from server.channels.listings import listings_of
from server.channels.registry import VENDORS
from server.channels.true_values import true_values
from server.platform.statements import Statement, run

ITEMS_AT_ONCE = 10
"""Worked out and compared together: each has up to 365 days of prices and quantities."""

Place = tuple[str, str, date]
"""Item, kind and day of a value: the order of drift."""


class DriftedValue(NamedTuple):
    """A value that the channel was sent otherwise, or not at all (`sent` is None), or is about to
    be. True is `wanted`. `is_waiting`: whoever sends knows that, and it waits to be sent.
    """

    what: str
    item_id: str
    day: date
    sent: int | None
    sent_currency_code: str | None
    sent_content: Mapping[str, Any] | None
    wanted: int
    currency_code: str | None
    content: Mapping[str, Any] | None
    is_waiting: bool
    fault: str
    sent_version: int

    @property
    def place(self) -> Place:
        """Where it stands in the list."""
        return self.item_id, self.what, self.day


class _Kept(NamedTuple):
    what: str
    item_id: str
    day: date
    wanted: int
    currency_code: str | None
    content: Mapping[str, Any] | None
    sent: int | None
    sent_currency_code: str | None
    sent_content: Mapping[str, Any] | None
    sent_version: int
    fault: str


# an item that is listed no more has to be known to have nothing left
_ITEMS = Statement(
    """
SELECT item_id FROM (
  SELECT item_id FROM channel_listings WHERE channel_code = $1
  UNION
  SELECT item_id FROM channel_values
  WHERE channel_code = $1 AND what = 'AVAILABILITY' AND day >= $2::date
    AND (sent > 0 OR wanted > 0)) i
WHERE (item_id > $3 OR item_id = $4) AND ($5 = '' OR item_id = $5)
ORDER BY item_id LIMIT $6::int
""",
    str,
)
_KEPT = Statement(
    """
SELECT what, item_id, day, wanted, currency_code, content, sent, sent_currency_code, sent_content,
  sent_version, fault
FROM channel_values
WHERE channel_code = $1 AND what IN ('STATIC', 'PRICES', 'AVAILABILITY')
  AND item_id = ANY($2::text[]) AND day >= $3::date
""",
    _Kept,
)
_NOTHING = _Kept("", "", date.max, 0, None, None, None, None, None, 0, "")


class DriftDetector:
    """Compares channels with the truth."""

    def __init__(self, catalogues: Catalogues, zone: ZoneInfo) -> None:
        self._catalogues = catalogues
        self._zone = zone

    async def page(
        self,
        tx: AsyncConnection,
        channel: ChannelRecord,
        *,
        item_id: str = "",
        after: Place | None = None,
        limit: int,
        now: datetime,
    ) -> list[DriftedValue]:
        """Up to `limit` values after one, by item, kind and day; of one item if it is named."""
        found: list[DriftedValue] = []
        async with aclosing(self.every(tx, channel, item_id=item_id, after=after, now=now)) as all_:
            async for each in all_:
                found.append(each)
                if len(found) == limit:
                    break
        return found

    async def count(
        self, tx: AsyncConnection, channel: ChannelRecord, *, now: datetime
    ) -> Counter[str]:
        """How many there are, by kind."""
        found = Counter[str]()
        async for each in self.every(tx, channel, now=now):
            found[each.what] += 1
        return found

    async def every(
        self,
        tx: AsyncConnection,
        channel: ChannelRecord,
        *,
        item_id: str = "",
        after: Place | None = None,
        now: datetime,
    ) -> AsyncGenerator[DriftedValue, None]:
        """All after one; a few items are in memory at a time. Raises DATABASE_UNAVAILABLE."""
        today = now.astimezone(self._zone).date()
        past = first = after[0] if after else ""
        while True:
            command = _ITEMS(channel.channel_code, today, past, first, item_id, ITEMS_AT_ONCE)
            items = await run(tx, command)
            for each in await self._of_items(tx, channel, items, today=today, now=now):
                if after is None or each.item_id != after[0] or each.place > after:
                    yield each
            if len(items) < ITEMS_AT_ONCE:
                return
            past, first = items[-1], ""

    async def _of_items(
        self,
        tx: AsyncConnection,
        channel: ChannelRecord,
        item_ids: Sequence[str],
        *,
        today: date,
        now: datetime,
    ) -> list[DriftedValue]:
        catalogue, code = await self._catalogues.get(), channel.channel_code
        has_ended = channel.state in {DISCONNECTING, REVOKED}  # nothing is to be left of anything
        listings = [] if has_ended else await listings_of(tx, code, item_ids)
        days: list[ListedDay] = []
        for listing in listings:
            days += listed_days(
                catalogue, [listing], partner_id=channel.partner_id, today=today, now=now
            )
            await asyncio.sleep(0)  # calls go on meanwhile
        found = await true_values(tx, catalogue, channel, listings, days, today=today, now=now)
        able = VENDORS[channel.vendor_code].capabilities
        truth = {
            (each.item_id, each.what, each.day): each
            for each in found
            if able & {each.what, Capability.FEED}
        }
        kept = {
            (each.item_id, each.what, each.day): each
            for each in await run(tx, _KEPT(code, item_ids, today))
        }
        for place in kept.keys() - truth.keys():  # it is listed no more, or not so far ahead
            item_id, what, day = place
            if what == Capability.AVAILABILITY and (kept[place].sent or kept[place].wanted):
                truth[place] = WantedValue(what, item_id, day, "", 0, None, None)
        order = {item_id: at for at, item_id in enumerate(item_ids)}
        places = sorted(truth, key=lambda place: (order[place[0]], *place[1:]))
        compared = [_compared(truth[place], kept.get(place, _NOTHING)) for place in places]
        return [each for each in compared if each]


def _compared(true: WantedValue, kept: _Kept) -> DriftedValue | None:
    content = None if true.content is None else orjson.loads(orjson.dumps(true.content))
    wanted = (true.wanted, true.currency_code, content)
    sent = (kept.sent, kept.sent_currency_code, kept.sent_content)
    is_kept = (kept.wanted, kept.currency_code, kept.content) == wanted and kept is not _NOTHING
    if is_kept and kept.sent_version and sent == wanted:
        return None
    return DriftedValue(
        *(true.what, true.item_id, true.day, *sent, *wanted),
        is_waiting=is_kept,
        fault=kept.fault,
        sent_version=kept.sent_version,
    )
