"""The daily comparison of our payments and refunds with WeChat's bill: what differs is listed,
nothing is put right by itself.

Both are sorted by WeChat's own times: a payment by when it was paid, a refund by when WeChat
took it on, not when we asked for it nor when the money was given back ("trade bill", field
"transaction time").
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Literal

from sqlalchemy import Select, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.payments.models import reconciliation_differences, reconciliations
from server.platform.errors import not_found
from server.wechat.bill import BEIJING, Bill, BillLine

Kind = Literal[
    "PAYMENT_MISSING_HERE",
    "PAYMENT_MISSING_THERE",
    "PAYMENT_AMOUNT_DIFFERS",
    "PAYMENT_STATE_DIFFERS",
    "PAYMENT_TWICE_THERE",
    "REFUND_MISSING_HERE",
    "REFUND_MISSING_THERE",
    "REFUND_AMOUNT_DIFFERS",
    "REFUND_STATE_DIFFERS",
    "REFUND_TWICE_THERE",
]
Side = Literal["PAYMENT", "REFUND"]
SUCCESS, FAILED = "SUCCESS", "FAIL"
PAID, REFUNDED = "SUCCESS", "REFUND"


@dataclass(frozen=True, slots=True)
class Ours:
    """A payment or a refund of ours; `counts` if the bill of the day must have it.

    `by_bill` is whether WeChat had done it when the bill was made: a refund may have been given
    back later, or by hand, and then the bill says rightly that it failed.
    """

    out_trade_no: str
    out_refund_no: str
    amount_minor: int
    currency_code: str
    state: str
    provider_id: str
    counts: bool
    by_bill: bool = True

    @property
    def number(self) -> str:
        """By which the bill knows it."""
        return self.out_refund_no or self.out_trade_no


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not the same on both sides; amounts None where one has nothing."""

    kind: str
    out_trade_no: str
    out_refund_no: str
    ours_minor: int | None
    theirs_minor: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One comparison with WeChat's bill of a day; counts and amounts are those of the bill."""

    bill_date: date
    payment_count: int
    payment_minor: int
    refund_count: int
    refund_minor: int
    difference_count: int
    run_time: datetime


_RUNS: Select[Any] = select(
    *[reconciliations.c[name] for name in Reconciliation.__dataclass_fields__]
)


def day_begins(day: date) -> datetime:
    """The first moment of a day in Beijing."""
    return datetime.combine(day, time.min, BEIJING)


def compare(bill: Bill, payments: Iterable[Ours], refunds: Iterable[Ours]) -> list[Difference]:
    """What differs, payments first; `payments` and `refunds` hold ours that the bill names, and
    those that count.
    """
    other = [line for line in bill.lines if line.state not in (PAID, REFUNDED)]
    return [
        *_compare("PAYMENT", bill.payments, list(payments)),
        *_compare("REFUND", bill.refunds, list(refunds)),
        *[
            _difference("PAYMENT_STATE_DIFFERS", None, line, f"{line.state} at WeChat")
            for line in other
            if not line.out_refund_no
        ],
    ]


def _compare(
    side: Side, lines: Sequence[BillLine], known: Collection[Ours]
) -> Iterable[Difference]:
    by_number = {ours.number: ours for ours in known}
    times = Counter(map(_number, lines))
    for line in lines:
        number = _number(line)
        ours = by_number.get(number)
        if times[number] > 1:
            yield _difference(f"{side}_TWICE_THERE", ours, line, f"{times[number]} lines")
        if ours is None:
            yield _difference(f"{side}_MISSING_HERE", None, line, _provider_id(line))
            continue
        if (ours.amount_minor, ours.currency_code) != (_amount(line), line.currency_code):
            detail = f"{ours.currency_code} here, {line.currency_code} there"
            yield _difference(f"{side}_AMOUNT_DIFFERS", ours, line, detail)
        if detail := _state_differs(side, ours, line):
            yield _difference(f"{side}_STATE_DIFFERS", ours, line, detail)
    for ours in known:
        if ours.counts and ours.number not in times:
            yield _difference(f"{side}_MISSING_THERE", ours, None, ours.provider_id)


