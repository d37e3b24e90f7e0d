"""Stock held for orders of Ctrip's attractions channel, by the function behind CreateOrder, and let
go again.
"""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels.booking_orders import CUSTOMERS
from server.channels.ttd_messages import TtdItem, TtdOrder
from server.channels.ttd_offers import TtdOffers, WantedOrder, phone_of, refusal
from server.channels.ttd_rows import TtdRow, TtdSeals
from server.channels.ttd_wire import ResultCode, TtdRefusal
from server.identity import travellers
from server.orders import orders
from server.orders.hold import OrderHolds
from server.orders.prices import NewOrder
from server.payments import payments
from server.platform import clock
from server.platform.crypto import digest
from server.platform.database import Database
from server.platform.errors import DomainError


class HeldOrder(NamedTuple):
    """An order of ours that holds its stock, and how many were left of each item then."""

    order_id: int
    left: list[int]


class TtdHolds:
    """Holds what Ctrip's customers order."""

    def __init__(self, db: Database, seals: TtdSeals, holds: OrderHolds) -> None:
        self._db, self._seals, self._holds = db, seals, holds
        self._offers = TtdOffers(db)

    async def wanted(self, channel_code: str, order: TtdOrder) -> WantedOrder:
        """What is ordered, at prices that we stand by. Raises TtdRefusal."""
        prices = await self._holds.prices()
        return await self._offers.wanted(prices, channel_code, order, now=clock.now())

    async def offer_id(self, channel_code: str, item: TtdItem) -> str:
        """The offer that an item is of. Raises TtdRefusal."""
        return await self._offers.offer_id(channel_code, item)

    async def left(self, wanted: WantedOrder) -> list[int]:
        """How many are left of each item. Raises TtdRefusal."""
        types = [each.customer_type for each in wanted.passengers]
        try:
            quote = await self._holds.quote(wanted.wishes, types, ())
        except DomainError as error:
            raise refusal(error) from None
        return [
            min(quote.left.get(stock_id, 0) for stock_id in item.offer.stock_ids)
            for item in quote.priced.items
        ]

    async def hold(
        self, row: TtdRow, order: TtdOrder, request_id: str, *, total_minor: int | None = None
    ) -> HeldOrder:
        """Holds what is ordered, once for each request_id; for that total alone, if there is one.
        Raises TtdRefusal.
        """
        wanted = await self.wanted(row.channel_code, order)
        if total_minor not in {None, wanted.priced.total_minor}:
            raise TtdRefusal(ResultCode.NO_PRICE, "it costs more or less on another day")
        async with self._db.transaction() as tx:
            traveller = await travellers.log_in(
                tx,
                app_id=CUSTOMERS,
                openid=self._seals.customer(order),
                unionid=None,
                now=clock.now(),
            )
        new = NewOrder(
            wanted.wishes,
            wanted.passengers,
            quoted_minor=wanted.priced.total_minor,
            contact_phone=phone_of(order),
        )
        try:
            held = await self._holds.submit(
                traveller, new, request_id=request_id, content_hash=digest(request_id.encode())
            )
        except DomainError as error:
            raise refusal(error) from None
        order_id = held.shown.order.order_id if held.shown else held.repeated
        return HeldOrder(order_id, await self.left(wanted))


async def let_go(tx: AsyncConnection, order_id: int, row: TtdRow, *, now: datetime) -> None:
    """Cancels an order of ours, if it is PENDING."""
    order = (await orders.lock_orders(tx, [order_id]))[order_id]
    if order.state == "PENDING":
        await orders.cancel(
            tx,
            [order],
            reason="TRAVELLER",
            actor=f"channel:{row.channel_code}",
            now=now,
            close_payments=payments.close_waiting,
        )
