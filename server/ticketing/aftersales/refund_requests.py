"""A traveller gives tickets back: what they give back now, as a quote, and the request against it.

The shared entitlements of an item go with the last of its travellers' tickets, and hold these if they are redeemed: they
belong to the whole order (DOMAIN, Words).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.errors import DomainError, Reason, not_found
from server.identity.callers import Traveller
from server.ticketing import policy, travel_tickets
from server.ticketing.aftersales import quotes
from server.ticketing.aftersales.quotes import Quotes
from server.ticketing.ordering import events, orders
from server.ticketing.ordering.orders import Order
from server.ticketing.paying import refunds
from server.ticketing.paying.refunds import Refund, TicketRefund
from server.ticketing.travel_tickets import TravelTicket
from server.tickets import service as tickets

GIVEN_UP = frozenset({"REFUNDING", "REFUNDED", "CHANGING", "CHANGED", "VOIDED"})
"""States of a ticket nobody travels with any more, or does not if all goes well."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What tickets give back until `expire_time`; `text` names the quote."""

    text: str
    order: Order
    tickets: Sequence[TicketRefund]
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class _Offers:
    """What each of some tickets gives back, and until when."""

    tickets: list[TicketRefund]
    until_time: datetime


class RefundDesk:
    """Quotes refunds, each for `quote_seconds` or as long as its rule applies, and takes requests against the quotes."""

    def __init__(self, signer: Quotes, *, quote_seconds: int) -> None:
        self._quotes = signer
        self._quote_seconds = quote_seconds

    async def quote(
        self,
        tx: AsyncConnection,
        traveller: Traveller,
        order_code: str,
        ticket_codes: Collection[str],
        *,
        now: datetime,
    ) -> Quote:
        """What these tickets of an order give back now; without codes all that give anything back, or may be.

        Raises NOT_FOUND, REFUND_REFUSED.
        """
        order = await orders.find(tx, traveller.traveller_id, order_code)
        found = await travel_tickets.of_order(tx, order.order_id)
        offers = _offers(found, _chosen(order, found, ticket_codes, now), now)
        expire_time = min(now + timedelta(seconds=self._quote_seconds), offers.until_time)
        facts = [order.order_id, [[t.ticket_id, t.amount_minor] for t in offers.tickets]]
        text = self._quotes.sign("refund", traveller.key, facts, expire_time=expire_time)
        return Quote(text, order, offers.tickets, expire_time)

    async def request(
        self,
        tx: AsyncConnection,
        traveller: Traveller,
        order_code: str,
        quote: str,
        *,
        now: datetime,
    ) -> Refund:
        """Gives back the tickets of a quote; wake the outbox after the commit.

        Raises NOT_FOUND, QUOTE_INVALID, REFUND_REFUSED.
        """
        order = await orders.find(tx, traveller.traveller_id, order_code)
        order_id, quoted = self._quotes.open("refund", traveller.key, quote, now=now)
        if order_id != order.order_id:
            raise quotes.invalid("is for another order")
        amounts = dict(quoted)
        await tickets.lock(tx, amounts)
        await orders.lock_order(tx, order_id)
        # behind both locks: as the gates, other refunds and changes have left them
        found = await travel_tickets.of_order(tx, order_id)
        chosen = [ticket for ticket in found if ticket.ticket_id in amounts]
        given_back = _offers(found, chosen, now).tickets
        if {ticket.ticket_id: ticket.amount_minor for ticket in given_back} != amounts:
            raise quotes.invalid("holds no more: a ticket of the order has moved since")
        await _start(tx, order, given_back, traveller, now)
        refund_no = await refunds.ask(
            tx,
            order_id=order_id,
            cause="TRAVELLER",
            tickets=given_back,
            amount_minor=sum(ticket.amount_minor for ticket in given_back),
            payments_newest_first=await refunds.payments_of(tx, order_id),
            now=now,
        )
        return await refunds.read(tx, order_id, refund_no)


async def _start(
    tx: AsyncConnection,
    order: Order,
    given_back: Iterable[TicketRefund],
    traveller: Traveller,
    now: datetime,
) -> None:
    ids = [ticket.ticket_id for ticket in given_back]
    standing = ("ACTIVE", "PARTIALLY_REDEEMED")
    moved = await tickets.move(
        tx, ids, standing, "REFUNDING", action="refunding", actor=traveller.key, now=now
    )
    assert len(moved) == len(ids), "nobody moves a ticket that is locked"
    moves = [
        events.Move(order.order_id, events.TICKET_REFUNDING, traveller.key, ticket_id=ticket_id)
        for ticket_id in ids
    ]
    await events.record(tx, moves, now=now)


def _chosen(
    order: Order, found: Sequence[TravelTicket], codes: Collection[str], now: datetime
) -> list[TravelTicket]:
    if not codes:
        decided = [(ticket, policy.refund(ticket.standing, ticket.policy, now)) for ticket in found]
        chosen = [t for t, offer in decided if isinstance(offer, policy.RefundOffer)]
        if chosen:
            return chosen
        for ticket, offer in decided:
            if isinstance(offer, policy.Refused):
                raise refused(ticket.ticket_code, offer)
        raise refused("", policy.Refused("NOT_ACTIVE", {"order_state": order.state}))
    by_code = {ticket.ticket_code: ticket for ticket in found}
    for code in codes:
        if code not in by_code:
            raise not_found("ticket", code)
    return [by_code[code] for code in dict.fromkeys(codes)]


def _offers(
    found: Sequence[TravelTicket], chosen: Sequence[TravelTicket], now: datetime
) -> _Offers:
    """What the chosen tickets give back, with the shared ones that go with them. Raises REFUND_REFUSED."""
    given_back, until_times = [], []
    for ticket in [*chosen, *_shared_with(found, chosen)]:
        offer = policy.refund(ticket.standing, ticket.policy, now)
        if isinstance(offer, policy.Refused):
            raise refused(ticket.ticket_code, offer)
        until_times.append(offer.until_time)
        given_back.append(
            TicketRefund(
                ticket.ticket_id,
                ticket.amount_minor,
                offer.amount_minor,
                offer.fee_minor,
                offer.percent,
                offer.rule,
                offer.facts,
                ticket.state,
            )
        )
    return _Offers(given_back, min(until_times))


def _shared_with(
    found: Sequence[TravelTicket], chosen: Sequence[TravelTicket]
) -> list[TravelTicket]:
    """The shared tickets of the items whose last travellers' tickets are chosen."""
    ids = {ticket.ticket_id for ticket in chosen}
    touched = {ticket.item_index for ticket in chosen if not ticket.is_shared}
    kept = {
        ticket.item_index
        for ticket in found
        if not ticket.is_shared and ticket.ticket_id not in ids and ticket.state not in GIVEN_UP
    }
    return [
        ticket
        for ticket in found
        if ticket.is_shared
        and ticket.item_index in touched - kept
        and ticket.ticket_id not in ids
        and ticket.state not in GIVEN_UP
        and ticket.state != "EXPIRED"
    ]


def refused(ticket_code: str, why: policy.Refused) -> DomainError:
    """REFUND_REFUSED for a ticket, with why."""
    facts = "".join(f", {name} {value}" for name, value in why.facts.items())
    return DomainError(
        Reason.REFUND_REFUSED,
        f"ticket {ticket_code} cannot be given back: {why.reason}{facts}",
        ticket_code=ticket_code,
        why=why.reason,
    )
