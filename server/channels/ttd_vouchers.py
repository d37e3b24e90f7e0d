"""The vouchers of a paid order of Ctrip's attractions channel: the QR codes that open it, again.

The answer to the payment has one, of the order. A ticket that was changed to another day is in an
order of its own, with a QR code of its own: each is issued once, kept sealed beside the first, and
sent to Ctrip, which sends it to its customer.
"""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels import ttd_answers, ttd_messages, ttd_rows
from server.channels.ttd_answers import ItemVoucher
from server.channels.ttd_rows import SOLD, TtdRow, TtdSeals, locked
from server.channels.ttd_tickets import own_tickets
from server.channels.ttd_wire import ResultCode, TtdRefusal
from server.orders import qr_codes
from server.platform import clock
from server.platform.database import Database
from server.platform.outbox import NewTask, enqueue
from server.platform.statements import run
from server.tickets import issuing
from server.tickets.issuing import Issuer, Sealing

SEND = "ttd.vouchers"
"""Has Ctrip know an order's vouchers; the key is `channel:order`."""
USABLE = frozenset({"ACTIVE", "PARTIALLY_REDEEMED"})


class TtdVouchers:
    """Says by what an order is used."""

    def __init__(self, db: Database, seals: TtdSeals, issuer: Issuer) -> None:
        self._db, self._seals, self._issuer = db, seals, issuer

    async def key(self) -> Sealing:
        """What seals QR codes; asked for before a transaction."""
        return await self._issuer.sealing()

    async def again(self, channel_code: str, content: dict[str, Any]) -> dict[str, Any]:
        """SendVoucher: an order's vouchers, as they are now, also for Ctrip to send again. Raises
        TtdRefusal.
        """
        ota_order_id = ttd_messages.order_id_of(content, ResultCode.VOUCHER_UNKNOWN_ORDER)
        sequence_id, key = ttd_messages.sequence_id_of(content), await self.key()

        async def work(tx: AsyncConnection) -> dict[str, Any]:
            row = await locked(
                tx, channel_code, ota_order_id, unknown=ResultCode.VOUCHER_UNKNOWN_ORDER
            )
            said = await self._kept(tx, row, key)
            await ask_to_send(tx, row, sequence_id, now=clock.now())
            return said

        return await self._db.in_transaction(work)

    async def now(self, channel_code: str, ota_order_id: str) -> dict[str, Any]:
        """What Ctrip is sent of an order's vouchers. Raises TtdRefusal if there are none."""
        key = await self.key()

        async def work(tx: AsyncConnection) -> dict[str, Any]:
            return await self._kept(tx, await locked(tx, channel_code, ota_order_id), key)

        return await self._db.in_transaction(work)

    async def _kept(self, tx: AsyncConnection, row: TtdRow, key: Sealing) -> dict[str, Any]:
        """What is said of a locked order's vouchers. Raises TtdRefusal if there are none."""
        if row.state != SOLD:
            raise TtdRefusal(ResultCode.VOUCHER_NOT_PAID, "it is not paid, or was given back")
        kept, vouchers = await self.current(tx, row, key)
        if not vouchers:
            raise TtdRefusal(ResultCode.VOUCHER_USED, "nothing of it can be used any more")
        if kept != row:
            await run(tx, ttd_rows.move(kept, now=clock.now()))
        ids = ttd_answers.ids(row.ota_order_id, row.supplier_order_id)
        return {**ids, **ttd_answers.voucher(vouchers)}

    async def current(
        self, tx: AsyncConnection, row: TtdRow, key: Sealing
    ) -> tuple[TtdRow, list[ItemVoucher]]:
        """The vouchers of a locked order that is paid, and its row with those that had to be
        issued, which is to be written.
        """
        assert row.order_id is not None, "a constraint says so"
        known = self._seals.vouchers(row)
        usable = [
            (each.item_index, each.ticket.order)
            for each in await own_tickets(tx, row.order_id)
            if each.state in USABLE
        ]
        orders = {order.order_id: order.order_code for _, order in usable}
        missing = [order_id for order_id in sorted(orders) if order_id not in known]
        if missing:
            claims = [await qr_codes.order_claims(tx, order_id) for order_id in missing]
            issued = await issuing.issue(tx, claims, key)
            known |= dict(zip(missing, issued, strict=True))
            row = self._seals.with_vouchers(row, known)
        if row.order_id in orders:  # of the first attempt, which Ctrip keeps
            orders[row.order_id] = row.supplier_order_id
        of_items = dict.fromkeys((index, order.order_id) for index, order in usable)
        vouchers = [
            ItemVoucher(row.item_ids[index], orders[order_id], known[order_id])
            for index, order_id in of_items
        ]
        return row, vouchers


async def ask_to_send(tx: AsyncConnection, row: TtdRow, sequence_id: str, *, now: datetime) -> None:
    """Has Ctrip know an order's vouchers, for a call with this sequenceId."""
    task = NewTask(SEND, row.name, {"sequence_id": sequence_id}, now)
    await run(tx, enqueue(task, now=now))
