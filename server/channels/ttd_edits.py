"""Orders of Ctrip's attractions channel that are for other days: EditOrder.

A paid order's tickets are changed as travellers change theirs (改签), by their product's policy, all
or none, in one transaction with the answer. One that is not paid is held anew, and then what was
held before is let go. What would cost more or less, or a fee, is refused: the protocol has no field
for money here.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from server.aftersales.ticket_changes import ChangeHandler, ChangeQuote
from server.channels import ttd_answers, ttd_messages, ttd_rows
from server.channels.ttd_holds import HeldOrder, TtdHolds, let_go
from server.channels.ttd_messages import EditedItem, TtdEdit, TtdItem, TtdOrder
from server.channels.ttd_offers import refusal
from server.channels.ttd_rows import HELD, RECEIVED, SOLD, TtdRow, TtdSeals, locked
from server.channels.ttd_tickets import ACTIVE, BACK, OwnTicket, own_tickets
from server.channels.ttd_vouchers import TtdVouchers, ask_to_send
from server.channels.ttd_wire import ResultCode, TtdRefusal
from server.identity.callers import Traveller
from server.orders import orders, shared_tickets
from server.orders.prices import Prices
from server.orders.travel_tickets import TravelTicket
from server.platform import clock, idempotency
from server.platform.database import Database
from server.platform.driver_errors import LostRaceError
from server.platform.errors import DomainError, Reason
from server.platform.idempotency import KeyedCall
from server.platform.statements import run
from server.stock import holds

METHOD = "EditOrder"
ATTEMPTS = 3
"""To change what somebody else has moved meanwhile."""
AS_EDITED = {
    ResultCode.UNKNOWN_ORDER: ResultCode.EDIT_UNKNOWN_ORDER,
    ResultCode.MISSING: ResultCode.EDIT_MISSING,
    ResultCode.WRONG_DATE: ResultCode.EDIT_WRONG_DATE,
    ResultCode.OFF_SALE: ResultCode.EDIT_WRONG_DATE,
    ResultCode.NO_STOCK: ResultCode.EDIT_NO_STOCK,
    ResultCode.NO_PRICE: ResultCode.EDIT_PRICE,
    ResultCode.UNKNOWN_PRODUCT: ResultCode.EDIT_REFUSED,
    ResultCode.RESTRICTED: ResultCode.EDIT_REFUSED,
    ResultCode.WRONG: ResultCode.EDIT_REFUSED,
}
"""What a refusal of an order's content is called in an answer to EditOrder."""


class _MovedError(Exception):
    """The order is not as it was read any more."""


