"""Allotments: how much of a product each sales channel has (DOMAIN, Stock)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Unpack

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, already_exists, shown
from server.audit.rules import DIRECT_CHANNEL
from server.audit.trail import AuditedChange, audit
from server.catalog.products import PRODUCTS, refuse_archived
from server.parties.models import partners
from server.parties.partners import PARTNERS
from server.platform.change_feed import ChangeKind, publish
from server.platform.errors import DomainError, Reason, invalid, not_found
from server.platform.statements import run
from server.stock import inventory
from server.stock.ids import DIRECT, stock_id
from server.stock.models import stocks

MOST_TOTAL = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Allotment:
    """Stock of one product for one channel: a partner_code, or DIRECT."""

    product_id: int
    channel: str
    partner_id: int
    total: int
    held: int
    sold: int
    update_time: datetime

    @property
    def stock_id(self) -> int:
        """Key and order of allotments."""
        return stock_id(self.product_id, self.partner_id)

    @property
    def name(self) -> str:
        """In errors and the audit trail."""
        return _name(self.product_id, self.channel)


ALLOTMENTS = (
    select(
        stocks.c.product_id,
        func.coalesce(partners.c.partner_code, DIRECT_CHANNEL).label("channel"),
        stocks.c.partner_id,
        stocks.c.total,
        stocks.c.held,
        stocks.c.sold,
        stocks.c.update_time,
    )
    .outerjoin(partners, partners.c.partner_id == stocks.c.partner_id)
    .where(stocks.c.departure_id.is_(None), stocks.c.promotion_id.is_(None))
)


async def create_allotment(
    tx: AsyncConnection, *, product_id: int, channel: str, total: int, **by: Unpack[By]
) -> Allotment:
    """Stock for a channel that had none of the product.

    Raises ALREADY_EXISTS, NOT_FOUND for product and channel, REVOKED, PRODUCT_NOT_ON_SALE.
    """
    refuse_archived(await PRODUCTS.rely_on(tx, product_id))
    partner_id = await _live_channel(tx, channel)
    created = await inventory.create(
        tx,
        stock_id(product_id, partner_id),
        partner_id=partner_id,
        product_id=product_id,
        total=total,
        now=by["now"],
    )
    if not created:
        raise already_exists("allotment", _name(product_id, channel))
    if partner_id == DIRECT:  # a package is on sale from now on
        await publish(tx, ChangeKind.CATALOGUE)
    return await _trace(tx, None, await get_allotment(tx, product_id, channel), "create", **by)


async def get_allotment(
    tx: AsyncConnection, product_id: int, channel: str, *, lock: bool = False
) -> Allotment:
    """The stock of a channel now. Raises NOT_FOUND."""
    this = stocks.c.stock_id == stock_id(product_id, await _channel(tx, channel))
    query = ALLOTMENTS.where(this)
    row = (
        (await tx.execute(query.with_for_update(of=stocks) if lock else query))
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise not_found("allotment", _name(product_id, channel))
    return Allotment(**row)


async def list_allotments(
    tx: AsyncConnection, *, product_id: int, channel: str, after: int | None, limit: int
) -> list[Allotment]:
    """Up to `limit` allotments after the stock id `after`; empty filters do not count. Raises
    NOT_FOUND (channel).
    """
    query = ALLOTMENTS.order_by(stocks.c.stock_id).limit(limit)
    if product_id:
        query = query.where(stocks.c.product_id == product_id)
    if channel:
        query = query.where(stocks.c.partner_id == await _channel(tx, channel))
    if after is not None:
        query = query.where(stocks.c.stock_id > after)
    return [Allotment(**row) for row in (await tx.execute(query)).mappings()]


async def update_allotment(
    tx: AsyncConnection, *, product_id: int, channel: str, total: int, **by: Unpack[By]
) -> Allotment:
    """Sets the total. Raises NOT_FOUND, STOCK_IN_USE if it would be less than is held and sold."""
    before = await get_allotment(tx, product_id, channel, lock=True)
    if not await inventory.set_total(tx, before.stock_id, total, now=by["now"]):
        raise _stock_in_use(before, total)
    return await _trace(tx, before, await get_allotment(tx, product_id, channel), "update", **by)


async def move_allotment(
    tx: AsyncConnection,
    *,
    product_id: int,
    from_channel: str,
    to_channel: str,
    quantity: int,
    **by: Unpack[By],
) -> tuple[Allotment, Allotment]:
    """Moves stock between channels; returns the one that shrank and the one that grew.

    Raises INVALID_FIELD, NOT_FOUND, STOCK_IN_USE, and REVOKED for the partner whose stock would
    grow.
    """
    if from_channel == to_channel:
        raise invalid("to_channel", "is from_channel; name another")
    ids = await _channel(tx, from_channel), await _live_channel(tx, to_channel)
    # in one order, so that two moves in opposite directions do not wait for each other
    await tx.execute(
        select(stocks.c.stock_id)
        .where(stocks.c.stock_id.in_([stock_id(product_id, each) for each in ids]))
        .order_by(stocks.c.stock_id)
        .with_for_update()
    )
    source = await get_allotment(tx, product_id, from_channel)
    target = await get_allotment(tx, product_id, to_channel)
    if not await inventory.add_to_total(
        tx, source.stock_id, -quantity, limit=MOST_TOTAL, now=by["now"]
    ):
        raise _stock_in_use(source, source.total - quantity)
    if not await inventory.add_to_total(
        tx, target.stock_id, quantity, limit=MOST_TOTAL, now=by["now"]
    ):
        raise invalid("quantity", f"{to_channel} would have more than {MOST_TOTAL}")
    return (
        await _trace(tx, source, await get_allotment(tx, product_id, from_channel), "move", **by),
        await _trace(tx, target, await get_allotment(tx, product_id, to_channel), "move", **by),
    )


def _name(product_id: int, channel: str) -> str:
    return f"{product_id}/{channel}"


async def _channel(tx: AsyncConnection, channel: str) -> int:
    if channel == DIRECT_CHANNEL:
        return DIRECT
    return (await PARTNERS.get(tx, channel)).partner_id


async def _live_channel(tx: AsyncConnection, channel: str) -> int:
    if channel == DIRECT_CHANNEL:
        return DIRECT
    return (await PARTNERS.rely_on(tx, channel)).partner_id


def _stock_in_use(allotment: Allotment, total: int) -> DomainError:
    return DomainError(
        Reason.STOCK_IN_USE,
        f"{allotment.channel} holds {allotment.held} and sold {allotment.sold} of"
        f" {allotment.total}; it cannot have {total}",
        held=allotment.held,
        sold=allotment.sold,
        total=allotment.total,
    )


async def _trace(
    tx: AsyncConnection,
    before: Allotment | None,
    after: Allotment,
    action: str,
    **by: Unpack[By],
) -> Allotment:
    change = AuditedChange(
        actor=by["actor"],
        action=action,
        resource="allotment",
        name=after.name,
        before=shown(before) if before else None,
        after=shown(after),
    )
    await run(tx, audit(change, now=by["now"]))
    return after
