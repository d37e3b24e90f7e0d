"""The tickets of a paid order of Ctrip's attractions channel, wherever changes have taken them.

A ticket that was changed to another day is in an order of its own, whose chain of changes began
with the order that was paid: so all of them are found by that one, and each belongs to the item
and the passenger that its first was sold to.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels.ttd_answers import ItemState
from server.channels.ttd_messages import TtdOrder
from server.channels.ttd_rows import TtdRow
from server.orders import travel_tickets
from server.orders.travel_tickets import TravelTicket

ACTIVE, CHANGED = "ACTIVE", "CHANGED"
BACK = frozenset({"REFUNDING", "REFUNDED"})
USED = frozenset({"PARTIALLY_REDEEMED", "USED"})


class OwnTicket(NamedTuple):
    """A ticket as it is now, of the item and passenger at these positions of Ctrip's order."""

    item_index: int
    passenger_index: int
    ticket: TravelTicket

    @property
    def state(self) -> str:
        """How it stands."""
        return self.ticket.state


async def own_tickets(tx: AsyncConnection, order_id: int) -> list[OwnTicket]:
    """The tickets of people, by item and passenger; those of what is shared go along by
    themselves.
    """
    family = [each for each in await travel_tickets.of_family(tx, order_id) if not each.is_shared]
    by_id = {each.ticket_id: each for each in family}
    return sorted(_own(each, by_id) for each in family if each.state != CHANGED)


def _own(ticket: TravelTicket, by_id: dict[int, TravelTicket]) -> OwnTicket:
    sold = ticket
    while (changed := sold.order.changes_ticket_id) is not None:
        sold = by_id[changed]
    return OwnTicket(sold.item_index, sold.passenger_index, ticket)


async def item_states(tx: AsyncConnection, row: TtdRow, content: TtdOrder) -> list[ItemState]:
    """How each item of an order stands."""
    tickets: Sequence[OwnTicket] = ()
    if row.item_ids and row.order_id is not None:
        tickets = await own_tickets(tx, row.order_id)
    states: list[ItemState] = []
    for index, item in enumerate(content.items):
        of_item = [each.state for each in tickets if each.item_index == index]
        states.append(
            ItemState(
                row.item_ids[index] if row.item_ids else "0",
                item.day,
                item.quantity,
                sum(each in USED for each in of_item),
                sum(each in BACK for each in of_item),
                "EXPIRED" in of_item,
            )
        )
    return states
