"""A ticket changed to another departure, class or day of the same product, or to another rental
(改签).

The new seat is held first, in an order of its own that refers to the old ticket, which is CHANGING
meanwhile. When the new order is paid, at once if there is nothing to pay, the old ticket is CHANGED
and its seat free; if it is not paid in time the old ticket is ACTIVE again. So at every moment
exactly one of the two is, or will be, valid. Old and new of one stock, as another day of a package
or a longer leg on the same train, are one place: nothing more is held, and the seat stays. So are
the days of a rental that both have.

What an order shares stays with it, and is valid as long as the latest of its tickets and theirs. A
blocked ticket is not changed; a block that is set while it is CHANGING is the new ticket's. The new
price is that of one traveller of the ticket's customer type: no discount for a party, and no
promotion with a cap. Those who stay keep theirs; only a later refund works it out again, without
the changed ticket, which has left the party (see party.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.aftersales import quotes, refusals
from server.aftersales.quotes import Quotes
from server.catalog import policy
from server.catalog.car_categories import RENTAL
from server.catalog.offers import Offer
from server.identity.callers import Traveller
from server.orders import (
    events,
    new_orders,
    order_search,
    orders,
    passenger_checks,
    passenger_rules,
    shared_tickets,
    travel_tickets,
)
from server.orders.content import ChangeTerms, Content, OrderItem, Place
from server.orders.hold import OrderHolds
from server.orders.new_orders import MadeOrder
from server.orders.order_numbers import OrderNumbers
from server.orders.orders import Order
from server.orders.passengers import Passenger, PassengerParty, PassengerSeals
from server.orders.prices import PricedItem, Prices, Wish
from server.orders.travel_tickets import TravelTicket
from server.payments import refund_rules, refund_sources, refunds, travel_parties
from server.payments.refund_sources import Paid
from server.payments.refunds import Refund
from server.payments.settlement import Settlement
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.statements import run_together
from server.stock import holds
from server.stock.holds import Counterpart, Take
from server.stock.models import stocks
from server.tickets import snapshots, tickets
from server.tickets.snapshots import NewSnapshot


@dataclass(frozen=True, slots=True)
class QuotedTerms:
    """What a change to `item` costs now."""

    ticket: TravelTicket
    item: PricedItem
    offer: policy.ChangeOffer


@dataclass(frozen=True, slots=True)
class ChangeQuote:
    """What a change costs until `expire_time`; `text` names the quote, `seats_left` is as it is
    now.
    """

    text: str
    terms: QuotedTerms
    seats_left: int
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class TicketChange:
    """The order of the new ticket, PENDING while the difference is to be paid; the ticket and
    refund, if there are.
    """

    order: Order
    ticket: TravelTicket | None
    refund: Refund | None


class ChangeHandler:
    """Quotes changes, each for `quote_seconds` or as long as the policy allows them, and makes
    them.
    """

    def __init__(
        self,
        db: Database,
        order_holds: OrderHolds,
        seals: PassengerSeals,
        signer: Quotes,
        settlement: Settlement,
        *,
        zone: ZoneInfo,
        quote_seconds: int,
    ) -> None:
        self._order_holds = order_holds
        self.seals = seals
        self._quotes = signer
        self._settlement = settlement
        self._quote_seconds = quote_seconds
        self._numbers = OrderNumbers(db, zone)

    async def prices(self) -> Prices:
        """The prices of now. Raises DATABASE_UNAVAILABLE."""
        return await self._order_holds.prices()

    async def quote(
        self,
        tx: AsyncConnection,
        traveller: Traveller,
        ticket_code: str,
        offer_id: str,
        *,
        prices: Prices,
        now: datetime,
    ) -> ChangeQuote:
        """What it costs to have this offer instead. Raises NOT_FOUND, CHANGE_REFUSED,
        OFFER_NOT_AVAILABLE.
        """
        ticket = await travel_tickets.get(tx, traveller.traveller_id, ticket_code)
        terms = await _terms(tx, ticket, offer_id, prices, now)
        cost, new = terms.offer, terms.item.offer
        if cost.refund_minor:
            paid = await refund_sources.payments_of(tx, ticket.order_id, lock=False)
            _require_refund(ticket, cost.refund_minor, paid)
        query = select(func.min(stocks.c.total - stocks.c.held - stocks.c.sold))
        left = await tx.scalar(query.where(stocks.c.stock_id.in_(new.stock_ids))) or 0
        expire_time = min(now + timedelta(seconds=self._quote_seconds), cost.until_time)
        facts = [ticket.ticket_id, offer_id, *_quoted(cost)]
        quote = self._quotes.sign("change", traveller.key, facts, expire_time=expire_time)
        return ChangeQuote(quote, terms, left, expire_time)

    async def change(
        self,
        tx: AsyncConnection,
        traveller: Traveller,
        ticket_code: str,
        quote: str,
        *,
        prices: Prices,
        now: datetime,
    ) -> TicketChange:
        """Holds the new seat, and settles the change if there is nothing to pay.

        Raises NOT_FOUND, QUOTE_INVALID, CHANGE_REFUSED, SOLD_OUT, OFFER_NOT_AVAILABLE,
        TOO_MANY_FOR_TRAVELLER, DUPLICATE_PASSENGER, OVERLAPPING_JOURNEY, PASSENGER_NOT_ALLOWED.
        """
        ticket = await travel_tickets.get(tx, traveller.traveller_id, ticket_code)
        ticket_id, offer_id, *quoted = self._quotes.open("change", traveller.key, quote, now=now)
        if ticket_id != ticket.ticket_id:
            raise quotes.invalid("is for another ticket")
        await shared_tickets.lock(tx, [ticket_id])
        await orders.lock_order(tx, ticket.order_id)
        # under both locks: as the gates, refunds and other changes have left it
        ticket = await travel_tickets.get(tx, traveller.traveller_id, ticket_code)
        terms = await _terms(tx, ticket, offer_id, prices, now)
        if _quoted(terms.offer) != quoted:
            raise quotes.invalid("holds no more: the price is another now")
        return await self._make(tx, terms, actor=traveller.key, now=now)

    async def rebook(
        self,
        tx: AsyncConnection,
        ticket: TravelTicket,
        offer_id: str,
        *,
        prices: Prices,
        actor: str,
        now: datetime,
    ) -> TicketChange:
        """Changes a ticket whose departure the operator cancelled or moved, for a traveller who was
        asked; it and its order are locked. What the offer is dearer by the operator bears.

        Raises as `change` does, but for quotes.
        """
        terms = await _terms(tx, ticket, offer_id, prices, now, operator_bears=True)
        made = await self._make(tx, terms, actor=actor, now=now)
        assert made.ticket, "nothing is left to be paid"
        rebooked = events.Move(
            made.order.order_id, events.TICKET_REBOOKED, actor, ticket_id=made.ticket.ticket_id
        )
        await events.record(tx, [rebooked], now=now)
        return made

    async def _make(
        self, tx: AsyncConnection, terms: QuotedTerms, *, actor: str, now: datetime
    ) -> TicketChange:
        ticket, cost = terms.ticket, terms.offer
        moved = await tickets.move(
            tx,
            [ticket.ticket_id],
            ("ACTIVE",),
            "CHANGING",
            action="changing",
            actor=actor,
            now=now,
        )
        assert moved, "nobody moves a ticket that is locked"
        begun = events.Move(
            ticket.order_id, events.TICKET_CHANGING, actor, ticket_id=ticket.ticket_id
        )
        await events.record(tx, [begun], now=now)
        paid = await refund_sources.payments_of(tx, ticket.order_id) if cost.refund_minor else []
        _require_refund(ticket, cost.refund_minor, paid)
        order = await self._hold(tx, terms, now=now)
        if cost.pay_minor:
            return TicketChange(order, None, None)
        await self._settlement.settle_order(tx, order, pay_time=now, now=now, actor=actor)
        refund = None
        if cost.refund_minor:
            refund_no = await refunds.ask(
                tx,
                order_id=order.order_id,
                cause="CHANGE",
                tickets=(),
                amount_minor=cost.refund_minor,
                payments_newest_first=paid,
                now=now,
            )
            refund = await refunds.read(tx, order.order_id, refund_no)
        (made,) = await travel_tickets.of_order(tx, order.order_id)
        return TicketChange(made.order, made, refund)

    async def _hold(self, tx: AsyncConnection, terms: QuotedTerms, *, now: datetime) -> Order:
        """The new order, PENDING, with its seat held."""
        old, cost, offer = terms.ticket, terms.offer, terms.item.offer
        (order_id,) = await self._numbers.take(1, now)
        party = self.seals.open_party(old.order_id, old.order.passengers_sealed)
        passenger = party.passengers[old.passenger_index]
        await _check_passenger(tx, old, offer, passenger)
        document = None
        if offer.journey and passenger.document_number:
            document = old.place.document or self.seals.document_hash(passenger)
        seat_index = _kept_place(old, offer)
        replaced = _replaced(old, offer, seat_index)
        wanted = _take(order_id, old, offer, replaced, seat_index=seat_index, document=document)
        # both at once: two changes in opposite directions do not wait for each other
        await holds.lock(tx, {*old.item.stock_ids, *offer.stock_ids})
        seats = await holds.take(
            tx,
            wanted,
            offer_id=offer.offer_id,
            seat_map=offer.seat_map,
            max_per_traveller=offer.max_per_traveller,
            now=now,
        )
        await holds.add_journeys(tx, [wanted], now=now)
        seat = seats[0] if seats else None
        place = Place(
            passenger=0,
            customer_type=old.customer_type,
            amount_minor=cost.new_minor,
            seat_index=seat,
            seat=offer.seat_map.labels[seat] if offer.seat_map and seat is not None else None,
            document=document,
        )
        amount_minor = cost.new_minor + cost.fee_minor + cost.forfeited_minor
        reached = PassengerParty([passenger], party.contact_phone)
        order = Order(
            order_id=order_id,
            order_code=orders.order_code(order_id),
            traveller_id=old.order.traveller_id,
            state="PENDING",
            sequence=1,
            content=Content(
                (_item(terms.item, place),), change=_change_terms(cost), replaces=replaced
            ),
            passengers_sealed=self.seals.seal(
                order_id, reached.passengers, contact_phone=reached.contact_phone
            ),
            amount_minor=amount_minor,
            currency_code=offer.currency_code,
            credit_minor=min(cost.old_minor, amount_minor),
            create_time=now,
            hold_expire_time=now + timedelta(seconds=self._order_holds.hold_seconds([offer])),
            changes_ticket_id=old.ticket_id,
            changes_order_id=old.order_id,
            first_order_id=old.order.first_order_id or old.order_id,
            first_item_index=(
                old.item_index if old.order.first_item_index is None else old.order.first_item_index
            ),
        )
        kept = NewSnapshot(offer.snapshot_id, offer.product_id, offer.snapshot)
        await run_together(
            tx,
            snapshots.store([kept], now=now),
            new_orders.create([MadeOrder(order, 1)], now=now),
            order_search.store([order_search.of_party(order_id, now, reached)]),
        )
        return order


def _take(
    order_id: int,
    old: TravelTicket,
    offer: Offer,
    replaced: Counterpart,
    *,
    seat_index: int | None,
    document: bytes | None,
) -> Take:
    """What the new order takes instead of `replaced`."""
    return Take(
        stock_id=offer.stock_id,
        quantity=1,
        seats=(seat_index,) if seat_index is not None and seat_index >= 0 else (),
        departure_id=offer.journey.departure_id if offer.journey else None,
        documents=(document,) if document else (),
        order_id=order_id,
        traveller_id=old.order.traveller_id,
        offer_id=offer.offer_id,
        counterpart=replaced,
        ride=offer.ride,
        changes_order_id=old.order_id,
        other_stock_ids=offer.stock_ids[1:],
    )


def _change_terms(cost: policy.ChangeOffer) -> ChangeTerms:
    return ChangeTerms(
        cost.old_minor,
        cost.fee_minor,
        cost.forfeited_minor,
        cost.refund_percent,
        cost.operator_cause,
        cost.waiver_code,
    )


def _replaced(old: TravelTicket, offer: Offer, seat_index: int | None) -> Counterpart:
    """The old ticket, with what is one place of both."""
    replaced = old.item.counterpart
    if offer.rental:
        days = tuple(sorted({*old.item.stock_ids} & {*offer.stock_ids}))
        return replace(replaced, day_stock_ids=days)
    return replaced if seat_index is None else replace(replaced, stock_id=offer.stock_id)


UNNUMBERED = -1
"""A place without a seat of its own."""


def _kept_place(old: TravelTicket, offer: Offer) -> int | None:
    """The seat that old and new have both, if both are one place: of one stock, and on a seat that
    is still there.

    UNNUMBERED where seats are not numbered; None if the new one takes a place of its own, and of
    rentals, whose days are looked at each for itself.
    """
    if old.item.stock_id != offer.stock_id or offer.rental:
        return None
    if old.seat is None or offer.seat_map is None:
        return UNNUMBERED if old.seat is None and offer.seat_map is None else None
    sold_with = old.offer.seat_map
    index = sold_with.indexes.get(old.seat) if sold_with else None
    return index if index is not None and offer.seat_map.indexes.get(old.seat) == index else None


def _quoted(cost: policy.ChangeOffer) -> list[int]:
    """What a quote promises; the rest follows from it."""
    return [cost.new_minor, cost.fee_minor, cost.old_minor, cost.refund_percent]


async def _terms(
    tx: AsyncConnection,
    ticket: TravelTicket,
    offer_id: str,
    prices: Prices,
    now: datetime,
    *,
    operator_bears: bool = False,
) -> QuotedTerms:
    """Raises CHANGE_REFUSED, NOT_FOUND (offer), OFFER_NOT_AVAILABLE.

    With `operator_bears` the new price is no more than what the ticket is worth.
    """
    if ticket.is_shared:
        raise refused(ticket, "NOT_CHANGEABLE", "it is shared by the whole order")
    standing, rules = ticket.standing, ticket.policy
    for_itself = policy.change(
        standing,
        rules,
        changes_made=ticket.changes_made,
        new_price_minor=ticket.amount_minor,
        now=now,
    )
    if isinstance(for_itself, policy.Refused):
        words = refusals.in_words(for_itself)
        raise refused(ticket, for_itself.reason, words, **policy.deadline(for_itself))
    priced = prices.price(
        [Wish(offer_id)],
        [ticket.customer_type],
        (),
        now=now,
        used_up=prices.catalogue.capped | prices.catalogue.limits.keys(),
    )
    (item,) = priced.items
    both_rentals = item.offer.rental and ticket.snapshot["kind"] == RENTAL
    same_product = both_rentals or item.offer.product_id == ticket.product_id
    if not same_product or priced.currency_code != ticket.order.currency_code:
        raise refused(
            ticket, "OTHER_PRODUCT", f"{offer_id} is of another product; choose one of its own"
        )
    if offer_id == ticket.item.offer_id:
        raise refused(ticket, "SAME_OFFER", f"it is for {offer_id}; choose another")
    party = (await travel_parties.read(tx, await travel_tickets.of_order(tx, ticket.order_id)))[
        ticket.item_index
    ]
    worth = party.credit_minor(ticket.ticket_id)
    if operator_bears:
        item = item._replace(price=item.price.waived_to(worth))
    cost = policy.change(
        replace(standing, paid_minor=worth),
        rules,
        changes_made=ticket.changes_made,
        new_price_minor=item.price.total_minor,
        now=now,
    )
    assert isinstance(cost, policy.ChangeOffer), "the price decides nothing"
    return QuotedTerms(ticket, item, cost)


def _require_refund(ticket: TravelTicket, amount_minor: int, paid: Sequence[Paid]) -> None:
    """Raises CHANGE_REFUSED if WeChat makes no refund for it, or the last one, which is kept for
    all that is left.
    """
    sources = [each.source for each in paid]
    beyond = any(refund_rules.share_out(amount_minor, sources).by_hand)
    if beyond or refund_rules.takes_last(amount_minor, sources):
        words = (
            f"WeChat makes {refund_rules.MOST_REFUNDS} refunds of a payment, and the last is kept"
            " for all that is left; choose an offer that costs no less, or give all back"
        )
        raise refused(ticket, refunds.REFUNDS_USED_UP, words)


async def _check_passenger(
    tx: AsyncConnection, old: TravelTicket, offer: Offer, passenger: Passenger
) -> None:
    """The new ticket keeps the rules of an order: its age, and on another departure its company
    there.

    Raises PASSENGER_NOT_ALLOWED.
    """
    passenger_checks.check_age(offer, 0, passenger)
    passenger_checks.check_driver(offer, 0, passenger)
    journey = offer.journey
    if journey is None or journey.departure_id == old.item.departure_id:
        return
    allowed = offer.passenger_rules.get("unaccompanied_types", ())
    if passenger_rules.needs_companion(old.customer_type, (), unaccompanied_types=allowed):
        company = await travel_tickets.types_on_board(
            tx, old.order.traveller_id, journey.departure_id
        )
        passenger_checks.check_companion(offer, 0, old.customer_type, company)


def _item(item: PricedItem, place: Place) -> OrderItem:
    offer = item.offer
    return OrderItem(
        offer.offer_id,
        offer.snapshot_id,
        offer.stock_id,
        offer.journey.departure_id if offer.journey else None,
        item.price,
        (place,),
        offer.span,
        offer.stock_ids[1:],
    )


def refused(ticket: TravelTicket, why: str, words: str, **metadata: Any) -> DomainError:
    """CHANGE_REFUSED for a ticket, with why as a reason and in words."""
    return DomainError(
        Reason.CHANGE_REFUSED,
        f"ticket {ticket.ticket_code} cannot be changed: {words}",
        ticket_code=ticket.ticket_code,
        why=why,
        **metadata,
    )
