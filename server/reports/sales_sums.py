"""Sums of what happens to orders and tickets, by hour, so that a report of a month reads some rows
an hour and not each order.

A job sums what is over (`summing`), a few minutes at a time; what came since then is read from the
orders themselves, through indexes by time, so figures are right at any moment and the part that is
read anew stays small. Nothing is added to the transaction of a sale.

What counts when: an order when it is made; when it is paid, of a partner when its tickets are
activated; tickets with their order; what is given back when it has been given back, as of then.
Money that came for an order that no longer was, and went back (LATE_PAYMENT), counts neither way.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.parties.rules import SANDBOX_BIT
from server.platform.database import set_statement_timeout
from server.platform.schedule import Progress, Work
from server.reports.rules import HOUR, ReportTime, Uncounted, hour_of, unsummed

SETTLED_AFTER = timedelta(minutes=10)
"""Something is summed so long after it happened, see redemption/sums.py."""
STEP_SECONDS = 300
"""Sums end at whole steps, so that few new rows are made of what is read together."""
SUM_SECONDS = 300
"""For each statement of the job."""

MADE, PAID, CANCELLED, COMPLETED = "MADE", "PAID", "CANCELLED", "COMPLETED"
SOLD, CHANGED, REFUNDED = "SOLD", "CHANGED", "REFUNDED"

_ORDERS = f"""
FROM orders o WHERE o.create_time >= :begin AND o.create_time < :until
  AND o.partner_id < {SANDBOX_BIT}
"""
# read once for all that is made of them
_PAID = """
WITH paid AS MATERIALIZED (
  SELECT order_id, occurred_time FROM order_events
  WHERE occurred_time >= :begin AND occurred_time < :until AND event = 'order.paid')
"""
_SALES_OF_O = """
(SELECT coalesce(sum(s.amount_minor), 0) FROM tickets x JOIN ticket_sales s
 ON s.ticket_id = x.ticket_id WHERE x.order_id = o.order_id)
"""
# Orders of partners have no events: they are paid when they are made, and completed unnoticed. An
# order that changes a ticket costs its fee beside its ticket: that is left of what is credited.
# Orders that end are counted without their currency, and before all else: half a million end with
# their tickets at one midnight. Pieces of a report begin at whole steps.
_FACTS = f"""{_PAID}
SELECT o.create_time AS at, '{MADE}' AS kind, o.partner_id, 0 AS product_id, o.currency_code,
  1::bigint AS items, o.amount_minor - o.credit_minor AS amount_minor {_ORDERS}
UNION ALL
SELECT o.create_time, '{PAID}', o.partner_id, 0, o.currency_code, 1, o.amount_minor {_ORDERS}
  AND o.partner_id > 0
UNION ALL
SELECT o.create_time, '{SOLD}', o.partner_id, coalesce((SELECT t.product_id FROM tickets t
  WHERE t.order_id = o.order_id LIMIT 1), 0), o.currency_code, o.ticket_count, o.amount_minor
{_ORDERS} AND o.partner_id > 0
UNION ALL
SELECT e.occurred_time, '{PAID}', 0, 0, o.currency_code, 1, o.amount_minor - o.credit_minor
FROM paid e JOIN orders o USING (order_id)
UNION ALL
SELECT e.at, m.kind, 0, 0, '', m.items * e.events, 0
FROM (
  SELECT date_bin('{STEP_SECONDS} seconds', occurred_time, 'epoch') AS at, event,
    count(*) AS events
  FROM order_events WHERE occurred_time >= :begin AND occurred_time < :until
    AND event IN ('order.cancelled', 'order.completed', 'order.reopened') GROUP BY 1, 2) e
JOIN (VALUES ('order.cancelled', '{CANCELLED}', 1), ('order.completed', '{COMPLETED}', 1),
  ('order.reopened', '{COMPLETED}', -1)) AS m (event, kind, items) ON m.event = e.event
UNION ALL
SELECT e.occurred_time, '{SOLD}', 0, t.product_id, o.currency_code, 1, s.amount_minor
FROM paid e JOIN orders o USING (order_id) JOIN tickets t ON t.order_id = o.order_id
JOIN ticket_sales s ON s.ticket_id = t.ticket_id
UNION ALL
SELECT e.occurred_time, '{CHANGED}', 0, t.product_id, o.currency_code, 1,
  o.credit_minor - (o.amount_minor - {_SALES_OF_O})
FROM paid e JOIN orders o USING (order_id) JOIN tickets t ON t.ticket_id = o.changes_ticket_id
UNION ALL
SELECT r.settle_time, '{REFUNDED}', 0, coalesce(t.product_id, 0), r.currency_code,
  CASE WHEN r.cause = 'CHANGE' THEN 0 ELSE 1 END, (x.ticket ->> 'amount_minor')::bigint
