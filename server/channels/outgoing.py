"""What each channel is to know, and what it was sent: absolute values, of which the last wins.

A value that changes while an older one waits takes its place: so a storm of changes, or an outage,
makes at most one entry an item and day. What was sent is marked with the version that was sent; a
newer one goes on waiting.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from server.channels.listed_values import WantedValue
from server.platform.statements import Command, Statement


class PendingValue(NamedTuple):
    """A value that waits to be sent."""

    what: str
    item_id: str
    day: date
    location: str
    wanted: int
    currency_code: str | None
    content: Mapping[str, Any] | None
    wanted_version: int


class Drift(NamedTuple):
    """How far a channel is behind: `waiting` values, the oldest since `oldest_time`; `faulty` ones
    that cannot be sent as they are; `sent_time` of the last that was sent.
    """

    what: str
    known: int
    waiting: int
    faulty: int
    oldest_time: datetime | None
    sent_time: datetime | None


class ValueFault(NamedTuple):
    """Why values are not sent, such as one word that is mapped to nothing: how many, of which
    kinds, and the first item and day.
    """

    fault: str
    kinds: list[str]
    values: int
    item_id: str
    day: date


# a quantity that was read before a newer one was written comes too late; what was sent last counts,
# too, whatever was kept to be sent
_WANT = Statement(
    """
INSERT INTO channel_values AS v
  (channel_code, what, item_id, day, location, wanted, currency_code, stock_id, stock_version,
   content, wanted_version, wanted_time)
SELECT $1, n.what, n.item_id, n.day, n.location, n.wanted, n.currency_code, n.stock_id,
  n.stock_version, n.content, 1, $2::timestamptz
FROM unnest($4::text[], $5::text[], $6::date[], $7::text[], $8::bigint[], $9::text[],
    $10::bigint[], $11::bigint[], $12::jsonb[])
  AS n (what, item_id, day, location, wanted, currency_code, stock_id, stock_version, content)
ORDER BY n.what, n.item_id, n.day
ON CONFLICT (channel_code, what, item_id, day) DO UPDATE SET
  location = excluded.location, wanted = excluded.wanted, stock_id = excluded.stock_id,
  stock_version = excluded.stock_version, currency_code = excluded.currency_code,
  content = excluded.content, fault = '',
  wanted_version = v.wanted_version
    + CASE WHEN (v.wanted, v.currency_code, v.location, v.content) IS DISTINCT FROM
      (excluded.wanted, excluded.currency_code, excluded.location, excluded.content)
      OR v.fault <> '' OR v.sent_version = v.wanted_version
      AND (v.sent, v.sent_currency_code, v.sent_content) IS DISTINCT FROM
      (excluded.wanted, excluded.currency_code, excluded.content)
    THEN 1 ELSE 0 END,
  wanted_time = CASE WHEN v.sent_version = v.wanted_version THEN excluded.wanted_time
    ELSE v.wanted_time END
WHERE NOT $3::bool
  AND ((v.wanted, v.currency_code, v.location, v.stock_id, v.stock_version, v.content)
  IS DISTINCT FROM (excluded.wanted, excluded.currency_code, excluded.location,
    excluded.stock_id, excluded.stock_version, excluded.content) OR v.fault <> ''
  OR v.sent_version = v.wanted_version AND (v.sent, v.sent_currency_code, v.sent_content)
  IS DISTINCT FROM (excluded.wanted, excluded.currency_code, excluded.content))
  AND (v.stock_id IS DISTINCT FROM excluded.stock_id OR v.stock_version <= excluded.stock_version)
RETURNING v.what
""",
    str,
)
# of those that are listed no more, or not as far ahead, or of all: nothing of them is left
_END = Statement(
    """
UPDATE channel_values v SET wanted = 0, stock_id = NULL, stock_version = 0,
  wanted_version = wanted_version + 1,
  wanted_time = $2::timestamptz, fault = ''
WHERE channel_code = $1 AND what = 'AVAILABILITY' AND day >= $3::date
  AND (wanted > 0 OR $4::bool AND fault <> '')
  AND ($4::bool OR NOT EXISTS (SELECT FROM channel_listings l
    WHERE l.channel_code = $1 AND l.item_id = v.item_id AND v.day < $3::date + l.days_ahead))
