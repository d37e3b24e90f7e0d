"""What calls do to a family of orders: each gives the answers that are right, with the family
after each.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise

from tests.support.traveller_model import (
    CANCELLED,
    PAID,
    PENDING,
    Change,
    Family,
    Now,
    Order,
    closure,
)

Step = Callable[[Family], Iterable[tuple[object, Family]]]

REDEEM_REASON = {
    "USED": "ALREADY_REDEEMED",
    "REFUNDING": "TICKET_NOT_ACTIVE",
    "CHANGING": "TICKET_NOT_ACTIVE",
    "REFUNDED": "TICKET_REFUNDED",
    "CHANGED": "TICKET_CHANGED",
}


def explain(families: Iterable[Family], step: Step, answer: object, now: Now) -> frozenset[Family]:
    """What the families may be behind a call that gave this answer; empty if none of them gives
    it.
    """
    after = {
        behind
        for family in closure(families, now)
        for right, behind in step(family)
        if right == answer
    }
    return closure(after, now)


# Reading


def read_order(position: int) -> Step:
    """GetOrder: state and reason, and how many tickets there are."""

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        yield (*family.shown(position), len(family.orders[position].tickets)), family

    return step


def read_tickets(position: int) -> Step:
    """ListTickets of an order: the states of its own, and that of what it shares, which each
    paid order shows.
    """

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        states = tuple(ticket.state for ticket in family.orders[position].tickets)
        yield (states, family.shared if states else ""), family

    return step


# Paying and cancelling


def cancel(position: int) -> Step:
    """CancelOrder."""

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        order = family.orders[position]
        if order.state == PENDING:
            yield "OK", family.cancelled(position, "TRAVELLER")
        elif (order.state, order.reason) == (CANCELLED, "TRAVELLER"):
            yield "OK", family
        else:
            yield "ORDER_STATE_REFUSES", family

    return step


def ask_payment(position: int, now: Now) -> Step:
    """CreatePayment: while the order waits; of one that is paid it tells the payment."""

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        state = family.orders[position].state
        if state == PENDING:
            yield "OK", family
        if state == PAID:
            yield "PAID", family
        if state != PENDING or position in now.over:
            yield "ORDER_STATE_REFUSES", family

    return step


def pay(position: int) -> Step:
    """The traveller's phone, at WeChat, which took the money."""

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        yield "OK", family.with_order(position, money="paid")

    return step


# Using


def redeem(position: int, ticket: int) -> Step:
    """Redeem of a ticket's only use."""

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        found = family.orders[position].tickets[ticket]
        if found.blocked and found.state in ("ACTIVE", "USED"):
            yield "TICKET_BLOCKED", family
        elif found.state == "ACTIVE":
            yield "SUCCESS", family.with_ticket(position, ticket, state="USED")
        else:
            yield REDEEM_REASON[found.state], family

    return step


def redeem_shared() -> Step:
    """Redeem of the only use of what the tickets share."""

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        if family.shared == "ACTIVE":
            yield "SUCCESS", replace(family, shared="USED")
        else:
            yield REDEEM_REASON[family.shared], family

    return step


def block(position: int, ticket: int, *, blocked: bool) -> Step:
    """BlockTicket and UnblockTicket, of whatever state: a block is also on what the ticket was
    changed into.
    """

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        after = family.with_ticket(position, ticket, blocked=blocked)
        successor = family.successor(position, ticket)
        while successor is not None:
            after = after.with_ticket(successor, 0, blocked=blocked)
            successor = family.successor(successor, 0)
        yield "OK", after

    return step


# Giving back


