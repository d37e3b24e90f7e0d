"""Redemption receipts: signed statements that a third party verifies with a public key alone."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity.callers import Admin, Operator, Partner
from server.platform.errors import DomainError, Reason, not_found
from server.redemption import receipt_keys
from server.redemption.event_ids import event_key, redemption_id
from server.redemption.models import redemption_events
from server.redemption.receipt_text import Receipt, ReceiptEvent, chain
from server.tickets.rules import partner_of

Reader = Partner | Operator | Admin


async def receipt(
    tx: AsyncConnection, secret_key: bytes, redemption: str, *, caller: Reader, now: datetime
) -> str:
    """The receipt of a redemption or reversal, as it stands now.

    Raises NOT_FOUND, also for what is another merchant's or partner's; RECEIPT_REFUSED for a scan
    that was refused.
    """
    ticket_id, event_id = event_key(redemption)
    events = redemption_events.c
    of_ticket = select(redemption_events).where(events.ticket_id == ticket_id)
    wanted = (await tx.execute(of_ticket.where(events.event_id == event_id))).one_or_none()
    if wanted is None or not _sees(caller, wanted):
        raise not_found("redemption", redemption)
    if wanted.result == "REJECT":
        raise DomainError(
            Reason.RECEIPT_REFUSED,
            f"scan {redemption} was refused as {wanted.reason}: nothing was redeemed",
            redemption_id=redemption,
            refusal=wanted.reason,
        )
    # in the order in which they were recorded, see event_ids.py
    recorded = of_ticket.where(events.result != "REJECT").order_by(events.event_id)
    rows = (await tx.execute(recorded)).all()
    chained = [_chained(row) for row in rows]
    event = _chained(wanted)
    reversal = next((row for row in rows if row.reversed_event_id == event_id), None)
    made = Receipt(
        event=event,
        place=chain(chained)[chained.index(event)],
        issue_time=now,
        reversed_time=reversal.occurred_time if reversal else None,
        reversal_id=redemption_id(ticket_id, reversal.event_id) if reversal else "",
    )
    return made.signed(*await receipt_keys.signing_key(tx, secret_key, now))


def _sees(caller: Reader, row: Row[Any]) -> bool:
    match caller:
        case Operator():
            return bool(row.merchant_code == caller.merchant_code)
        case Partner():
            return bool(row.ticket_id) and partner_of(row.ticket_id) == caller.partner_id
        case Admin():
            return True


def _chained(row: Row[Any]) -> ReceiptEvent:
    undone = row.reversed_event_id
    return ReceiptEvent(
        row.result,
        redemption_id(row.ticket_id, row.event_id),
        row.ticket_code,
        row.function_code,
        row.quantity,
        row.occurred_time,
        row.merchant_code,
        row.venue_code,
        row.terminal_device_id,
        row.operator,
        redemption_id(row.ticket_id, undone) if undone is not None else "",
    )
