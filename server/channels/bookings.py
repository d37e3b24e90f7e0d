"""Bookings of channels as they are kept, and their moves: each is one guarded UPDATE of one row."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple

from server.channels import booking_rules
from server.channels.booked_offers import SentPrice
from server.channels.booking_seals import SeenBooking, StoredBooking
from server.channels.facts import CancellationReason
from server.platform.statements import Command, Statement

LONGEST_FAULT = 300


class OpenBookings(NamedTuple):
    """From which day on a channel's bookings are still of interest; None if there are none."""

    first_day: date | None


_COLUMNS = ", ".join(StoredBooking._fields)
_FINAL = ", ".join(f"'{each}'" for each in sorted(booking_rules.FINAL))
# with nothing left to do, a fault can only be that it could not be read, which it can now;
# what is final stays; a list that was asked for before a booking was last moved says what was so
# before: taken over, it would have a confirmation or cancellation sent once more
_SEEN = Statement(
    f"""
INSERT INTO channel_bookings AS b
  (channel_code, booking_id, state, vendor_state, sealed_content, content_hash, item_id,
   pickup_day, return_day, total_minor, currency_code, first_day, last_day, create_time,
   update_time)
SELECT $1, v.booking_id, 'RECEIVED', v.vendor_state, v.sealed_content, v.content_hash, v.item_id,
  v.pickup_day, v.return_day, v.total_minor, v.currency_code, $3::date, $4::date,
  $2::timestamptz, $2::timestamptz
FROM unnest($6::text[], $7::text[], $8::bytea[], $9::bytea[], $10::text[], $11::date[],
    $12::date[], $13::bigint[], $14::text[])
  AS v (booking_id, vendor_state, sealed_content, content_hash, item_id, pickup_day, return_day,
    total_minor, currency_code)
ORDER BY v.booking_id
ON CONFLICT (channel_code, booking_id) DO UPDATE SET
  state = CASE WHEN b.state = 'UNREADABLE' THEN 'RECEIVED' ELSE b.state END,
  vendor_state = excluded.vendor_state, sealed_content = excluded.sealed_content,
  content_hash = excluded.content_hash, item_id = excluded.item_id,
  pickup_day = excluded.pickup_day, return_day = excluded.return_day,
  total_minor = excluded.total_minor, currency_code = excluded.currency_code, fault = '',
  update_time = excluded.update_time
WHERE b.state NOT IN ({_FINAL}) AND b.update_time <= $5::timestamptz
  AND ((b.vendor_state, b.content_hash) IS DISTINCT FROM
    (excluded.vendor_state, excluded.content_hash)
    OR b.fault <> '' AND (b.state, b.vendor_state) = ('CONFIRMED', 'CONFIRMED'))
  AND NOT (b.confirm_time IS NOT NULL AND excluded.vendor_state = 'NEW')
RETURNING b.booking_id
""",  # noqa: S608 - states of ours
    str,
)
_OVERTAKEN = Statement(
    f"""
SELECT b.booking_id FROM channel_bookings b
JOIN unnest($3::text[], $4::text[], $5::bytea[]) AS v (booking_id, vendor_state, content_hash)
  USING (booking_id)
WHERE b.channel_code = $1 AND b.state NOT IN ({_FINAL}) AND b.update_time > $2::timestamptz
  AND (b.vendor_state, b.content_hash) IS DISTINCT FROM (v.vendor_state, v.content_hash)
""",  # noqa: S608 - states of ours
    str,
)
_UNREADABLE = Statement(
    f"""
INSERT INTO channel_bookings AS b
  (channel_code, booking_id, state, fault, first_day, last_day, create_time, update_time)
SELECT $1, v.booking_id, 'UNREADABLE', v.fault, $3::date, $4::date, $2::timestamptz,
  $2::timestamptz
FROM unnest($5::text[], $6::text[]) AS v (booking_id, fault)
ORDER BY v.booking_id
ON CONFLICT (channel_code, booking_id) DO UPDATE SET
  fault = excluded.fault, update_time = excluded.update_time
WHERE b.state NOT IN ({_FINAL}) AND b.fault <> excluded.fault
RETURNING b.booking_id
""",  # noqa: S608 - states of ours
    str,
)
_READ = Statement(
    f"SELECT {_COLUMNS} FROM channel_bookings WHERE channel_code = $1 AND booking_id = $2",  # noqa: S608
    StoredBooking,
)
# one account has few channels, and each of them the booking once
_SOLD_ELSEWHERE = Statement(
    f"""
SELECT c.channel_code FROM channels c
JOIN channel_bookings b ON b.channel_code = c.channel_code AND b.booking_id = $2
WHERE c.channel_code <> $1 AND b.order_id IS NOT NULL AND b.state NOT IN ({_FINAL})
  AND c.vendor_code = (SELECT vendor_code FROM channels WHERE channel_code = $1)
ORDER BY c.channel_code
""",  # noqa: S608 - states of ours
    str,
)
_PAGE = Statement(
    f"""
SELECT {_COLUMNS} FROM channel_bookings
WHERE channel_code = $1 AND ($2 = '' OR state = $2) AND (NOT $3::bool OR fault <> '')
  AND ($4::timestamptz IS NULL OR (create_time, booking_id) < ($4::timestamptz, $5))
ORDER BY create_time DESC, booking_id DESC LIMIT $6::int
""",  # noqa: S608 - columns of ours
    StoredBooking,
)
_OPEN = Statement(
    f"""
SELECT booking_id FROM channel_bookings
WHERE channel_code = $1 AND state NOT IN ({_FINAL}, 'UNREADABLE')
  AND (state <> 'CONFIRMED' OR vendor_state <> 'CONFIRMED')
""",  # noqa: S608 - states of ours
    str,
)
# a booking is over some days after its return
_FIRST_OPEN = Statement(
    f"""
SELECT min(first_day) FROM channel_bookings
WHERE channel_code = $1 AND state NOT IN ({_FINAL})
  AND (return_day IS NULL OR return_day >= $2::date)
""",  # noqa: S608 - states of ours
    OpenBookings,
)
_MOVE = Statement(
    """
UPDATE channel_bookings SET state = $4, order_id = $5::bigint, attempt = $6::int,
  confirmation_number = $7, is_asked = $8::bool, confirm_time = $9::timestamptz,
  vendor_state = $10, cancel_reason = $11, cancel_comment = $12, fee_minor = $13::bigint,
  fault = $14, update_time = $15::timestamptz
WHERE channel_code = $1 AND booking_id = $2 AND state = $3 AND update_time = $16::timestamptz
RETURNING booking_id
""",
    str,
)
_UNSOLD = Statement(
    """
UPDATE channel_bookings b SET state = 'CANCEL_PENDING', cancel_reason = $3, cancel_comment = $4,
  update_time = $1::timestamptz
FROM (
  SELECT c.channel_code, c.booking_id FROM channel_bookings c
  JOIN orders o ON o.order_id = c.order_id
  WHERE c.state = 'CONFIRMED' AND c.vendor_state <> 'CANCELLED' AND o.state = 'CANCELLED'
  ORDER BY 1, 2 LIMIT $2::int) u
WHERE (b.channel_code, b.booking_id) = (u.channel_code, u.booking_id) AND b.state = 'CONFIRMED'
RETURNING b.channel_code || ':' || b.booking_id
""",
    str,
)
_UNTIL = Statement("SELECT until_time FROM channel_fetches WHERE channel_code = $1", datetime)
_FETCHED = Statement("""
INSERT INTO channel_fetches (channel_code, until_time) VALUES ($1, $2::timestamptz)
ON CONFLICT (channel_code) DO UPDATE SET until_time = excluded.until_time
WHERE channel_fetches.until_time < excluded.until_time
""")
_SENT_PRICES = Statement(
    """
SELECT day, sent, sent_before FROM channel_values
WHERE channel_code = $1 AND what = 'PRICES' AND item_id = $2 AND day = ANY($3::date[])
  AND sent IS NOT NULL AND currency_code = $4
""",
    SentPrice,
)


