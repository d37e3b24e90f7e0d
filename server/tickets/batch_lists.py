"""Lists of a partner's batches, in the order of their tickets' numbers."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.tickets.models import batches, distributor_batches


class ListedBatch(NamedTuple):
    """A batch, without the snapshot it was made under."""

    first_ticket_id: int
    batch_id: UUID
    product_id: int
    quantity: int
    distributor_id: str
    create_time: datetime
    order_id: int | None
    reservation_id: UUID | None


class BatchFilter(NamedTuple):
    """Which batches; None or empty takes all."""

    distributor_id: str = ""
    product_id: int = 0
    create_time_from: datetime | None = None
    create_time_until: datetime | None = None


async def list_batches(
    tx: AsyncConnection, partner_id: int, wanted: BatchFilter, *, after: int | None, limit: int
) -> Sequence[ListedBatch]:
    """Up to `limit` of a partner's batches after the one whose first ticket has the number
    `after`.
    """
    columns = batches.c
    query = select(*[columns[name] for name in ListedBatch._fields])
    query = query.where(columns.partner_id == partner_id)
    if after is not None:
        query = query.where(columns.first_ticket_id > after)
    if wanted.distributor_id:
        sold_through = exists().where(
            distributor_batches.c.partner_id == partner_id,
            distributor_batches.c.distributor_id == wanted.distributor_id,
            distributor_batches.c.first_ticket_id == columns.first_ticket_id,
        )
        query = query.where(sold_through)
    if wanted.product_id:
        query = query.where(columns.product_id == wanted.product_id)
    if wanted.create_time_from:
        query = query.where(columns.create_time >= wanted.create_time_from)
    if wanted.create_time_until:
        query = query.where(columns.create_time < wanted.create_time_until)
    found = await tx.execute(query.order_by(columns.first_ticket_id).limit(limit))
    return [ListedBatch(*row) for row in found]
