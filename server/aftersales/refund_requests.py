"""A traveller gives tickets back: what they give back now, as a quote, and the request against it.

A party discount is worked out again for those who stay (see party.py), on the prices of the order's
snapshot.

The shared entitlements of an item go with the last of its travellers' tickets, those these were
changed into included, and hold these if they are redeemed: they belong to the whole order (DOMAIN,
Words). While another ticket may still come back they stay, and go when it is known that it does not
(paying.refunds).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate

from sqlalchemy.ext.asyncio import AsyncConnection

from server.aftersales import quotes, refusals
from server.aftersales.quotes import Quotes
from server.catalog import policy
from server.catalog.operator_cause import OPERATOR_CAUSES
from server.identity.callers import Traveller
from server.orders import events, orders, shared_tickets, travel_tickets
from server.orders.orders import Order
from server.orders.party import Party
from server.orders.rules import WITHDRAWN
from server.orders.shared_tickets import SharedMember
from server.orders.travel_tickets import TravelTicket
from server.payments import refund_rules, refund_sources, refunds, travel_parties
from server.payments.refund_sources import Paid
from server.payments.refunds import Refund, TicketRefund
from server.platform.crypto import fingerprint
from server.platform.errors import DomainError, Reason, not_found
from server.tickets import tickets

_UNUSABLE = frozenset({*WITHDRAWN, "EXPIRED", "REFUNDING"})
"""States of a shared ticket that goes with nobody any more."""


@dataclass(frozen=True, slots=True)
class RefundQuote:
    """What tickets give back until `expire_time`; `text` names the quote.

    `is_last`: WeChat makes one more refund of a payment, so it is of all that can be given back.
    """

    text: str
    order: Order
    tickets: Sequence[TicketRefund]
    expire_time: datetime
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class _Offers:
    """What each of some tickets gives back, and until when."""

    tickets: list[TicketRefund]
    until_time: datetime


class RefundHandler:
    """Quotes refunds, each for `quote_seconds` or as long as its rule applies, and takes
    requests against the quotes.
    """

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
    ) -> RefundQuote:
        """What these tickets of an order give back now; without codes all that give anything back,
        or may be.

        Raises NOT_FOUND, REFUND_REFUSED.
        """
        order = await orders.find(tx, traveller.traveller_id, order_code)
        found = await travel_tickets.of_order(tx, order.order_id)
        sharing, of_items = await _sharing(tx, order, found), await travel_parties.read(tx, found)
        chosen = _chosen(order, found, sharing, ticket_codes, now)
        offers = _offers(order, sharing, chosen, of_items, now)
        paid = await refund_sources.payments_of(tx, order.order_id, lock=False)
        is_last = _is_last(offers, paid)
        if is_last:
            chosen = _chosen(order, found, sharing, (), now)
            offers = _offers(order, sharing, chosen, of_items, now)
        expire_time = min(now + timedelta(seconds=self._quote_seconds), offers.until_time)
        facts = [order.order_id, _steps([t.ticket_id for t in offers.tickets])]
        facts += [_digest(offers.tickets), sum(ticket.amount_minor for ticket in offers.tickets)]
        text = self._quotes.sign("refund", traveller.key, facts, expire_time=expire_time)
        return RefundQuote(text, order, offers.tickets, expire_time, is_last)

    async def request(
        self,
        tx: AsyncConnection,
        traveller: Traveller,
        order_code: str,
        quote: str,
        *,
        now: datetime,
    ) -> Refund:
        """Gives back the tickets of a quote.

        Raises NOT_FOUND, QUOTE_INVALID, REFUND_REFUSED.
        """
        order = await orders.find(tx, traveller.traveller_id, order_code)
        order_id, *quoted = self._quotes.open("refund", traveller.key, quote, now=now)
        if order_id != order.order_id:
            raise quotes.invalid("is for another order")
        if len(quoted) != 3:
            raise quotes.invalid("was made by a former release")
        steps, digest, total = quoted
        ids = set(accumulate(steps))
        shared = await shared_tickets.lock(tx, ids)
        await orders.lock_orders(tx, {order_id, *(each.order_id for each in shared)})
        # under both locks: as the gates, other refunds and changes have left them
        found = await travel_tickets.of_order(tx, order_id)
        chosen = [ticket for ticket in found if ticket.ticket_id in ids]
        sharing, of_items = await _sharing(tx, order, found), await travel_parties.read(tx, found)
        offers = _offers(order, sharing, chosen, of_items, now)
        given_back = offers.tickets
        if _digest(given_back) != digest and not _better(given_back, ids, total):
            raise quotes.invalid("holds no more: a ticket of the order has moved since")
        paid = await refund_sources.payments_of(tx, order_id)
        if _is_last(offers, paid):
            every = _chosen(order, found, sharing, (), now)
            left = {
                each.ticket_id for each in _offers(order, sharing, every, of_items, now).tickets
            }
            if left - {ticket.ticket_id for ticket in given_back}:
                raise quotes.invalid("is not of all that is left, and only one refund is")
        going = [(order_id, ticket) for ticket in given_back]
        await start(tx, going, traveller.key, now=now)
        refund_no = await refunds.ask(
            tx,
            order_id=order_id,
            cause="TRAVELLER",
            tickets=given_back,
            amount_minor=sum(ticket.amount_minor for ticket in given_back),
            payments_newest_first=paid,
            now=now,
        )
        return await refunds.read(tx, order_id, refund_no)


def _better(given_back: Sequence[TicketRefund], ids: Collection[int], total: int) -> bool:
    """Whether the same tickets give back no less than was quoted, since the operator changed
    their departure meanwhile.
    """
    return (
        {ticket.ticket_id for ticket in given_back} == ids
        and sum(ticket.amount_minor for ticket in given_back) >= total
        and any(ticket.rule in OPERATOR_CAUSES for ticket in given_back)
    )


async def start(
    tx: AsyncConnection,
    given_back: Collection[tuple[int, TicketRefund]],
    actor: str,
    *,
    now: datetime,
) -> None:
    """Makes tickets, each with its order's number, REFUNDING, which are locked and for which a
    refund is asked next.
    """
    ids = [ticket.ticket_id for _, ticket in given_back]
    standing = ("ACTIVE", "PARTIALLY_REDEEMED")
    moved = await tickets.move(
        tx, ids, standing, "REFUNDING", action="refunding", actor=actor, now=now
    )
    assert len(moved) == len(ids), "nobody moves a ticket that is locked"
    moves = [
        events.Move(order_id, events.TICKET_REFUNDING, actor, ticket_id=ticket.ticket_id)
        for order_id, ticket in given_back
    ]
    await events.record(tx, moves, now=now)


async def give_all_back(
    tx: AsyncConnection, order_id: int, actor: str, *, now: datetime
) -> Sequence[TicketRefund]:
    """Gives back all of an order's tickets that are ACTIVE, whole, whatever their policy says: its
    sale was never confirmed to the buyer, or is taken back. What each gives back.
    """
    before = await travel_tickets.of_order(tx, order_id)
    shared = await shared_tickets.lock(tx, [ticket.ticket_id for ticket in before])
    await orders.lock_orders(tx, {order_id, *(each.order_id for each in shared)})
    found = await travel_tickets.of_order(tx, order_id)
    given_back = [
        TicketRefund(
            *(ticket.ticket_id, ticket.amount_minor, ticket.amount_minor, 0, 100, "FREE"),
            {**refunds.NOTHING_KEPT},
            ticket.state,
        )
        for ticket in found
        if ticket.state == "ACTIVE" and not ticket.blocked
    ]
    if given_back:
        await start(tx, [(order_id, ticket) for ticket in given_back], actor, now=now)
        await refunds.ask(
            tx,
            order_id=order_id,
            cause="ADMINISTRATOR",
            tickets=given_back,
            amount_minor=sum(ticket.amount_minor for ticket in given_back),
            payments_newest_first=await refund_sources.payments_of(tx, order_id),
            now=now,
        )
    return given_back


@dataclass(frozen=True, slots=True)
class _Sharing:
    """The shared tickets that an order shows, and by each the travellers' tickets of its item,
    wherever they are now.
    """

    tickets: Sequence[TravelTicket]
    members: Mapping[int, Sequence[SharedMember]]

    def others(self, shared: TravelTicket, ids: Collection[int]) -> set[str]:
        """The states of the item's tickets but those with these numbers."""
        return {
            member.state for member in self.members[shared.ticket_id] if member.ticket_id not in ids
        }

    def concerned(self, ids: Collection[int]) -> list[TravelTicket]:
        """The shared tickets that go along with one of these, if it is the last."""
        return [
            shared
            for shared in self.tickets
            if shared.ticket_id not in ids
            and shared.state not in _UNUSABLE
            and any(member.ticket_id in ids for member in self.members[shared.ticket_id])
        ]


