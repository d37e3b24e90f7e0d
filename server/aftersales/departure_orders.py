"""What an order goes through when the operator cancels or moves a departure in it: some orders
in one transaction, or one alone.

Each does what is still to be done and nothing else, so it may be done any number of times, by any
process. Locks come in the order tickets, order, payments, stocks, as in refunds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.aftersales import refund_requests
from server.catalog import policy
from server.catalog.departures import AT_ONCE
from server.orders import events, orders, shared_tickets, ticket_sales, travel_tickets
from server.orders.models import order_events
from server.orders.shared_tickets import Shared
from server.orders.travel_tickets import TravelTicket
from server.payments import payments, refunds, travel_parties
from server.payments.refunds import SYSTEM
from server.tickets import validity

LIVE = frozenset({"ACTIVE", "PARTIALLY_REDEEMED", "CHANGING", "REFUNDING"})
"""States of a ticket whose traveller still counts on the departure, or may again."""

_TICKET_IDS = text("""
SELECT ticket_id FROM tickets WHERE order_id = ANY(:order_ids) ORDER BY ticket_id
""")
# A change away from the departure is as much concerned as an order for it.
_WAITING = text("""
SELECT o.order_id FROM orders o
WHERE o.state = 'PENDING' AND o.traveller_id IS NOT NULL AND o.order_id > :after
  AND (o.content @> CAST(:content AS jsonb) OR EXISTS (
    SELECT FROM ticket_sales s WHERE s.ticket_id = o.changes_ticket_id
      AND s.departure_id = :departure_id))
ORDER BY o.order_id LIMIT :limit
""")
_CONCERNED = text("""
SELECT DISTINCT s.order_id FROM ticket_sales s JOIN tickets t USING (ticket_id)
WHERE s.departure_id = :departure_id AND s.passenger_index >= 0 AND s.order_id > :after
  AND (:refunds AND t.state IN ('ACTIVE', 'PARTIALLY_REDEEMED') AND NOT t.blocked
    OR t.state IN ('ACTIVE', 'PARTIALLY_REDEEMED', 'CHANGING', 'REFUNDING') AND NOT EXISTS (
      SELECT FROM order_events e
      WHERE e.order_id = s.order_id AND e.event = 'departure.cancelled'
        AND e.ticket_id = s.ticket_id))
ORDER BY s.order_id LIMIT :limit
""")
_COUNT_OPEN = text("""
SELECT count(*) FROM ticket_sales s JOIN tickets t USING (ticket_id)
WHERE s.departure_id = :departure_id AND s.passenger_index >= 0
  AND t.state IN ('ACTIVE', 'PARTIALLY_REDEEMED', 'CHANGING', 'REFUNDING')
""")
_READ = text("""
SELECT departure_id, state, departure_time, cancel_refunds FROM departures
WHERE departure_id = :departure_id
""")
# The ticket's own times tell how far it has followed, so that it follows once however often this
# runs.
_BEHIND = text("""
SELECT DISTINCT s.order_id
FROM ticket_sales s
JOIN tickets t USING (ticket_id)
JOIN snapshots n USING (snapshot_id)
JOIN departures d ON d.departure_id = s.departure_id
WHERE s.departure_id = :departure_id AND s.order_id > :after
  AND t.state IN ('ACTIVE', 'PARTIALLY_REDEEMED', 'USED', 'CHANGING', 'REFUNDING')
  AND s.reference_time - (n.content -> 'offer' ->> 'reference_time')::timestamptz
  <> d.departure_time - coalesce(
    (n.content -> 'offer' -> 'journey' ->> 'service_time')::timestamptz, d.planned_time,
    d.departure_time)
