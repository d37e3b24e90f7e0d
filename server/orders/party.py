"""What the tickets of a party are worth when some of it leave: a party discount is worked out
again. Pure.

Source: DOMAIN, Refund and change: refund = paid so far - price of the remaining party at the
order's snapshot - fee, never below zero. Amounts are integers in minor units. A party is the
travellers of one item of an order; what an item shares is nobody's and costs nothing. Whoever was
given back or changed has left it, and takes the value that was agreed then along.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple


class PartyMember(NamedTuple):
    """A ticket of somebody who stays so far, and what was paid for it."""

    ticket_id: int
    customer_type: str
    paid_minor: int


class Party(NamedTuple):
    """Who stays so far, and what those who left lost of the discount for those who stay
    (`kept_minor`).

    `price` is what a party of these customer types costs at the order's snapshot.
    """

    members: Sequence[PartyMember]
    kept_minor: int
    price: Callable[[Sequence[str]], int]

    @property
    def paid_minor(self) -> int:
        """What was paid so far for those who stay, less what went back."""
        return sum(member.paid_minor for member in self.members) + self.kept_minor

    def leaving_minor(self, ticket_ids: Collection[int], *, keep_discount: bool = False) -> int:
        """What leaves with these tickets: what was paid so far less the price of those who stay,
        never below zero.

        With `keep_discount` at least what was paid for them, as far as it is still there: those who
        stay lose nothing.

        In several rounds as much as at once, wherever a smaller party does not cost more than a
        larger one; where it does, a round may bring nothing, and no later one takes back what an
        earlier one gave.
        """
        rest = [m.customer_type for m in self.members if m.ticket_id not in ticket_ids]
        least = 0
        if keep_discount:
            least = sum(m.paid_minor for m in self.members if m.ticket_id in ticket_ids)
        leaves = self.paid_minor - (self.price(rest) if rest else 0)
        return max(0, min(self.paid_minor, max(least, leaves)))

    def values(self, ticket_ids: Collection[int], *, keep_discount: bool = False) -> dict[int, int]:
        """What leaves with each of these tickets, by ticket; `keep_discount` as for
        `leaving_minor`.

        The lost discount is shared out in proportion to what was paid for each, to the minor unit.
        """
        leaving = [member for member in self.members if member.ticket_id in ticket_ids]
        paid = sum(member.paid_minor for member in leaving)
        value = self.leaving_minor(ticket_ids, keep_discount=keep_discount)
        if not paid:  # they were free: what is left of others' discount goes with the first
            return {m.ticket_id: 0 if at else value for at, m in enumerate(leaving)}
        lost, values, before = paid - value, {}, 0
        for member in leaving:
            until = before + member.paid_minor
            share = lost * until // paid - lost * before // paid
            values[member.ticket_id] = member.paid_minor - share
            before = until
        return values

    def credit_minor(self, ticket_id: int) -> int:
        """What a ticket is worth in a change: what was paid for it, and what has been kept for it
        since.

        A change takes no discount from those who stay, as the new ticket has none: but it takes
        along what earlier refunds kept, as far as those who stay do not need it, and no more: where
        a party costs more than its parts do, what those who stay are worth beside their own price
        is theirs.
        """
        paid = sum(m.paid_minor for m in self.members if m.ticket_id == ticket_id)
        limit = paid + max(0, self.kept_minor)
        return min(limit, self.leaving_minor({ticket_id}, keep_discount=True))
