"""Travellers' orders: reading them, and giving back what one holds. How one is made is in
hold.py.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import and_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders import events
from server.orders.content import Content
from server.orders.events import OrderStanding
from server.orders.models import orders
from server.platform.errors import DomainError, Reason, not_found
from server.platform.statements import Command, Statement, Transaction, run
from server.stock import holds
from server.stock.quotas import Use
from server.tickets.rules import DIRECT, DIRECT_CODE, ORDER_PREFIX, Code, Number
from server.tickets.tickets import move

ClosePayments = Callable[[AsyncConnection, Sequence[int], datetime], Awaitable[None]]
"""Sees to it that payments which wait for these orders, by order_id, are closed at WeChat after
the commit.
"""

CancelReason = Literal["TRAVELLER", "HOLD_EXPIRED", "REFUNDED", "DEPARTURE_CANCELLED"]

_COLUMNS = (
    orders.c.order_id,
    orders.c.order_code,
    orders.c.traveller_id,
    orders.c.state,
    orders.c.sequence,
    orders.c.content,
    orders.c.passengers_sealed,
    orders.c.amount_minor,
    orders.c.currency_code,
    orders.c.credit_minor,
    orders.c.create_time,
    orders.c.hold_expire_time,
    orders.c.pay_time,
    orders.c.cancel_reason,
    orders.c.changes_ticket_id,
    orders.c.changes_order_id,
    orders.c.first_order_id,
    orders.c.first_item_index,
)
_THEIRS = orders.c.traveller_id.is_not(None)
# as the index of their holds has it
_PENDING = and_(
    orders.c.state == "PENDING", orders.c.pay_time.is_(None), orders.c.cancel_reason.is_(None)
)

_ANY_EXPIRED = Statement(
    """
SELECT EXISTS (SELECT FROM orders
  WHERE state = 'PENDING' AND pay_time IS NULL AND cancel_reason IS NULL
    AND hold_expire_time <= $1::timestamptz AND traveller_id IS NOT NULL)
""",
    bool,
)


_ON_ACCOUNT = Statement("""
UPDATE orders SET payment_reference = $2
WHERE order_id = $1::bigint AND traveller_id IS NOT NULL
""")


class Order(NamedTuple):
    """A traveller's order: its row, with the content parsed."""

    order_id: int
    order_code: str
    traveller_id: int
    state: str
    sequence: int
    content: Content
    passengers_sealed: bytes
    amount_minor: int
    currency_code: str
    credit_minor: int
    create_time: datetime
    hold_expire_time: datetime
    pay_time: datetime | None = None
    cancel_reason: str | None = None
    changes_ticket_id: int | None = None
    changes_order_id: int | None = None
    first_order_id: int | None = None
    first_item_index: int | None = None

    @property
    def standing(self) -> OrderStanding:
        """Where it stands before it moves."""
        pay = self.cancel_reason, self.pay_time
        return OrderStanding(self.order_id, self.sequence, self.state, *pay)

    @property
    def takes(self) -> list[holds.Take]:
        """What it holds, by ascending stock."""
        return self.content.takes(self.order_id, self.traveller_id)

    @property
    def uses(self) -> list[Use]:
        """What it counts as for the traveller, beside its tickets."""
        return self.content.uses(self.traveller_id)


def _order(*columns: Any) -> Order:
    return Order(*(*columns[:5], Content.parse(columns[5]), *columns[6:]))


_SELECT = f"SELECT {', '.join(column.name for column in _COLUMNS)} FROM orders"  # noqa: S608
_LOCK = f"""
{_SELECT} WHERE order_id = ANY($1::bigint[]) AND traveller_id IS NOT NULL
ORDER BY order_id FOR NO KEY UPDATE
"""
_LOCK_ALL = Statement(_LOCK, _order)
_LOCK_FREE = Statement(f"{_LOCK} SKIP LOCKED", _order)
_LOCK_OWN = Statement(
    f"{_SELECT} WHERE order_id = $1::bigint AND traveller_id = $2::bigint FOR NO KEY UPDATE", _order
)
_READ = Statement(
    f"{_SELECT} WHERE order_id = ANY($1::bigint[]) AND traveller_id IS NOT NULL", _order
)
_READ_OF_TICKETS = Statement(
    f"""
{_SELECT} WHERE traveller_id IS NOT NULL
  AND order_id = ANY(ARRAY(SELECT order_id FROM tickets WHERE ticket_id = ANY($1::bigint[])))
""",  # noqa: S608 - names of columns
    _order,
)


