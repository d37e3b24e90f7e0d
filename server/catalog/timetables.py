"""Departures, made ahead from timetables, each with our own seats in every class."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform import change_feed
from server.stock import inventory
from server.stock.inventory import DepartureStock

MARGIN_DAYS = 2
"""Departures are made so many days before their sale begins, so that a day without this job is
no day without them.
"""

_ZONES = text("SELECT DISTINCT time_zone FROM cities")
# The day is the one of the city of the first stop. EXISTS, not the date of the last run: a stop of
# the job, a new timetable and a longer sale all need no care. Of a class that the route has not, no
# stock is made.
_MISSING = text("""
WITH running AS (
  SELECT t.timetable_id, t.departure_clock, t.weekdays, c.time_zone,
    greatest(t.first_date, z.today) AS begin_date,
    least(t.last_date, z.today + t.sale_days + :margin) AS end_date
  FROM timetables t
  JOIN routes r ON r.route_id = t.route_id
  JOIN products p ON p.product_id = r.product_id
  JOIN stops s ON s.stop_code = r.stops -> 0 ->> 'stop_code'
  JOIN cities c ON c.city_code = s.city_code
  JOIN unnest(CAST(:zones AS text[]), CAST(:todays AS date[])) AS z (time_zone, today)
    ON z.time_zone = c.time_zone
  WHERE t.state = 'ACTIVE' AND r.state = 'ACTIVE' AND p.state = 'ACTIVE'
), wanted AS (
  SELECT (timetable_id::bigint << 14) | (day::date - DATE '2020-01-01') AS departure_id,
    timetable_id, day::date AS travel_date, departure_clock, time_zone
  FROM running,
    generate_series(begin_date::timestamp, end_date::timestamp, INTERVAL '1 day') AS day
  WHERE weekdays >> (extract(isodow FROM day)::int - 1) & 1 = 1
)
SELECT departure_id, timetable_id, travel_date, departure_clock, time_zone FROM wanted w
WHERE NOT EXISTS (SELECT FROM departures d WHERE d.departure_id = w.departure_id)
""")
_MAKE_DEPARTURES = text("""
INSERT INTO departures (departure_id, timetable_id, travel_date, departure_time, state)
SELECT departure_id, timetable_id, travel_date, departure_time, 'SCHEDULED'
FROM unnest(CAST(:departure_ids AS bigint[]), CAST(:timetable_ids AS int[]),
  CAST(:travel_dates AS date[]), CAST(:departure_times AS timestamptz[]))
  AS made (departure_id, timetable_id, travel_date, departure_time)
ORDER BY departure_id
ON CONFLICT DO NOTHING
""")
_MISSING_STOCKS = text("""
SELECT (1::bigint << 62) + (d.departure_id << 24) + ((class ->> 'class_index')::bigint << 20),
  r.product_id, d.departure_id, class ->> 'class_code',
  (t.seats ->> (class ->> 'class_code'))::int
FROM departures d
JOIN timetables t ON t.timetable_id = d.timetable_id
JOIN routes r ON r.route_id = t.route_id
CROSS JOIN jsonb_array_elements(r.fare_classes) AS class
WHERE d.travel_date >= :since AND d.departure_time > :now AND d.state = 'SCHEDULED'
  AND t.seats ? (class ->> 'class_code')
  AND NOT EXISTS (
    SELECT FROM stocks s WHERE s.stock_id =
      (1::bigint << 62) + (d.departure_id << 24) + ((class ->> 'class_index')::bigint << 20)
  )
ORDER BY 1
FOR SHARE OF d
""")
# locked, so that a cancellation closes these stocks too, or comes first and there are none


async def _make_missing(tx: AsyncConnection, now: datetime) -> int:
    # Clocks become moments here, not in the database: its tables of time zones may be other than
    # ours.
    zones = [zone for (zone,) in await tx.execute(_ZONES)]
    todays = [now.astimezone(ZoneInfo(zone)).date() for zone in zones]
    missing = await tx.execute(_MISSING, {"zones": zones, "todays": todays, "margin": MARGIN_DAYS})
    made = []
    for row in missing:
        clock = datetime.combine(row.travel_date, row.departure_clock, ZoneInfo(row.time_zone))
        if clock > now:  # of one zone and another: compared as moments
            made.append(
                (row.departure_id, row.timetable_id, row.travel_date, clock.astimezone(UTC))
            )
    if not made:
        return 0
    names = ("departure_ids", "timetable_ids", "travel_dates", "departure_times")
    columns = map(list, zip(*made, strict=True))
    inserted = await tx.execute(_MAKE_DEPARTURES, dict(zip(names, columns, strict=True)))
    return inserted.rowcount


async def make_departures(tx: AsyncConnection, now: datetime) -> int:
    """Makes the departures that timetables say there are from now until their sale begins, and
    their seats.

    What is there stays as it is, also if its timetable has been changed since. Returns how many
    rows were made.
    """
    departures = await _make_missing(tx, now)
    since = (now - timedelta(days=1)).date()
    missing = await tx.execute(_MISSING_STOCKS, {"now": now, "since": since})
    stocks = await inventory.create_of_departures(
        tx, [DepartureStock(*row) for row in missing], now=now
    )
    made = departures + stocks
    if made:
        await change_feed.publish(tx, change_feed.ChangeKind.CATALOGUE)
    return made
