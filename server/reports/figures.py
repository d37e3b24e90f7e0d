"""What is counted, added up: redemptions, orders and money, whatever they are grouped by."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from server.reports import sales_sums
from server.reports.redemption_counts import RedemptionCount
from server.reports.sales_sums import SalesRow


@dataclass(slots=True)
class RedemptionFigures:
    """Redemption events, counted; see RedemptionFigures of the contract."""

    admitted_count: int = 0
    admitted_uses: int = 0
    refused_count: int = 0
    reversed_count: int = 0
    reversed_uses: int = 0

    def add(self, row: RedemptionCount) -> None:
        """Counts these too."""
        if row.result == "REJECT":
            self.refused_count += row.events
        elif row.result == "SUCCESS":
            self.admitted_count += row.events
            self.admitted_uses += row.uses
        else:
            self.reversed_count += row.events
            self.reversed_uses += row.uses


@dataclass(slots=True)
class OrderFigures:
    """Orders, counted by what happened to them; see OrderFigures of the contract."""

    made_count: int = 0
    paid_count: int = 0
    cancelled_count: int = 0
    completed_count: int = 0
    ticket_count: int = 0


@dataclass(slots=True)
class Revenue:
    """Money of one currency, in minor units."""

    currency_code: str
    paid_minor: int = 0
    refunded_minor: int = 0

    @property
    def net_minor(self) -> int:
        """What is left."""
        return self.paid_minor - self.refunded_minor


_COUNTED = {
    sales_sums.MADE: "made_count",
    sales_sums.PAID: "paid_count",
    sales_sums.CANCELLED: "cancelled_count",
    sales_sums.COMPLETED: "completed_count",
    sales_sums.SOLD: "ticket_count",
}


@dataclass(slots=True)
class SalesFigures:
    """Orders and money; `revenue` by currency, those without any left out."""

    orders: OrderFigures = field(default_factory=OrderFigures)
    revenue: dict[str, Revenue] = field(default_factory=dict)

    def add(self, row: SalesRow) -> None:
        """Counts these too."""
        if counted := _COUNTED.get(row.kind):
            setattr(self.orders, counted, getattr(self.orders, counted) + row.items)
        if row.kind in (sales_sums.PAID, sales_sums.REFUNDED):
            money = self.revenue.setdefault(row.currency_code, Revenue(row.currency_code))
            if row.kind == sales_sums.PAID:
                money.paid_minor += row.amount_minor
            else:
                money.refunded_minor += row.amount_minor


def by_piece(rows: Iterable[SalesRow]) -> Mapping[int, SalesFigures]:
    """By piece of the time; a piece in which nothing happened has none of anything."""
    found: defaultdict[int, SalesFigures] = defaultdict(SalesFigures)
    for row in rows:
        found[row.piece].add(row)
    return found
