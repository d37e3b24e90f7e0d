"""The decisions of a payment: its number at WeChat, whether what was paid is what was asked for,
when to ask. Pure.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

MERCHANT_MISMATCH = "MERCHANT_MISMATCH"
CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
AMOUNT_MISMATCH = "AMOUNT_MISMATCH"
TRANSACTION_MISMATCH = "TRANSACTION_MISMATCH"
UNKNOWN_ORDER = "UNKNOWN_ORDER"
SECOND_PAYMENT = "SECOND_PAYMENT"
NOTICE_REFUSED = "NOTICE_REFUSED"
NOTICE_UNREADABLE = "NOTICE_UNREADABLE"
"""Kinds of incidents; those of refunds begin with REFUND_."""

FIRST_QUERIES = (timedelta(seconds=30), timedelta(minutes=2))
"""A notice that is later than this after the payment was asked for is looked for at WeChat."""
NEXT_QUERIES = timedelta(minutes=5)
"""And again so often."""
LAST_QUERY = timedelta(seconds=5)
"""And once more so long after it could be paid; what is paid then, closing it at WeChat finds."""

_OUT_TRADE_NO = re.compile(r"DT(\d{1,19})P(\d{1,4})", re.ASCII)


def out_trade_no(order_id: int, attempt: int) -> str:
    """Our number, at WeChat, of an attempt to have an order paid; at most 26 of the 32
    characters it takes.
    """
    return f"DT{order_id}P{attempt}"


def payment_of(number: str) -> tuple[int, int] | None:
    """The order and the attempt that an out_trade_no names; None if it is not one of ours."""
    match = _OUT_TRADE_NO.fullmatch(number)
    if match is None or int(match[1]) >= 1 << 63:
        return None
    order_id, attempt = int(match[1]), int(match[2])
    return (order_id, attempt) if out_trade_no(order_id, attempt) == number else None


def misfit(asked: Sequence[object], paid: Sequence[object]) -> str | None:
    """What does not fit of a payment, each side as (app, merchant, currency, amount); None if
    all does.
    """
    names = (MERCHANT_MISMATCH, MERCHANT_MISMATCH, CURRENCY_MISMATCH, AMOUNT_MISMATCH)
    for name, ours, theirs in zip(names, asked, paid, strict=True):
        if ours != theirs:
            return name
    return None


def next_query(create_time: datetime, expire_time: datetime, now: datetime) -> datetime | None:
    """When WeChat is asked next about a payment that waits; None if it is left to closing it."""
    last = expire_time + LAST_QUERY
    if now >= last:
        return None
    for wait in FIRST_QUERIES:
        if now < create_time + wait:
            return min(create_time + wait, last)
    return min(now + NEXT_QUERIES, last)
