"""Orders of Ctrip's attractions channel: verified, made, paid, cancelled before they are paid.

An order is a traveller's, held by the function behind CreateOrder and paid on account, as bookings
of other channels are. Its row is kept before anything is held, and says after each step how far it
is: so whoever repeats a call goes on where a process died, and gets the first answer where none
did.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels import ttd_answers, ttd_messages, ttd_rows
from server.channels.ttd_answers import ItemVoucher
from server.channels.ttd_holds import TtdHolds, let_go
from server.channels.ttd_messages import TtdItem, TtdOrder, TtdPayment
from server.channels.ttd_rows import (
    CANCELLED,
    HELD,
    RECEIVED,
    REFUSED,
    SOLD,
    NewTtdOrder,
    TtdRow,
    TtdSeals,
    locked,
)
from server.channels.ttd_wire import ResultCode, TtdRefusal
from server.identity.callers import Traveller
from server.orders import ordered_departures, orders, qr_codes
from server.orders.orders import Order
from server.payments.settlement import Settlement
from server.platform import clock
from server.platform.database import Database
from server.platform.statements import run
from server.tickets import issuing
from server.tickets.issuing import Issuer

UNHELD = frozenset({RECEIVED, REFUSED})
"""States of what is to be held, or may be tried again."""
ATTEMPTS = 3
"""To hold again what expired before it was paid."""


class TtdSales:
    """What Ctrip has sold."""

    def __init__(
        self,
        db: Database,
        seals: TtdSeals,
        ttd_holds: TtdHolds,
        settlement: Settlement,
        issuer: Issuer,
    ) -> None:
        self._db, self._seals, self._holds = db, seals, ttd_holds
        self._settlement, self._issuer = settlement, issuer

    async def verify(self, channel_code: str, content: dict[str, Any]) -> dict[str, Any]:
        """Whether an order could be sold now, and what is left. Raises TtdRefusal."""
        order = ttd_messages.order_of(content, is_verified=True)
        left = await self._holds.left(await self._holds.wanted(channel_code, order))
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
        if row.state in UNHELD:
            row = await self._held(row)
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
        if not found or found[0].state == REFUSED:
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
                await let_go(tx, row.order_id, row, now=now)
            await run(tx, ttd_rows.move(row._replace(state=CANCELLED), now=now))
            return row

        row = await self._db.in_transaction(work)
        return ttd_answers.ids(row.ota_order_id, row.supplier_order_id)

    def _sold(self, row: TtdRow) -> dict[str, Any]:
        code, qr_text = row.supplier_order_id, self._seals.voucher(row)
        vouchers = [ItemVoucher(each, code, qr_text) for each in row.item_ids]
        return {
            **ttd_answers.ids(row.ota_order_id, code),
            "supplierConfirmType": ttd_answers.CONFIRMED,
            **ttd_answers.voucher(vouchers),
        }

    async def _received(self, channel_code: str, order: TtdOrder, *, is_direct: bool) -> TtdRow:
        """The order's row, made if there is none, or if nothing was ever held of the one that there
        is. Raises TtdRefusal for another of its id.
        """
        compared = ttd_rows.dumped(order._replace(sequence_id=""))
        content_hash = self._seals.hash(compared + bytes([is_direct]))
        sealed = self._seals.seal(f"{channel_code}:{order.ota_order_id}", ttd_rows.dumped(order))
        new = NewTtdOrder(channel_code, order, content_hash, sealed, is_direct)

        async def work(tx: AsyncConnection) -> list[TtdRow]:
            if not await run(tx, ttd_rows.add(new, now=clock.now())):
                await run(tx, ttd_rows.correct(new, now=clock.now()))
            return await run(tx, ttd_rows.read(channel_code, order.ota_order_id))

        found = await self._db.in_transaction(work)
        if not found:
            raise TtdRefusal(ResultCode.OTHER_CONTENT, "sequenceId was another order's")
        _require_open(found[0], content_hash)
        return found[0]

    async def _held(self, row: TtdRow) -> TtdRow:
        """Holds what is ordered, once for each attempt. Raises TtdRefusal."""
        order, request_id = self._seals.order(row), f"{row.name}:{row.attempt}"
        try:
            held = await self._holds.hold(row, order, request_id)
        except TtdRefusal:
            refused = ttd_rows.refuse(row, now=clock.now())
            await self._db.in_transaction(lambda tx: run(tx, refused))
            raise

        async def work(tx: AsyncConnection) -> TtdRow:
            found = await locked(tx, row.channel_code, row.ota_order_id)
            if found.attempt != row.attempt or found.state not in UNHELD:
                if found.order_id != held.order_id:  # cancelled, or corrected, meanwhile
                    await let_go(tx, held.order_id, found, now=clock.now())
                return found
            moved = found._replace(
                state=HELD,
                order_id=held.order_id,
                supplier_order_id=found.supplier_order_id or orders.order_code(held.order_id),
                left_then=found.left_then or held.left,
            )
            await run(tx, ttd_rows.move(moved, now=clock.now()))
            return moved

        moved = await self._db.in_transaction(work)
        _require_open(moved, row.content_hash)
        return moved

    async def _paid(self, row: TtdRow, payment: TtdPayment) -> TtdRow:
        sealing = await self._issuer.sealing()

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
                await let_go(tx, order.order_id, found, now=now)
                again = found._replace(state=RECEIVED, order_id=None, attempt=found.attempt + 1)
                await run(tx, ttd_rows.move(again, now=now))
                return again
            await run(tx, orders.pay_on_account(order.order_id, found.name))
            actor = f"channel:{found.channel_code}"
            await self._settlement.settle_order(tx, order, pay_time=now, now=now, actor=actor)
            claims = await qr_codes.traveller_order(
                tx, Traveller(order.traveller_id), order.order_code, rotate=False, now=now
            )
            (text,) = await issuing.issue(tx, [claims], sealing)
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
            row = await self._held(row)
        raise TtdRefusal(ResultCode.NO_STOCK, "what was held expired, and again")


def _require_open(row: TtdRow, content_hash: bytes) -> None:
    """Raises TtdRefusal for an order of other content, or one that was cancelled."""
    if row.content_hash != content_hash:
        raise TtdRefusal(ResultCode.OTHER_CONTENT, "otaOrderId was used with other content")
    if row.state == CANCELLED:
        raise TtdRefusal(ResultCode.ORDER_CLOSED, "the order was cancelled")


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
