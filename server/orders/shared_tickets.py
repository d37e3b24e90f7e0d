"""Tickets of shared entitlements, and the travellers' tickets whose fate they share.

A shared entitlement belongs to an item of the order it was bought in. The item's tickets may be
changed, and go on in orders of their own (`orders.first_order_id`), but what they share stays where
it is: valid while one of them is or may come back (CHANGING, REFUNDING), from the first of them
until the last, and over with the last (DOMAIN, Refund and change).

Whoever makes one of the item's tickets REFUNDED or CHANGED, or gives it a successor, locks what it
shares before: that lock decides who is the last.
"""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, or_, text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders.rules import WITHDRAWN
from server.platform.statements import Command, Statement, Transaction, run
from server.tickets import tickets, validity
from server.tickets.models import tickets as ticket_rows
from server.tickets.validity import Validity


class Shared(NamedTuple):
    """The ticket of a shared entitlement, and the order it is in."""

    ticket_id: int
    order_id: int


class SharedMember(NamedTuple):
    """A traveller's ticket of the item, and its state now."""

    ticket_id: int
    state: str


SHOWN_IN = """
SELECT t.ticket_id FROM orders o JOIN tickets t ON t.order_id = o.first_order_id
  AND o.pay_time IS NOT NULL
JOIN ticket_sales s ON s.ticket_id = t.ticket_id AND s.item_index = o.first_item_index
  AND s.passenger_index < 0
"""
"""The shared tickets of other orders that the paid order of a change `o` shows as well; to be
narrowed to some of these.
"""

_OF_TICKETS = Statement(
    """
SELECT m.ticket_id, t.ticket_id, t.order_id
FROM ticket_sales m JOIN orders o ON o.order_id = m.order_id
JOIN tickets t ON t.order_id = coalesce(o.first_order_id, o.order_id)
JOIN ticket_sales s ON s.ticket_id = t.ticket_id AND s.passenger_index < 0
  AND s.item_index = coalesce(o.first_item_index, m.item_index)
WHERE m.ticket_id = ANY($1::bigint[])
""",
    lambda member_id, *shared: (int(member_id), Shared(*shared)),
)
# of the order itself, and of the changes that began with it
_MEMBERS = """
SELECT w.ticket_id AS shared_id, t.ticket_id, t.state, t.valid_from_time, t.valid_until_time
FROM wanted w JOIN tickets t ON t.order_id = w.order_id
JOIN ticket_sales s ON s.ticket_id = t.ticket_id AND s.item_index = w.item_index
  AND s.passenger_index >= 0
UNION ALL
SELECT w.ticket_id, t.ticket_id, t.state, t.valid_from_time, t.valid_until_time
FROM wanted w JOIN orders o ON o.first_order_id = w.order_id AND o.first_item_index = w.item_index
JOIN tickets t ON t.order_id = o.order_id
"""
_WANTED = """
wanted AS (
  SELECT ticket_id, order_id, item_index FROM ticket_sales
  WHERE ticket_id = ANY($1::bigint[]) AND passenger_index < 0)
"""
_READ_MEMBERS = Statement(
    f"WITH {_WANTED} SELECT shared_id, ticket_id, state FROM ({_MEMBERS}) m",  # noqa: S608
    lambda shared_id, *member: (shared_id, SharedMember(*member)),
)
# what is used up may be reversed, so it goes along; what was given back, or is over, does not
_VALIDITY = Statement(
    f"""
WITH {_WANTED}
SELECT shared_id, min(valid_from_time), max(valid_until_time) FROM ({_MEMBERS}) m
WHERE state <> ALL($2::text[]) GROUP BY 1 ORDER BY 1
""",  # noqa: S608 - our own
    Validity,
)
_OPEN = Statement(
    """
SELECT ticket_id, order_id FROM tickets
WHERE ticket_id = ANY($1::bigint[]) AND state IN ('ACTIVE', 'PARTIALLY_REDEEMED')
ORDER BY ticket_id
""",
    Shared,
)


def shown_in(order_id: int) -> ColumnElement[bool]:
    """Whether a ticket is shown in an order: one of its own, or one that a change shares with
    others.
    """
    shared = text(f"{SHOWN_IN} WHERE o.order_id = :of_order_id").bindparams(of_order_id=order_id)
    shared_ids = shared.columns(ticket_rows.c.ticket_id).scalar_subquery()
    return or_(ticket_rows.c.order_id == order_id, ticket_rows.c.ticket_id.in_(shared_ids))


def shared_by(ticket_ids: Collection[int]) -> Command[tuple[int, Shared]] | None:
    """What tickets share with others, by the number of each. Which these are never changes, so they
    are found before the locks.
    """
    return _OF_TICKETS(ticket_ids) if ticket_ids else None


async def lock(tx: Transaction, ticket_ids: Collection[int]) -> list[Shared]:
    """Locks tickets and what they share with others, in the order of their numbers; gives what they
    share.
    """
    shared = sorted({each for _, each in await run(tx, shared_by(ticket_ids))})
    await run(tx, tickets.lock({*ticket_ids, *(each.ticket_id for each in shared)}))
    return shared


async def members(tx: Transaction, shared_ids: Collection[int]) -> dict[int, list[SharedMember]]:
    """The travellers' tickets of each shared one's item, those of changes included."""
    found: dict[int, list[SharedMember]] = {shared_id: [] for shared_id in shared_ids}
    if shared_ids:
        for shared_id, member in await run(tx, _READ_MEMBERS(shared_ids)):
            found[shared_id].append(member)
    return found


async def follow(tx: Transaction, shared: Collection[Shared], *, actor: str, now: datetime) -> None:
    """Makes locked shared tickets valid as long as the latest of their items' tickets, and
    records it.
    """
    if not shared:
        return
    wanted = await run(tx, _VALIDITY([each.ticket_id for each in shared], WITHDRAWN))
    await validity.follow(tx, wanted, actor=actor, now=now)


async def left_over(tx: Transaction, shared: Collection[Shared]) -> list[Shared]:
    """Those of the locked shared tickets that can still be used though the last of their items'
    tickets is gone.
    """
    if not shared:
        return []
    still_open = await run(tx, _OPEN([each.ticket_id for each in shared]))
    found = await members(tx, [each.ticket_id for each in still_open])
    return [
        each
        for each in still_open
        if all(member.state in WITHDRAWN for member in found[each.ticket_id])
    ]


async def is_over(tx: AsyncConnection, ticket_id: int) -> bool:
    """Whether a locked ticket is one that an item shares, and the last of the item's tickets is
    gone.
    """
    found = (await members(tx, [ticket_id]))[ticket_id]
    return bool(found) and all(member.state in WITHDRAWN for member in found)