RETURNING what
""",
    str,
)
# what is left of few, or of few no more
_WATCH = """
UPDATE channel_values v SET wanted = f.available, stock_version = f.version,
  wanted_version = wanted_version + 1, fault = '', urgent = true,
  wanted_time = CASE WHEN sent_version = wanted_version THEN $1::timestamptz ELSE wanted_time END
FROM (
  SELECT o.channel_code, o.item_id, o.day, s.stock_id, s.version,
    GREATEST(CASE WHEN s.closed THEN 0 ELSE s.total - s.held - s.sold END, 0) AS available
  FROM channels c
  JOIN channel_listings l ON l.channel_code = c.channel_code
  JOIN channel_values o ON o.channel_code = l.channel_code AND o.what = 'AVAILABILITY'
    AND o.item_id = l.item_id AND o.day >= $2::date AND {which}
  JOIN stocks s ON s.stock_id = o.stock_id
  WHERE c.state <> 'REVOKED'
    AND o.wanted <> GREATEST(CASE WHEN s.closed THEN 0 ELSE s.total - s.held - s.sold END, 0)
    AND LEAST(o.wanted, CASE WHEN s.closed THEN 0 ELSE s.total - s.held - s.sold END)
      <= l.threshold
  ORDER BY 1, 2, 3) f
WHERE v.channel_code = f.channel_code AND v.what = 'AVAILABILITY' AND v.item_id = f.item_id
  AND v.day = f.day AND v.stock_id = f.stock_id AND v.stock_version <= f.version
RETURNING v.channel_code
"""
_WATCH_ALL = Statement(_WATCH.format(which="o.stock_id IS NOT NULL"), str)
_WATCH_SOME = Statement(_WATCH.format(which="o.stock_id = ANY($3::bigint[])"), str)
# what an item is comes before its prices and quantities, unless it cannot be sent
_PENDING = Statement(
    """
SELECT what, item_id, day, location, wanted, currency_code, content, wanted_version
FROM channel_values v
WHERE channel_code = $1 AND what = $2 AND sent_version < wanted_version AND fault = ''
  AND day >= $3::date AND (what = 'STATIC' OR NOT EXISTS (
    SELECT FROM channel_values s WHERE s.channel_code = $1 AND s.what = 'STATIC'
      AND s.item_id = v.item_id AND s.sent_version = 0 AND s.fault = ''))
ORDER BY urgent DESC, wanted_time LIMIT $4::int
""",
    PendingValue,
)
_SENT = Statement("""
UPDATE channel_values v SET sent = n.sent, sent_version = n.version, sent_time = $2::timestamptz,
  sent_before = CASE WHEN v.sent <> n.sent THEN v.sent ELSE v.sent_before END,
  sent_currency_code = n.currency_code, sent_content = n.content,
  urgent = urgent AND n.version < wanted_version
FROM unnest($3::text[], $4::text[], $5::date[], $6::bigint[], $7::text[], $8::jsonb[], $9::bigint[])
  AS n (what, item_id, day, sent, currency_code, content, version)
WHERE v.channel_code = $1 AND v.what = n.what AND v.item_id = n.item_id AND v.day = n.day
  AND v.sent_version < n.version AND n.version <= v.wanted_version
""")
_REFUSED = Statement("""
UPDATE channel_values v SET fault = n.fault
FROM unnest($2::text[], $3::text[], $4::date[], $5::bigint[], $6::text[])
  AS n (what, item_id, day, version, fault)
WHERE v.channel_code = $1 AND v.what = n.what AND v.item_id = n.item_id AND v.day = n.day
  AND v.wanted_version = n.version
""")
_AGAIN = Statement(
    """
UPDATE channel_values SET wanted_version = wanted_version + 1, fault = '',
  wanted_time = CASE WHEN sent_version = wanted_version THEN $2::timestamptz ELSE wanted_time END
