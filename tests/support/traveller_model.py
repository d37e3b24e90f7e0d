"""A family of orders (one, and those that change its tickets) in the plainest words of DOMAIN: what the server is measured against.

Where the server may do a thing at a moment of its own choosing (hear of a payment, let a hold expire, settle a refund),
the model has a silent step; what a call may find is whatever silent steps may have come before it. So what is known of a
family is a set of models, from which every answer removes those it contradicts. If none is left, the server did what it
must not.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

PENDING, PAID, COMPLETED, CANCELLED = "PENDING", "PAID", "COMPLETED", "CANCELLED"
FINAL = {"USED", "REFUNDED", "CHANGED"}
REDEEM_REASON = {
    "USED": "ALREADY_REDEEMED",
    "REFUNDING": "TICKET_NOT_ACTIVE",
    "CHANGING": "TICKET_NOT_ACTIVE",
    "REFUNDED": "TICKET_REFUNDED",
    "CHANGED": "TICKET_CHANGED",
}


class Terms(NamedTuple):
    """What giving back and changing cost, in minor units, and how often a ticket may be changed."""

    refund_fee: int
    change_fee: int
    changes_allowed: int


class Ticket(NamedTuple):
    """A ticket of one use; `refund` is the number of the refund that it is in."""

    paid: int
    state: str = "ACTIVE"
    changes_made: int = 0
    refund: int = 0


class Change(NamedTuple):
    """Which ticket an order is to change, as (position of its order, position in that), and what comes back of it."""

    order: int
    ticket: int
    returned: int
    changes_made: int


class Order(NamedTuple):
    """An order. `money` at WeChat is none, `paid` (we may not know), `kept` or `returned`.

    With `scarce` its stock may be gone when it is wanted again.
    """

    prices: tuple[int, ...]
    due: int
    state: str = PENDING
    reason: str = ""
    money: str = ""
    tickets: tuple[Ticket, ...] = ()
    change: Change | None = None
    scarce: bool = False

    @property
    def shown(self) -> tuple[str, str]:
        """State and reason of cancellation as the server tells them."""
        states = {ticket.state for ticket in self.tickets}
        if self.state != PAID or states - FINAL:
            return self.state, self.reason
        return (COMPLETED, "") if "USED" in states else (CANCELLED, "REFUNDED")


@dataclass(frozen=True)
class Family:
    """The first order, and the changes of tickets as they were made."""

    orders: tuple[Order, ...]
    terms: Terms

    def with_order(self, position: int, **values: Any) -> "Family":
        """Another state of one order."""
        orders = list(self.orders)
        orders[position] = orders[position]._replace(**values)
        return replace(self, orders=tuple(orders))

    def with_ticket(self, order: int, position: int, **values: Any) -> "Family":
        """Another state of one ticket."""
        tickets = list(self.orders[order].tickets)
        tickets[position] = tickets[position]._replace(**values)
        return self.with_order(order, tickets=tuple(tickets))

    def settled(self, position: int) -> "Family":
        """An order with its tickets, and what it changes CHANGED."""
        order = self.orders[position]
        made = order.change.changes_made if order.change else 0
        tickets = tuple(Ticket(price, changes_made=made) for price in order.prices)
        money = "kept" if order.due else ""
        after = self.with_order(position, state=PAID, reason="", money=money, tickets=tickets)
        if order.change:
            after = after.with_ticket(order.change.order, order.change.ticket, state="CHANGED")
        return after

    def cancelled(self, position: int, reason: str) -> "Family":
        """An order that holds nothing any more, and what it was to change ACTIVE again."""
        after = self.with_order(position, state=CANCELLED, reason=reason)
        change = self.orders[position].change
        return after.with_ticket(change.order, change.ticket, state="ACTIVE") if change else after

    def net_minor(self) -> int:
        """What WeChat has of the traveller's money in the end."""
        net = 0
        for order in self.orders:
            if order.money == "kept":
                net += order.due
            if order.change and order.state == PAID:
                net -= order.change.returned
            for ticket in order.tickets:
                if ticket.state == "REFUNDED":
                    net -= max(0, ticket.paid - self.terms.refund_fee)
        return net


class Now(NamedTuple):
    """What may happen by itself: holds that may be over, and whether WeChat may close refunds without giving."""

    over: frozenset[int]
    refunds_close: bool


def silent(family: Family, now: Now) -> Iterator[Family]:
    """Every family that this one may become by itself in one step."""
    for position, order in enumerate(family.orders):
        if order.money == "paid":
            if order.state == PENDING:
                yield family.settled(position)
            elif order.state == CANCELLED:
                yield from _late(family, position, order)
        if order.state == PENDING and position in now.over:
            yield family.cancelled(position, "HOLD_EXPIRED")
        open_refunds = {t.refund for t in order.tickets if t.state == "REFUNDING"}
        for refund in open_refunds:
            yield _refund_ends(family, position, refund, "REFUNDED")
            if now.refunds_close:
                yield _refund_ends(family, position, refund, "ACTIVE")