def seen(
    channel_code: str,
    found: Iterable[SeenBooking],
    *,
    first: date,
    last: date,
    listed: datetime,
    now: datetime,
) -> Command[str] | None:
    """Keeps what was on the list of these days, which was asked for at `listed`; the ids of what is
    new or has changed. What was moved since then stays as it is: see `overtaken`.
    """
    return _SEEN.of_rows(list(found), channel_code, now, first, last, listed)


def overtaken(
    channel_code: str, found: Iterable[SeenBooking], *, listed: datetime
) -> Command[str] | None:
    """The ids of what was on a list otherwise than it is here, and was moved since the list was
    asked for, by this process's clock: only another list says which of both is so.
    """
    rows = [(each.booking_id, each.vendor_state, each.content_hash) for each in found]
    return _OVERTAKEN.of_rows(rows, channel_code, listed)


def unreadable(
    channel_code: str,
    faults: Iterable[tuple[str, str]],
    *,
    first: date,
    last: date,
    now: datetime,
) -> Command[str] | None:
    """Keeps why bookings could not be read; the ids of those for which that is new."""
    rows = [(booking_id, why[:LONGEST_FAULT]) for booking_id, why in faults]
    return _UNREADABLE.of_rows(rows, channel_code, now, first, last)


def read(channel_code: str, booking_id: str) -> Command[StoredBooking]:
    """A booking, if there is one."""
    return _READ(channel_code, booking_id)


