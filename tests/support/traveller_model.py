"""A family of orders (one, and those that change its tickets) in the plainest words of DOMAIN: what
the server is measured against.

Where the server may do a thing at a moment of its own choosing (hear of a payment, let a hold
expire, settle a refund), the model has a silent step; what a call may find is whatever silent steps
may have come before it. So what is known of a family is a set of models, from which every answer
removes those it contradicts. If none is left, the server did what it must not. What may be done to
a family is in traveller_steps.py.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

PENDING, PAID, COMPLETED, CANCELLED = "PENDING", "PAID", "COMPLETED", "CANCELLED"
FINAL = {"USED", "REFUNDED", "CHANGED"}
GONE = {"REFUNDED", "CHANGED"}
"""Nobody travels with it, and it does not come back."""
LEFT = GONE | {"REFUNDING", "CHANGING"}
"""It has left its party, or has if all goes well."""


class Terms(NamedTuple):
    """What giving back and changing cost, in minor units, how often a ticket may be changed, and
    what a party pays less.

    `refund_percent` is given back of what is returned; `tiers` are (party from, per cent off),
    ascending.
    """

    refund_fee: int
    change_fee: int
    changes_allowed: int
    refund_percent: int = 100
    tiers: tuple[tuple[int, int], ...] = ()

    def each(self, fare: int, size: int) -> int:
        """What each ticket of a party costs."""
        off = max((percent for least, percent in self.tiers if least <= size), default=0)
        return (fare * (100 - off) + 50) // 100

    def party(self, fare: int, size: int) -> int:
        """What a party costs."""
        return size * self.each(fare, size)

    def share(self, amount: int) -> int:
        """What is given back of an amount before any fee, half-up."""
        return (amount * self.refund_percent + 50) // 100


class Ticket(NamedTuple):
    """A ticket of one use; `refund` is the number of the refund that it is in, `given` what comes
    back by that.

    `kept` is the party discount that was kept when it left its party; below zero is what it took
    along of others'.
    """

    paid: int
    state: str = "ACTIVE"
    changes_made: int = 0
    refund: int = 0
    given: int = 0
    kept: int = 0
    blocked: bool = False


class Change(NamedTuple):
    """Which ticket an order is to change, as (position of its order, position in that), and what
    comes back of it.
    """

    order: int
    ticket: int
    returned: int
    changes_made: int


class Order(NamedTuple):
    """An order of `prices`, and the fare of one who travels alone; `credit` is what a ticket that
    it changes was worth.

    With `scarce` its stock may be gone when it is wanted again. `money` at WeChat is none, `paid`
    (we may not know), `kept` or `returned`.
    """

    prices: tuple[int, ...]
    due: int
    fare: int
    state: str = PENDING
    reason: str = ""
    money: str = ""
    tickets: tuple[Ticket, ...] = ()
    change: Change | None = None
    credit: int = 0
    scarce: bool = False


@dataclass(frozen=True)
class Family:
    """The first order, the changes of tickets as they were made, and the state of the ticket that
    they share.

    There is none (empty) before the first order is paid; `shared_refund` is the number of the
    refund that it is in.
    """

    orders: tuple[Order, ...]
    terms: Terms
    shared: str = ""
    shared_refund: int = 0

    def shown(self, position: int) -> tuple[str, str]:
        """State and reason of cancellation of an order as the server tells them."""
        order = self.orders[position]
        states = {ticket.state for ticket in order.tickets}
        if position == 0 and self.shared:
            states.add(self.shared)
        if order.state != PAID or states - FINAL:
            return order.state, order.reason
        return (COMPLETED, "") if "USED" in states else (CANCELLED, "REFUNDED")

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

    def back(self, order: int, position: int) -> "Family":
        """A ticket that was to be given back or changed, and is not: its value is in its party
        again.
        """
        return self.with_ticket(order, position, state="ACTIVE", given=0, kept=0)

    def settled(self, position: int) -> "Family":
        """An order with its tickets, and what it changes CHANGED; a block passes on."""
        order = self.orders[position]
        made, blocked = 0, False
        if order.change:
            made = order.change.changes_made
            blocked = self.orders[order.change.order].tickets[order.change.ticket].blocked
        tickets = tuple(Ticket(price, changes_made=made, blocked=blocked) for price in order.prices)
        money = "kept" if order.due else ""
        after = self.with_order(position, state=PAID, reason="", money=money, tickets=tickets)
        if order.change:
            return after.with_ticket(order.change.order, order.change.ticket, state="CHANGED")
        return replace(after, shared="ACTIVE")

    def cancelled(self, position: int, reason: str) -> "Family":
        """An order that holds nothing any more, and what it was to change ACTIVE again."""
        after = self.with_order(position, state=CANCELLED, reason=reason)
        change = self.orders[position].change
        return after.back(change.order, change.ticket) if change else after

    def successor(self, order: int, position: int) -> int | None:
        """The position of the order that has changed a ticket; None if none has."""
        for index, each in enumerate(self.orders):
            made = each.state == PAID and each.change
            if made and (made.order, made.ticket) == (order, position):
                return index
        return None

    # What a party has and what of it leaves with some

    def worth(self, order: int, leaving: Iterable[int], *, keeps: bool = False) -> int:
        """What leaves with tickets: what was paid so far less the price of those who stay, never
        below zero.

        With `keeps`, of a change, at least what was paid for them: it takes no discount from those
        who stay.
        """
        tickets, gone = self.orders[order].tickets, set(leaving)
        staying = [n for n, t in enumerate(tickets) if t.state not in LEFT and n not in gone]
        paid = sum(t.kept if t.state in LEFT else t.paid for t in tickets)
        leaves = paid - self.terms.party(self.orders[order].fare, len(staying))
        if keeps:
            leaves = max(leaves, sum(tickets[n].paid for n in gone))
        return max(0, min(paid, leaves))

    def others(self, order: int, leaving: Iterable[int]) -> set[str]:
        """The states of the family's other tickets that are valid or may come back."""
        gone = {(order, position) for position in leaving}
        return {
            ticket.state
            for n, each in enumerate(self.orders)
            for position, ticket in enumerate(each.tickets)
            if (n, position) not in gone
        } - GONE

    def net_minor(self) -> int:
        """What WeChat has of the traveller's money in the end."""
        net = 0
        for order in self.orders:
            if order.money == "kept":
                net += order.due
            if order.change and order.state == PAID:
                net -= order.change.returned
            net -= sum(ticket.given for ticket in order.tickets if ticket.state == "REFUNDED")
        return net