@dataclass(frozen=True, slots=True)
class Sold:
    """A ticket of an order: which place it is (see models.ticket_sales), and on which seat."""

    order_id: int
    ticket_id: int
    item_index: int
    passenger_index: int
    seat: str | None


_READ_SOLD = Statement(
    """
SELECT t.order_id, s.ticket_id, s.item_index, s.passenger_index, s.seat
FROM tickets t JOIN ticket_sales s ON s.ticket_id = t.ticket_id
WHERE t.order_id = ANY($1::bigint[]) ORDER BY s.ticket_id
""",
    Sold,
)


def order_number(code: str) -> int | None:
    """The order_id that a traveller's code spells; None for what is none."""
    parsed = Code.parse(code)
    if parsed is None or (parsed.prefix, parsed.partner_code) != (ORDER_PREFIX, DIRECT_CODE):
        return None
    return parsed.number(DIRECT)


def order_code(order_id: int) -> str:
    """The readable form of a traveller's order_id, e.g. `ORD-DT-20261121-000001`."""
    return Number.unpack(order_id).code(ORDER_PREFIX, DIRECT_CODE)


def lock(order_ids: Collection[int], *, skip_locked: bool = False) -> Command[Order]:
    """Travellers' orders, locked until the end of the transaction in the order of their numbers;
    with `skip_locked` only those that nobody else has locked.

    Locked first of all rows, and with it the right to move them; tickets, payments and stocks come
    after them.
    """
    return (_LOCK_FREE if skip_locked else _LOCK_ALL)(order_ids)


def pay_on_account(order_id: int, reference: str) -> Command[None]:
    """Notes that a locked order is PAID in this transaction on the account of whoever sold it: no
    payment of it is at WeChat, and what it gives back is settled with the account.
    """
    return _ON_ACCOUNT(order_id, reference)


async def lock_order(tx: AsyncConnection, order_id: int) -> Order | None:
    """`lock` of one order; None if there is none."""
    return (await lock_orders(tx, [order_id])).get(order_id)


async def lock_orders(tx: Transaction, order_ids: Collection[int]) -> dict[int, Order]:
    """`lock` of several, by number."""
    return {order.order_id: order for order in await run(tx, lock(order_ids))}


async def find(tx: AsyncConnection, traveller_id: int, code: str, *, lock: bool = False) -> Order:
    """The traveller's own order by its code, with `lock` as by `lock_order`. Raises NOT_FOUND."""
    number = order_number(code)
    if number is None:
        raise not_found("order", code)
    found = await run(tx, _LOCK_OWN(number, traveller_id) if lock else by_number([number]))
    if not found or found[0].traveller_id != traveller_id:
        raise not_found("order", code)
    return found[0]


def by_number(order_ids: Collection[int]) -> Command[Order]:
    """Travellers' orders, in any order."""
    return _READ(order_ids)


class OwnCode(NamedTuple):
    """A code, and the traveller whose it is to be."""

    traveller_id: int
    code: str


def numbers(named: Iterable[OwnCode]) -> list[int]:
    """The orders that these codes name, whosever they are."""
    return list({number for each in named if (number := order_number(each.code)) is not None})


def own(found: Iterable[Order], named: Iterable[OwnCode]) -> list[Order | None]:
    """For each code the traveller's own order, of those that were found; None for what is none."""
    by_id = {order.order_id: order for order in found}
    return [
        order
        if (order := by_id.get(order_number(each.code) or 0))
        and order.traveller_id == each.traveller_id
        else None
        for each in named
    ]


def of_tickets(ticket_ids: Collection[int]) -> Command[Order]:
    """The travellers' orders that these tickets are in."""
    return _READ_OF_TICKETS(ticket_ids)


async def read(tx: AsyncConnection, order_ids: Collection[int]) -> dict[int, Order]:
    """Travellers' orders by id."""
    return {order.order_id: order for order in await run(tx, by_number(order_ids))}


async def page(
    tx: AsyncConnection,
    traveller_id: int,
    *,
    state: str,
    before: tuple[datetime, int] | None,
    limit: int,
) -> list[Order]:
    """Up to `limit` of the traveller's orders, the newest first: all or those in a state.

    `before` is create_time and order_id of the last order of the page before.
    """
    query = select(*_COLUMNS).where(orders.c.traveller_id == traveller_id)
    if state:
        query = query.where(orders.c.state == state)
    if before:
        query = query.where(tuple_(orders.c.create_time, orders.c.order_id) < before)
    query = query.order_by(orders.c.create_time.desc(), orders.c.order_id.desc()).limit(limit)
    return [_order(*row) for row in await tx.execute(query)]