async def _sharing(tx: AsyncConnection, order: Order, found: Sequence[TravelTicket]) -> _Sharing:
    elsewhere = await travel_tickets.shared_with(tx, order) if order.first_order_id else []
    shared = [ticket for ticket in [*found, *elsewhere] if ticket.is_shared]
    members = await shared_tickets.members(tx, [ticket.ticket_id for ticket in shared])
    return _Sharing(shared, members)


def _chosen(
    order: Order,
    found: Sequence[TravelTicket],
    sharing: _Sharing,
    codes: Collection[str],
    now: datetime,
) -> list[TravelTicket]:
    if not codes:
        # what is shared comes along by itself, if it does
        alone = [
            ticket
            for ticket in found
            if not ticket.is_shared or not sharing.others(ticket, ()) - WITHDRAWN
        ]
        decided = [(ticket, policy.refund(ticket.standing, ticket.policy, now)) for ticket in alone]
        chosen = [t for t, offer in decided if isinstance(offer, policy.RefundOffer)]
        if chosen:
            return chosen
        for ticket, offer in decided:
            if isinstance(offer, policy.Refused):
                raise refused(ticket.ticket_code, offer)
        raise _nothing_sold(order)
    by_code = {ticket.ticket_code: ticket for ticket in found}
    for code in codes:
        if code not in by_code:
            raise not_found("ticket", code)
    return [by_code[code] for code in dict.fromkeys(codes)]


