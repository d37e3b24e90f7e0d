"""What becomes of tickets that were made and not sold: cancelled, with their stock returned, or
reassigned to another distributor.

Tickets are locked in the order of their numbers, a chunk at a time, by whoever moves them; so of a
cancellation and an activation of one ticket exactly one finds it PRE_GENERATED.
"""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity.callers import Partner
from server.partners import distributors, reservations
from server.partners.commission import SaleLevel, line_of_sale
from server.partners.partner_tickets import get_batch
from server.partners.reservations import OPEN, Reservation
from server.partners.turns import wait_for_turn
from server.platform import clock
from server.platform.errors import Reason, invalid
from server.platform.statements import run, run_together
from server.stock import holds, partner_seats
from server.stock.ids import stock_id
from server.tickets import departure_tickets, partner_events, reserved_tickets, snapshots, tickets
from server.tickets.generation import sold_through
from server.tickets.rules import UNSOLD
from server.tickets.snapshots import NewSnapshot
from server.tickets.tickets import LockedTicket
from server.webhooks.events import TicketEvent
from server.webhooks.rules import TICKET_REASSIGNED

CHUNK_TICKETS = 1000
MAX_REFUSED = 1000
"""So many tickets of a batch that were left as they are get a verdict."""


class WantedTickets(NamedTuple):
    """Which tickets: those with these codes, or all of a batch."""

    ticket_codes: Sequence[str]
    batch_id: str


class TicketVerdict(NamedTuple):
    """What became of a ticket: `reason` is None if it was done; `state` None if there is no such
    ticket.
    """

    ticket_code: str
    state: str | None
    reason: Reason | None


@dataclass(slots=True)
class Outcome:
    """What became of all of them; of a batch there are verdicts on the first MAX_REFUSED that were
    left as they are.
    """

    is_of_batch: bool
    verdicts: list[TicketVerdict] = field(default_factory=list)
    done_count: int = 0
    refused_count: int = 0

    def add(self, ticket_code: str, ticket: LockedTicket | None, state_if_done: str) -> None:
        """Notes what becomes of a ticket that is locked; None if there is none."""
        if ticket is not None and ticket.state == UNSOLD:
            self.done_count += 1
            verdict = TicketVerdict(ticket_code, state_if_done, None)
        else:
            self.refused_count += 1
            reason = Reason.TICKET_STATE_REFUSES if ticket else Reason.NOT_FOUND
            verdict = TicketVerdict(ticket_code, ticket.state if ticket else None, reason)
        if not self.is_of_batch or (verdict.reason and len(self.verdicts) < MAX_REFUSED):
            self.verdicts.append(verdict)


async def cancel(
    tx: AsyncConnection, partner: Partner, wanted: WantedTickets, *, now: datetime
) -> Outcome:
    """Voids those of the tickets that were not sold, and gives their stock back: what an open
    reservation holds for them, which has so many fewer then, or what counted as sold. That comes
    last, so that its rows are not locked meanwhile. Raises NOT_FOUND for the batch, INVALID_FIELD.
    """
    outcome, returned = Outcome(bool(wanted.batch_id)), _Returned(partner.partner_id)
    async for chunk in _locked(tx, partner, wanted, returned):
        unsold = _unsold(chunk)
        how = {"action": "cancelled", "actor": partner.key}
        moved = await tickets.move(tx, unsold, (UNSOLD,), "VOIDED", now=now, **how)
        assert moved == unsold.keys(), "nobody moves a ticket that is locked"
        returned.add(unsold.values())
        for code, ticket in chunk:
            outcome.add(code, ticket, "VOIDED")
    await returned.give_back(tx, now=now)
    return outcome


@dataclass(slots=True)
class _Returned:
    """What cancelled tickets give back. `reserved` are the locked reservations of all of them."""

    partner_id: int
    reserved: dict[UUID, Reservation] = field(default_factory=dict)
    sold: Counter[int] = field(default_factory=Counter)
    of_reservations: Counter[UUID] = field(default_factory=Counter)
    leaving: dict[UUID, list[int]] = field(default_factory=dict)

    def add(self, cancelled: Iterable[LockedTicket]) -> None:
        """Notes what these tickets took. One whose reservation has ended has given it back."""
        for each in cancelled:
            if each.reservation_id is None:
                self.sold[stock_id(each.product_id, self.partner_id)] += 1
            elif self.reserved[each.reservation_id].state == OPEN:
                self.of_reservations[each.reservation_id] += 1
                self.leaving.setdefault(each.reservation_id, []).append(each.ticket_id)

    async def give_back(self, tx: AsyncConnection, *, now: datetime) -> None:
        """Gives it back: to the reservations first, then to the stocks, which stay locked."""
        for number, ticket_ids in self.leaving.items():
            if len(ticket_ids) < self.reserved[number].quantity:
                await run(tx, reserved_tickets.leave(ticket_ids))
        stocks = {self.reserved[number].stock_id for number in self.of_reservations}
        of_departures = [
            (self.reserved[number], ticket_ids)
            for number, ticket_ids in self.leaving.items()
            if self.reserved[number].departure_id is not None
        ]
        stocks |= {each.seated_stock_id for each, _ in of_departures}
        await holds.lock(tx, stocks | self.sold.keys())
        theirs = [number for _, ticket_ids in of_departures for number in ticket_ids]
        seats = await run(tx, departure_tickets.seats(theirs))
        await partner_seats.leave(tx, seats, now=clock.now())
        locked = self.reserved.values()
        await reservations.return_cancelled(tx, locked, self.of_reservations, now=now)
        await run(tx, holds.return_sold(self.sold, now=now))


