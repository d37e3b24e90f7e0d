"""Double-entry bookkeeping of what is sold through a partner: which entries an event makes. Pure.

An entry moves an amount from one account to another: it is the debit (借) of one and the credit (贷)
of the other, so debits equal credits whatever happens. Amounts are integers in minor units of one
currency and never negative.

A ticket's price is earned as it is used: each of its entitlements is an equal part of it, and each
use an equal part of that. What is earned follows from the uses alone, rounded down, so that the
parts add up to the price whatever their order, and a reversal takes back what its redemption gave.
The table of entries is in docs/guides/partner-statements.md.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from fractions import Fraction
from typing import Any, NamedTuple

from server.partners.commission import split
from server.webhooks import rules as event_types

BATCH = "BATCH"
ACTIVATION = "ACTIVATION"
REDEMPTION = "REDEMPTION"
REVERSAL = "REVERSAL"
REFUND = "REFUND"
EXPIRY = "EXPIRY"
VOID = "VOID"
REASSIGNMENT = "REASSIGNMENT"
KINDS = (BATCH, ACTIVATION, REDEMPTION, REVERSAL, REFUND, EXPIRY, VOID, REASSIGNMENT)
"""What an entry is about."""

TICKETS_COMMITTED = "TICKETS_COMMITTED"
COMMITMENT = "COMMITMENT"
PARTNER_RECEIVABLE = "PARTNER_RECEIVABLE"
DEFERRED_REVENUE = "DEFERRED_REVENUE"
REVENUE = "REVENUE"
BREAKAGE = "BREAKAGE"
REFUND_PAYABLE = "REFUND_PAYABLE"
COMMISSION_EXPENSE = "COMMISSION_EXPENSE"
COMMISSION_PAYABLE = "COMMISSION_PAYABLE"
ACCOUNTS = (
    *(TICKETS_COMMITTED, COMMITMENT, PARTNER_RECEIVABLE, DEFERRED_REVENUE, REVENUE, BREAKAGE),
    *(REFUND_PAYABLE, COMMISSION_EXPENSE, COMMISSION_PAYABLE),
)
"""The first two are a memorandum (备查): the value of tickets that are made and not sold."""


class Entry(NamedTuple):
    """What a line of a journal moves. `quantity` are tickets, or uses of REDEMPTION and REVERSAL;
    0 on the lines that only belong to another. `distributor_id` is who sold the ticket, empty for
    the partner itself; `payee_id` whose COMMISSION_PAYABLE it is, else empty.
    """

    kind: str
    debit_account: str
    credit_account: str
    amount_minor: int
    quantity: int
    distributor_id: str
    payee_id: str = ""


class SaleTerms(NamedTuple):
    """What a ticket is sold under: its currency, the least that its sale brings, and its line of
    sale: (distributor, commission in basis points), from the partner down.
    """

    currency_code: str
    face_value_minor: int
    line: tuple[tuple[str, int], ...] = ()

    @property
    def seller(self) -> str:
        """The last distributor of the line; empty for the partner itself."""
        return self.line[-1][0] if self.line else ""


class BatchBooks(NamedTuple):
    """What the ledger holds of a batch: made to be sold (BATCH), or born sold (ACTIVATION)."""

    kind: str
    amount_minor: int
    quantity: int


class Posted(NamedTuple):
    """What entries of one kind that were made before say of a ticket, together."""

    kind: str
    debit_account: str
    credit_account: str
    function_code: str
    amount_minor: int
    quantity: int


@dataclass(slots=True)
class TicketBooks:
    """What the ledger holds of a ticket.

    Attributes:
        uses: total uses by function.
        is_committed: whether it is in TICKETS_COMMITTED.
        price_minor: what it was sold for; None while it is not sold, or was sold before the ledger
            began.
        deferred_minor: what is left of that in DEFERRED_REVENUE.
        used: uses by function.
    """

    terms: SaleTerms
    uses: Mapping[str, int]
    is_committed: bool = False
    price_minor: int | None = None
    deferred_minor: int = 0
    used: Counter[str] = field(default_factory=Counter)


def terms_of(snapshot: Mapping[str, Any], distributor_id: str) -> SaleTerms:
    """The terms in a price snapshot. One without a line of sale is sold by the distributor alone,
    who keeps nothing.

    The face value is an adult's lowest fare, the lowest of all where there is none for adults.
    """
    fares = snapshot["fares"]
    adult = [each["amount_minor"] for each in fares if each["customer_type"] == "ADULT"]
    levels = snapshot.get("line_of_sale")
    if levels is None:
        levels = [{"distributor_id": distributor_id, "commission_basis_points": 0}]
    line = tuple(
        (each["distributor_id"], each["commission_basis_points"])
        for each in levels
        if each["distributor_id"]
    )
    face_value = min(adult or [each["amount_minor"] for each in fares], default=0)
    return SaleTerms(snapshot["currency_code"], face_value, line)


def books_of(
    terms: SaleTerms,
    uses: Mapping[str, int],
    batch: BatchBooks | None,
    index: int,
    history: Sequence[Posted],
) -> TicketBooks:
    """What the ledger holds of the ticket at `index` of its batch, by the entries made before;
    without a batch in the ledger it was sold, or made, before that began.
    """
    books = TicketBooks(terms, uses, is_committed=batch is not None and batch.kind == BATCH)
    if batch and batch.kind == ACTIVATION:
        books.price_minor = books.deferred_minor = share(batch.amount_minor, batch.quantity, index)
    for each in history:
        if each.debit_account == PARTNER_RECEIVABLE:
            books.price_minor = each.amount_minor
        books.deferred_minor += each.amount_minor * (
            (each.credit_account == DEFERRED_REVENUE) - (each.debit_account == DEFERRED_REVENUE)
        )
        if each.kind in {ACTIVATION, VOID}:
            books.is_committed = False
        if each.kind in _USES:
            books.used[each.function_code] += _USES[each.kind] * each.quantity
    return books


_USES = {REDEMPTION: 1, REVERSAL: -1}
OF_USES = frozenset({event_types.TICKET_REDEEMED, event_types.TICKET_REDEMPTION_REVERSED})
"""Events of which the ticket's entitlements have to be known: the `uses` of its books."""


