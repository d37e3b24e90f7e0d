"""What a channel has of a product: total, held, sold, available."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.errors import DomainError, Reason
from server.stock.ids import stock_id
from server.stock.models import stocks

AVAILABLE = stocks.c.total - stocks.c.held - stocks.c.sold


@dataclass(frozen=True, slots=True)
class Inventory:
    """A channel's stock of one product; what is available is total - held - sold."""

    product_id: int
    total: int
    held: int
    sold: int
    available: int


async def take_sold(
    tx: AsyncConnection, *, product_id: int, partner_id: int, quantity: int, now: datetime
) -> None:
    """Takes `quantity` out of the channel's stock as sold; the row stays locked until the commit.

    Raises SOLD_OUT, PRODUCT_NOT_ON_SALE.
    """
    this = stocks.c.stock_id == stock_id(product_id, partner_id)
    taken = await tx.execute(
        update(stocks)
        .where(this, quantity <= AVAILABLE)
        .values(sold=stocks.c.sold + quantity, update_time=now)
    )
    if taken.rowcount:
        return
    available = await tx.scalar(select(AVAILABLE).where(this))
    if available is None:
        raise not_on_sale(product_id)
    raise sold_out(product_id, quantity, available)


async def inventory(tx: AsyncConnection, *, partner_id: int, product_id: int) -> list[Inventory]:
    """The channel's stock now, by product; only of `product_id` unless that is 0."""
    query = (
        select(
            stocks.c.product_id,
            stocks.c.total,
            stocks.c.held,
            stocks.c.sold,
            AVAILABLE.label("available"),
        )
        .where(stocks.c.partner_id == partner_id, stocks.c.departure_id.is_(None))
        .order_by(stocks.c.product_id)
    )
    if product_id:
        query = query.where(stocks.c.product_id == product_id)
    return [Inventory(*row) for row in await tx.execute(query)]


def sold_out(product_id: int, requested: int, available: int) -> DomainError:
    """SOLD_OUT, with what is left."""
    return DomainError(
        Reason.SOLD_OUT,
        f"quantity: {requested} of product {product_id} were asked for, {available} are left",
        product_id=product_id,
        requested=requested,
        available=available,
    )


def not_on_sale(product_id: int) -> DomainError:
    """PRODUCT_NOT_ON_SALE."""
    return DomainError(
        Reason.PRODUCT_NOT_ON_SALE,
        f"product_id: {product_id} is not on sale here; GetInventory lists what is",
        product_id=product_id,
    )
