"""What an administrator does with tickets of a disruption for travellers who were asked: rebooks
them on another departure, or refunds them.

Some tickets are one transaction, with all that they need locked before: tickets, orders, payments,
stocks. Each has an outcome of its own; one that cannot be rebooked keeps none of the others, unless
it is to be all or none.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Unpack
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from server.aftersales import departure_orders, disruption_reports
from server.aftersales.disruption_reports import Disruption
from server.aftersales.refund_requests import refused
from server.aftersales.ticket_changes import ChangeHandler, TicketChange
from server.audit.records import By
from server.audit.trail import AuditedChange, audit
from server.catalog import departures, policy
from server.catalog.departures import CANCELLED
from server.catalog.offers import Offer
from server.orders import passenger_rules, travel_tickets
from server.orders.prices import Prices
from server.orders.travel_tickets import TravelTicket
from server.payments import refund_sources
from server.payments.refunds import Cause, refund_code
from server.platform.errors import DomainError, Reason, invalid, not_found
from server.platform.statements import Statement, run
from server.stock import holds
from server.stock.ids import class_index

AT_ONCE = 100
"""Tickets of one call."""
DONE, REFUSED, NOT_DONE = "DONE", "REFUSED", "NOT_DONE"
_REFUSALS = frozenset(
    {
        *(Reason.CHANGE_REFUSED, Reason.SOLD_OUT, Reason.OFFER_NOT_AVAILABLE),
        *(Reason.TOO_MANY_FOR_TRAVELLER, Reason.DUPLICATE_PASSENGER, Reason.OVERLAPPING_JOURNEY),
        *(Reason.PASSENGER_NOT_ALLOWED, Reason.REFUND_REFUSED),
    }
)
"""Why one ticket is refused, and others are not; anything else ends the call."""


class Rebooking(NamedTuple):
    """Where tickets are to be rebooked: a departure, and a class there, or that of each if empty;
    with `all_or_none` only if all of them can be.
    """

    departure_id: int
    class_code: str
    all_or_none: bool


class TicketAction(NamedTuple):
    """What was done to a ticket: DONE, with what it became or gives back; REFUSED, with why; or
    NOT_DONE, since others were refused.
    """

    ticket_code: str
    state: str
    reason: str = ""
    message: str = ""
    new_code: str = ""
    refund_id: str = ""
    refund_minor: int = 0
    currency_code: str = ""


class _Listed(NamedTuple):
    """A ticket of a report."""

    ticket_id: int
    ticket_code: str
    order_id: int | None
    partner_id: int


_NAMED = Statement(
    """
SELECT ticket_id, ticket_code, order_id, partner_id FROM disruption_tickets
WHERE disruption_id = $1::uuid AND ticket_code = ANY($2::text[]) ORDER BY ticket_id
""",
    _Listed,
)


class _Class(NamedTuple):
    """A class of a departure, and its stock in our own channel."""

    fare_class: str
    stock_id: int


_CLASSES = Statement(
    """
SELECT fare_class, stock_id FROM stocks WHERE departure_id = $1::bigint AND partner_id = 0
""",
    _Class,
)


class _Chosen(NamedTuple):
    """Tickets that wait, their orders' tickets, all locked, and why others are refused."""

    waiting: Sequence[TravelTicket]
    of_orders: Sequence[TravelTicket]
    refused: Sequence[TicketAction]


class _NotAllError(Exception):
    """Not all tickets could be rebooked."""


