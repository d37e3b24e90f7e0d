"""The daily comparison with WeChat's bill, a task of the outbox for each day: once, days missed
are made up for.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any, TypeVar

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from server.payments import reconciliation
from server.payments.models import payments
from server.payments.reconciliation import Ours, Reconciliation, day_begins
from server.payments.refund_models import refund_parts, refunds
from server.payments.refund_rules import RefundPart, out_refund_no, refund_part
from server.payments.rules import payment_of
from server.platform import outbox
from server.platform.database import Database
from server.platform.outbox import Postpone, Task
from server.platform.schedule import Progress
from server.platform.statements import run
from server.tickets.rules import Number
from server.wechat.bill import BEIJING, Bill
from server.wechat.client import WechatClient
from server.wechat.codec import WechatError

RECONCILE = "reconcile"
"""Kind of outbox task; its key is the day, as 2026-11-20."""
BILL_CLOCK = time(10, 0, tzinfo=BEIJING)
"""From then on there is a bill of the day before."""
MOST_DAYS = 30
"""So far back are days that were missed."""
NOT_YET = timedelta(minutes=10)
"""When a bill that is not made yet is asked for again."""
BILL_MADE = timedelta(hours=9)
"""So long after the end of a day its bill is made; what happens to a refund later is not on it."""
CHUNK = 5_000
"""Numbers looked up in one statement."""

T = TypeVar("T")

_PAYMENTS: Select[Any] = select(
    payments.c.out_trade_no,
    payments.c.amount_minor,
    payments.c.currency_code,
    payments.c.state,
    payments.c.transaction_id,
)
_REFUNDS: Select[Any] = (
    select(
        payments.c.out_trade_no,
        refund_parts.c.out_refund_no,
        refund_parts.c.amount_minor,
        payments.c.currency_code,
        refund_parts.c.state,
        refund_parts.c.provider_refund_id,
        refund_parts.c.provider_state,
        refund_parts.c.provider_success_time,
    )
    .join(
        refunds,
        (refunds.c.order_id == refund_parts.c.order_id)
        & (refunds.c.refund_no == refund_parts.c.refund_no),
    )
    .join(
        payments,
        (payments.c.order_id == refund_parts.c.payment_order_id)
        & (payments.c.attempt == refund_parts.c.payment_attempt),
    )
)


async def ask_for_missed(tx: AsyncConnection, now: datetime) -> Progress:
    """Asks for the comparisons that are due, since the day of the first payment; a job's work."""
    here = now.astimezone(BEIJING)
    last = here.date() - timedelta(days=1 if here.timetz() >= BILL_CLOCK else 2)
    oldest = await tx.scalar(select(func.min(payments.c.order_id)))
    if oldest is None:
        return Progress(more=False)
    began = Number.unpack(oldest).day
    first = max(began, last - timedelta(days=MOST_DAYS - 1))
    missed = await reconciliation.missed_days(tx, first=first, last=last)
    asks = [outbox.NewTask(RECONCILE, day.isoformat(), {}, now) for day in missed]
    await run(tx, outbox.enqueue(*asks, now=now))
    return Progress(more=False, items=len(asks))


class Reconciler:
    """Compares days with WeChat's bills."""

    def __init__(self, db: Database, client: WechatClient) -> None:
        self._db = db
        self._client = client

    async def run(self, day: date, *, now: datetime) -> Reconciliation:
        """Compares a day now, instead of an earlier comparison of it.

        Raises PAYMENT_PROVIDER_UNAVAILABLE, WechatError (STATEMENT_CREATING: there is no bill yet),
        ContentInvalidError.
        """
        bill = await self._client.trade_bill(day)

        async def compare(tx: AsyncConnection) -> Reconciliation:
            return await _compare(tx, bill, now=now)

        return await self._db.in_transaction(compare)

    async def handle(self, task: Task) -> Postpone | None:
        """Compares the day that is the task's key; too early, while there is no bill."""
        day = date.fromisoformat(task.key)
        try:
            bill = await self._client.trade_bill(day)
        except WechatError as error:
            if error.says("STATEMENT_CREATING"):
                return Postpone(task.now() + NOT_YET)
            raise

        async def compare(tx: AsyncConnection) -> None:
            await _compare(tx, bill, now=task.now())
            await task.done(tx)

        await self._db.in_transaction(compare)
        return None