def sold_elsewhere(channel_code: str, booking_id: str) -> Command[str]:
    """Other channels of the vendor that have an order of a booking of this id which is not over."""
    return _SOLD_ELSEWHERE(channel_code, booking_id)


def page(
    channel_code: str,
    *,
    state: str,
    faulty: bool,
    before: tuple[datetime, str] | None,
    limit: int,
) -> Command[StoredBooking]:
    """Up to `limit` of a channel's bookings before one, the newest first; empty filters do not
    count.
    """
    at, booking_id = before or (None, "")
    return _PAGE(channel_code, state, faulty, at, booking_id, limit)


def unfinished(channel_code: str) -> Command[str]:
    """The ids of bookings of which something is left to be done, or may be."""
    return _OPEN(channel_code)


def first_open(channel_code: str, *, returned_since: date) -> Command[OpenBookings]:
    """Since which day there are bookings that are not over."""
    return _FIRST_OPEN(channel_code, returned_since)


def move(before: StoredBooking, after: StoredBooking, *, now: datetime) -> Command[str]:
    """Moves a booking; no row if it is not as it was `before` any more, as when it has just been
    fetched. What is booked is not changed by it.
    """
    return _MOVE(
        *(before.channel_code, before.booking_id, before.state, after.state, after.order_id),
        *(after.attempt, after.confirmation_number, after.is_asked, after.confirm_time),
        *(after.vendor_state, after.cancel_reason, after.cancel_comment, after.fee_minor),
        *(after.fault[:LONGEST_FAULT], now, before.update_time),
    )


def cancel_without_order(*, limit: int, now: datetime) -> Command[str]:
    """Has confirmed bookings cancelled whose order was cancelled, as with its departure; their
    keys.
    """
    return _UNSOLD(now, limit, CancellationReason.VEHICLE_UNAVAILABLE, "cancelled by the operator")


def fetched_until(channel_code: str) -> Command[datetime]:
    """Until when a channel's bookings were fetched, if ever."""
    return _UNTIL(channel_code)


def note_fetch(channel_code: str, until: datetime) -> Command[None]:
    """They were fetched until then."""
    return _FETCHED(channel_code, until)


def sent_prices(
    channel_code: str, item_id: str, days: Iterable[date], currency_code: str
) -> Command[SentPrice]:
    """What the channel was sent as prices of these days, last and before that."""
    return _SENT_PRICES(channel_code, item_id, list(days), currency_code)
