"""Orders of Ctrip's attractions channel: verified, made, paid, cancelled before they are paid.

An order is a traveller's, held by the function behind CreateOrder and paid on account, as bookings
of other channels are. Its row is kept before anything is held, and says after each step how far it
is: so whoever repeats a call goes on where a process died, and gets the first answer where none
did.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels import ttd_answers, ttd_messages, ttd_rows
from server.channels.booking_orders import CUSTOMERS
from server.channels.ttd_messages import TtdItem, TtdOrder, TtdPayment
from server.channels.ttd_offers import TtdOffers, WantedOrder, phone_of, refusal
from server.channels.ttd_rows import CANCELLED, HELD, RECEIVED, SOLD, TtdRow, TtdSeals
from server.channels.ttd_wire import ResultCode, TtdRefusal
from server.identity import travellers
from server.identity.callers import Traveller
from server.orders import ordered_departures, orders, qr_codes
from server.orders.hold import OrderHolds
from server.orders.orders import Order
from server.orders.prices import NewOrder
from server.payments import payments
from server.payments.settlement import Settlement
from server.platform import clock
from server.platform.crypto import digest
from server.platform.database import Database
from server.platform.errors import DomainError
from server.platform.statements import run
from server.tickets import issuing
from server.tickets.issuing import Issuer

ATTEMPTS = 3
"""To hold again what expired before it was paid."""


class TtdSales:
    """What Ctrip has sold."""

    def __init__(
        self,
        db: Database,
        seals: TtdSeals,
        holds: OrderHolds,
        settlement: Settlement,
        issuer: Issuer,
    ) -> None:
        self._db, self._seals = db, seals
        self._offers = TtdOffers(db)
        self._holds = holds
        self._settlement, self._issuer = settlement, issuer

    async def verify(self, channel_code: str, content: dict[str, Any]) -> dict[str, Any]:
        """Whether an order could be sold now, and what is left. Raises TtdRefusal."""
        order = ttd_messages.order_of(content, is_verified=True)
        prices = await self._holds.prices()
        wanted = await self._offers.wanted(prices, channel_code, order, now=clock.now())
        left = await self._left(wanted)
        for item, quantity in zip(order.items, left, strict=True):
            if quantity < item.quantity:
                raise TtdRefusal(
                    ResultCode.NO_STOCK, f"{item.day}: {quantity} are left of {item.plu}"
                )
        return {"items": ttd_answers.left(list(zip(order.items, left, strict=True)))}

    async def create(
        self, channel_code: str, content: dict[str, Any], *, is_direct: bool
    ) -> dict[str, Any]:
        """Holds an order; one that `is_direct` is paid, too. A repeat gets the first answer. Raises
        TtdRefusal.
        """
        order = ttd_messages.order_of(content)
        row = await self._received(channel_code, order, is_direct=is_direct)
        if row.state == RECEIVED:
            row = await self._held(row, order)
        if is_direct and row.state != SOLD:
            ids = [(each.plu, each.item_id or each.plu) for each in order.items]
            row = await self._paid(row, TtdPayment("", order.ota_order_id, tuple(ids)))
        left = ttd_answers.left(list(zip(order.items, row.left_then, strict=True)))
        ids_ = ttd_answers.ids(row.ota_order_id, row.supplier_order_id)
        if not is_direct:
            return {**ids_, "items": left}
        return {**self._sold(row), "items": left}

    async def pay(self, channel_code: str, content: dict[str, Any]) -> dict[str, Any]:
        """Has a held order paid on account, with its tickets and their QR code. Raises
        TtdRefusal.
        """
        payment = ttd_messages.payment_of(content)
        async with self._db.transaction() as tx:
            found = await run(tx, ttd_rows.read(channel_code, payment.ota_order_id))
        if not found:
            raise TtdRefusal(ResultCode.UNKNOWN_ORDER, "there is no order of this otaOrderId")
        return self._sold(await self._paid(found[0], payment))

    async def cancel_held(self, channel_code: str, content: dict[str, Any]) -> dict[str, Any]:
        """Cancels an order that was not paid; a repeat changes nothing. Raises TtdRefusal."""
        ota_order_id = ttd_messages.order_id_of(content, ResultCode.UNKNOWN_ORDER)

        async def work(tx: AsyncConnection) -> TtdRow:
            row = await locked(tx, channel_code, ota_order_id)
            if row.state == SOLD:
                raise TtdRefusal(ResultCode.PAID, "it is paid; call CancelOrder")
            if row.state == CANCELLED:
                return row
            now = clock.now()
            if row.order_id is not None:
                await self._cancel(tx, row.order_id, row, now=now)
            await run(tx, ttd_rows.move(row._replace(state=CANCELLED), now=now))
            return row

        row = await self._db.in_transaction(work)
        return ttd_answers.ids(row.ota_order_id, row.supplier_order_id)

    def _sold(self, row: TtdRow) -> dict[str, Any]:
        code, qr_text = row.supplier_order_id, self._seals.voucher(row)
        return {
            **ttd_answers.ids(row.ota_order_id, code),
            "supplierConfirmType": ttd_answers.CONFIRMED,
            **ttd_answers.voucher(row.item_ids, code, qr_text),
        }

    async def _left(self, wanted: WantedOrder) -> list[int]:
        types = [each.customer_type for each in wanted.passengers]
        try:
            quote = await self._holds.quote(wanted.wishes, types, ())
        except DomainError as error:
            raise refusal(error) from None
        return [
            min(quote.left.get(stock_id, 0) for stock_id in item.offer.stock_ids)
            for item in quote.priced.items
        ]

    async def _received(self, channel_code: str, order: TtdOrder, *, is_direct: bool) -> TtdRow:
        """The order's row, made if there is none. Raises TtdRefusal for another of its id."""
        plain = ttd_rows.dumped(order)
        compared = ttd_rows.dumped(order._replace(sequence_id=""))
        content_hash = self._seals.hash(compared + bytes([is_direct]))
        sealed = self._seals.seal(f"{channel_code}:{order.ota_order_id}", plain)

        async def work(tx: AsyncConnection) -> list[TtdRow]:
            new = ttd_rows.add(
                channel_code=channel_code,
                order=order,
                content_hash=content_hash,
                sealed=sealed,
                is_direct=is_direct,
                now=clock.now(),
            )
            await run(tx, new)
            return await run(tx, ttd_rows.read(channel_code, order.ota_order_id))

        found = await self._db.in_transaction(work)
        if not found:
            raise TtdRefusal(ResultCode.OTHER_CONTENT, "sequenceId was another order's")
        (row,) = found
        if row.content_hash != content_hash:
            raise TtdRefusal(ResultCode.OTHER_CONTENT, "otaOrderId was used with other content")
        if row.state == CANCELLED:
            raise TtdRefusal(ResultCode.ORDER_CLOSED, "the order was cancelled")
        return row

    async def _held(self, row: TtdRow, order: TtdOrder) -> TtdRow:
        """Holds what is ordered, once for each attempt. Raises TtdRefusal."""
        now, prices = clock.now(), await self._holds.prices()
        wanted = await self._offers.wanted(prices, row.channel_code, order, now=now)
        async with self._db.transaction() as tx:
            customer = self._seals.customer(order)
            traveller = await travellers.log_in(
                tx, app_id=CUSTOMERS, openid=customer, unionid=None, now=now
            )
        new = NewOrder(
            wanted.wishes,
            wanted.passengers,
            quoted_minor=wanted.priced.total_minor,
            contact_phone=phone_of(order),
        )
        request_id = f"{row.name}:{row.attempt}"
        try:
            held = await self._holds.submit(
                traveller,
                new,
                request_id=request_id,
                content_hash=digest(request_id.encode()),
            )
        except DomainError as error:
            raise refusal(error) from None
        order_id = held.shown.order.order_id if held.shown else held.repeated
        left = await self._left(wanted)

        async def work(tx: AsyncConnection) -> TtdRow:
            found = await locked(tx, row.channel_code, row.ota_order_id)
            if (found.state, found.attempt) != (RECEIVED, row.attempt):
                if found.state == CANCELLED:  # meanwhile
                    await self._cancel(tx, order_id, found, now=clock.now())
                return found
            moved = found._replace(
                state=HELD,
                order_id=order_id,
                supplier_order_id=found.supplier_order_id or orders.order_code(order_id),
                left_then=found.left_then or left,
            )
            await run(tx, ttd_rows.move(moved, now=clock.now()))
            return moved

        moved = await self._db.in_transaction(work)
        if moved.state == CANCELLED:
            raise TtdRefusal(ResultCode.ORDER_CLOSED, "the order was cancelled")
        return moved

    async def _paid(self, row: TtdRow, payment: TtdPayment) -> TtdRow:
        key = await self._issuer.key()

        async def work(tx: AsyncConnection) -> TtdRow:
            found = await locked(tx, row.channel_code, row.ota_order_id)
            item_ids = _item_ids(self._seals.order(found).items, payment)
            if found.state == CANCELLED:
                raise TtdRefusal(ResultCode.ORDER_CLOSED, "the order was cancelled")
            if found.state == SOLD:
                if found.item_ids != item_ids:
                    raise TtdRefusal(ResultCode.OTHER_CONTENT, "it was paid with other items")
                return found
            if found.order_id is None:
                return found
            order = (await orders.lock_orders(tx, [found.order_id]))[found.order_id]
            now = clock.now()
            if not await _is_payable(tx, order):
                await self._cancel(tx, order.order_id, found, now=now)
                again = found._replace(state=RECEIVED, order_id=None, attempt=found.attempt + 1)
                await run(tx, ttd_rows.move(again, now=now))
                return again
            await run(tx, orders.pay_on_account(order.order_id, found.name))
            actor = f"channel:{found.channel_code}"
            await self._settlement.settle_order(tx, order, pay_time=now, now=now, actor=actor)
            claims = await qr_codes.traveller_order(
                tx, Traveller(order.traveller_id), order.order_code, rotate=False, now=now
            )
            (text,) = await issuing.issue(tx, [claims], key)
            sold = found._replace(
                state=SOLD,
                item_ids=item_ids,
                sealed_voucher=self._seals.seal(found.name, text.encode()),
            )
            await run(tx, ttd_rows.move(sold, now=now))
            return sold

        for _ in range(ATTEMPTS):
            row = await self._db.in_transaction(work)
            if row.state == SOLD:
                return row
            row = await self._held(row, self._seals.order(row))
        raise TtdRefusal(ResultCode.NO_STOCK, "what was held expired, and again")

    async def _cancel(
        self, tx: AsyncConnection, order_id: int, row: TtdRow, *, now: datetime
    ) -> None:
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


