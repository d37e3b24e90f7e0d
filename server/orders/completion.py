"""Orders whose tickets are all final become COMPLETED or CANCELLED; a reversed redemption opens one
again.

Whoever makes a ticket final calls `complete` in the same transaction, under the locks of the
tickets; the redeem path sends the statements along with its own. (DOMAIN, States.)
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders import events
from server.orders.content import SHARED
from server.orders.models import orders
from server.orders.orders import Order
from server.platform import outbox
from server.platform.statements import Command, Statement, Transaction, run_together
from server.stock import holds
from server.stock.holds import Counterpart


class _Place(NamedTuple):
    order_id: int
    item_index: int
    passenger_index: int
    seat_index: int | None


_LOCK = Statement(
    """
SELECT order_id FROM orders WHERE order_id = ANY($1::bigint[])
ORDER BY order_id FOR NO KEY UPDATE
""",
    int,
)
# A partner's order may have 50,000 tickets, and most of them are open when one becomes final: one
# that is open is remembered with the order, and only when that has become final another is looked
# for. It is chosen by a hash, so that it is seldom the next one to end, in whatever order they do.
# Materialized, or each of the columns below would look for it again; `used` is no EXISTS, since
# that, of many orders, may be planned as one scan of all tickets that there are. Only travellers
# are notified.
_COMPLETE = Statement(
    """
WITH looked AS MATERIALIZED (
  SELECT o.order_id, a.actor,
    (SELECT ticket_id FROM tickets t
     WHERE t.order_id = o.order_id
       AND t.state NOT IN ('USED', 'EXPIRED', 'REFUNDED', 'CHANGED', 'VOIDED')
     ORDER BY hashint8(ticket_id) LIMIT 1) AS open_ticket_id,
    coalesce((SELECT true FROM tickets t
              WHERE t.order_id = o.order_id AND t.state IN ('USED', 'EXPIRED') LIMIT 1),
             false) AS used
  FROM unnest($1::bigint[], $2::text[]) AS a (order_id, actor)
  JOIN orders o USING (order_id)
  WHERE o.state = 'PAID' AND NOT EXISTS (
    SELECT FROM tickets t
    WHERE t.ticket_id = o.open_ticket_id
      AND t.state NOT IN ('USED', 'EXPIRED', 'REFUNDED', 'CHANGED', 'VOIDED'))
), moved AS (
  UPDATE orders o SET
    open_ticket_id = l.open_ticket_id,
    state = CASE WHEN l.open_ticket_id IS NOT NULL THEN o.state
            WHEN l.used THEN 'COMPLETED' ELSE 'CANCELLED' END,
    cancel_reason = CASE WHEN l.open_ticket_id IS NULL AND NOT l.used THEN 'REFUNDED' END,
    sequence = CASE WHEN l.open_ticket_id IS NULL THEN o.sequence + 1 ELSE o.sequence END
  FROM looked l
  WHERE o.order_id = l.order_id
  RETURNING o.order_id, o.sequence, o.state, o.cancel_reason, l.actor, o.traveller_id
), recorded AS (
  INSERT INTO order_events
    (order_id, sequence, event, state, cancel_reason, actor, occurred_time, notify)
  SELECT order_id, sequence, 'order.' || lower(state), state, cancel_reason, actor,
    $3::timestamptz, traveller_id IS NOT NULL
  FROM moved WHERE state <> 'PAID')
SELECT order_id FROM moved WHERE state = 'CANCELLED'
""",
    int,
)

_PLACES = Statement(
    """
SELECT order_id, item_index, passenger_index, seat_index FROM ticket_sales
WHERE ticket_id = ANY($1::bigint[]) AND passenger_index <> $2::int
""",
    _Place,
)


def complete(actors: Mapping[int, str], *, now: datetime) -> tuple[Command[int], Command[int]]:
    """Moves those of the orders that are PAID and have no open ticket any more to COMPLETED or
    CANCELLED; `actors` says who made the last ticket of each final.

    To be run in this order after the tickets' moves, in their transaction. The second gives those
    that are CANCELLED now. The orders stay locked.
    """
    order_ids = sorted(actors)
    by = [actors[order_id] for order_id in order_ids]
    # two statements: the second sees what the locks' last holders committed
    return _LOCK(order_ids), _COMPLETE(order_ids, by, now)


COMPLETE_ORDER = "order.complete"
"""Kind of outbox task: an order whose last ticket may have been used while somebody else was at
the order.
"""


def completing_later(order_id: int, mark: int, actor: str, now: datetime) -> outbox.NewTask:
    """Asks for `complete` of an order that somebody else has locked; `mark` tells it from others of
    that order.

    Tasks of one key would lock each other, as the order does.
    """
    payload = {"order_id": str(order_id), "actor": actor}
    return outbox.NewTask(COMPLETE_ORDER, f"{order_id} {mark}", payload, now)


async def withdraw(
    tx: Transaction,
    of_tickets: Iterable[Order],
    ticket_ids: Collection[int],
    *,
    actor: str,
    now: datetime,
    successor: Counterpart | None = None,
) -> None:
    """What follows when tickets of locked orders have become REFUNDED or CHANGED: all they took is
    free again.

    So is the cap of a promotion, and what it counts for the traveller, when an order is CANCELLED
    by it. What the `successor` of a changed ticket takes too stays that one's. Locks stocks: call
    it last.
    """
    by_number = {order.order_id: order for order in of_tickets}
    _, cancelled, places = await run_together(
        tx,
        *complete(dict.fromkeys(by_number, actor), now=now),
        _PLACES(ticket_ids, SHARED),
    )
    over = [by_number[order_id] for order_id in cancelled]
    takes = [cap for each in over for cap in each.content.caps(each.order_id, each.traveller_id)]
    for order_id, item_index, passenger, seat_index in places:
        order = by_number[order_id]
        item = order.content.items[item_index]
        (document,) = [place.document for place in item.places if place.passenger == passenger]
        takes.append(
            holds.Take(
                item.stock_id,
                1,
                () if seat_index is None else (seat_index,),
                item.departure_id,
                (document,) if document else (),
                order.order_id,
                order.traveller_id,
                offer_id=item.offer_id,
                counterpart=successor,
                other_stock_ids=item.other_stock_ids,
            )
        )
    uses = [use for each in over for use in each.uses]
    await holds.release(tx, takes, column="sold", now=now, uses=uses)


async def reopen(tx: AsyncConnection, order_id: int, *, actor: str, now: datetime) -> None:
    """A COMPLETED order is PAID again, since one of its tickets is no longer final; any other
    stays as it is.
    """
    query = select(orders.c.state).where(orders.c.order_id == order_id)
    if await tx.scalar(query.with_for_update(key_share=True)) == "COMPLETED":
        await events.record(tx, [events.Move(order_id, events.REOPENED, actor, "PAID")], now=now)