ORDER BY s.order_id LIMIT :limit
""")


class AffectedDeparture(NamedTuple):
    """A departure: SCHEDULED or CANCELLED, when it leaves or would have, and when its tickets
    are refunded if they are.
    """

    departure_id: int
    state: str
    departure_time: datetime
    refunds: str | None

    def refunds_now(self, now: datetime) -> bool:
        """Whether its tickets are refunded by themselves, and not only when the traveller asks."""
        return self.refunds == AT_ONCE or now >= self.departure_time


class GivenBack(NamedTuple):
    """The refund in which a ticket is given back, and what it gives back."""

    order_id: int
    refund_no: int
    amount_minor: int


async def read(tx: AsyncConnection, departure_id: int) -> AffectedDeparture | None:
    """The departure as it is now; None if there is none."""
    row = (await tx.execute(_READ, {"departure_id": departure_id})).one_or_none()
    return AffectedDeparture(*row) if row else None


async def waiting(
    tx: AsyncConnection, departure_id: int, *, after: int, limit: int
) -> Sequence[int]:
    """PENDING orders after a number that are for the departure, or change a ticket of it."""
    content = f'{{"items": [{{"departure_id": {departure_id}}}]}}'
    values = {"departure_id": departure_id, "content": content, "after": after, "limit": limit}
    return (await tx.execute(_WAITING, values)).scalars().all()


async def concerned(
    tx: AsyncConnection, departure_id: int, *, refunds_now: bool, after: int, limit: int
) -> Sequence[int]:
    """Orders after a number with a ticket of a cancelled departure for which something is still
    to be done.
    """
    values = {"departure_id": departure_id, "refunds": refunds_now, "after": after, "limit": limit}
    return (await tx.execute(_CONCERNED, values)).scalars().all()


async def with_other_times(
    tx: AsyncConnection, departure_id: int, *, after: int, limit: int
) -> Sequence[int]:
    """Orders after a number with a ticket whose times are not those of its departure."""
    values = {"departure_id": departure_id, "after": after, "limit": limit}
    return (await tx.execute(_BEHIND, values)).scalars().all()


async def count_open(tx: AsyncConnection, departure_id: int) -> int:
    """How many tickets of the departure are not final."""
    count: int = await tx.scalar(_COUNT_OPEN, {"departure_id": departure_id}) or 0
    return count


async def cancel_waiting(tx: AsyncConnection, order_ids: Sequence[int], *, now: datetime) -> None:
    """Cancels those that are still PENDING: what they hold is free, and their payments are
    closed at WeChat.
    """
    locked = await orders.lock_orders(tx, order_ids)
    pending = [order for order in locked.values() if order.state == "PENDING"]
    await orders.cancel(
        tx,
        pending,
        reason="DEPARTURE_CANCELLED",
        actor=SYSTEM,
        now=now,
        close_payments=payments.close_waiting,
    )


async def follow_cancellation(
    tx: AsyncConnection, order_ids: Sequence[int], departure: AffectedDeparture, *, now: datetime
) -> None:
    """Says in orders' events that their departure is cancelled, and asks for the money back if that
    is due.

    Each ticket gives back what is unused of it, whole and without a fee. What is blocked, used or
    boarded with stays; a refund that the traveller asked for before is not topped up.
    """
    found = (await locked(tx, order_ids)).tickets
    mine = [each for each in of_departure(found, departure.departure_id) if each.state in LIVE]
    informed = await _informed(tx, order_ids)
    moves = [
        events.Move(ticket.order_id, events.DEPARTURE_CANCELLED, SYSTEM, ticket_id=ticket.ticket_id)
        for ticket in mine
        if ticket.ticket_id not in informed
    ]
    await events.record(tx, moves, now=now)
    if departure.refunds_now(now):
        await give_back(tx, found, mine, cause="DEPARTURE_CANCELLED", actor=SYSTEM, now=now)


async def follow_move(
    tx: AsyncConnection, order_ids: Sequence[int], departure_id: int, *, now: datetime
) -> None:
    """Brings the times of orders' tickets to where their departure is now; those that are over
    stay.
    """
    shifted, moves = [], []
    held = await locked(tx, order_ids)
    of_orders = set(order_ids)
    for ticket in held.tickets:
        by = ticket.moved - (ticket.reference_time - ticket.offer.reference_time)
        is_over = ticket.state not in LIVE and ticket.state != "USED"
        is_theirs = ticket.departure_id == departure_id and ticket.order_id in of_orders
        if not is_theirs or is_over or not by:
            continue
        shifted.append((ticket, by))
        if ticket.state in LIVE and not ticket.is_shared:
            moves.append(
                events.Move(
                    ticket.order_id, events.DEPARTURE_MOVED, SYSTEM, ticket_id=ticket.ticket_id
                )
            )
    own = [
        validity.Shift(ticket.ticket_id, ticket.state, by)
        for ticket, by in shifted
        if not ticket.is_shared
    ]
    await validity.shift(tx, own, actor=SYSTEM, now=now)
    await ticket_sales.shift(
        tx, [(ticket.ticket_id, ticket.reference_time, by) for ticket, by in shifted]
    )
    await events.record(tx, moves, now=now)
    # what is shared lasts as long as the latest of its tickets, changed ones included
    await shared_tickets.follow(tx, held.shared, actor=SYSTEM, now=now)


@dataclass(frozen=True, slots=True)
class LockedTickets:
    """The tickets of orders, and what they share with those of others, all locked, and the orders
    with them.
    """

    tickets: Sequence[TravelTicket]
    shared: Sequence[Shared]


async def locked(tx: AsyncConnection, order_ids: Sequence[int]) -> LockedTickets:
    """Locks the tickets of orders, then the orders, and reads them."""
    ids = (await tx.execute(_TICKET_IDS, {"order_ids": list(order_ids)})).scalars().all()
    shared = await shared_tickets.lock(tx, ids)
    await orders.lock_orders(tx, {*order_ids, *(each.order_id for each in shared)})
    return LockedTickets(await travel_tickets.of_orders(tx, order_ids), shared)


async def _informed(tx: AsyncConnection, order_ids: Sequence[int]) -> set[int | None]:
    query = select(order_events.c.ticket_id).where(
        order_events.c.order_id.in_(order_ids),
        order_events.c.event == events.DEPARTURE_CANCELLED,
    )
    return set((await tx.execute(query)).scalars())


def of_departure(found: Iterable[TravelTicket], departure_id: int) -> list[TravelTicket]:
    """Those of the tickets with which somebody travels on the departure."""
    return [
        ticket for ticket in found if ticket.departure_id == departure_id and not ticket.is_shared
    ]


async def offers(
    tx: AsyncConnection,
    of_order: Sequence[TravelTicket],
    mine: Sequence[TravelTicket],
    *,
    now: datetime,
) -> list[tuple[TravelTicket, policy.RefundOffer]]:
    """What those of `mine` give back that give anything back now, of all tickets of one order.

    What the tickets share has no price. What earlier refunds kept of the party's discount comes
    back with those for whom it was kept.
    """
    leaving = [
        ticket
        for ticket in mine
        if isinstance(policy.refund(ticket.standing, ticket.policy, now), policy.RefundOffer)
    ]
    if not leaving:
        return []
    ids = {ticket.ticket_id for ticket in leaving}
    worth: dict[int, int] = {}
    for party in (await travel_parties.read(tx, of_order)).values():
        worth |= party.values(ids, keep_discount=True)
    found = []
    for ticket in leaving:
        standing = replace(ticket.standing, value_minor=worth.get(ticket.ticket_id))
        offer = policy.refund(standing, ticket.policy, now)
        assert isinstance(offer, policy.RefundOffer), "what it is worth decides nothing"
        found.append((ticket, offer))
    return found


async def give_back(
    tx: AsyncConnection,
    found: Sequence[TravelTicket],
    mine: Sequence[TravelTicket],
    *,
    cause: refunds.Cause,
    actor: str,
    now: datetime,
) -> dict[int, GivenBack]:
    """Asks for the money of those of `mine` that give anything back, each order's in a refund of
    its own; by ticket, what that is. `found` are all tickets of their orders. What they share goes
    with the last of them when the refund settles.
    """
    by_order: dict[int, list[TravelTicket]] = {}
    for ticket in found:
        by_order.setdefault(ticket.order_id, []).append(ticket)
    theirs: dict[int, list[TravelTicket]] = {}
    for ticket in mine:
        theirs.setdefault(ticket.order_id, []).append(ticket)
    asked = []
    for order_id, of_order in theirs.items():
        given_back = [
            refund_requests.ticket_refund(ticket, offer)
            for ticket, offer in await offers(tx, by_order[order_id], of_order, now=now)
        ]
        if given_back:
            asked.append(refunds.Asked(order_id, cause, given_back))
    await refund_requests.start(
        tx, [(ask.order_id, ticket) for ask in asked for ticket in ask.tickets], actor, now=now
    )
    numbers = await refunds.ask_all(tx, asked, now=now)
    return {
        ticket.ticket_id: GivenBack(ask.order_id, numbers[ask.order_id], ticket.amount_minor)
        for ask in asked
        for ticket in ask.tickets
    }


def delay(departure: AffectedDeparture, now: datetime) -> timedelta:
    """How long after its time a cancelled departure is."""
    return now - departure.departure_time