def batch_entries(terms: SaleTerms, data: Mapping[str, Any]) -> list[Entry]:
    """The entries of a batch that was generated, by what its event says."""
    if "amount_minor" in data:
        return generated_sold(terms, data["quantity"], data["amount_minor"])
    return generated(terms, data["quantity"])


def ticket_entries(kind: str, data: Mapping[str, Any], books: TicketBooks) -> list[Entry]:
    """The entries of something that happened to a ticket, by its event's type and what it says;
    none of what moves no money. `books` are as of after it then.
    """
    match kind:
        case event_types.TICKET_ACTIVATED:
            return activated(books, data["amount_minor"])
        case event_types.TICKET_REDEEMED:
            return redeemed(books, data["function_code"], data["quantity"])
        case event_types.TICKET_REDEMPTION_REVERSED:
            return reversed_(books, data["function_code"], data["quantity"])
        case event_types.TICKET_EXPIRED:
            return expired(books)
        case event_types.TICKET_REFUNDED:
            return refunded(books, data.get("amount_minor"))
        case event_types.TICKET_VOIDED:
            return voided(books)
        case event_types.TICKET_REASSIGNED:
            before, after = data.get("previous_distributor_id"), data.get("distributor_id")
            return reassigned(books, before or "", after or "")
    return []


def share(total_minor: int, parts: int, index: int) -> int:
    """The part of an amount that the ticket at `index` (from 0) of so many has; they add up."""
    return total_minor * (index + 1) // parts - total_minor * index // parts


def earned(price_minor: int, uses: Mapping[str, int], used: Mapping[str, int]) -> int:
    """What of a ticket's price is earned after so many uses, rounded down to the minor unit."""
    functions = [function for function, total in uses.items() if total > 0]
    if not functions:
        return 0
    parts = [Fraction(used.get(function, 0), uses[function]) for function in functions]
    return int(price_minor * sum(parts, Fraction()) / len(functions))


def generated(terms: SaleTerms, quantity: int) -> list[Entry]:
    """A batch of tickets that are not sold yet."""
    committed = terms.face_value_minor * quantity
    return [Entry(BATCH, TICKETS_COMMITTED, COMMITMENT, committed, quantity, terms.seller)]


def generated_sold(terms: SaleTerms, quantity: int, paid_minor: int) -> list[Entry]:
    """A batch of tickets that are born sold, for so much together."""
    price, dearer = divmod(paid_minor, quantity)  # what each costs, as `share` has it
    commissions = Counter[str]()
    for of_each, tickets in ((price, quantity - dearer), (price + 1, dearer)):
        for payee, commission in _commissions(terms, of_each):
            commissions[payee] += commission * tickets
    return [
        Entry(ACTIVATION, PARTNER_RECEIVABLE, DEFERRED_REVENUE, paid_minor, quantity, terms.seller),
        *_accrued(ACTIVATION, terms.seller, list(commissions.items())),
    ]


def activated(books: TicketBooks, paid_minor: int) -> list[Entry]:
    """The sale of a ticket, which was in a batch."""
    if books.price_minor is not None:
        return []
    seller = books.terms.seller
    made = [Entry(ACTIVATION, PARTNER_RECEIVABLE, DEFERRED_REVENUE, paid_minor, 1, seller)]
    if books.is_committed:
        made += _further(ACTIVATION, COMMITMENT, TICKETS_COMMITTED, _face(books), seller)
    made += _accrued(ACTIVATION, seller, _commissions(books.terms, paid_minor))
    books.is_committed = False
    books.price_minor = books.deferred_minor = paid_minor
    return made


