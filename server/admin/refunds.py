"""Refunds that WeChat cannot give back by itself: asked for again, or settled by hand."""

from typing import Unpack

from sqlalchemy.ext.asyncio import AsyncConnection

from server.admin.records import By
from server.errors import invalid, not_found
from server.identity.audit import audit
from server.ticketing.paying import refunds
from server.ticketing.paying.refunds import Refund

BY_HAND = frozenset({"SUCCEEDED", "CLOSED"})


async def retry_refund(tx: AsyncConnection, code: str, *, comment: str, **by: Unpack[By]) -> Refund:
    """Asks WeChat again; wake the outbox after the commit. Raises NOT_FOUND, REFUND_REFUSED."""
    order_id, refund_no = _number(code)
    refund = await refunds.retry(tx, order_id, refund_no, **by)
    await _audit(tx, "retry", code, refund, comment, **by)
    return refund


async def settle_refund(
    tx: AsyncConnection, code: str, *, state: str, comment: str, **by: Unpack[By]
) -> Refund:
    """Settles as SUCCEEDED or CLOSED. Raises INVALID_FIELD, NOT_FOUND, REFUND_REFUSED."""
    if state not in BY_HAND:
        raise invalid("state", "is neither SUCCEEDED nor CLOSED")
    order_id, refund_no = _number(code)
    given = state == "SUCCEEDED"
    refund = await refunds.settle_by_hand(tx, order_id, refund_no, given=given, **by)
    await _audit(tx, "settle", code, refund, comment, **by)
    return refund


def _number(code: str) -> tuple[int, int]:
    number = refunds.refund_number(code)
    if number is None:
        raise not_found("refund", code)
    return number


async def _audit(
    tx: AsyncConnection, action: str, code: str, refund: Refund, comment: str, **by: Unpack[By]
) -> None:
    await audit(
        tx,
        action=action,
        resource="refund",
        name=code,
        before={"state": "ABNORMAL"},
        after={"state": refund.state, "comment": comment},
        **by,
    )
