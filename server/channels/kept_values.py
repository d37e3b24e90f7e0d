"""What a channel is to know and was sent, value by value, for administrators."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from server.platform.statements import Command, Statement


class KeptValue(NamedTuple):
    """A value as it is kept: what is wanted, what was sent, and why it was not; see
    models.channel_values.
    """

    what: str
    item_id: str
    day: date
    location: str
    wanted: int
    currency_code: str | None
    content: Mapping[str, Any] | None
    sent: int | None
    sent_content: Mapping[str, Any] | None
    is_waiting: bool
    fault: str
    wanted_time: datetime
    sent_time: datetime | None


_PAGE = Statement(
    """
SELECT what, item_id, day, location, wanted, currency_code, content, sent, sent_content,
  sent_version < wanted_version, fault, wanted_time, sent_time
FROM channel_values
WHERE channel_code = $1 AND ($2 = '' OR what = $2) AND ($3 = '' OR item_id = $3)
  AND (NOT $4::bool OR sent_version < wanted_version) AND (NOT $5::bool OR fault <> '')
  AND ($6::text IS NULL OR (what, item_id, day) > ($6, $7, $8::date))
ORDER BY what, item_id, day LIMIT $9::int
""",
    KeptValue,
)


def page(
    channel_code: str,
    *,
    what: str,
    item_id: str,
    waiting: bool,
    faulty: bool,
    after: tuple[str, str, date] | None,
    limit: int,
) -> Command[KeptValue]:
    """Up to `limit` values after one, by kind, item and day; empty filters do not count."""
    place = after or (None, "", None)
    return _PAGE(channel_code, what, item_id, waiting, faulty, *place, limit)