def redeemed(books: TicketBooks, function_code: str, uses: int) -> list[Entry]:
    """Uses of a ticket: what they are worth is earned."""
    value = _use(books, function_code, uses)
    if value is None:
        return []
    return [Entry(REDEMPTION, DEFERRED_REVENUE, REVENUE, value, uses, books.terms.seller)]


def reversed_(books: TicketBooks, function_code: str, uses: int) -> list[Entry]:
    """Uses that were taken back."""
    value = _use(books, function_code, -uses)
    if value is None:
        return []
    return [Entry(REVERSAL, REVENUE, DEFERRED_REVENUE, -value, uses, books.terms.seller)]


def expired(books: TicketBooks) -> list[Entry]:
    """The end of a ticket's validity: what was not used of it is earned, as breakage (逾期未用)."""
    if books.price_minor is None:
        return []
    rest, books.deferred_minor = books.deferred_minor, 0
    return [Entry(EXPIRY, DEFERRED_REVENUE, BREAKAGE, rest, 1, books.terms.seller)]


def refunded(books: TicketBooks, refund_minor: int | None) -> list[Entry]:
    """A ticket that was given back, for so much; None for all that is not used of it.

    What is kept of the rest is earned, what is given back beyond it is earned no more. Each level
    keeps the commission of what the customer still pays.
    """
    if books.price_minor is None:
        return []
    rest, books.deferred_minor = books.deferred_minor, 0
    refund = rest if refund_minor is None else refund_minor
    seller = books.terms.seller
    from_rest = min(refund, rest)
    made = [Entry(REFUND, DEFERRED_REVENUE, REFUND_PAYABLE, from_rest, 1, seller)]
    made += _further(REFUND, REVENUE, REFUND_PAYABLE, refund - from_rest, seller)
    made += _further(REFUND, DEFERRED_REVENUE, REVENUE, rest - from_rest, seller)
    before = dict(_commissions(books.terms, books.price_minor))
    after = dict(_commissions(books.terms, max(books.price_minor - refund, 0)))
    changes = [(payee, after[payee] - commission) for payee, commission in before.items()]
    return made + _accrued(REFUND, seller, changes)


def voided(books: TicketBooks) -> list[Entry]:
    """A ticket that was cancelled before it was sold."""
    if not books.is_committed:
        return []
    books.is_committed = False
    return [Entry(VOID, COMMITMENT, TICKETS_COMMITTED, _face(books), 1, books.terms.seller)]


def reassigned(books: TicketBooks, from_distributor: str, to_distributor: str) -> list[Entry]:
    """A ticket that another distributor is to sell."""
    if not books.is_committed:
        return []
    face = _face(books)
    return [
        Entry(REASSIGNMENT, COMMITMENT, TICKETS_COMMITTED, face, -1, from_distributor),
        Entry(REASSIGNMENT, TICKETS_COMMITTED, COMMITMENT, face, 1, to_distributor),
    ]


def month_of(moment: datetime, zone: tzinfo) -> date:
    """The first day of the month that a moment is in."""
    return moment.astimezone(zone).date().replace(day=1)


def booked_month(occurred_time: datetime, zone: tzinfo, open_month: date) -> date:
    """The month in which an event is booked: its own, or the first that is not sealed."""
    return max(month_of(occurred_time, zone), open_month)


def _use(books: TicketBooks, function_code: str, uses: int) -> int | None:
    """What more is earned when so many uses are added; None for a ticket that is not in the
    ledger.
    """
    if books.price_minor is None:
        return None
    before = earned(books.price_minor, books.uses, books.used)
    books.used[function_code] += uses
    value = earned(books.price_minor, books.uses, books.used) - before
    books.deferred_minor -= value
    return value


def _face(books: TicketBooks) -> int:
    return books.terms.face_value_minor


def _commissions(terms: SaleTerms, gross_minor: int) -> list[tuple[str, int]]:
    shares = split(gross_minor, [basis_points for _, basis_points in terms.line])
    return [
        (payee, each.commission_minor) for (payee, _), each in zip(terms.line, shares, strict=True)
    ]


def _accrued(kind: str, seller: str, commissions: Sequence[tuple[str, int]]) -> list[Entry]:
    """What each level earns; what is negative is taken back."""
    sides = {True: (COMMISSION_EXPENSE, COMMISSION_PAYABLE)}
    sides[False] = sides[True][::-1]
    return [
        Entry(kind, *sides[amount > 0], abs(amount), 0, seller, payee)
        for payee, amount in commissions
        if amount
    ]


def _further(kind: str, debit: str, credit: str, amount: int, seller: str) -> list[Entry]:
    """A line that only belongs to another; none for nothing."""
    return [Entry(kind, debit, credit, amount, 0, seller)] if amount else []
