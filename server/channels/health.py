"""How channels are: since when one gives no answer that can be used, to all calls or to those of a
kind, and what waits for an administrator, for metrics and whoever is alerted by them.
"""

from datetime import date, datetime, timedelta
from typing import NamedTuple

from server.channels.cadence_rules import CADENCES, SyncPart
from server.channels.facts import Capability
from server.channels.registry import VENDORS
from server.platform.metrics import CHANNEL_AWAY, CHANNEL_FAULTS, CHANNEL_LATE
from server.platform.statements import Statement, Transaction, run_together

LOOKED_AT = timedelta(minutes=30)
"""Calls of one endpoint alone are looked at so far back: longer than an alert waits."""
TRIED_WITHIN = timedelta(minutes=5)
"""What fails is tried again sooner; an endpoint that is called no more is needed no more."""


class ChannelAway(NamedTuple):
    """Since when all calls of a channel have failed, or all of an endpoint that is still called,
    which may be so while its token is renewed, and other data are sent; None if all are answered,
    or if it is not called. Its own calls to us are no answers.
    """

    channel_code: str
    since_time: datetime | None


class ChannelFaults(NamedTuple):
    """How many BOOKINGS of a channel nobody can work on, or for how many reasons, such as words
    that are mapped to nothing, STATIC, PRICES or AVAILABILITY of it are not sent.
    """

    channel_code: str
    what: str
    entries: int


class ChannelLate(NamedTuple):
    """Since when a channel has drifted for longer than the cadences say: the oldest value that
    waits to be sent, though nothing is wrong with it, or the comparison with the truth that is most
    overdue; None if neither is there. A time to come is when the next is due.
    """

    channel_code: str
    since_time: datetime | None


# a refusal is an answer, too; one that was paused while it was away alerts nobody any more
_AWAY = Statement(
    """
WITH recent AS (
  SELECT channel_code, endpoint, create_time, bool_or(outcome IN ('OK', 'REFUSED')) OVER (
    PARTITION BY channel_code, method, endpoint ORDER BY call_id
    ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS is_answered
  FROM channel_calls WHERE create_time > $1::timestamptz AND method <> 'IN'),
failing AS (
  SELECT channel_code, min(create_time) AS since_time FROM recent WHERE NOT is_answered
  GROUP BY channel_code, endpoint HAVING max(create_time) > $2::timestamptz)
SELECT c.channel_code, CASE WHEN c.state IN ('ACTIVE', 'DISCONNECTING') THEN LEAST((
  SELECT min(f.create_time) FROM channel_calls f
  WHERE f.channel_code = c.channel_code AND f.method <> 'IN' AND f.call_id > COALESCE((
    SELECT a.call_id FROM channel_calls a
    WHERE a.channel_code = c.channel_code AND a.method <> 'IN' AND a.outcome IN ('OK', 'REFUSED')
    ORDER BY a.call_id DESC LIMIT 1), '00000000-0000-0000-0000-000000000000'::uuid)), (
  SELECT min(e.since_time) FROM failing e WHERE e.channel_code = c.channel_code)) END
FROM channels c
""",
    ChannelAway,
)
# what a paused channel is not sent waits for nobody; who has booked there does
_FAULTS = Statement(
    """
SELECT c.channel_code, w.what, count(f.what)
FROM channels c
CROSS JOIN (VALUES ('STATIC'), ('PRICES'), ('AVAILABILITY'), ('BOOKINGS')) AS w (what)
LEFT JOIN (
  SELECT DISTINCT channel_code, what, fault FROM channel_values
  WHERE fault <> '' AND day >= $1::date
  UNION ALL
  SELECT channel_code, 'BOOKINGS', fault FROM channel_bookings
  WHERE fault <> '' AND state NOT IN ('REJECTED', 'CANCELLED')) f
  ON (f.channel_code, f.what) = (c.channel_code, w.what)
  AND (c.state IN ('ACTIVE', 'DISCONNECTING') OR w.what = 'BOOKINGS' AND c.state <> 'REVOKED')
GROUP BY c.channel_code, w.what
""",
    ChannelFaults,
)


# of a vendor that fetches, values wait until it does
_LATE = Statement(
    """
SELECT c.channel_code, CASE WHEN c.state IN ('ACTIVE', 'DISCONNECTING') THEN LEAST((
  SELECT min(v.wanted_time) FROM channel_values v
  WHERE v.channel_code = c.channel_code AND v.what IN ('STATIC', 'PRICES', 'AVAILABILITY')
    AND v.sent_version < v.wanted_version AND v.fault = '' AND v.day >= $1::date
    AND NOT c.vendor_code = ANY($2::text[])), (
  SELECT min(COALESCE(s.done_time + make_interval(secs => p.seconds), s.asked_time))
  FROM unnest($3::text[], $4::int[]) AS p (part, seconds)
  JOIN channel_syncs s ON s.channel_code = c.channel_code AND s.part = p.part
  WHERE c.state = 'ACTIVE')) END
FROM channels c
""",
    ChannelLate,
)
_COMPARED = tuple(
    (part, int(cadence.total_seconds()))
    for part, cadence in CADENCES.items()
    if part not in {SyncPart.BOOKINGS, SyncPart.STATUS}
)
_FETCHING = tuple(code for code, each in VENDORS.items() if Capability.FEED in each.capabilities)


async def measure(tx: Transaction, *, today: date, now: datetime) -> None:
    """Sets the metrics of all channels."""
    parts, cadences = zip(*_COMPARED, strict=True)
    away, faults, late = await run_together(
        tx,
        _AWAY(now - LOOKED_AT, now - TRIED_WITHIN),
        _FAULTS(today),
        _LATE(today, _FETCHING, parts, cadences),
    )
    for each in away:
        seconds = (now - each.since_time).total_seconds() if each.since_time else 0
        CHANNEL_AWAY.labels(each.channel_code).set(max(seconds, 0))
    for behind in late:
        seconds_late = (now - behind.since_time).total_seconds() if behind.since_time else 0
        CHANNEL_LATE.labels(behind.channel_code).set(max(seconds_late, 0))
    for fault in faults:
        CHANNEL_FAULTS.labels(fault.channel_code, fault.what).set(fault.entries)