async def reassign(
    tx: AsyncConnection,
    partner: Partner,
    wanted: WantedTickets,
    distributor_id: str,
    *,
    now: datetime,
) -> Outcome:
    """Gives those of the tickets that were not sold to another distributor, with the line of sale
    as it is now at their own price. Raises NOT_FOUND for the batch and the distributor,
    DISTRIBUTOR_REFUSED, INVALID_FIELD.
    """
    line = await distributors.line_for_tickets(tx, partner, distributor_id)
    outcome, successors = Outcome(bool(wanted.batch_id)), dict[UUID, UUID]()
    sold: set[tuple[UUID, UUID]] = set()
    async for chunk in _locked(tx, partner, wanted):
        unsold = _unsold(chunk)
        products = {each.snapshot_id: each.product_id for each in unsold.values()}
        successors |= await _with_line(tx, products, line, besides=successors, now=now)
        renewed = [(number, successors[each.snapshot_id]) for number, each in unsold.items()]
        await tickets.reassign(tx, renewed, distributor_id, actor=partner.key, now=now)
        await run(tx, partner_events.record(*map(_reassigned, unsold.values()), now=now))
        sold |= {(each.batch_id, successors[each.snapshot_id]) for each in unsold.values()}
        for code, ticket in chunk:
            outcome.add(code, ticket, UNSOLD)
    ranges = await tickets.batch_ranges(tx, sold)
    await sold_through(tx, [level.distributor_id for level in line], ranges)
    return outcome


async def _locked(
    tx: AsyncConnection,
    partner: Partner,
    wanted: WantedTickets,
    returned: _Returned | None = None,
) -> AsyncIterator[list[tuple[str, LockedTicket | None]]]:
    """The tickets, each with its code, chunk by chunk, locked; None for a code that has none. If
    their stock is to be returned, their reservations are locked before.
    """
    if bool(wanted.ticket_codes) == bool(wanted.batch_id):
        raise invalid("ticket_codes", "name the codes of tickets, or a `batch_id`, and not both")
    if not wanted.batch_id:
        codes = wanted.ticket_codes
        _refuse_repetitions(codes)
        numbers = [tickets.ticket_number(code, partner) for code in codes]
        known = await _lock(tx, partner, [n for n in numbers if n], returned)
        yield [(code, known.get(n or 0)) for code, n in zip(codes, numbers, strict=True)]
        return
    batch = await get_batch(tx, partner, wanted.batch_id)
    await wait_for_turn(tx, partner.partner_id, batch.quantity)
    for first in range(batch.first_ticket_id, batch.last_ticket_id + 1, CHUNK_TICKETS):
        end = min(first + CHUNK_TICKETS, batch.last_ticket_id + 1)
        locked = await _lock(tx, partner, range(first, end), returned)
        yield [(each.ticket_code, each) for each in locked.values()]


async def _lock(
    tx: AsyncConnection, partner: Partner, numbers: Sequence[int], returned: _Returned | None
) -> dict[int, LockedTicket]:
    """In the order in which all do: reservations, then tickets."""
    lock_reservations = None
    if returned:
        lock_reservations = reservations.lock_of_tickets(numbers, partner.partner_id)
    reserved, locked = await run_together(
        tx, lock_reservations, tickets.lock_tickets(partner.partner_id, numbers)
    )
    if returned:
        returned.reserved |= {each.reservation_id: each for each in reserved}
    return {each.ticket_id: each for each in locked}


def _reassigned(ticket: LockedTicket) -> TicketEvent:
    """What the partner hears of a ticket, which is read as it was before."""
    data = {"previous_distributor_id": ticket.distributor_id} if ticket.distributor_id else {}
    return TicketEvent(ticket.ticket_id, TICKET_REASSIGNED, data)


def _unsold(chunk: Sequence[tuple[str, LockedTicket | None]]) -> dict[int, LockedTicket]:
    return {ticket.ticket_id: ticket for _, ticket in chunk if ticket and ticket.state == UNSOLD}


def _refuse_repetitions(ticket_codes: Sequence[str]) -> None:
    seen: set[str] = set()
    for index, code in enumerate(ticket_codes):
        if code in seen:
            raise invalid(f"ticket_codes[{index}]", f"{code} stands there twice")
        seen.add(code)


async def _with_line(
    tx: AsyncConnection,
    products: Mapping[UUID, int],
    line: Sequence[SaleLevel],
    *,
    besides: Collection[UUID],
    now: datetime,
) -> dict[UUID, UUID]:
    """Copies price snapshots with another line of sale, but those `besides`; the copies' ids by
    those of the originals. `products` are what was sold under each.
    """
    copies: dict[UUID, NewSnapshot] = {}
    for sold in await run(tx, snapshots.read(products.keys() - besides)):
        levels = line_of_sale(line, sold.content["fares"])
        content = {**sold.content, "line_of_sale": levels}
        copies[sold.snapshot_id] = NewSnapshot(uuid4(), products[sold.snapshot_id], content)
    await run(tx, snapshots.store(copies.values(), now=now))
    return {original: copy.snapshot_id for original, copy in copies.items()}