def _late(family: Family, position: int, order: Order) -> Iterator[Family]:
    """A payment that came too late: honoured if it can be, unless the traveller has cancelled."""
    change = order.change
    changed = change and family.orders[change.order].tickets[change.ticket].state != "ACTIVE"
    honoured = order.reason == "HOLD_EXPIRED" and not changed
    if honoured:
        yield family.settled(position)
    if order.scarce or not honoured:
        yield family.with_order(position, money="returned")


def _refund_ends(family: Family, position: int, refund: int, state: str) -> Family:
    for index, ticket in enumerate(family.orders[position].tickets):
        if (ticket.state, ticket.refund) == ("REFUNDING", refund):
            family = family.with_ticket(position, index, state=state)
    return family


def closure(families: Iterable[Family], now: Now) -> frozenset[Family]:
    """The families, and all that they may have become by themselves."""
    seen: set[Family] = set()
    waiting = list(families)
    while waiting:
        family = waiting.pop()
        if family not in seen:
            seen.add(family)
            waiting.extend(silent(family, now))
    return frozenset(seen)


def at_rest(families: Iterable[Family], now: Now) -> frozenset[Family]:
    """Those of the families to which nothing happens any more by itself."""
    return frozenset(family for family in families if not any(silent(family, now)))


# What calls do: each gives the answers that are right, with the family after each

Step = Callable[[Family], Iterable[tuple[object, Family]]]


def explain(families: Iterable[Family], step: Step, answer: object, now: Now) -> frozenset[Family]:
    """What the families may be behind a call that gave this answer; empty if none of them gives it."""
    after = {
        behind
        for family in closure(families, now)
        for right, behind in step(family)
        if right == answer
    }
    return closure(after, now)


def read_order(position: int) -> Step:
    """GetOrder: state and reason, and how many tickets there are."""

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        order = family.orders[position]
        yield (*order.shown, len(order.tickets)), family

    return step


def read_tickets(position: int) -> Step:
    """ListTickets of an order: their states."""

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        yield tuple(ticket.state for ticket in family.orders[position].tickets), family

    return step


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


def redeem(position: int, ticket: int) -> Step:
    """Redeem of a ticket's only use."""

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        state = family.orders[position].tickets[ticket].state
        if state == "ACTIVE":
            yield "SUCCESS", family.with_ticket(position, ticket, state="USED")
        else:
            yield REDEEM_REASON[state], family

    return step


def quote_refund(position: int, tickets: Iterable[int]) -> Step:
    """QuoteRefund: what all of them together give back."""
    wanted = tuple(tickets)

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        found = [family.orders[position].tickets[index] for index in wanted]
        if all(ticket.state == "ACTIVE" for ticket in found):
            yield sum(max(0, t.paid - family.terms.refund_fee) for t in found), family
        else:
            yield "REFUND_REFUSED", family

    return step


def refund(position: int, tickets: Iterable[int], number: int) -> Step:
    """RequestRefund against a quote of these tickets."""
    wanted = tuple(tickets)

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        found = [family.orders[position].tickets[index] for index in wanted]
        if any(ticket.state != "ACTIVE" for ticket in found):
            yield "REFUND_REFUSED", family
            return
        after = family
        for index in wanted:
            after = after.with_ticket(position, index, state="REFUNDING", refund=number)
        yield "OK", after

    return step


def quote_change(position: int, ticket: int, price: int) -> Step:
    """QuoteChange to an offer of this price: what is to be paid and what comes back."""

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        old, terms = family.orders[position].tickets[ticket], family.terms
        if old.state != "ACTIVE" or old.changes_made >= terms.changes_allowed:
            yield "CHANGE_REFUSED", family
        else:
            difference = price + terms.change_fee - old.paid
            yield (max(0, difference), max(0, -difference)), family

    return step


def change(position: int, ticket: int, price: int, *, scarce: bool) -> Step:
    """ChangeTicket against such a quote: the new order stands behind the others."""

    def step(family: Family) -> Iterable[tuple[object, Family]]:
        old, terms = family.orders[position].tickets[ticket], family.terms
        if old.state != "ACTIVE" or old.changes_made >= terms.changes_allowed:
            yield "CHANGE_REFUSED", family
            return
        difference = price + terms.change_fee - old.paid
        made = Change(position, ticket, max(0, -difference), old.changes_made + 1)
        new = Order((price,), max(0, difference), change=made, scarce=scarce)
        if scarce:
            yield "SOLD_OUT", family
        after = family.with_ticket(position, ticket, state="CHANGING")
        after = replace(after, orders=(*after.orders, new))
        if difference <= 0:
            after = after.settled(len(family.orders))
        yield ("OK", after.orders[-1].state), after

    return step