async def locked(tx: AsyncConnection, channel_code: str, ota_order_id: str) -> TtdRow:
    """An order, locked. Raises TtdRefusal."""
    found = await run(tx, ttd_rows.lock(channel_code, ota_order_id))
    if not found:
        raise TtdRefusal(ResultCode.UNKNOWN_ORDER, "there is no order of this otaOrderId")
    return found[0]


async def _is_payable(tx: AsyncConnection, order: Order) -> bool:
    if order.state != "PENDING":
        return False
    departures = await ordered_departures.of_order(tx, order.order_id)
    return ordered_departures.cancelled(departures) is None


def _item_ids(items: Sequence[TtdItem], payment: TtdPayment) -> list[str]:
    """Ctrip's ids of the items, in their order. Raises TtdRefusal."""
    by_plu: dict[str, list[str]] = {}
    for plu, item_id in payment.item_ids:
        by_plu.setdefault(plu, []).append(item_id)
    try:
        found = [by_plu[each.plu].pop(0) for each in items]
    except (KeyError, IndexError):
        raise TtdRefusal(ResultCode.MISSING, "items: an item of the order is missing") from None
    if any(by_plu.values()) or len(set(found)) != len(found):
        raise TtdRefusal(ResultCode.WRONG, "items: are not those of the order, each once")
    return found
