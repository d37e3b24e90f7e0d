"""Reports of cancelled and moved departures: what became of each ticket, and the sums of it.

All of it is read from tickets, refunds, changes and messages as they are, by one statement for the
rows and their sums, so that these add up at every moment.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from server.aftersales.disruption_previews import DisruptionTotal
from server.platform.errors import not_found
from server.platform.statements import Statement, run, run_together

MOST_ROWS = 1_000_000
"""More than any departure has tickets."""

# REBOOKED and REFUNDED are for good; PENDING, REFUNDING and REBOOKING go on by themselves,
# AWAITING_CHOICE until the departure would have left. FAILED is somebody's.
_ROWS = """
SELECT k.ticket_id, k.ticket_code, coalesce(o.order_code, '') AS order_code,
  coalesce(p.partner_code, '') AS partner_code, t.state, coalesce(w.outcome, 'PENDING') AS outcome,
  CASE w.outcome
    WHEN 'FAILED' THEN coalesce(k.failure, 'REFUND_ABNORMAL')
    WHEN 'KEPT' THEN CASE
      WHEN t.state = 'EXPIRED' THEN 'EXPIRED'
      WHEN before.asked THEN 'REFUND_REQUESTED_BEFORE'
      WHEN d.kind = 'MOVED' THEN 'DEPARTURE_MOVED'
      WHEN t.blocked THEN 'BLOCKED' ELSE 'BOARDED' END
    ELSE '' END AS reason,
  CASE WHEN w.outcome <> 'FAILED' THEN '' WHEN k.failure IS NULL THEN 'FINANCE'
    ELSE 'ADMINISTRATOR' END AS who_acts,
  k.paid_minor, CASE WHEN w.outcome IN ('REFUNDED', 'REFUNDING', 'FAILED', 'REBOOKED')
    THEN coalesce(r.amount_minor, c.refund_minor, l.amount_minor, 0) ELSE 0 END::bigint
    AS refund_minor,
  k.currency_code, CASE WHEN c.refund_no IS NULL THEN coalesce(k.order_id, 0) ELSE c.order_id END
    AS refund_order_id, coalesce(r.refund_no, c.refund_no, 0) AS refund_no,
  coalesce(r.waiver_code, c.waiver_code, '') AS waiver_code,
  coalesce(c.ticket_code, '') AS new_code,
  CASE WHEN k.order_id IS NULL OR k.partner_id > 0 OR e.occurred_time IS NULL THEN 'NONE'
    WHEN n.number IS NULL THEN 'PENDING' WHEN n.dead THEN 'FAILED' ELSE 'NOTIFIED' END AS notified,
  coalesce(n.language, '') AS language
FROM disruptions d JOIN disruption_tickets k ON k.disruption_id = d.disruption_id
JOIN departures dep ON dep.departure_id = d.departure_id
JOIN tickets t ON t.ticket_id = k.ticket_id
LEFT JOIN orders o ON o.order_id = k.order_id
LEFT JOIN partners p ON p.partner_id = k.partner_id AND k.partner_id > 0
LEFT JOIN LATERAL (
  SELECT r.refund_no, r.state, r.create_time, x.amount_minor, x.facts ->> 'waiver_code'
    AS waiver_code
  FROM refunds r CROSS JOIN LATERAL jsonb_to_recordset(r.tickets)
    AS x (ticket_id bigint, amount_minor bigint, facts jsonb)
  WHERE r.order_id = k.order_id AND x.ticket_id = k.ticket_id AND r.state <> 'CLOSED'
    AND t.state IN ('REFUNDING', 'REFUNDED')
  ORDER BY r.refund_no DESC LIMIT 1) r ON k.partner_id = 0
CROSS JOIN LATERAL (SELECT coalesce(r.create_time < d.create_time, false)) AS before (asked)
LEFT JOIN LATERAL (
  SELECT new.ticket_code, change.content #>> '{change,waiver_code}' AS waiver_code,
    change.order_id, back.refund_no, back.amount_minor AS refund_minor
  FROM orders change LEFT JOIN tickets new ON new.order_id = change.order_id
  LEFT JOIN refunds back ON back.order_id = change.order_id AND back.cause = 'CHANGE'
    AND back.state <> 'CLOSED'
  WHERE change.first_order_id = coalesce(o.first_order_id, o.order_id)
    AND change.changes_ticket_id = k.ticket_id AND change.state <> 'CANCELLED'
  ORDER BY change.order_id DESC LIMIT 1) c ON t.state IN ('CHANGED', 'CHANGING')