class Now(NamedTuple):
    """What may happen by itself: holds that may be over, and whether WeChat may close refunds
    without giving.
    """

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
            yield _given_back(family, position, refund)
            if now.refunds_close:
                yield _closed(family, position, refund)


def _late(family: Family, position: int, order: Order) -> Iterator[Family]:
    """A payment that came too late: honoured if it can be, unless the traveller has cancelled,
    or the ticket is blocked.
    """
    change, old = order.change, Ticket(0)
    if change:
        old = family.orders[change.order].tickets[change.ticket]
    honoured = order.reason == "HOLD_EXPIRED" and old.state == "ACTIVE" and not old.blocked
    if honoured and change:
        # it is worth what it was when it was to be changed
        kept = old.paid - order.credit
        yield family.with_ticket(change.order, change.ticket, kept=kept).settled(position)
    elif honoured:
        yield family.settled(position)
    if order.scarce or not honoured:
        yield family.with_order(position, money="returned")


def _in_refund(family: Family, position: int, refund: int) -> list[int]:
    tickets = enumerate(family.orders[position].tickets)
    return [n for n, t in tickets if (t.state, t.refund) == ("REFUNDING", refund)]


def _given_back(family: Family, position: int, refund: int) -> Family:
    """A refund that was given; what the tickets shared ends with the last of the family's."""
    for index in _in_refund(family, position, refund):
        family = family.with_ticket(position, index, state="REFUNDED")
    over = not family.others(position, ()) and family.shared == "ACTIVE"
    if over or (family.shared, family.shared_refund) == ("REFUNDING", refund):
        family = replace(family, shared="REFUNDED")
    return family


def _closed(family: Family, position: int, refund: int) -> Family:
    """A refund that was not given: the tickets are back, and what went with them."""
    for index in _in_refund(family, position, refund):
        family = family.back(position, index)
    if (family.shared, family.shared_refund) == ("REFUNDING", refund):
        family = replace(family, shared="ACTIVE")
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
