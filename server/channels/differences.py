"""The report of a full sync: of which values a channel had been sent others than are true, or none,
and whether it was sent these since.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from server.channels.static_values import NO_DAY
from server.platform.currencies import decimal_text
from server.platform.statements import Command, Statement

MOST_ROWS = 200_000
"""Of a file."""
COLUMNS = (
    *("sync_time", "what", "item_id", "day", "sent", "sent_currency", "true", "currency"),
    *("corrected", "fault"),
)
CHOSEN = ("item_id", "fault")
"""Of these the columns that are texts which people chose."""
KEPT = timedelta(days=7)
"""As long as values are kept after their day, so that each is there to say whether it was sent."""


class ValueDifference(NamedTuple):
    """A value of which a channel had been sent `sent`, None if nothing; true was `wanted`. See
    models.channel_differences.
    """

    sync_time: datetime
    what: str
    item_id: str
    day: date
    sent: int | None
    sent_currency_code: str | None
    sent_content: Mapping[str, Any] | None
    wanted: int
    currency_code: str | None
    content: Mapping[str, Any] | None
    is_corrected: bool
    fault: str

    def cells(self) -> tuple[object, ...]:
        """As COLUMNS; amounts with the decimals of their currency, static data as JSON."""
        day = "" if self.day == NO_DAY else self.day.isoformat()
        return (
            *(self.sync_time.isoformat(timespec="seconds"), self.what, self.item_id, day),
            *(value_cells(self.sent, self.sent_currency_code, self.sent_content)),
            *(value_cells(self.wanted, self.currency_code, self.content)),
            *("yes" if self.is_corrected else "no", self.fault),
        )


# they are sent with their next version
_NOTE = Statement(
    """
INSERT INTO channel_differences
  (channel_code, sync_time, what, item_id, day, sent, sent_currency_code, sent_content, wanted,
   currency_code, content, version)
SELECT channel_code, $2::timestamptz, what, item_id, day, sent, sent_currency_code, sent_content,
  wanted, currency_code, content, wanted_version + 1
FROM channel_values WHERE channel_code = $1 AND day >= $3::date AND (sent_version = 0
  OR (sent, sent_currency_code, sent_content) IS DISTINCT FROM (wanted, currency_code, content))
RETURNING what
""",
    str,
)
_PAGE = Statement(
    """
SELECT d.sync_time, d.what, d.item_id, d.day, d.sent, d.sent_currency_code, d.sent_content,
  d.wanted, d.currency_code, d.content, COALESCE(v.sent_version >= d.version, false),
  COALESCE(v.fault, '')
FROM channel_differences d LEFT JOIN channel_values v USING (channel_code, what, item_id, day)
WHERE d.channel_code = $1 AND ($2 = '' OR d.what = $2) AND ($3 = '' OR d.item_id = $3)
  AND (NOT $4::bool OR COALESCE(v.sent_version, 0) < d.version)
  AND ($5::timestamptz IS NULL OR d.sync_time < $5
    OR d.sync_time = $5 AND (d.what, d.item_id, d.day) > ($6, $7, $8::date))
ORDER BY d.sync_time DESC, d.what, d.item_id, d.day LIMIT $9::int
""",
    ValueDifference,
)
_PURGE = Statement(
    """
DELETE FROM channel_differences WHERE (channel_code, sync_time, what, item_id, day) IN (
  SELECT channel_code, sync_time, what, item_id, day FROM channel_differences
  WHERE sync_time < $1::timestamptz LIMIT $2::int FOR UPDATE SKIP LOCKED)
RETURNING what
""",
    str,
)


def note(channel_code: str, *, today: date, now: datetime) -> Command[str]:
    """Keeps which values a channel was sent otherwise; a row for each."""
    return _NOTE(channel_code, now, today)


def page(
    channel_code: str,
    *,
    what: str,
    item_id: str,
    uncorrected: bool,
    after: tuple[datetime, str, str, date] | None,
    limit: int,
) -> Command[ValueDifference]:
    """Up to `limit` differences after one, of the newest sync first, by kind, item and day; empty
    filters do not count.
    """
    place = after or (None, "", "", None)
    return _PAGE(channel_code, what, item_id, uncorrected, *place, limit)


def every(channel_code: str, *, uncorrected: bool) -> Command[ValueDifference]:
    """The same of all kinds and items, up to MOST_ROWS."""
    return page(
        channel_code, what="", item_id="", uncorrected=uncorrected, after=None, limit=MOST_ROWS
    )


def purge(*, before: datetime, limit: int) -> Command[str]:
    """Forgets reports; a row for each difference."""
    return _PURGE(before, limit)


def value_cells(
    value: int | None, currency_code: str | None, content: Mapping[str, Any] | None
) -> tuple[str, str]:
    """A value as people read it, and its currency: amounts with their decimals, static data as
    JSON; both empty if there is none.
    """
    if content is not None:
        return orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode(), ""
    if value is None or currency_code is None:
        return "" if value is None else str(value), ""
    return decimal_text(value, currency_code), currency_code