async def rebook(
    tx: AsyncConnection,
    handler: ChangeHandler,
    disruption_id: UUID,
    codes: Sequence[str],
    wanted: Rebooking,
    *,
    prices: Prices,
    comment: str,
    **by: Unpack[By],
) -> list[TicketAction]:
    """Rebooks tickets of a disruption; without codes the next that wait.

    Raises NOT_FOUND, DEPARTURE_CANCELLED, INVALID_FIELD for a departure that is not to be gone on.
    """
    disruption = await disruption_reports.find(tx, disruption_id)
    if wanted.departure_id == disruption.departure_id:
        raise invalid("departure_id", "is the one of the disruption; name another")
    await departures.hold_departure(tx, wanted.departure_id, now=by["now"])
    chosen = await _choose(tx, disruption, codes, now=by["now"])
    classes = {name: class_index(stock) for name, stock in await run(tx, _CLASSES(wanted[0]))}
    offers = {each.ticket_id: _offer(prices, each, wanted, classes) for each in chosen.waiting}
    await refund_sources.payments_of_all(tx, sorted({t.order_id for t in chosen.waiting}))
    new_stocks = {offer.stock_id for offer in offers.values() if offer}
    await holds.lock(tx, new_stocks | {each.item.stock_id for each in chosen.waiting})
    made: dict[int, TicketAction] = {}
    try:
        async with tx.begin_nested():
            for each in sorted(chosen.waiting, key=_after_company):
                offer = offers[each.ticket_id]
                made[each.ticket_id] = await _rebook(tx, handler, each, offer, prices, **by)
            if wanted.all_or_none and (
                chosen.refused or any(each.state != DONE for each in made.values())
            ):
                raise _NotAllError
    except _NotAllError:
        made = {
            number: TicketAction(each.ticket_code, NOT_DONE) if each.state == DONE else each
            for number, each in made.items()
        }
    actions = [*chosen.refused, *(made[number] for number in sorted(made))]
    about = {"departure_id": wanted.departure_id, "class_code": wanted.class_code}
    await _trace(tx, "rebook", disruption, actions, about | {"comment": comment}, **by)
    return actions


async def refund(
    tx: AsyncConnection,
    disruption_id: UUID,
    codes: Sequence[str],
    *,
    comment: str,
    **by: Unpack[By],
) -> list[TicketAction]:
    """Asks for the refunds of tickets of a disruption; without codes of the next that wait. Raises
    NOT_FOUND.
    """
    disruption = await disruption_reports.find(tx, disruption_id)
    chosen = await _choose(tx, disruption, codes, now=by["now"])
    cause: Cause = "DEPARTURE_CANCELLED" if disruption.kind == CANCELLED else "ADMINISTRATOR"
    given = await departure_orders.give_back(
        tx, chosen.of_orders, chosen.waiting, cause=cause, **by
    )
    made = [_refunded(each, given.get(each.ticket_id), by["now"]) for each in chosen.waiting]
    actions = [*chosen.refused, *made]
    await _trace(tx, "refund", disruption, actions, {"comment": comment}, **by)
    return actions


async def _choose(
    tx: AsyncConnection, disruption: Disruption, codes: Sequence[str], *, now: datetime
) -> _Chosen:
    """The tickets with these codes, or the next that wait, locked with their orders."""
    number = disruption.disruption_id
    if not codes:
        waiting = await disruption_reports.tickets(
            tx, number, outcome="AWAITING_CHOICE", after=-1, limit=AT_ONCE, now=now
        )
        codes = [each.ticket_code for each in waiting]
    listed = await run(tx, _NAMED(number, list(codes)))
    own = {each.ticket_id: each for each in listed if not each.partner_id and each.order_id}
    held = await departure_orders.locked(tx, sorted({each.order_id or 0 for each in own.values()}))
    mine = [each for each in held.tickets if each.ticket_id in own]
    waiting_now = [each for each in mine if each.state == "ACTIVE" and each.operator_cause]
    known = {each.ticket_code for each in listed}
    unknown = [code for code in dict.fromkeys(codes) if code not in known]
    is_waiting = {each.ticket_id for each in waiting_now}
    states = {each.ticket_id: each.state for each in mine}
    return _Chosen(
        waiting_now,
        held.tickets,
        [
            *[_refusal(code, not_found("ticket", code)) for code in unknown],
            *[
                TicketAction(
                    *(each.ticket_code, REFUSED, Reason.TICKET_STATE_REFUSES),
                    f"it does not wait: {_why_not(each, states.get(each.ticket_id))}",
                )
                for each in listed
                if each.ticket_id not in is_waiting
            ],
        ],
    )


