"""Sums of redemption events by hour and day, so that a report of a month reads some rows a day and
not each event.

A job sums what is over (`sum_up`), some minutes at a time; what came since then is read from the
events themselves, so a summary is right at any moment. Nothing is added to a scan's transaction.
Days here are those of UTC and only join hours: the days of a report are made of hours, in whatever
zone it wants.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.database import set_statement_timeout
from server.platform.schedule import Progress

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SETTLED_AFTER = timedelta(minutes=10)
"""An event is summed so long after it happened: calls are far shorter, and clocks differ by less.
Nothing is summed that a transaction under way may still add to, however long that takes.
"""
STEP_SECONDS = 300
"""Sums end at whole steps of an hour: little is left to be read event by event, and each hour is
added to a few times.
"""
SUM_SECONDS = 300
"""For each statement of the job: a day that takes longer than a statement may would else never
be summed.
"""

_COLUMNS = {"VENUE": "venue_code", "TERMINAL": "terminal_device_id", "OPERATOR": "operator"}
_MEMBER = " ".join(f"WHEN '{name}' THEN e.{column}" for name, column in _COLUMNS.items())
# what was refused used nothing, whatever it asked for
_USES = "coalesce(sum(e.quantity) FILTER (WHERE e.result <> 'REJECT'), 0)"
_DAY = (
    "(CAST(:days AS text[]))[width_bucket({}, CAST(:midnights AS timestamptz[]))]"  # counts from 1
)

_MARK = text("SELECT until_time FROM redemption_sums_mark FOR NO KEY UPDATE")
# a commit that waits for its standby may take hours, and is seen by nobody until then
_OLDEST = text("""
SELECT min(xact_start) FROM pg_stat_activity
WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
""")
_READ_MARK = text("SELECT until_time FROM redemption_sums_mark")
_MOVE_MARK = text("UPDATE redemption_sums_mark SET until_time = :until")
_NEXT = text("""
SELECT min(e.occurred_time) FROM merchants m CROSS JOIN LATERAL (
  SELECT occurred_time FROM redemption_events
  WHERE merchant_code = m.merchant_code AND occurred_time >= :begin
  ORDER BY occurred_time LIMIT 1) e
""")
_SUM_HOURS = text(f"""
INSERT INTO redemption_sums AS s
  (merchant_code, grouped_by, span, begin_time, member, function_code, result, reason, events, uses)
SELECT e.merchant_code, g.grouped_by, 'HOUR', date_trunc('hour', e.occurred_time, 'UTC'),
  CASE g.grouped_by {_MEMBER} ELSE '' END, e.function_code, e.result, coalesce(e.reason, ''),
  count(*), {_USES}
FROM redemption_events e
CROSS JOIN (VALUES ('ALL'), ('VENUE'), ('TERMINAL'), ('OPERATOR')) AS g (grouped_by)
WHERE e.merchant_code IN (SELECT merchant_code FROM merchants)
  AND e.occurred_time >= :begin AND e.occurred_time < :until
GROUP BY 1, 2, 4, 5, 6, 7, 8
ON CONFLICT (merchant_code, grouped_by, span, begin_time, member, function_code, result, reason)
  DO UPDATE SET events = s.events + excluded.events, uses = s.uses + excluded.uses
""")  # noqa: S608 - our own
_SUM_DAY = text("""
INSERT INTO redemption_sums
  (merchant_code, grouped_by, span, begin_time, member, function_code, result, reason, events, uses)
SELECT merchant_code, grouped_by, 'DAY', CAST(:day AS timestamptz), member, function_code, result,
  reason, sum(events), sum(uses)
FROM redemption_sums
WHERE merchant_code IN (SELECT merchant_code FROM merchants)
  AND span = 'HOUR' AND begin_time >= :day AND begin_time < :until