def _offer(family: Family, position: int, wanted: tuple[int, ...]) -> tuple[list[int], bool] | None:
    """What each of some tickets gives back, and whether what is shared goes with them; None if
    they are refused.
    """
    tickets = family.orders[position].tickets
    if any(tickets[n].state != "ACTIVE" or tickets[n].blocked for n in wanted):
        return None
    others = family.others(position, wanted)
    if not others - {"REFUNDING"} and family.shared == "USED":
        return None  # it would be the last, or may be, of a party that has used what it shares
    value, terms = family.worth(position, wanted), family.terms
    lost = sum(tickets[n].paid for n in wanted) - value
    # all of a party cost the same, so each loses as much of the discount
    losses = [lost * n // len(wanted) for n in range(len(wanted) + 1)]
    values = [
        tickets[n].paid - (behind - before)
        for n, (before, behind) in zip(wanted, pairwise(losses), strict=True)
    ]
    given = [max(0, terms.share(each) - terms.refund_fee) for each in values]
    return given, not others and position == 0


def quote_refund(position: int, tickets: Iterable[int]) -> Step:
    """QuoteRefund: what all of them together give back, and whether what is shared goes with
    them.
    """
    wanted = tuple(tickets)

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        offer = _offer(family, position, wanted)
        yield (sum(offer[0]), offer[1]) if offer else "REFUND_REFUSED", family

    return step


def refund(position: int, tickets: Iterable[int], number: int, quoted: object) -> Step:
    """RequestRefund against a quote of these tickets, which said what `quoted` is."""
    wanted = tuple(tickets)

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        offer = _offer(family, position, wanted)
        if offer is None:
            yield "REFUND_REFUSED", family
            return
        given, with_shared = offer
        if (sum(given), with_shared) != quoted:
            yield "QUOTE_INVALID", family
            return
        found = family.orders[position].tickets
        kept = sum(found[n].paid for n in wanted) - family.worth(position, wanted)
        after = family
        for n, index in enumerate(wanted):
            values = {"state": "REFUNDING", "refund": number, "given": given[n]}
            # they end together, so the first carries what all of them leave behind
            after = after.with_ticket(position, index, kept=kept if n == 0 else 0, **values)
        if with_shared and after.shared == "ACTIVE":
            after = replace(after, shared="REFUNDING", shared_refund=number)
        yield "OK", after

    return step


# Changing


def quote_change(position: int, ticket: int, price: int) -> Step:
    """QuoteChange to an offer of this price: what is to be paid, what comes back, and what the
    old one is worth.
    """

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        cost = _cost(family, position, ticket, price)
        yield cost or "CHANGE_REFUSED", family

    return step


def _cost(family: Family, position: int, ticket: int, price: int) -> tuple[int, int, int] | None:
    """Of something cheaper the share of the difference comes back that a refund would give, less
    the fee.
    """
    old, terms = family.orders[position].tickets[ticket], family.terms
    if old.state != "ACTIVE" or old.blocked or old.changes_made >= terms.changes_allowed:
        return None
    credit = family.worth(position, (ticket,), keeps=True)
    cheaper_by = credit - price
    back = max(0, terms.share(cheaper_by) - terms.change_fee) if cheaper_by > 0 else 0
    return max(0, terms.change_fee - cheaper_by), back, credit


def change(position: int, ticket: int, price: int, quoted: object, *, scarce: bool) -> Step:
    """ChangeTicket against a quote, which said what `quoted` is: the new order stands behind the
    others.
    """

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        cost = _cost(family, position, ticket, price)
        if cost is None:
            yield "CHANGE_REFUSED", family
            return
        if cost != quoted:
            yield "QUOTE_INVALID", family
            return
        due, back, credit = cost
        old = family.orders[position].tickets[ticket]
        made = Change(position, ticket, back, old.changes_made + 1)
        new = Order((price,), due, price, change=made, credit=credit, scarce=scarce)
        if scarce:
            yield "SOLD_OUT", family
        after = family.with_ticket(position, ticket, state="CHANGING", kept=old.paid - credit)
        after = replace(after, orders=(*after.orders, new))
        if not due:
            after = after.settled(len(family.orders))
        yield ("OK", after.orders[-1].state), after

    return step