class TtdEdits:
    """Changes days of use."""

    def __init__(
        self,
        db: Database,
        seals: TtdSeals,
        ttd_holds: TtdHolds,
        change_handler: ChangeHandler,
        vouchers: TtdVouchers,
    ) -> None:
        self._db, self._seals = db, seals
        self._holds, self._changes, self._vouchers = ttd_holds, change_handler, vouchers

    async def edit(self, channel_code: str, content: dict[str, Any]) -> dict[str, Any]:
        """Has an order's items used on other days, or nothing of it changed; a repeat gets the
        first answer. Raises TtdRefusal.
        """
        try:
            asked = ttd_messages.edit_of(content)
            answer: dict[str, Any] = orjson.loads(await self._edited(channel_code, asked))
        except TtdRefusal as refused:
            code = AS_EDITED.get(refused.code, refused.code)
            raise TtdRefusal(code, refused.message) from None
        return answer

    async def _edited(self, channel_code: str, asked: TtdEdit) -> bytes:
        said = self._seals.hash(repr(asked).encode())
        call = KeyedCall.of(f"channel:{channel_code}", METHOD, asked.sequence_id, said)
        try:
            for _ in range(ATTEMPTS):
                async with self._db.transaction() as tx:
                    if first := await idempotency.find(tx, call):
                        return first
                    found = await run(tx, ttd_rows.read(channel_code, asked.ota_order_id))
                if not found or found[0].was_never_held:
                    raise TtdRefusal(ResultCode.UNKNOWN_ORDER, "there is no such order")
                try:
                    return await self._try(found[0], asked, call)
                except _MovedError:
                    continue
        except DomainError as error:
            raise _refusal(error) from None
        raise TtdRefusal(ResultCode.FAULT, "others move the order; send it again")

    async def _try(self, before: TtdRow, asked: TtdEdit, call: KeyedCall) -> bytes:
        """Raises _MovedError if the order is moved meanwhile."""
        prices, key = await self._changes.prices(), await self._vouchers.key()
        held = await self._held_anew(before, asked)

        async def work(tx: AsyncConnection) -> bytes:
            now = clock.now()
            if first := await idempotency.begin(tx, call, now=now):
                return first
            row = await locked(tx, before.channel_code, before.ota_order_id)
            if (row.state, row.attempt) != (before.state, before.attempt):
                raise _MovedError
            content = self._seals.order(row)
            edited = edited_order(content, row.item_ids, asked)
            if edited != content:
                if held:
                    if row.order_id is not None:
                        await let_go(tx, row.order_id, row, now=now)
                    moved = row._replace(
                        state=HELD, order_id=held.order_id, attempt=row.attempt + 1
                    )
                else:
                    await self._change(tx, row, content, edited, prices=prices, now=now)
                    moved, _ = await self._vouchers.current(tx, row, key)
                await run(tx, ttd_rows.move(self._seals.with_content(moved, edited), now=now))
            items = [{"itemId": each.item_id} for each in asked.items]
            answer = {"supplierConfirmType": ttd_answers.CONFIRMED, "items": items}
            await idempotency.finish(tx, call, orjson.dumps(answer))
            if edited != content and not held:
                await ask_to_send(tx, row, asked.sequence_id, now=now)
            return orjson.dumps(answer)

        try:
            return await self._db.in_transaction(work)
        except Exception:
            if held:
                await self._let_go_unused(before, held)
            raise

    async def _held_anew(self, row: TtdRow, asked: TtdEdit) -> HeldOrder | None:
        """What holds the other days, of an order that is not paid. Raises TtdRefusal, also for one
        that is over.
        """
        if row.state == SOLD:
            return None
        if row.state not in {HELD, RECEIVED}:
            raise TtdRefusal(ResultCode.EDIT_REFUSED, "the order was cancelled")
        content = self._seals.order(row)
        edited = edited_order(content, row.item_ids, asked)
        if edited == content:
            return None
        total_minor = None
        if row.order_id is not None:
            async with self._db.transaction() as tx:
                before = (await orders.read(tx, [row.order_id]))[row.order_id]
            total_minor = before.amount_minor
        request_id = f"{row.name}:{row.attempt}:{asked.sequence_id}"
        return await self._holds.hold(row, edited, request_id, total_minor=total_minor)

    async def _let_go_unused(self, before: TtdRow, held: HeldOrder) -> None:
        async def work(tx: AsyncConnection) -> None:
            row = await locked(tx, before.channel_code, before.ota_order_id)
            if row.order_id != held.order_id:
                await let_go(tx, held.order_id, row, now=clock.now())

        await self._db.in_transaction(work)

    async def _change(
        self,
        tx: AsyncConnection,
        row: TtdRow,
        content: TtdOrder,
        edited: TtdOrder,
        *,
        prices: Prices,
        now: datetime,
    ) -> None:
        """Changes all tickets of the items that are for another day. Raises TtdRefusal."""
        assert row.order_id is not None, "a constraint says so"
        quotes: list[ChangeQuote] = []
        tickets = await own_tickets(tx, row.order_id)
        for index, (was, item) in enumerate(zip(content.items, edited.items, strict=True)):
            if was == item:
                continue
            offer_id = await self._holds.offer_id(row.channel_code, item)
            for each in _changeable([one for one in tickets if one.item_index == index], item):
                traveller = Traveller(each.order.traveller_id)
                quotes.append(
                    await self._changes.quote(
                        tx, traveller, each.ticket_code, offer_id, prices=prices, now=now
                    )
                )
        for quote in quotes:
            _require_free(quote)
        await _lock(tx, quotes)
        for quote in quotes:
            ticket = quote.terms.ticket
            traveller = Traveller(ticket.order.traveller_id)
            try:
                made = await self._changes.change(
                    tx, traveller, ticket.ticket_code, quote.text, prices=prices, now=now
                )
            except DomainError as error:
                if error.reason is Reason.QUOTE_INVALID:  # a gate or a refund came between
                    raise LostRaceError from None
                raise
            await run(tx, orders.pay_on_account(made.order.order_id, row.name))


