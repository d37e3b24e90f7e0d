"""What of a paid order of Ctrip's attractions channel is cancelled, and how it stands.

A cancellation gives back tickets that were not used, by the policy of their product, through the
function behind RequestRefund. It is one transaction with its answer, which a repeat of its
sequenceId gets again: so a part is cancelled once, however often it is asked for.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from server.aftersales.refund_requests import RefundHandler
from server.channels import ttd_answers, ttd_messages, ttd_rows
from server.channels.ttd_answers import TtdStanding
from server.channels.ttd_messages import (
    CancelledItem,
    TtdCancellation,
    TtdOrder,
)
from server.channels.ttd_rows import CANCELLED, TtdRow, TtdSeals, locked
from server.channels.ttd_tickets import ACTIVE, BACK, USED, OwnTicket, item_states, own_tickets
from server.channels.ttd_wire import ResultCode, TtdRefusal
from server.identity.callers import Traveller
from server.orders import orders, shared_tickets
from server.orders.travel_tickets import TravelTicket
from server.platform import clock, idempotency
from server.platform.database import Database
from server.platform.driver_errors import LostRaceError
from server.platform.errors import DomainError, Reason
from server.platform.idempotency import KeyedCall
from server.platform.statements import run

METHOD = "CancelOrder"
WHY = {
    "REDEEMED": ResultCode.USED,
    "EXPIRED": ResultCode.EXPIRED,
    "TOO_LATE": ResultCode.EXPIRED,
}
"""Why nothing is given back, as the protocol says it; all else is NOT_REFUNDABLE."""


class TtdCancels:
    """Cancels what was paid, and says how orders stand."""

    def __init__(self, db: Database, seals: TtdSeals, refund_handler: RefundHandler) -> None:
        self._db = db
        self._seals = seals
        self._refunds = refund_handler

    async def cancel(self, channel_code: str, content: dict[str, Any]) -> dict[str, Any]:
        """Cancels exactly what is asked, or nothing. Raises TtdRefusal."""
        asked = ttd_messages.cancellation_of(content)
        said = repr(asked).encode()
        call = KeyedCall.of(
            f"channel:{channel_code}", METHOD, asked.sequence_id, self._seals.hash(said)
        )

        async def work(tx: AsyncConnection) -> bytes:
            now = clock.now()
            if first := await idempotency.begin(tx, call, now=now):
                return first
            row = await locked(tx, channel_code, asked.ota_order_id)
            await self._give_back(tx, row, asked, now=now)
            answer = orjson.dumps(
                {
                    "supplierConfirmType": ttd_answers.CONFIRMED,
                    "items": [{"itemId": each.item_id} for each in asked.items],
                }
            )
            await idempotency.finish(tx, call, answer)
            return answer

        try:
            answer: dict[str, Any] = orjson.loads(await self._db.in_transaction(work))
        except DomainError as error:
            raise _refusal(error) from None
        return answer

    async def query(self, channel_code: str, content: dict[str, Any]) -> dict[str, Any]:
        """How an order stands. Raises TtdRefusal."""
        ota_order_id = ttd_messages.order_id_of(content, ResultCode.QUERY_UNKNOWN_ORDER)
        async with self._db.transaction() as tx:
            found = await run(tx, ttd_rows.read(channel_code, ota_order_id))
            # of one that was refused when it was to be held there is a row, and no order
            if not found or found[0].was_never_held:
                raise TtdRefusal(ResultCode.QUERY_UNKNOWN_ORDER, "there is no such order")
            row = found[0]
            items = await item_states(tx, row, self._seals.order(row))
        standing = TtdStanding(bool(row.item_ids), row.state == CANCELLED, row.is_direct)
        return {
            **ttd_answers.ids(row.ota_order_id, row.supplier_order_id),
            "items": [ttd_answers.shown(each, standing) for each in items],
        }

    async def _give_back(
        self, tx: AsyncConnection, row: TtdRow, asked: TtdCancellation, *, now: datetime
    ) -> None:
        if not row.item_ids or row.order_id is None:
            raise TtdRefusal(ResultCode.NOT_PAID, "it is not paid; call CancelPreOrder")
        tickets = await own_tickets(tx, row.order_id)
        content = self._seals.order(row)
        chosen: list[OwnTicket] = []
        for item in asked.items:
            if item.item_id not in row.item_ids:
                raise TtdRefusal(ResultCode.WRONG_QUANTITY, f"no item {item.item_id} is there")
            index = row.item_ids.index(item.item_id)
            of_item = [each for each in tickets if each.item_index == index]
            chosen += _chosen(item, of_item, _people(content, index))
        going = {each.ticket.ticket_id for each in chosen}
        if len(going) != len(chosen):
            raise TtdRefusal(ResultCode.WRONG_QUANTITY, "an item stands there twice")
        await shared_tickets.lock(tx, going)
        by_order: dict[int, list[TravelTicket]] = {}
        for each in chosen:
            by_order.setdefault(each.ticket.order_id, []).append(each.ticket)
        await orders.lock_orders(tx, set(by_order))
        for order_id in sorted(by_order):
            await self._refund(tx, by_order[order_id], now=now)
        if all(each.ticket.ticket_id in going or each.state in BACK for each in tickets):
            await run(tx, ttd_rows.move(row._replace(state=CANCELLED), now=now))

    async def _refund(
        self, tx: AsyncConnection, tickets: Sequence[TravelTicket], *, now: datetime
    ) -> None:
        """Gives tickets of one order back."""
        order, codes = tickets[0].order, [each.ticket_code for each in tickets]
        traveller = Traveller(order.traveller_id)
        quote = await self._refunds.quote(tx, traveller, order.order_code, codes, now=now)
        try:
            await self._refunds.request(tx, traveller, order.order_code, quote.text, now=now)
        except DomainError as error:
            if error.reason is Reason.QUOTE_INVALID:  # a gate or a refund came between
                raise LostRaceError from None
            raise


def _people(content: TtdOrder, index: int) -> dict[str, int]:
    """The positions in the order of an item's passengers, by Ctrip's ids."""
    first = sum(each.quantity for each in content.items[:index])
    ids = content.items[index].passenger_ids
    return {each: first + at for at, each in enumerate(ids) if each}


def _chosen(
    item: CancelledItem, tickets: Sequence[OwnTicket], people: dict[str, int]
) -> list[OwnTicket]:
    """Which tickets of an item are given back: the last of those that were not used. Raises
    TtdRefusal.
    """
    unused = [each for each in tickets if each.state == ACTIVE]
    was_used = any(each.state in USED for each in tickets)
    if item.cancel_type == 2:
        places = {people.get(each, -1) for each in item.passenger_ids}
        unused = [each for each in unused if each.passenger_index in places]
        wanted = len(item.passenger_ids)
    elif item.cancel_type == 0:
        wanted = item.quantity or len(tickets)
    else:
        wanted = item.quantity
    if wanted == 0 or wanted > len(unused):
        left = f"{len(unused)} of item {item.item_id} can be cancelled"
        raise TtdRefusal(ResultCode.USED if was_used else ResultCode.WRONG_QUANTITY, left)
    return unused[len(unused) - wanted :]


def _refusal(error: DomainError) -> Exception:
    if error.reason is Reason.IDEMPOTENCY_MISMATCH:
        text = "sequenceId was used with other content"
        return TtdRefusal(ResultCode.CANCEL_OTHER_CONTENT, text)
    if error.reason is Reason.REFUND_REFUSED:
        why = str(error.metadata.get("why", ""))
        return TtdRefusal(WHY.get(why, ResultCode.NOT_REFUNDABLE), f"not given back: {why}")
    return error