def _state_differs(side: Side, ours: Ours, line: BillLine) -> str:
    theirs = line.state if side == "PAYMENT" else line.refund_state
    if theirs == SUCCESS and ours.state != "SUCCEEDED":
        return f"{ours.state} here, {theirs} there"
    if theirs == FAILED and ours.state == "SUCCEEDED" and ours.by_bill:
        return f"{ours.state} here, {theirs} there"
    billed = _provider_id(line)
    if ours.provider_id and ours.provider_id != billed:
        return f"{ours.provider_id} here, {billed} there"
    return ""


def _number(line: BillLine) -> str:
    return line.out_refund_no or line.out_trade_no


def _provider_id(line: BillLine) -> str:
    return line.refund_id or line.transaction_id


def _amount(line: BillLine) -> int:
    return line.asked_refund_minor if line.out_refund_no else line.total_minor


def _difference(kind: str, ours: Ours | None, theirs: BillLine | None, detail: str) -> Difference:
    named = ours or theirs
    assert named is not None
    return Difference(
        kind,
        named.out_trade_no,
        named.out_refund_no,
        ours.amount_minor if ours else None,
        _amount(theirs) if theirs else None,
        detail,
    )


async def store(
    tx: AsyncConnection, bill: Bill, differences: Sequence[Difference], *, now: datetime
) -> Reconciliation:
    """Keeps a comparison, instead of an earlier one of the same day."""
    payments, refunds = bill.payments, bill.refunds
    run = Reconciliation(
        bill.bill_date,
        len(payments),
        sum(map(_amount, payments)),
        len(refunds),
        sum(map(_amount, refunds)),
        len(differences),
        now,
    )
    for table in (reconciliation_differences, reconciliations):
        await tx.execute(delete(table).where(table.c.bill_date == bill.bill_date))
    await tx.execute(insert(reconciliations).values(asdict(run)))
    if differences:
        rows = [
            asdict(difference) | {"bill_date": bill.bill_date, "difference_no": number}
            for number, difference in enumerate(differences, start=1)
        ]
        await tx.execute(insert(reconciliation_differences), rows)
    return run


async def missed_days(tx: AsyncConnection, *, first: date, last: date) -> list[date]:
    """The days from `first` to `last` that were not compared yet."""
    query = select(reconciliations.c.bill_date).where(
        reconciliations.c.bill_date.between(first, last)
    )
    done = set((await tx.execute(query)).scalars())
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return [day for day in days if day not in done]


async def runs(tx: AsyncConnection, *, before: date | None, limit: int) -> list[Reconciliation]:
    """Up to `limit` comparisons of days before `before`, the newest first."""
    query = _RUNS.order_by(reconciliations.c.bill_date.desc()).limit(limit)
    if before:
        query = query.where(reconciliations.c.bill_date < before)
    return [Reconciliation(*row) for row in await tx.execute(query)]


async def differences_of(
    tx: AsyncConnection, day: date, *, after: int, limit: int
) -> list[tuple[int, Difference]]:
    """Up to `limit` numbered differences of a day after a number. Raises NOT_FOUND for a day
    that was not compared.
    """
    compared = select(reconciliations.c.bill_date).where(reconciliations.c.bill_date == day)
    if await tx.scalar(compared) is None:
        raise not_found("reconciliation", day.isoformat())
    table = reconciliation_differences.c
    names = [table[name] for name in Difference.__dataclass_fields__]
    query = select(table.difference_no, *names).where(
        table.bill_date == day, table.difference_no > after
    )
    found = await tx.execute(query.order_by(table.difference_no).limit(limit))
    return [(number, Difference(*row)) for number, *row in found]