GROUP BY merchant_code, grouped_by, member, function_code, result, reason
""")


class Row(NamedTuple):
    """A row of a summary; `group` is the day, terminal, operator or venue, or empty."""

    function_code: str
    result: str
    reason: str | None
    group: str
    events: int
    uses: int


async def sum_up(tx: AsyncConnection, now: datetime) -> Progress:
    """Sums up to a day of what is not summed and over. One at a time: a job."""
    begin: datetime = (await tx.execute(_MARK)).scalar_one()
    settled = _step(now - SETTLED_AFTER)
    if begin >= settled:
        return Progress(more=False)
    await set_statement_timeout(tx, seconds=SUM_SECONDS)
    oldest: datetime | None = await tx.scalar(_OLDEST)
    if oldest is not None:
        settled = min(settled, _step(oldest - SETTLED_AFTER))
        if begin >= settled:
            return Progress(more=False)
    until = min(settled, _day(begin) + DAY)
    await tx.execute(_SUM_HOURS, {"begin": begin, "until": until})
    if until == _day(begin) + DAY:
        await tx.execute(_SUM_DAY, {"day": _day(begin), "until": until})
        # days in which nothing happened are passed over at once
        following = await tx.scalar(_NEXT, {"begin": until}) or settled
        until = max(until, min(_day(following), settled))
    await tx.execute(_MOVE_MARK, {"until": until})
    return Progress(until < settled)


async def read(
    tx: AsyncConnection,
    merchant_code: str,
    *,
    group_by: str,
    time_from: datetime,
    time_until: datetime,
    zone: ZoneInfo,
) -> list[Row]:
    """Counts of a merchant's events and uses by function, result, reason and `group_by`.

    That is DAY (of `zone`), TERMINAL, OPERATOR, VENUE or empty.
    """
    mark: datetime = (await tx.execute(_READ_MARK)).scalar_one()
    begin = _hour(time_from + HOUR - timedelta(microseconds=1))
    end = mark if time_until >= mark else _hour(time_until)
    days = _days_of(zone, time_from, time_until) if group_by == "DAY" else {}
    # in China a day begins with an hour of UTC, elsewhere it may not
    if begin >= end or any(midnight != _hour(midnight) for midnight in days.values()):
        begin = end = time_until
    values: dict[str, Any] = {
        "merchant": merchant_code,
        "days": list(days),
        "midnights": list(days.values()),
    }
    parts = [
        _events(group_by, values, "before", time_from, begin),
        _events(group_by, values, "after", end, time_until),
        *(
            _sums(group_by, values, f"sum{number}", part)
            for number, part in enumerate(_spans(begin, end, by_day=group_by == "DAY"))
        ),
    ]
    query = f"""
SELECT function_code, result, nullif(reason, ''), grp, sum(events)::bigint, sum(uses)::bigint
FROM ({" UNION ALL ".join(filter(None, parts))}) AS u (function_code, result, reason, grp, events,
  uses)
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""  # noqa: S608 - our own
    return [Row(*row) for row in await tx.execute(text(query), values)]


def _events(
    group_by: str, values: dict[str, Any], name: str, begin: datetime, end: datetime
) -> str:
    if begin >= end:
        return ""
    values |= {f"{name}_begin": begin, f"{name}_end": end}
    group = {
        "DAY": _DAY.format("e.occurred_time"),
        **{key: f"e.{column}" for key, column in _COLUMNS.items()},
    }.get(group_by, "''")
    return f"""
SELECT e.function_code, e.result, coalesce(e.reason, ''), {group}, count(*), {_USES}
FROM redemption_events e WHERE e.merchant_code = :merchant
  AND e.occurred_time >= :{name}_begin AND e.occurred_time < :{name}_end
GROUP BY 1, 2, 3, 4
"""  # noqa: S608 - our own


def _sums(
    group_by: str, values: dict[str, Any], name: str, part: tuple[str, datetime, datetime]
) -> str:
    span, begin, end = part
    values |= {f"{name}_begin": begin, f"{name}_end": end}
    group, grouped_by = "s.member", group_by or "ALL"
    if group_by == "DAY":
        group, grouped_by = _DAY.format("s.begin_time"), "ALL"
    return f"""
SELECT s.function_code, s.result, s.reason, {group}, sum(s.events), sum(s.uses)
FROM redemption_sums s WHERE s.merchant_code = :merchant
  AND s.grouped_by = '{grouped_by}' AND s.span = '{span}'
  AND s.begin_time >= :{name}_begin AND s.begin_time < :{name}_end
GROUP BY 1, 2, 3, 4
"""  # noqa: S608 - our own


def _spans(
    begin: datetime, end: datetime, *, by_day: bool
) -> Sequence[tuple[str, datetime, datetime]]:
    """Which sums make up whole hours: of days, and of the hours before and after them."""
    first, last = _day(begin + DAY - HOUR), _day(end)
    if by_day or first >= last:
        return [("HOUR", begin, end)] if begin < end else []
    spans = [("HOUR", begin, first), ("DAY", first, last), ("HOUR", last, end)]
    return [span for span in spans if span[1] < span[2]]


def _days_of(zone: ZoneInfo, time_from: datetime, time_until: datetime) -> dict[str, datetime]:
    """When each day of the span begins, by our tables of time zones: the database's may be other
    ones.
    """
    day, last = (moment.astimezone(zone).date() for moment in (time_from, time_until))
    days = {}
    while day <= last:
        days[day.isoformat()] = datetime.combine(day, time(), zone).astimezone(UTC)
        day += DAY
    return days


def _step(moment: datetime) -> datetime:
    return moment - timedelta(seconds=moment.timestamp() % STEP_SECONDS)


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _day(moment: datetime) -> datetime:
    return _hour(moment).replace(hour=0)
