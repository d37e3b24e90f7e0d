"""What the QR codes of tickets and orders say, for whoever owns them: partners and travellers.

A rotation supersedes what was issued before (DOMAIN, QR token). Each rotation of a ticket's own QR
is counted on its order under the order's row lock, and the id in an order's QR says how many there
had been when it was issued (`rules.order_qr_jti`): so an order's QR never opens a ticket whose own
QR was rotated later, and one that is issued after that does. No clock decides.
"""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, ColumnElement, Text, cast, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity.callers import Partner, Traveller
from server.orders import events
from server.orders.models import orders
from server.orders.orders import find, state_refuses
from server.orders.rules import order_qr_jti
from server.orders.shared_tickets import shown_in
from server.platform.errors import not_found
from server.platform.statements import run
from server.tickets import qr, tickets
from server.tickets.models import tickets as ticket_rows
from server.tickets.rules import (
    DIRECT,
    DIRECT_CODE,
    DIRECT_PREFIX,
    ORDER_PREFIX,
    PARTNER_PREFIX,
    Code,
)

ORDER_QR_ROTATED = "order.qr_rotated"


async def partner_ticket(
    tx: AsyncConnection, partner: Partner, code: str, *, rotate: bool, now: datetime
) -> qr.Claims:
    """What the QR of a partner's ticket says; with `rotate` under a new jti.

    Raises NOT_FOUND, TICKET_STATE_REFUSES for a ticket that gets no QR.
    """
    number = _number(code, PARTNER_PREFIX, partner.partner_code, partner.partner_id)
    owned = select(ticket_rows.c.order_id).where(
        ticket_rows.c.ticket_id == number, ticket_rows.c.partner_id == partner.partner_id
    )
    return await _ticket(tx, owned, number, code, rotate=rotate, actor=partner.key, now=now)


async def traveller_ticket(
    tx: AsyncConnection, traveller: Traveller, code: str, *, rotate: bool, now: datetime
) -> qr.Claims:
    """What the QR of the traveller's own ticket says; with `rotate` under a new jti.

    Raises NOT_FOUND, TICKET_STATE_REFUSES for a ticket that gets no QR.
    """
    number = _number(code, DIRECT_PREFIX, DIRECT_CODE, DIRECT)
    owned = (
        select(ticket_rows.c.order_id)
        .join(orders, orders.c.order_id == ticket_rows.c.order_id)
        .where(ticket_rows.c.ticket_id == number, orders.c.traveller_id == traveller.traveller_id)
    )
    return await _ticket(tx, owned, number, code, rotate=rotate, actor=traveller.key, now=now)


async def partner_order(
    tx: AsyncConnection, partner: Partner, code: str, *, rotate: bool, now: datetime
) -> qr.Claims:
    """What the QR of a partner's order says; with `rotate` under a new jti.

    It expires with the last of its tickets. Raises NOT_FOUND.
    """
    number = _number(code, ORDER_PREFIX, partner.partner_code, partner.partner_id)
    owned = select(orders.c.order_id).where(
        orders.c.order_id == number, orders.c.partner_id == partner.partner_id
    )
    if number is None or await tx.scalar(owned) is None:
        raise not_found("order", code)
    return await _order(tx, number, rotate=rotate, actor=partner.key, now=now)


async def traveller_order(
    tx: AsyncConnection, traveller: Traveller, code: str, *, rotate: bool, now: datetime
) -> qr.Claims:
    """What the QR of the traveller's own order says; with `rotate` under a new jti.

    It expires with the last of the tickets it shows. Raises NOT_FOUND, ORDER_STATE_REFUSES for an
    order without tickets.
    """
    order = await find(tx, traveller.traveller_id, code, lock=rotate)
    if order.state not in ("PAID", "COMPLETED"):
        raise state_refuses(order, "only a PAID order has a QR")
    return await _order(tx, order.order_id, rotate=rotate, actor=traveller.key, now=now)


def _number(code: str, prefix: str, partner_code: str, partner_id: int) -> int | None:
    """The number that a code of this owner spells; None for what is none."""
    parsed = Code.parse(code)
    if parsed is None or (parsed.prefix, parsed.partner_code) != (prefix, partner_code):
        return None
    return parsed.number(partner_id)


async def _ticket(
    tx: AsyncConnection,
    owned: Any,
    ticket_id: int | None,
    code: str,
    *,
    rotate: bool,
    actor: str,
    now: datetime,
) -> qr.Claims:
    """`owned` reads the order of the ticket, if it is the caller's."""
    row = None if ticket_id is None else (await tx.execute(owned)).one_or_none()
    if row is None or ticket_id is None:
        raise not_found("ticket", code)
    if not rotate:
        return await tickets.claims(tx, ticket_id, now=now)
    # the ticket's row first, as everybody locks who moves an order's tickets
    await run(tx, tickets.lock([ticket_id]))
    rotation = 0 if row.order_id is None else await _count_rotation(tx, row.order_id)
    return await tickets.rotate(
        tx, ticket_id, order_id=row.order_id, rotation=rotation, actor=actor, now=now
    )


async def _count_rotation(tx: AsyncConnection, order_id: int) -> int:
    """Counts a rotation of the QR of one of the order's tickets; which one it is, from 1.

    Counted is on the order that a chain of changes began with: what is shared there the orders of
    the changes show too.
    """
    order = orders.alias("shown")
    first = func.coalesce(order.c.first_order_id, order.c.order_id)
    counting = select(first).where(order.c.order_id == order_id)
    counted = (
        update(orders)
        .where(orders.c.order_id == counting.scalar_subquery())
        .values(ticket_rotations=orders.c.ticket_rotations + 1)
        .returning(orders.c.ticket_rotations)
    )
    rotation: int = (await tx.execute(counted)).scalar_one()
    return rotation


async def _order(
    tx: AsyncConnection, order_id: int, *, rotate: bool, actor: str, now: datetime
) -> qr.Claims:
    which = orders.c.order_id == order_id
    if rotate:
        await events.record(tx, [events.Move(order_id, ORDER_QR_ROTATED, actor)], now=now)
        changed = cast(cast(func.pg_current_xact_id(), Text), BigInteger)
        values = {"jti": uuid4(), "qr_transaction_id": changed}
        await tx.execute(update(orders).where(which).values(values))
    return await order_claims(tx, order_id)


async def order_claims(tx: AsyncConnection, order_id: int) -> qr.Claims:
    """What the QR of an order says, which has tickets; it expires with the last of them."""
    jti, rotations = await _standing(tx, orders.c.order_id == order_id)
    until = select(func.max(ticket_rows.c.valid_until_time)).where(shown_in(order_id))
    expire_time = (await tx.execute(until)).scalar_one()
    return qr.claims_of(order_qr_jti(jti, rotations), order_id, expire_time, kind=qr.QrKind.ORDER)


async def _standing(tx: AsyncConnection, which: ColumnElement[bool]) -> tuple[UUID, int]:
    counting = orders.alias("counting")
    query = select(orders.c.jti, counting.c.ticket_rotations).join(
        counting, counting.c.order_id == func.coalesce(orders.c.first_order_id, orders.c.order_id)
    )
    jti, rotations = (await tx.execute(query.where(which))).one()
    return jti, rotations