FROM refunds r CROSS JOIN LATERAL jsonb_array_elements(r.tickets) AS x (ticket)
LEFT JOIN tickets t ON t.ticket_id = (x.ticket ->> 'ticket_id')::bigint
WHERE r.settle_time >= :begin AND r.settle_time < :until
  AND r.state = 'SUCCEEDED' AND r.cause <> 'LATE_PAYMENT'
"""  # noqa: S608 - our own

_MARK = text("SELECT until_time FROM sales_sums_mark FOR NO KEY UPDATE")
_READ_MARK = text("SELECT until_time FROM sales_sums_mark")
_MOVE_MARK = text("UPDATE sales_sums_mark SET until_time = :until")
_OLDEST = text("""
SELECT min(xact_start) FROM pg_stat_activity
WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
""")
_NEXT = text("""
SELECT least(
  (SELECT min(create_time) FROM orders WHERE create_time >= :begin),
  (SELECT min(occurred_time) FROM order_events WHERE occurred_time >= :begin),
  (SELECT min(settle_time) FROM refunds WHERE settle_time >= :begin))
""")
_SUM = text(f"""
INSERT INTO sales_sums AS s
  (begin_time, kind, partner_id, product_id, currency_code, items, amount_minor)
SELECT CAST(:hour AS timestamptz), kind, partner_id, product_id, currency_code, sum(items),
  sum(amount_minor)
FROM ({_FACTS}) AS f GROUP BY kind, partner_id, product_id, currency_code
ON CONFLICT (begin_time, kind, partner_id, product_id, currency_code) DO UPDATE SET
  items = s.items + excluded.items, amount_minor = s.amount_minor + excluded.amount_minor
""")  # noqa: S608 - our own
_PIECE = "width_bucket({}, CAST(:bounds AS timestamptz[])) - 1"  # counts from 1
_READ = text(f"""
SELECT piece, kind, partner_id, product_id, currency_code, sum(items)::bigint,
  sum(amount_minor)::bigint
FROM (
  SELECT {_PIECE.format("begin_time")} AS piece, kind, partner_id, product_id, currency_code, items,
    amount_minor
  FROM sales_sums
  WHERE begin_time >= :from_time AND begin_time < least(:until_time, :mark)
  UNION ALL
  SELECT {_PIECE.format("at")}, kind, partner_id, product_id, currency_code, items, amount_minor
  FROM ({_FACTS}) AS f) AS u
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 3, 4, 5, 2
""")  # noqa: S608 - our own


class SalesRow(NamedTuple):
    """What happened in one piece of a report's time; see models.sales_sums."""

    piece: int
    kind: str
    partner_id: int
    product_id: int
    currency_code: str
    items: int
    amount_minor: int


def summing(zone: ZoneInfo) -> Work:
    """The work of the job that sums, in hours of `zone`; up to one hour each time."""

    async def sum_up(tx: AsyncConnection, now: datetime) -> Progress:
        begin: datetime = (await tx.execute(_MARK)).scalar_one()
        settled = _step(now - SETTLED_AFTER)
        if begin >= settled:
            return Progress(more=False)
        await set_statement_timeout(tx, seconds=SUM_SECONDS)
        # what a transaction under way may still add to is not summed, however long that takes
        oldest: datetime | None = await tx.scalar(_OLDEST)
        if oldest is not None:
            settled = min(settled, _step(oldest - SETTLED_AFTER))
        # time in which nothing happened is passed over at once
        following = await tx.scalar(_NEXT, {"begin": begin})
        begin = max(begin, min(hour_of(following, zone) if following else settled, settled))
        until = min(settled, hour_of(begin, zone) + HOUR)
        if begin < until:
            hour = hour_of(begin, zone)
            await tx.execute(_SUM, {"hour": hour, "begin": begin, "until": until})
        await tx.execute(_MOVE_MARK, {"until": max(begin, until)})
        return Progress(max(begin, until) < settled)

    return sum_up


async def read(tx: AsyncConnection, time: ReportTime) -> tuple[list[SalesRow], Uncounted | None]:
    """What happened in each piece of the time, by kind, channel, product and currency; and what is
    not counted yet.
    """
    mark: datetime = (await tx.execute(_READ_MARK)).scalar_one()
    begin, uncounted = unsummed(time, mark)
    values: dict[str, Any] = {
        "bounds": list(time.bounds[:-1]),
        "from_time": time.begin_time,
        "until_time": time.bounds[-1],
        "mark": mark,
        "begin": begin,
        "until": time.bounds[-1],
    }
    return [SalesRow(*row) for row in await tx.execute(_READ, values)], uncounted


def _step(moment: datetime) -> datetime:
    return moment - timedelta(
        seconds=moment.timestamp() % STEP_SECONDS,
    )
