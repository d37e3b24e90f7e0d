"""What an answer shows of travellers' orders: passengers opened, offers as they were, tickets as
far as there are.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.offers import Offer
from server.orders import orders
from server.orders.orders import Order, Sold
from server.orders.passengers import Passenger, PassengerSeals
from server.platform.statements import Transaction, run
from server.tickets import snapshots

MAX_OFFERS = 20_000
"""Offers remembered as they were sold."""


class Shown(NamedTuple):
    """An order, who travels, an offer for each item of its content, and its tickets, ascending;
    none before it is paid.
    """

    order: Order
    passengers: Sequence[Passenger]
    offers: Sequence[Offer]
    sold: Sequence[Sold]
    contact_phone: str = ""


class OrderReader:
    """Reads what orders show. The offers of snapshots never change and are remembered."""

    def __init__(self, seals: PassengerSeals) -> None:
        self.seals = seals
        self._offers: dict[tuple[UUID, str], Offer] = {}

    async def show(self, tx: Transaction, found: Sequence[Order]) -> list[Shown]:
        """What answers show of these orders."""
        paid = [order.order_id for order in found if order.pay_time is not None]
        return await self.show_with(tx, found, await run(tx, orders.sold(paid)) if paid else [])

    async def show_with(
        self, tx: Transaction, found: Sequence[Order], sold: Iterable[Sold]
    ) -> list[Shown]:
        """The same, with the tickets of these orders, which were read after them."""
        tickets: dict[int, list[Sold]] = {
            # an order that was paid between its read and this one is shown as it was read: without
            # tickets
            order.order_id: []
            for order in found
            if order.pay_time is not None
        }
        for sale in sold:
            if sale.order_id in tickets:
                tickets[sale.order_id].append(sale)
        offers = await self.sold_offers(tx, found)
        return [self._shown(order, offers, tickets.get(order.order_id, ())) for order in found]

    async def show_as_made(self, tx: AsyncConnection, order: Order) -> Shown:
        """What the answer to CreateOrder showed, whatever has become of the order since."""
        made = order._replace(state="PENDING", sequence=1, pay_time=None, cancel_reason=None)
        offers = await self.sold_offers(tx, [made])
        return self._shown(made, offers, ())

    async def sold_offers(
        self, tx: Transaction, found: Iterable[Order]
    ) -> dict[tuple[UUID, str], Offer]:
        """The offers of the orders' items as they were sold, by snapshot and offer."""
        wanted = {(i.snapshot_id, i.offer_id) for order in found for i in order.content.items}
        missing = wanted - self._offers.keys()
        if missing:
            if len(self._offers) + len(missing) > MAX_OFFERS:
                self._offers.clear()
                missing = wanted
            ids = {snapshot_id for snapshot_id, _ in missing}
            rows = await run(tx, snapshots.read(ids))
            content = {each.snapshot_id: each.content for each in rows}
            for snapshot_id, offer_id in missing:
                self._offers[snapshot_id, offer_id] = Offer.from_snapshot(
                    offer_id, snapshot_id, content[snapshot_id]
                )
        return {key: self._offers[key] for key in wanted}

    def _shown(
        self, order: Order, offers: dict[tuple[UUID, str], Offer], sold: Sequence[Sold]
    ) -> Shown:
        party = self.seals.open_party(order.order_id, order.passengers_sealed)
        return Shown(
            order,
            party.passengers,
            [offers[item.snapshot_id, item.offer_id] for item in order.content.items],
            sold,
            party.contact_phone,
        )
