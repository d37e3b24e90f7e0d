"""What a channel was sent with a word of its own, which an administrator may change: sent once
more, or, of a place where it sells, not lost.
"""

from collections.abc import Collection
from datetime import datetime

from server.platform.statements import Command, Statement

_REWORD = Statement(
    """
UPDATE channel_values SET wanted_version = wanted_version + 1, fault = '',
  wanted_time = CASE WHEN sent_version = wanted_version THEN $2::timestamptz ELSE wanted_time END
WHERE channel_code = $1 AND what = ANY($3::text[]) AND ($4 = '' OR location = $4)
  AND day >= $5::date AND sent_version > 0
RETURNING what
""",
    str,
)
_SOLD_AT = Statement(
    """
SELECT DISTINCT location FROM channel_values
WHERE channel_code = $1 AND what = 'AVAILABILITY' AND ($2 = '' OR item_id = $2) AND sent > 0
  AND day > $3::date
""",
    str,
)


def send_reworded(
    channel_code: str, kinds: Collection[str], *, location: str, now: datetime
) -> Command[str]:
    """Has these kinds of values sent once more that were sent with another word, of one location
    if it is named; a row for each.
    """
    return _REWORD(channel_code, now, list(kinds), location, now.date())


def sold_at(channel_code: str, *, item_id: str = "", now: datetime) -> Command[str]:
    """Our locations at which a channel was last sent that something is left, from tomorrow on; of
    one item if it is named.
    """
    return _SOLD_AT(channel_code, item_id, now.date())