LEFT JOIN LATERAL (
  SELECT sum(CASE WHEN credit_account = 'REFUND_PAYABLE' THEN amount_minor
    WHEN debit_account = 'REFUND_PAYABLE' THEN -amount_minor ELSE 0 END) AS amount_minor
  FROM ledger_entries g WHERE g.partner_id = k.partner_id AND g.ticket_id = k.ticket_id
    AND g.kind = 'REFUND') l ON k.partner_id > 0 AND t.state = 'REFUNDED'
LEFT JOIN LATERAL (
  SELECT e.occurred_time FROM order_events e
  WHERE e.order_id = k.order_id AND e.ticket_id = k.ticket_id
    AND e.event = 'departure.' || lower(d.kind) AND e.occurred_time >= d.create_time
  ORDER BY e.sequence LIMIT 1) e ON true
LEFT JOIN LATERAL (
  SELECT n.number, n.language, EXISTS (
    SELECT FROM notification_deliveries v
    WHERE v.traveller_id = n.traveller_id AND v.number = n.number AND v.state = 'DEAD') AS dead
  FROM order_events first JOIN notifications n ON n.traveller_id = o.traveller_id
    AND n.source = 'order:' || first.order_id || ':' || first.sequence
  WHERE first.order_id = k.order_id AND first.event = 'departure.' || lower(d.kind)
    AND first.occurred_time = e.occurred_time
  ORDER BY first.sequence LIMIT 1) n ON e.occurred_time IS NOT NULL
CROSS JOIN LATERAL (SELECT CASE
  WHEN t.state = 'CHANGED' THEN 'REBOOKED'
  WHEN t.state = 'CHANGING' THEN 'REBOOKING'
  WHEN t.state IN ('REFUNDED', 'REFUNDING') AND before.asked THEN 'KEPT'
  WHEN t.state = 'REFUNDED' THEN 'REFUNDED'
  WHEN t.state = 'REFUNDING' AND r.state = 'ABNORMAL' THEN 'FAILED'
  WHEN t.state = 'REFUNDING' THEN 'REFUNDING'
  WHEN t.state = 'USED' THEN 'USED'
  WHEN t.state = 'VOIDED' THEN 'UNSOLD'
  WHEN t.state = 'EXPIRED' THEN 'KEPT'
  WHEN k.failure IS NOT NULL THEN 'FAILED'
  WHEN d.kind = 'MOVED' AND dep.departure_time = d.departure_time
    AND coalesce((SELECT s.reference_time FROM ticket_sales s WHERE s.ticket_id = k.ticket_id),
      (SELECT s.reference_time FROM departure_tickets s WHERE s.ticket_id = k.ticket_id))
    = k.was_reference_time THEN 'PENDING'
  WHEN d.kind = 'MOVED' THEN 'KEPT'
  WHEN t.state = 'PRE_GENERATED' THEN 'PENDING'
  WHEN t.blocked THEN 'KEPT'
  WHEN k.partner_id > 0 AND t.state = 'PARTIALLY_REDEEMED' THEN 'KEPT'
  WHEN k.partner_id = 0 AND (
    SELECT bool_or(u.function_code = 'boarding' AND u.remaining_uses < u.total_uses)
      OR sum(u.remaining_uses) = 0 AND sum(u.total_uses) > 0
    FROM entitlements u WHERE u.ticket_id = t.ticket_id) THEN 'KEPT'
  WHEN k.partner_id = 0 AND d.refunds = 'AFTER_CHOICE' AND d.departure_time > $2::timestamptz
    THEN 'AWAITING_CHOICE'
  ELSE 'PENDING' END) AS w (outcome)
