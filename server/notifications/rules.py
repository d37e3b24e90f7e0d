"""What travellers are notified of, what of it may wait for the morning, and when a message that
failed is sent again. Pure.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

PAYMENT_SUCCEEDED = "PAYMENT_SUCCEEDED"
ORDER_CANCELLED = "ORDER_CANCELLED"
REFUND_RESULT = "REFUND_RESULT"
REDEMPTION_SUCCEEDED = "REDEMPTION_SUCCEEDED"
EXPIRY_REMINDER = "EXPIRY_REMINDER"
ORDER_COMPLETED = "ORDER_COMPLETED"
DEPARTURE_CANCELLED = "DEPARTURE_CANCELLED"
DEPARTURE_MOVED = "DEPARTURE_MOVED"
TICKET_REBOOKED = "TICKET_REBOOKED"

KINDS = (
    *(PAYMENT_SUCCEEDED, ORDER_CANCELLED, REFUND_RESULT, REDEMPTION_SUCCEEDED),
    *(EXPIRY_REMINDER, ORDER_COMPLETED, DEPARTURE_CANCELLED, DEPARTURE_MOVED),
    TICKET_REBOOKED,
)
"""Everything a traveller is notified (DOMAIN, Operations), and what the operator does to a
departure.
"""
MAY_WAIT = frozenset({ORDER_CANCELLED, REFUND_RESULT, EXPIRY_REMINDER, ORDER_COMPLETED})
"""Kinds that wait for the end of the quiet hours. The others answer what the traveller has just
done, or change what he is about to do.
"""

INBOX, WECHAT, SMS, EMAIL = "INBOX", "WECHAT", "SMS", "EMAIL"
CHANNELS = (INBOX, WECHAT, SMS, EMAIL)
LANGUAGES = ("zh", "en")

MAX_ATTEMPTS = 12
"""Together about a day."""
FIRST_RETRY_SECONDS = 5.0
MAX_RETRY_SECONDS = 4 * 3600.0
JITTER = 0.25
"""A wait is up to so much shorter by chance: what failed together does not come together."""
FIRST_PROBE_SECONDS = 60.0
MAX_PROBE_SECONDS = 1800.0

_MOVES = {
    "order.paid": PAYMENT_SUCCEEDED,
    "order.cancelled": ORDER_CANCELLED,
    "order.completed": ORDER_COMPLETED,
    "ticket.refunded": REFUND_RESULT,
    "ticket.restored": REFUND_RESULT,
    "payment.refunded": REFUND_RESULT,
    "ticket.expiring": EXPIRY_REMINDER,
    "departure.cancelled": DEPARTURE_CANCELLED,
    "departure.moved": DEPARTURE_MOVED,
    "ticket.rebooked": TICKET_REBOOKED,
}


class OrderMove(NamedTuple):
    """A move of an order, as its events tell it."""

    order_id: int
    sequence: int
    event: str
    cancel_reason: str | None
    ticket_id: int | None
    occurred_time: datetime


class NotifiedMove(NamedTuple):
    """What is notified of moves that were made together: `sequence` is the first of them."""

    order_id: int
    kind: str
    sequence: int
    cancel_reason: str | None
    ticket_ids: tuple[int, ...]
    occurred_time: datetime


def tell(moves: Iterable[OrderMove], *, completed: bool) -> list[NotifiedMove]:
    """What travellers are notified of by the moves of orders, each order's in their order: once for
    all tickets that one transaction moved in the same way.

    Whether they are of an order that is `completed` is a setting. Of an order that is cancelled
    since all of it was refunded they are by the refund.
    """
    notified: dict[tuple[int, str, datetime], NotifiedMove] = {}
    for move in moves:
        kind = _MOVES.get(move.event)
        if kind is None or (kind == ORDER_COMPLETED and not completed):
            continue
        if kind == ORDER_CANCELLED and move.cancel_reason == "REFUNDED":
            continue
        key = move.order_id, kind, move.occurred_time
        first = notified.get(key) or NotifiedMove(
            move.order_id, kind, move.sequence, move.cancel_reason, (), move.occurred_time
        )
        if move.ticket_id is not None:
            first = first._replace(ticket_ids=(*first.ticket_ids, move.ticket_id))
        notified[key] = first
    return list(notified.values())


class QuietHours(NamedTuple):
    """From when until when, in minutes of the day where the traveller is; none if both are the
    same.
    """

    from_minute: int
    until_minute: int

    def end(self, now: datetime, zone: tzinfo) -> datetime | None:
        """When those that are now end; None outside of them. The end is a time of that zone's
        clock, also on a day on which it is put on or back.
        """
        local = now.astimezone(zone)
        minute = local.hour * 60 + local.minute
        start, until = self.from_minute, self.until_minute
        if start == until:
            return None
        if start < until:
            is_quiet, days = start <= minute < until, 0
        else:
            is_quiet, days = minute >= start or minute < until, int(minute >= start)
        if not is_quiet:
            return None
        day = local.date() + timedelta(days=days)
        hours, minutes = divmod(until, 60)
        return datetime(day.year, day.month, day.day, hours, minutes, tzinfo=zone)


def due(kind: str, quiet: QuietHours, now: datetime, zone: tzinfo) -> datetime:
    """When a message of the kind may go out first."""
    end = quiet.end(now, zone) if kind in MAY_WAIT else None
    return now if end is None else max(now, end)


def retry_seconds(attempt: int, chance: float, asked_seconds: float = 0.0) -> float | None:
    """How long to wait after a failed attempt, of which the first is 1; None if there is no
    other.

    `chance` is a random number from 0 to 1; a provider that says how long is heard.
    """
    if attempt >= MAX_ATTEMPTS:
        return None
    wait = min(MAX_RETRY_SECONDS, FIRST_RETRY_SECONDS * 3.0 ** (attempt - 1))
    return max(wait * (1 - JITTER * chance), asked_seconds)


def grants(wanted: Sequence[tuple[int, str]], available: dict[tuple[int, str], int]) -> list[bool]:
    """Which of the messages (traveller, template of WeChat's) have a consent, in their order; what
    is `available` becomes one fewer for each.
    """
    given = []
    for key in wanted:
        left = available.get(key, 0)
        given.append(left > 0)
        if left > 0:
            available[key] = left - 1
    return given