def sold(order_ids: Collection[int]) -> Command[Sold]:
    """The tickets of these orders, ascending."""
    return _READ_SOLD(order_ids)


async def cancel(
    tx: AsyncConnection,
    pending: Sequence[Order],
    *,
    reason: CancelReason,
    actor: str,
    now: datetime,
    close_payments: ClosePayments,
) -> None:
    """Cancels PENDING orders, which the caller has locked, and gives back all they hold.

    A ticket that one of them was to change is ACTIVE again, and payments that wait are to be closed
    at WeChat.
    """
    if not pending:
        return
    changing = {o.changes_ticket_id: o for o in pending if o.changes_ticket_id is not None}
    restored: set[int] = set()
    if changing:
        restored = await move(
            tx,
            changing,
            ("CHANGING",),
            "ACTIVE",
            action="restore",
            actor=actor,
            now=now,
        )
    moves = [
        events.Move(order.order_id, events.CANCELLED, actor, "CANCELLED", reason)
        for order in pending
    ]
    moves += [
        events.Move(order.changes_order_id, events.TICKET_RESTORED, actor, ticket_id=ticket_id)
        for ticket_id, order in changing.items()
        if ticket_id in restored and order.changes_order_id is not None
    ]
    await events.record(tx, moves, now=now)
    await close_payments(tx, [order.order_id for order in pending], now)
    takes = [take for order in pending for take in order.takes]
    uses = [use for order in pending for use in order.uses]
    await holds.release(tx, takes, column="held", now=now, uses=uses)


async def cancel_by_traveller(
    tx: AsyncConnection,
    traveller_id: int,
    code: str,
    *,
    actor: str,
    now: datetime,
    close_payments: ClosePayments,
) -> Order:
    """Cancels the traveller's own PENDING order; one the traveller cancelled before stays as it is.

    Raises NOT_FOUND, ORDER_STATE_REFUSES.
    """
    order = await find(tx, traveller_id, code, lock=True)
    if (order.state, order.cancel_reason) == ("CANCELLED", "TRAVELLER"):
        return order
    if order.state != "PENDING":
        raise state_refuses(order, "only a PENDING order is cancelled")
    await cancel(
        tx, [order], reason="TRAVELLER", actor=actor, now=now, close_payments=close_payments
    )
    return (await read(tx, [order.order_id]))[order.order_id]


def any_expired(now: datetime) -> Command[bool]:
    """Whether there is a PENDING order whose time is over, locked or not."""
    return _ANY_EXPIRED(now)


async def oldest_expired(tx: AsyncConnection, now: datetime) -> datetime | None:
    """Since when the time of the oldest PENDING order is over."""
    query = (
        select(orders.c.hold_expire_time)
        .where(_PENDING, orders.c.hold_expire_time <= now, _THEIRS)
        .order_by(orders.c.hold_expire_time)
        .limit(1)
    )
    return await tx.scalar(query)


async def lock_expired(tx: AsyncConnection, *, now: datetime, limit: int) -> list[Order]:
    """Up to `limit` PENDING orders whose time is over, locked; those that others have locked are
    passed over.
    """
    query = (
        select(*_COLUMNS)
        .where(_PENDING, orders.c.hold_expire_time <= now, _THEIRS)
        .order_by(orders.c.hold_expire_time)
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True)
    )
    return [_order(*row) for row in await tx.execute(query)]


async def with_free_stocks(tx: AsyncConnection, found: Sequence[Order]) -> list[Order]:
    """Those of the orders whose stocks nobody else has locked; these are locked then."""
    takes = [take for order in found for take in order.takes]
    if not takes:
        return list(found)
    free = set(await run(tx, holds.lock_free(takes)))
    return [order for order in found if free.issuperset(holds.all_stocks(order.takes))]


def state_refuses(order: Order, remedy: str) -> DomainError:
    """ORDER_STATE_REFUSES, with what would be needed."""
    return DomainError(
        Reason.ORDER_STATE_REFUSES,
        f"order {order.order_code} is {order.state}; {remedy}",
        order_id=order.order_code,
        state=order.state,
    )