WHERE d.disruption_id = $1::uuid
"""


class DisruptedTicket(NamedTuple):
    """A ticket of a report. `reason` and `who_acts` are of one that FAILED, the reason of one that
    was KEPT as well. `new_code` is the ticket it was changed into, `language` that of its message.
    """

    ticket_id: int
    ticket_code: str
    order_code: str
    partner_code: str
    state: str
    outcome: str
    reason: str
    who_acts: str
    paid_minor: int
    refund_minor: int
    currency_code: str
    refund_order_id: int
    refund_no: int
    waiver_code: str
    new_code: str
    notified: str
    language: str


class Disruption(NamedTuple):
    """What the operator did to a departure."""

    disruption_id: UUID
    departure_id: int
    kind: str
    comment: str
    waiver_code: str
    refunds: str
    was_time: datetime
    departure_time: datetime
    preview_id: str
    actor: str
    create_time: datetime


class PartnerNotice(NamedTuple):
    """A partner that the event was for, and how many of its webhooks have it, wait for it, or were
    given up.
    """

    partner_code: str
    event_id: UUID
    delivered: int
    pending: int
    dead: int


class Ended(NamedTuple):
    """What waited for payment, and what partners had reserved: how many, and how many still do."""

    orders: int
    orders_waiting: int
    reservations: int
    reservations_open: int


class RefundTotal(NamedTuple):
    """Refunds of a state in a currency: how many, what they give back, and what of it is for
    tickets of the report.
    """

    state: str
    currency_code: str
    refunds: int
    amount_minor: int
    tickets_minor: int


class ReportedRefund(NamedTuple):
    """A refund, and what of it is for tickets of a report."""

    order_id: int
    refund_no: int
    tickets_minor: int


class NoticeCount(NamedTuple):
    """How many tickets' travellers were notified, by what became of that."""

    notified: str
    tickets: int


class DisruptionReport(NamedTuple):
    """A disruption, and the sums of its tickets."""

    disruption: Disruption
    totals: Sequence[DisruptionTotal]
    notices: Sequence[NoticeCount]
    partners: Sequence[PartnerNotice]
    ended: Ended
    refunds: Sequence[RefundTotal]

    @property
    def state(self) -> str:
        """RUNNING while something goes on by itself, then NEEDS_ATTENTION while something has
        failed, then AWAITING_CHOICE while travellers may choose; else COMPLETED.
        """
        outcomes = {each.outcome for each in self.totals}
        waits = self.ended.orders_waiting or self.ended.reservations_open
        if waits or outcomes & {"PENDING", "REFUNDING"}:
            return "RUNNING"
        if "FAILED" in outcomes:
            return "NEEDS_ATTENTION"
        return "AWAITING_CHOICE" if outcomes & {"AWAITING_CHOICE", "REBOOKING"} else "COMPLETED"


_COLUMNS = ", ".join(
    "coalesce(refunds, '')" if name == "refunds" else name for name in Disruption._fields
)
_TICKETS = Statement(
    f"""
SELECT * FROM ({_ROWS}) r
WHERE r.ticket_id > $3::bigint AND ($4::text = '' OR r.outcome = $4::text)
ORDER BY r.ticket_id LIMIT $5::int
""",  # noqa: S608 - our own
    DisruptedTicket,
)
_TOTALS = Statement(
    f"""
SELECT outcome, partner_code, currency_code, count(*)::int, sum(paid_minor)::bigint,
  sum(refund_minor)::bigint, 0, 0
FROM ({_ROWS}) r GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""",  # noqa: S608
    DisruptionTotal,
)
_NOTICES = Statement(
    f"""
SELECT notified, count(*)::int FROM ({_ROWS}) r GROUP BY 1 ORDER BY 1
""",  # noqa: S608
    NoticeCount,
)
_GIVEN_BACK = f"""
SELECT r.refund_order_id AS order_id, r.refund_no, sum(r.refund_minor)::bigint AS tickets_minor
FROM ({_ROWS}) r WHERE r.refund_no > 0 AND r.refund_minor > 0 GROUP BY 1, 2
"""  # noqa: S608
_REFUNDS = Statement(
    f"""
SELECT * FROM ({_GIVEN_BACK}) g
WHERE (g.order_id, g.refund_no) > ($3::bigint, $4::int)
ORDER BY g.order_id, g.refund_no LIMIT $5::int
""",  # noqa: S608
    ReportedRefund,
)
_REFUND_TOTALS = Statement(
    f"""
SELECT b.state, b.currency_code, count(*)::int, sum(b.amount_minor)::bigint,
  sum(g.tickets_minor)::bigint
FROM ({_GIVEN_BACK}) g JOIN refunds b USING (order_id, refund_no)
GROUP BY 1, 2 ORDER BY 1, 2
""",  # noqa: S608
    RefundTotal,
)
_WAITING = Statement(
    f"SELECT count(*)::int FROM ({_ROWS}) r WHERE r.outcome = 'AWAITING_CHOICE'",  # noqa: S608
    int,
)
_GET = Statement(
    f"SELECT {_COLUMNS} FROM disruptions WHERE disruption_id = $1::uuid",  # noqa: S608
    Disruption,
)
_LIST = Statement(
    f"""
SELECT {_COLUMNS} FROM disruptions
WHERE ($1::bigint = 0 OR departure_id = $1::bigint)
  AND ($2::uuid IS NULL OR disruption_id < $2::uuid)
ORDER BY disruption_id DESC LIMIT $3::int
""",  # noqa: S608
    Disruption,
)
_PARTNERS = Statement(
    """
SELECT p.partner_code, e.event_id,
  count(*) FILTER (WHERE v.state = 'DELIVERED')::int,
  count(*) FILTER (WHERE v.state = 'PENDING')::int,
  count(*) FILTER (WHERE v.state = 'DEAD')::int
FROM disruptions d
JOIN (SELECT DISTINCT departure_id, partner_id FROM stocks WHERE partner_id > 0) s
  ON s.departure_id = d.departure_id
JOIN partners p ON p.partner_id = s.partner_id
JOIN partner_events e ON e.partner_id = s.partner_id AND e.occurred_time = d.create_time
  AND e.type = 'departure.' || lower(d.kind) AND e.subject = d.departure_id::text
LEFT JOIN webhook_deliveries v ON v.partner_id = e.partner_id AND v.event_id = e.event_id
WHERE d.disruption_id = $1::uuid
GROUP BY 1, 2 ORDER BY 1
""",
    PartnerNotice,
)
_ENDED = Statement(
    """
SELECT cardinality(d.order_ids), (SELECT count(*)::int FROM orders o
    WHERE o.order_id = ANY(d.order_ids) AND o.state = 'PENDING'),
  cardinality(d.reservation_ids), CASE d.kind WHEN 'CANCELLED' THEN (
    SELECT count(*)::int FROM reservations r
    WHERE r.reservation_id = ANY(d.reservation_ids) AND r.state = 'OPEN') ELSE 0 END
FROM disruptions d WHERE d.disruption_id = $1::uuid
""",
    Ended,
)