async def _compare(tx: AsyncConnection, bill: Bill, *, now: datetime) -> Reconciliation:
    begins, ends = day_begins(bill.bill_date), day_begins(bill.bill_date + timedelta(days=1))
    ours = await _payments_between(tx, begins, ends)
    known = {each.number for each in ours}
    ours += await _payments(tx, {line.out_trade_no for line in bill.payments} - known)
    given = await _refunds_between(tx, begins, ends)
    known = {each.number for each in given}
    given += await _refunds(tx, {line.out_refund_no for line in bill.refunds} - known, made=ends)
    differences = reconciliation.compare(bill, ours, given)
    return await reconciliation.store(tx, bill, differences, now=now)


async def _payments_between(tx: AsyncConnection, begins: datetime, ends: datetime) -> list[Ours]:
    made = payments.c.success_time >= begins, payments.c.success_time < ends
    return [_payment(row, counts=True) for row in await tx.execute(_PAYMENTS.where(*made))]


async def _payments(tx: AsyncConnection, numbers: Iterable[str]) -> list[Ours]:
    """Those of another day, or not paid as far as we know, that the bill names."""
    named = [key for key in map(payment_of, numbers) if key]
    this = tuple_(payments.c.order_id, payments.c.attempt)
    return [
        _payment(row, counts=False)
        for chunk in batched(named)
        for row in await tx.execute(_PAYMENTS.where(this.in_(chunk)))
    ]


async def _refunds_between(tx: AsyncConnection, begins: datetime, ends: datetime) -> list[Ours]:
    """Those that WeChat has taken on, by its own time, and has not closed."""
    query = _REFUNDS.where(
        refund_parts.c.provider_create_time >= begins,
        refund_parts.c.provider_create_time < ends,
        refund_parts.c.provider_state != "CLOSED",
    )
    return [_refund(row, counts=True, made=ends) for row in await tx.execute(query)]


async def _refunds(tx: AsyncConnection, numbers: Iterable[str], *, made: datetime) -> list[Ours]:
    """Those that the bill names besides, by any number that they ever had.

    Of another day, or taken on at a time that WeChat has not reported yet; or under a number that
    it has closed since, and for which a part has another by now.
    """
    named: dict[tuple[int, int, int], list[RefundPart]] = {}
    for key in map(refund_part, numbers):
        if key:
            named.setdefault(key[:3], []).append(key)
    this = tuple_(refund_parts.c.order_id, refund_parts.c.refund_no, refund_parts.c.part_no)
    found = []
    for chunk in batched(list(named)):
        for row in await tx.execute(_REFUNDS.where(this.in_(chunk))):
            ours = _refund(row, counts=False, made=made)
            current = refund_part(ours.out_refund_no)
            assert current is not None, "made by ourselves"
            for key in named[current[:3]]:
                if key.attempt == current.attempt:
                    found.append(ours)
                elif key.attempt < current.attempt:
                    number = out_refund_no(*key)
                    found.append(
                        replace(ours, out_refund_no=number, state="CLOSED", provider_id="")
                    )
    return found


def _payment(row: Any, *, counts: bool) -> Ours:
    out_trade_no, amount_minor, currency_code, state, transaction_id = row
    return Ours(out_trade_no, "", amount_minor, currency_code, state, transaction_id, counts)


def _refund(row: Any, *, counts: bool, made: datetime) -> Ours:
    """`made` is the end of the bill's day."""
    out_trade_no, number, amount_minor, currency_code, state, refund_id, reported, success_time = (
        row
    )
    in_time = success_time is None or success_time < made + BILL_MADE
    return Ours(
        out_trade_no,
        number,
        amount_minor,
        currency_code,
        state,
        refund_id,
        counts,
        by_bill=reported == "SUCCEEDED" and in_time,
    )


def batched(keys: Sequence[T]) -> Iterator[Sequence[T]]:
    """The keys, as many at a time as one statement takes."""
    for first in range(0, len(keys), CHUNK):
        yield keys[first : first + CHUNK]