def _why_not(ticket: _Listed, state: str | None) -> str:
    if ticket.partner_id:
        return "it is a partner's, who has its travellers choose"
    if state == "ACTIVE":
        return "its departure runs as it was sold; its traveller may change it by its own terms"
    return f"it is {state}"


def _offer(
    prices: Prices, ticket: TravelTicket, wanted: Rebooking, classes: Mapping[str, int]
) -> Offer | None:
    """Where a ticket is to go on: from the same stop to the same one."""
    journey = ticket.offer.journey
    assert journey, "it is of a departure"
    class_code = wanted.class_code or journey.fare_class
    if class_code not in classes:
        return None
    stops = journey.origin.stop_code, journey.destination.stop_code
    return prices.catalogue.leg(wanted.departure_id, classes[class_code], *stops)


def _after_company(ticket: TravelTicket) -> tuple[bool, int]:
    """Those come last who may not travel alone."""
    allowed = ticket.offer.passenger_rules.get("unaccompanied_types", ())
    needs = passenger_rules.needs_companion(ticket.customer_type, (), unaccompanied_types=allowed)
    return bool(needs), ticket.ticket_id


async def _rebook(
    tx: AsyncConnection,
    handler: ChangeHandler,
    ticket: TravelTicket,
    offer: Offer | None,
    prices: Prices,
    **by: Unpack[By],
) -> TicketAction:
    code, owner = ticket.ticket_code, ticket.order.traveller_id
    assert owner is not None, "a ticket of our own channel is a traveller's"
    if offer is None:
        words = "the departure has no such class, or does not go from stop to stop as the ticket"
        return TicketAction(code, REFUSED, Reason.OFFER_NOT_AVAILABLE, words)
    try:
        async with tx.begin_nested():
            # others of its order, and what they share, may have moved in this transaction
            current = await travel_tickets.get(tx, owner, code)
            made = await handler.rebook(tx, current, offer.offer_id, prices=prices, **by)
    except DomainError as error:
        if error.reason not in _REFUSALS:
            raise
        return _refusal(code, error)
    return _rebooked(code, made)


def _rebooked(code: str, made: TicketChange) -> TicketAction:
    assert made.ticket, "nothing is left to be paid"
    back = made.refund
    return TicketAction(
        code,
        DONE,
        new_code=made.ticket.ticket_code,
        refund_id=refund_code(back.order_id, back.refund_no) if back else "",
        refund_minor=back.amount_minor if back else 0,
        currency_code=made.order.currency_code,
    )


def _refunded(
    ticket: TravelTicket, given: departure_orders.GivenBack | None, now: datetime
) -> TicketAction:
    if given is None:
        why = policy.refund(ticket.standing, ticket.policy, now)
        assert isinstance(why, policy.Refused), "what gives anything back is given back"
        return _refusal(ticket.ticket_code, refused(ticket.ticket_code, why))
    return TicketAction(
        ticket.ticket_code,
        DONE,
        refund_id=refund_code(given.order_id, given.refund_no),
        refund_minor=given.amount_minor,
        currency_code=ticket.order.currency_code,
    )


def _refusal(code: str, error: DomainError) -> TicketAction:
    return TicketAction(code, REFUSED, error.reason, error.message)


async def _trace(
    tx: AsyncConnection,
    action: str,
    disruption: Disruption,
    actions: Sequence[TicketAction],
    about: Mapping[str, object],
    **by: Unpack[By],
) -> None:
    done = [each.ticket_code for each in actions if each.state == DONE]
    after = {**about, "tickets": done, "refused": len(actions) - len(done)}
    change = AuditedChange(by["actor"], action, "disruption", disruption.disruption_id, None, after)
    await run(tx, audit(change, now=by["now"]))
