"""Where it stands what travellers are to be notified of: the moves of orders, redemptions, and
requests of other rooms, each written in the transaction in which it happened.

Redemptions are read from `redemption_events` itself, by the index that reports use: a scan writes
nothing for this. Up to where they were read is a time, `redemptions_until`. It never passes a
transaction that may still write a redemption of before it: not the oldest that is under way, and
not MAX_CLOCK_DIFFERENCE before now, by which the clocks of processes may differ from the
database's. What lies after it is read again every few seconds, and notified of once: the message's
`source` says whether it was.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from server.orders import event_feed
from server.platform.statements import Command, Statement
from server.tickets.rules import DAY_BITS, SEQUENCE_BITS

MAX_CLOCK_DIFFERENCE = timedelta(seconds=60)
REQUESTED = "notification_requests"
"""What a transaction that asks for a message notifies."""


class RedemptionPlace(NamedTuple):
    """A place among the redemptions."""

    occurred_time: datetime
    event_id: int = -1


class Redemption(NamedTuple):
    """An admitted scan of one of our own tickets."""

    ticket_id: int
    event_id: int
    function_code: str
    quantity: int
    venue_code: str
    occurred_time: datetime

    @property
    def place(self) -> RedemptionPlace:
        """Where it is among the redemptions."""
        return RedemptionPlace(self.occurred_time, self.event_id)

    @property
    def source(self) -> str:
        """What tells it from all others."""
        return f"redemption:{self.ticket_id}:{self.event_id}"


class NotificationRequest(NamedTuple):
    """What another room has the traveller of an order notified of, once for each key; `facts` are
    by the names of the kind's placeholders, `ticket_id` one of them to say whose.
    """

    order_id: int
    kind: str
    request_key: str
    facts: Mapping[str, Any]
    occurred_time: datetime

    @property
    def source(self) -> str:
        """What tells it from all others."""
        return f"request:{self.order_id}:{self.kind}:{self.request_key}"


class Mark(NamedTuple):
    """How far it is: and what the database's time is, and the beginning of the oldest transaction
    that may write.
    """

    redemptions_until: datetime
    last_number: int
    now: datetime
    oldest: datetime | None

    @property
    def safe_until(self) -> datetime:
        """Nothing of before it can come any more."""
        first = self.now if self.oldest is None else min(self.now, self.oldest)
        return max(self.redemptions_until, first - MAX_CLOCK_DIFFERENCE)


# The lock of the one follower: none where another process is at it. Before what is read by it: what
# begins later has later times.
READ_MARK = Statement(
    """
SELECT m.redemptions_until, m.last_number, clock_timestamp(), (
  SELECT min(xact_start) FROM pg_stat_activity
  WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid())
FROM notification_marks m FOR NO KEY UPDATE OF m SKIP LOCKED
""",
    Mark,
)
MOVE_MARK = Statement("""
UPDATE notification_marks SET redemptions_until = $1::timestamptz, last_number = $2::bigint
""")
# partners' tickets have greater numbers; 0 is none of ours
_IN_ORDER = f"""
SELECT e.ticket_id, e.event_id, e.function_code, e.quantity, e.venue_code, e.occurred_time
FROM merchants m CROSS JOIN LATERAL (
  SELECT * FROM redemption_events r
  WHERE r.merchant_code = m.merchant_code
    AND (r.occurred_time, r.event_id) > ($1::timestamptz, $2::bigint)
    AND r.result = 'SUCCESS' AND r.ticket_id BETWEEN 1 AND {(1 << DAY_BITS + SEQUENCE_BITS) - 1}
  ORDER BY r.occurred_time, r.event_id LIMIT $3::int) e
ORDER BY e.occurred_time, e.event_id LIMIT $3::int
"""  # noqa: S608 - our own number
_REDEMPTIONS = Statement(_IN_ORDER, Redemption)
_ANY_NEW = Statement(
    f"""
SELECT {event_feed.ANY_NEW} OR EXISTS (SELECT FROM notification_requests)
  OR $3::int = (SELECT count(*) FROM ({_IN_ORDER}) r)
""",  # noqa: S608 - our own
    bool,
)
_REQUESTS = Statement(
    """
SELECT order_id, kind, request_key, facts, occurred_time FROM notification_requests
ORDER BY occurred_time, order_id LIMIT $1::int
""",
    NotificationRequest,
)
_ASK = Statement(
    """
INSERT INTO notification_requests (order_id, kind, request_key, facts, occurred_time)
SELECT v.*, $1::timestamptz
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::jsonb[]) v
ON CONFLICT DO NOTHING
""",
    notifies=REQUESTED,
)
_DROP = Statement("""
DELETE FROM notification_requests r
USING unnest($1::bigint[], $2::text[], $3::text[]) AS v (order_id, kind, request_key)
WHERE (r.order_id, r.kind, r.request_key) = (v.order_id, v.kind, v.request_key)
""")


def redemptions(after: RedemptionPlace, limit: int) -> Command[Redemption]:
    """Admitted scans of our own tickets after a place, in the order of their times."""
    return _REDEMPTIONS(*after, limit)


def any_new(after: RedemptionPlace, *, known: int) -> Command[bool]:
    """Whether there is anything to be notified of: more than the `known` redemptions after a place,
    moves or requests.
    """
    return _ANY_NEW(*after, known + 1)


def requests(limit: int) -> Command[NotificationRequest]:
    """What other rooms ask for, the oldest first."""
    return _REQUESTS(limit)


def remove(found: list[NotificationRequest]) -> Command[None] | None:
    """Removes requests in the transaction of their messages."""
    return _DROP.of_rows([request[:3] for request in found])


def ask(*wanted: tuple[int, str, str, Mapping[str, Any]], now: datetime) -> Command[None] | None:
    """Has travellers notified of something, each (order_id, kind, key, facts) once, in the
    transaction in which it happens; None if there is nothing.

    The facts are by the names of the kind's placeholders (texts.PLACEHOLDERS), times as ISO 8601 in
    UTC, amounts as {"minor", "currency"}, names as {"zh", "en"}; `ticket_id` says which ticket.
    """
    rows = [(order_id, kind, key, dict(facts)) for order_id, kind, key, facts in wanted]
    return _ASK.of_rows(rows, now)
