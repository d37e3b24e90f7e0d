"""Travellers' own orders and tickets by their codes, read for all calls that come together."""

import asyncio
from collections.abc import Sequence

from server.orders import orders, travel_tickets
from server.orders.orders import OwnCode
from server.orders.reader import OrderReader, Shown
from server.orders.travel_tickets import TravelTicket
from server.platform.errors import DomainError, not_found
from server.platform.pipeline import PipelineConnection
from server.platform.reading import ReadBatcher, Readers
from server.platform.statements import run_together


class OwnReads:
    """Reads for travellers; what is another's does not exist."""

    def __init__(self, readers: Readers, reader: OrderReader) -> None:
        self._reader = reader
        self._orders = ReadBatcher(readers, self._read_orders, kind="orders")
        self._tickets = ReadBatcher(readers, travel_tickets.get_all, kind="tickets")

    def order(self, traveller_id: int, code: str) -> asyncio.Future[Shown]:
        """What the answer shows of an order. Raises (in the future) NOT_FOUND,
        DATABASE_UNAVAILABLE.
        """
        return self._orders.submit(OwnCode(traveller_id, code))

    def ticket(self, traveller_id: int, code: str) -> asyncio.Future[TravelTicket]:
        """A ticket. Raises (in the future) NOT_FOUND, DATABASE_UNAVAILABLE."""
        return self._tickets.submit(OwnCode(traveller_id, code))

    async def _read_orders(
        self, tx: PipelineConnection, named: Sequence[OwnCode]
    ) -> list[Shown | DomainError]:
        ids = orders.numbers(named)
        found, sold = await run_together(tx, orders.by_number(ids), orders.sold(ids))
        own = orders.own(found, named)
        theirs = {order.order_id: order for order in own if order}
        shown = await self._reader.show_with(tx, list(theirs.values()), sold)
        by_id = {each.order.order_id: each for each in shown}
        return [
            by_id[order.order_id] if order else not_found("order", each.code)
            for order, each in zip(own, named, strict=True)
        ]
