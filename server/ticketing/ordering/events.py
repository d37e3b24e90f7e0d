"""The moves of travellers' orders: each counts the order's sequence up and leaves an event, in the same transaction.

`order.created` has sequence 1 and no row: the order's own tells it. WatchOrder reads what is written here.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.ticketing.models import order_events, orders
from server.ticketing.rules import ORDER_MOVES

CREATED = "order.created"
PAID = "order.paid"
CANCELLED = "order.cancelled"
COMPLETED = "order.completed"
REOPENED = "order.reopened"
TICKET_REFUNDING = "ticket.refunding"
TICKET_REFUNDED = "ticket.refunded"
TICKET_CHANGING = "ticket.changing"
TICKET_CHANGED = "ticket.changed"
TICKET_RESTORED = "ticket.restored"
PAYMENT_REFUNDED = "payment.refunded"

_MOVE = text("""
UPDATE orders o SET sequence = v.sequence, state = v.state, cancel_reason = v.cancel_reason, pay_time = v.pay_time
FROM jsonb_to_recordset(CAST(:rows AS jsonb))
  AS v (order_id bigint, sequence int, state text, cancel_reason text, pay_time timestamptz)
WHERE o.order_id = v.order_id
""")


@dataclass(frozen=True, slots=True)
class Move:
    """Something that happens to an order: by `actor` (`traveller:…`, `system`, `admin:…`).

    With a `state` the order moves there, with `cancel_reason` if it is CANCELLED; `pay_time` is set if given.
    """

    order_id: int
    event: str
    actor: str
    state: str | None = None
    cancel_reason: str | None = None
    pay_time: datetime | None = None
    ticket_id: int | None = None


async def record(tx: AsyncConnection, moves: Iterable[Move], *, now: datetime) -> None:
    """Writes the moves, those of one order in the order they are given; locks the order rows, in the order of their ids.

    Whether a move may be made is decided before, under the same lock; one that DOMAIN does not know fails here.
    """
    by_order: defaultdict[int, list[Move]] = defaultdict(list)
    for move in moves:
        by_order[move.order_id].append(move)
    if not by_order:
        return
    rows = await tx.execute(
        select(
            orders.c.order_id,
            orders.c.sequence,
            orders.c.state,
            orders.c.cancel_reason,
            orders.c.pay_time,
        )
        .where(orders.c.order_id.in_(by_order))
        .order_by(orders.c.order_id)
        .with_for_update(key_share=True)
    )
    moved: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for order_id, sequence, state, cancel_reason, pay_time in rows:
        order: dict[str, Any] = {
            "order_id": order_id,
            "sequence": sequence,
            "state": state,
            "cancel_reason": cancel_reason,
            "pay_time": pay_time,
        }
        for move in by_order[order_id]:
            _apply(move, order)
            events.append(
                {
                    "order_id": move.order_id,
                    "sequence": order["sequence"],
                    "event": move.event,
                    "state": order["state"],
                    "cancel_reason": order["cancel_reason"],
                    "ticket_id": move.ticket_id,
                    "actor": move.actor,
                    "occurred_time": now,
                }
            )
        moved.append(order)
    assert len(moved) == len(by_order), "an order that moves is there"
    await tx.execute(_MOVE, {"rows": orjson.dumps(moved).decode()})
    await tx.execute(insert(order_events), events)


def _apply(move: Move, order: dict[str, Any]) -> None:
    order["sequence"] += 1
    if move.state is not None:
        step = order["state"], move.state
        assert step in ORDER_MOVES, f"order {move.order_id} cannot go from {step[0]} to {step[1]}"
        order["state"], order["cancel_reason"] = move.state, move.cancel_reason
    order["pay_time"] = move.pay_time or order["pay_time"]