def _steps(ticket_ids: Collection[int]) -> list[int]:
    """The first of the numbers, ascending, and how far each is after the one before: short for
    the most tickets.
    """
    ordered = sorted(ticket_ids)
    return [number - before for before, number in zip([0, *ordered], ordered, strict=False)]


def _digest(given_back: Iterable[TicketRefund]) -> str:
    """What says whether the same tickets give back the same."""
    amounts = sorted((ticket.ticket_id, ticket.amount_minor) for ticket in given_back)
    return fingerprint(repr(amounts).encode(), size_bytes=16).hex()


def _is_last(offers: _Offers, paid: Sequence[Paid]) -> bool:
    """Whether WeChat gives nothing more of a payment after this.

    Raises REFUND_REFUSED if it does not give even this.
    """
    amount_minor = sum(ticket.amount_minor for ticket in offers.tickets)
    sources = [each.source for each in paid]
    if any(refund_rules.share_out(amount_minor, sources).by_hand):
        raise refunds.used_up()
    return refund_rules.takes_last(amount_minor, sources)


def _offers(
    order: Order,
    sharing: _Sharing,
    chosen: Sequence[TravelTicket],
    of_items: Mapping[int, Party],
    now: datetime,
) -> _Offers:
    """What the chosen tickets give back, with the shared ones that go with them. Raises
    REFUND_REFUSED.
    """
    ids = {ticket.ticket_id for ticket in chosen}
    worth: dict[int, int] = {}
    for item, party in of_items.items():
        # whom the operator's doing makes leave takes no discount from those who stay
        by_operator = any(t.standing.operator_cause for t in chosen if t.item_index == item)
        worth |= party.values(ids, keep_discount=by_operator)
    given_back, until_times = [], []
    for ticket in [*chosen, *_shared_with(order, sharing, chosen, now)]:
        standing = replace(ticket.standing, value_minor=worth.get(ticket.ticket_id))
        offer = policy.refund(standing, ticket.policy, now)
        if isinstance(offer, policy.Refused):
            raise refused(ticket.ticket_code, offer)
        until_times.append(offer.until_time)
        given_back.append(ticket_refund(ticket, offer))
    return _Offers(given_back, min(until_times))


def ticket_refund(ticket: TravelTicket, offer: policy.RefundOffer) -> TicketRefund:
    """What a ticket gives back, as a refund keeps it."""
    return TicketRefund(
        ticket.ticket_id,
        ticket.amount_minor,
        offer.amount_minor,
        offer.fee_minor,
        offer.percent,
        offer.rule,
        offer.facts,
        ticket.state,
        offer.party_discount_minor,
    )


def _shared_with(
    order: Order, sharing: _Sharing, chosen: Sequence[TravelTicket], now: datetime
) -> list[TravelTicket]:
    """The shared tickets of the order whose items' last tickets are chosen.

    Those of another order go when the chosen are REFUNDED. Raises REFUND_REFUSED if one is redeemed
    that goes now or may go then, and for a shared one that is chosen while a ticket of its item
    stays or may come back.
    """
    ids = {ticket.ticket_id for ticket in chosen}
    for ticket in chosen:
        if ticket.is_shared and sharing.others(ticket, ids) - WITHDRAWN:
            raise refused(ticket.ticket_code, policy.Refused("SHARED"))
    going = []
    # what is shared and used up keeps nobody from what the operator owes
    free = all(ticket.operator_cause for ticket in chosen)
    for shared in sharing.concerned(ids):
        others = sharing.others(shared, ids) - WITHDRAWN
        held = policy.refund(shared.standing, shared.policy, now)
        if others - {"REFUNDING"} or (free and isinstance(held, policy.Refused)):
            continue
        if not others and shared.order_id == order.order_id:
            going.append(shared)
            continue
        if isinstance(held, policy.Refused) and held.reason in ("REDEEMED", "BLOCKED"):
            raise refused(shared.ticket_code, held)
    return going


def refused(ticket_code: str, why: policy.Refused) -> DomainError:
    """REFUND_REFUSED for a ticket, with why."""
    return DomainError(
        Reason.REFUND_REFUSED,
        f"ticket {ticket_code} cannot be given back: {refusals.in_words(why)}",
        ticket_code=ticket_code,
        why=why.reason,
        **policy.deadline(why),
    )


def _nothing_sold(order: Order) -> DomainError:
    words = refusals.order_in_words(order.state)
    return DomainError(
        Reason.REFUND_REFUSED,
        f"order {order.order_code} cannot be given back: {words}",
        ticket_code="",
        why="NOT_ACTIVE",
    )