WHERE channel_code = $1 AND day >= $3::date
RETURNING what
""",
    str,
)
_DRIFT = Statement(
    """
SELECT what, count(*), count(*) FILTER (WHERE sent_version < wanted_version AND fault = ''),
  count(*) FILTER (WHERE fault <> ''),
  min(wanted_time) FILTER (WHERE sent_version < wanted_version), max(sent_time)
FROM channel_values WHERE channel_code = $1 AND day >= $2::date GROUP BY what ORDER BY what
""",
    Drift,
)
_FAULTS = Statement(
    """
SELECT fault, array_agg(DISTINCT what ORDER BY what), count(*),
  (array_agg(item_id ORDER BY item_id, day))[1], (array_agg(day ORDER BY item_id, day))[1]
FROM channel_values WHERE channel_code = $1 AND fault <> '' AND day >= $2::date
GROUP BY fault ORDER BY 3 DESC, fault LIMIT $3::int
""",
    ValueFault,
)
_PURGE = Statement(
    """
DELETE FROM channel_values WHERE (channel_code, what, item_id, day) IN (
  SELECT channel_code, what, item_id, day FROM channel_values v
  WHERE day < $1::date OR what = 'STATIC' AND sent_version IN (0, wanted_version) AND NOT EXISTS (
    SELECT FROM channel_listings l
    WHERE l.channel_code = v.channel_code AND l.item_id = v.item_id)
  LIMIT $2::int FOR UPDATE SKIP LOCKED)
RETURNING what
""",
    str,
)


def want(
    channel_code: str, values: Sequence[WantedValue], *, now: datetime, if_new: bool = False
) -> Command[str] | None:
    """Has these values sent, as far as they are others than before, or `if_new` as far as there was
    none before; a row for each that is.
    """
    return _WANT.of_rows(values, channel_code, now, if_new)


def end_unlisted(
    channel_code: str, *, today: date, now: datetime, listed_too: bool = False
) -> Command[str]:
    """Has 0 sent of what is listed no more, and of days that are not any more, or of everything;
    a row for each.
    """
    return _END(channel_code, now, today, listed_too)


def watch_thresholds(
    stock_ids: Collection[int] | None = None, *, today: date, now: datetime
) -> Command[str]:
    """Has quantities of these stocks sent, or of all, before all others, that are at a listing's
    threshold, or were; the channel of each.
    """
    if stock_ids is None:
        return _WATCH_ALL(now, today)
    return _WATCH_SOME(now, today, stock_ids)


def pending(channel_code: str, what: str, *, today: date, limit: int) -> Command[PendingValue]:
    """What waits to be sent, the most urgent first, then the oldest."""
    return _PENDING(channel_code, what, today, limit)


def mark_sent(
    channel_code: str, values: Sequence[PendingValue], *, now: datetime
) -> Command[None] | None:
    """These were sent, in the versions that they had then."""
    rows = [
        (v.what, v.item_id, v.day, v.wanted, v.currency_code, v.content, v.wanted_version)
        for v in values
    ]
    return _SENT.of_rows(rows, channel_code, now)


def mark_refused(
    channel_code: str, values: Sequence[tuple[PendingValue, str]]
) -> Command[None] | None:
    """These cannot be sent, and why; another value, or a full sync, is tried again."""
    rows = [(v.what, v.item_id, v.day, v.wanted_version, why) for v, why in values]
    return _REFUSED.of_rows(rows, channel_code)


def send_again(channel_code: str, *, today: date, now: datetime) -> Command[str]:
    """Has everything sent once more, whatever was sent before; a row for each."""
    return _AGAIN(channel_code, now, today)


def drift(channel_code: str, *, today: date) -> Command[Drift]:
    """How far a channel is behind, by kind of values."""
    return _DRIFT(channel_code, today)


def faults(channel_code: str, *, today: date, limit: int) -> Command[ValueFault]:
    """Why values are not sent, a row for each reason, that of most values first."""
    return _FAULTS(channel_code, today, limit)


def purge(*, before: date, limit: int) -> Command[str]:
    """Forgets values of days that are over, and of what is listed no more; a row for each."""
    return _PURGE(before, limit)
