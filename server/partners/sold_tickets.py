"""Sold tickets of partners that are given back: REFUNDED, with their seats and stock returned. What
the customer gets back is the partner's to pay (DOMAIN, OTA partners).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders import completion
from server.platform.statements import run, run_together
from server.stock import holds, partner_seats
from server.tickets import tickets
from server.tickets.departure_tickets import ToRefund


async def refund(
    tx: AsyncConnection,
    found: Sequence[ToRefund],
    *,
    actor: str,
    reason: str,
    amounts: Mapping[int, int] | None = None,
    now: datetime,
) -> None:
    """Refunds ACTIVE tickets, which are locked; the ledger takes back what is not used of them, or
    of each the amount in `amounts`. Their stocks stay locked: call it last.
    """
    numbers = [each.ticket_id for each in found]
    await tickets.move(
        *(tx, numbers, ("ACTIVE",), "REFUNDING"), action="refund_requested", actor=actor, now=now
    )
    by_amount: dict[int | None, list[int]] = {}
    for number in numbers:
        by_amount.setdefault(amounts[number] if amounts else None, []).append(number)
    how = {"actor": actor, "reason": reason}
    for amount, theirs in by_amount.items():
        await tickets.refund(tx, theirs, amount_minor=amount, now=now, **how)
    actors = {each.order_id: actor for each in found}
    await run_together(tx, *completion.complete(actors, now=now))
    sold = Counter(
        stock_id for each in found for stock_id in (each.partner_stock_id, *each.other_stock_ids)
    )
    await holds.lock(tx, sold.keys() | {each.stock_id for each in found})
    seats = [
        (each.stock_id, each.seat_index, each.ticket_id)
        for each in found
        if each.seat_index is not None
    ]
    await partner_seats.leave(tx, seats, now=now)
    await run(tx, holds.return_sold(sold, now=now))
