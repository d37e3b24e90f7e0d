"""The report of sales: tickets and their money by hour or day, channel, product and currency."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.currencies import decimal_text
from server.reports import sales_sums
from server.reports.rules import ReportTime, Uncounted

Key = tuple[int, int, int, str]
"""Piece of the time, channel, product, currency."""

COLUMNS = (
    *("begin_time", "day", "partner_code", "product_id", "product_name", "currency_code"),
    *("sold_count", "sold", "changed_count", "changed", "refunded_count", "refunded", "net"),
)
_FIELDS = {sales_sums.SOLD: "sold", sales_sums.CHANGED: "changed", sales_sums.REFUNDED: "refunded"}
_NAMES = text("""
SELECT 'PARTNER', partner_id, partner_code FROM partners
WHERE partner_id = ANY(CAST(:partners AS int[]))
UNION ALL
SELECT 'PRODUCT', product_id, display_name_en FROM products
WHERE product_id = ANY(CAST(:products AS int[]))
""")


@dataclass(slots=True)
class ProductSales:
    """What happened to tickets of a product; amounts in minor units."""

    sold_count: int = 0
    sold_minor: int = 0
    changed_count: int = 0
    changed_minor: int = 0
    refunded_count: int = 0
    refunded_minor: int = 0

    @property
    def net_minor(self) -> int:
        """What is left of the money."""
        return self.sold_minor - self.changed_minor - self.refunded_minor


class ReportedSales(NamedTuple):
    """A row; `begin_time` is of its hour or day, `partner_code` empty for our own channel."""

    key: Key
    begin_time: datetime
    day: str
    partner_code: str
    product_name: str
    figures: ProductSales

    def cells(self) -> Sequence[object]:
        """As COLUMNS."""
        figures, currency = self.figures, self.key[3]
        return (
            *(self.begin_time.isoformat(), self.day, self.partner_code),
            *(self.key[2], self.product_name, currency),
            *(figures.sold_count, decimal_text(figures.sold_minor, currency)),
            *(figures.changed_count, decimal_text(figures.changed_minor, currency)),
            *(figures.refunded_count, decimal_text(figures.refunded_minor, currency)),
            decimal_text(figures.net_minor, currency),
        )


async def rows(
    tx: AsyncConnection, time: ReportTime
) -> tuple[list[ReportedSales], Uncounted | None]:
    """All rows, by their keys; and what is not counted yet."""
    found: dict[Key, ProductSales] = {}
    sold, uncounted = await sales_sums.read(tx, time)
    for row in sold:
        if (name := _FIELDS.get(row.kind)) is None:
            continue
        key = row.piece, row.partner_id, row.product_id, row.currency_code
        figures = found.setdefault(key, ProductSales())
        count, minor = f"{name}_count", f"{name}_minor"
        setattr(figures, count, getattr(figures, count) + row.items)
        setattr(figures, minor, getattr(figures, minor) + row.amount_minor)
    partners, products = {key[1] for key in found}, {key[2] for key in found}
    names = {
        (kind, number): name
        for kind, number, name in await tx.execute(
            _NAMES, {"partners": list(partners), "products": list(products)}
        )
    }
    reported = [
        ReportedSales(
            key,
            begin,
            time.day_of(begin).isoformat(),
            names.get(("PARTNER", key[1]), ""),
            names.get(("PRODUCT", key[2]), ""),
            figures,
        )
        for key, figures in sorted(found.items())
        for begin in [time.bounds[key[0]].astimezone(time.zone)]
    ]
    return reported, uncounted