async def get(tx: AsyncConnection, disruption_id: UUID, *, now: datetime) -> DisruptionReport:
    """A report, as it is now. Raises NOT_FOUND."""
    found, totals, notices, partners, ended, given_back = await run_together(
        tx,
        _GET(disruption_id),
        _TOTALS(disruption_id, now),
        _NOTICES(disruption_id, now),
        _PARTNERS(disruption_id),
        _ENDED(disruption_id),
        _REFUND_TOTALS(disruption_id, now),
    )
    if not found:
        raise not_found("disruption", disruption_id)
    return DisruptionReport(found[0], totals, notices, partners, ended[0], given_back)


async def page(
    tx: AsyncConnection, *, departure_id: int, before: UUID | None, limit: int
) -> list[Disruption]:
    """What was done to departures, or to one of them, the newest first."""
    return await run(tx, _LIST(departure_id, before, limit))


async def tickets(
    tx: AsyncConnection,
    disruption_id: UUID,
    *,
    outcome: str,
    after: int,
    limit: int,
    now: datetime,
) -> list[DisruptedTicket]:
    """Tickets of a report after a number: all, or those of an outcome. Raises NOT_FOUND."""
    found, rows = await run_together(
        tx, _GET(disruption_id), _TICKETS(disruption_id, now, after, outcome, limit)
    )
    if not found:
        raise not_found("disruption", disruption_id)
    return rows


async def refunds(
    tx: AsyncConnection,
    disruption_id: UUID,
    *,
    after: tuple[int, int],
    limit: int,
    now: datetime,
) -> list[ReportedRefund]:
    """Refunds of a report after one (order_id, refund_no). Raises NOT_FOUND."""
    found, rows = await run_together(
        tx, _GET(disruption_id), _REFUNDS(disruption_id, now, *after, limit)
    )
    if not found:
        raise not_found("disruption", disruption_id)
    return rows


async def find(tx: AsyncConnection, disruption_id: UUID) -> Disruption:
    """What was done. Raises NOT_FOUND."""
    found = await run(tx, _GET(disruption_id))
    if not found:
        raise not_found("disruption", disruption_id)
    return found[0]


async def count_waiting(tx: AsyncConnection, disruption_id: UUID, *, now: datetime) -> int:
    """How many tickets of a report are AWAITING_CHOICE."""
    (count,) = await run(tx, _WAITING(disruption_id, now))
    return count


async def every_ticket(
    tx: AsyncConnection, disruption_id: UUID, *, now: datetime
) -> list[DisruptedTicket]:
    """All tickets of a report. Raises NOT_FOUND."""
    return await tickets(tx, disruption_id, outcome="", after=-1, limit=MOST_ROWS, now=now)