def edited_order(order: TtdOrder, item_ids: Sequence[str], asked: TtdEdit) -> TtdOrder:
    """The order with the days that are asked for; `item_ids` are Ctrip's, if it is paid. An item
    that is for its day already stays as it is. Raises TtdRefusal.
    """
    items, ids = list(order.items), [*item_ids] or [each.item_id for each in order.items]
    for each in asked.items:
        index = _index(items, ids, each)
        item = items[index]
        if each.plu not in {"", item.plu}:
            raise TtdRefusal(ResultCode.WRONG, f"item {each.item_id} is of PLU {item.plu}")
        if item.day not in {each.origin, each.target}:
            raise TtdRefusal(
                ResultCode.WRONG_DATE, f"originUseStartDate: item {each.item_id} is for {item.day}"
            )
        items[index] = item._replace(day=each.target)
    return order._replace(items=tuple(items))


def _index(items: Sequence[TtdItem], ids: Sequence[str], asked: EditedItem) -> int:
    if asked.item_id in ids:
        return ids.index(asked.item_id)
    # until it is paid Ctrip need not have said any id: then the day says which item it is
    nameless = [at for at, known in enumerate(ids) if not known]
    for day in (asked.origin, asked.target):
        found = [at for at in nameless if items[at].day == day]
        if len(found) == 1:
            return found[0]
    raise TtdRefusal(ResultCode.WRONG, f"itemId: no item {asked.item_id} is there")


def _changeable(tickets: Sequence[OwnTicket], item: TtdItem) -> list[TravelTicket]:
    """The tickets of an item that are left, if none of them was used. Raises TtdRefusal."""
    left = [each for each in tickets if each.state not in BACK]
    if not left or any(each.state != ACTIVE for each in left):
        states = ", ".join(sorted({each.state for each in left})) or "given back"
        raise TtdRefusal(
            ResultCode.EDIT_REFUSED, f"tickets of PLU {item.plu} are {states}, not all unused"
        )
    return [each.ticket for each in left]


def _require_free(quote: ChangeQuote) -> None:
    """Raises TtdRefusal for a change that costs or gives back anything."""
    cost = quote.terms.offer
    if cost.pay_minor or cost.refund_minor or cost.fee_minor or cost.forfeited_minor:
        raise TtdRefusal(
            ResultCode.EDIT_PRICE,
            f"{quote.terms.item.offer.offer_id}: a change costs {cost.fee_minor}, and the ticket"
            f" {cost.new_minor} instead of {cost.old_minor}; cancel, and order anew",
        )


async def _lock(tx: AsyncConnection, quotes: Sequence[ChangeQuote]) -> None:
    """Locks all that changes will lock, in the order in which everybody does."""
    tickets = [each.terms.ticket for each in quotes]
    await shared_tickets.lock(tx, [each.ticket_id for each in tickets])
    await orders.lock_orders(tx, {each.order_id for each in tickets})
    stocks = {stock for each in tickets for stock in each.item.stock_ids}
    await holds.lock(tx, stocks.union(*(each.terms.item.offer.stock_ids for each in quotes)))


def _refusal(error: DomainError) -> Exception:
    if error.reason is Reason.IDEMPOTENCY_MISMATCH:
        text = "sequenceId was used with other content"
        return TtdRefusal(ResultCode.EDIT_OTHER_CONTENT, text)
    if error.reason is Reason.CHANGE_REFUSED:
        return TtdRefusal(ResultCode.EDIT_REFUSED, f"not changed: {error.metadata.get('why')}")
    return refusal(error)
