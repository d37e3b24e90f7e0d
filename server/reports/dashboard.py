"""How things stand: what the shift leader and the administrator look at."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.job_runs import job_runs
from server.platform.task_worker import QueueDepth, TaskKind, queue_depths
from server.reports import redemption_counts, sales_sums, state_counts
from server.reports.figures import OrderFigures, RedemptionFigures, Revenue, SalesFigures, by_piece
from server.reports.redemption_counts import RedemptionCount
from server.reports.rules import ReportTime, Uncounted, all_uncounted
from server.reports.sales_sums import SalesRow
from server.reports.state_counts import StateCount


class JobRun(NamedTuple):
    """A job, and when it last ran to its end."""

    job_name: str
    run_time: datetime


@dataclass(frozen=True, slots=True)
class Period:
    """What happened in one piece of the time; `sales` is None where that is not shown."""

    begin_time: datetime
    end_time: datetime
    sales: SalesFigures | None
    redemptions: RedemptionFigures


@dataclass(frozen=True, slots=True)
class HouseFigures:
    """What only administrators see."""

    sales: SalesFigures
    states: Sequence[StateCount]
    queues: Sequence[QueueDepth]
    jobs: Sequence[JobRun]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """How things stood at `figures_time`; `house` is None for a supervisor. Of the time `uncounted`
    some figures are missing.
    """

    time: ReportTime
    figures_time: datetime
    periods: Sequence[Period]
    redemptions: RedemptionFigures
    merchants: dict[str, RedemptionFigures] = field(default_factory=dict)
    refusals: Sequence[tuple[str, int]] = ()
    house: HouseFigures | None = None
    uncounted: Uncounted | None = None

    @property
    def orders(self) -> OrderFigures | None:
        """Orders in all."""
        return self.house.sales.orders if self.house else None

    @property
    def revenue(self) -> Sequence[Revenue]:
        """Money in all, by currency."""
        return [each for _, each in sorted(self.house.sales.revenue.items())] if self.house else ()


async def dashboard(
    tx: AsyncConnection,
    time: ReportTime,
    *,
    merchant_code: str,
    kinds: Mapping[str, TaskKind] | None,
    now: datetime,
) -> Dashboard:
    """The figures of a time; `merchant_code` is whose redemptions alone count, empty for all;
    orders, money, jobs and the queues of `kinds` are in it unless `kinds` is None.
    """
    codes = await redemption_counts.merchants(tx, merchant_code)
    counts, uncounted = await redemption_counts.read(tx, codes, time)
    sold, uncounted_sales = await sales_sums.read(tx, time) if kinds is not None else (None, None)
    merchants = {code: RedemptionFigures() for code in codes}
    total, refusals = RedemptionFigures(), Counter[str]()
    for count in counts:
        merchants[count.merchant_code].add(count)
        total.add(count)
        if count.reason:
            refusals[count.reason] += count.events
    return Dashboard(
        time=time,
        figures_time=now,
        periods=_periods(time, counts, sold),
        redemptions=total,
        merchants=merchants,
        refusals=sorted(refusals.items(), key=lambda each: (-each[1], each[0])),
        house=None if sold is None or kinds is None else await _house(tx, sold, kinds, now),
        uncounted=all_uncounted(uncounted, uncounted_sales),
    )


async def _house(
    tx: AsyncConnection, sold: Sequence[SalesRow], kinds: Mapping[str, TaskKind], now: datetime
) -> HouseFigures:
    total = SalesFigures()
    for row in sold:
        total.add(row)
    runs = await tx.execute(
        select(job_runs.c.job_name, job_runs.c.run_time)
        .where(job_runs.c.run_time.is_not(None))
        .order_by(job_runs.c.job_name)
    )
    return HouseFigures(
        sales=total,
        states=await state_counts.read(tx),
        queues=await queue_depths(tx, kinds, now),
        jobs=[JobRun(*run) for run in runs],
    )


def _periods(
    time: ReportTime, counts: Sequence[RedemptionCount], sold: Sequence[SalesRow] | None
) -> list[Period]:
    redeemed: defaultdict[int, RedemptionFigures] = defaultdict(RedemptionFigures)
    for count in counts:
        redeemed[count.piece].add(count)
    sales = None if sold is None else by_piece(sold)
    return [
        Period(
            begin,
            end,
            None if sales is None else sales.get(piece, SalesFigures()),
            redeemed[piece],
        )
        for piece, (begin, end) in enumerate(time.pieces)
    ]
