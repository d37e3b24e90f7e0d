"""Orders found by what travellers and support say of them: codes, parts of names, documents,
telephone numbers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders import documents, search_terms
from server.orders.passengers import PassengerParty, PassengerSeals
from server.platform.errors import invalid, not_found
from server.platform.schedule import Progress, Work
from server.platform.statements import Command, Statement, run
from server.tickets.rules import DIRECT, DIRECT_CODE, ORDER_PREFIX, Code

MOST_FITTING = 2_000
"""So many orders that fit by their hashes are read and sorted; of more the newest are looked for
among the newest orders of all.
"""
LOOKED_THROUGH = 50_000
"""Of these so many; a search that finds no full page among them has to say more."""
BACKFILLED_AT_ONCE = 500


class NewTerms(NamedTuple):
    """An order that is made, and what it is found by."""

    order_id: int
    create_time: datetime
    terms: Sequence[int]


class Fitting(NamedTuple):
    """An order that fits by its hashes, and how many do."""

    order_id: int
    create_time: datetime
    fitting: int


class _Mark(NamedTuple):
    create_time: datetime
    order_id: int


class _Unindexed(NamedTuple):
    order_id: int
    create_time: datetime
    passengers_sealed: bytes | None
    names: list[str]


@dataclass(frozen=True, slots=True)
class FoundOrder:
    """An order of whatever channel; `partner_code` is empty for our own."""

    order_id: int
    order_code: str
    partner_id: int
    state: str
    traveller_id: int | None
    customer_name: str
    passengers_sealed: bytes | None
    ticket_count: int
    payment_reference: str
    amount_minor: int
    currency_code: str
    create_time: datetime
    pay_time: datetime | None
    cancel_reason: str | None
    partner_code: str
    ticket_names: list[str]

    def party(self, seals: PassengerSeals) -> PassengerParty:
        """Who travels, as far as the order itself says it: nobody in a partner's."""
        if self.passengers_sealed is None:
            return PassengerParty([])
        return seals.open_party(self.order_id, self.passengers_sealed)

    @property
    def names(self) -> list[str]:
        """Of a partner's order: its customer, and those of its tickets."""
        return [name for name in (self.customer_name, *self.ticket_names) if name]


_STORE = Statement("""
INSERT INTO order_search_terms (order_id, create_time, terms)
SELECT v.order_id, v.create_time, v.terms::int[]
FROM unnest($1::bigint[], $2::timestamptz[], $3::text[]) AS v (order_id, create_time, terms)
ON CONFLICT (order_id) DO NOTHING
""")
# All that fit are sorted: an index by time would be walked through for a rare name instead.
_FITTING = Statement(
    """
SELECT order_id, create_time, fitting FROM (
  SELECT f.order_id, f.create_time, count(*) OVER () AS fitting FROM (
    SELECT order_id, create_time FROM order_search_terms
    WHERE terms @> $1::int[] AND create_time >= $2::timestamptz AND create_time < $3::timestamptz
    LIMIT $4::int) AS f) AS g
WHERE $5::timestamptz IS NULL OR (create_time, order_id) < ($5::timestamptz, $6::bigint)
ORDER BY create_time DESC, order_id DESC LIMIT $7::int
""",
    Fitting,
)
# Of what many orders have the newest are soon met: each that is met is looked up by its number.
_NEWEST_FITTING = Statement(
    """
SELECT o.order_id, o.create_time, 0 FROM (
  SELECT order_id, create_time FROM orders
  WHERE create_time >= $2::timestamptz AND create_time < $3::timestamptz
    AND ($4::timestamptz IS NULL OR (create_time, order_id) < ($4::timestamptz, $5::bigint))
  ORDER BY create_time DESC, order_id DESC LIMIT $6::int) AS o
CROSS JOIN LATERAL (
  SELECT FROM order_search_terms t WHERE t.order_id = o.order_id AND t.terms @> $1::int[]
  OFFSET 0) AS f
ORDER BY o.create_time DESC, o.order_id DESC LIMIT $7::int
""",
    Fitting,
)
# whether there is an order that was not looked through
_BEYOND = Statement(
    """
SELECT order_id FROM orders
WHERE create_time >= $1::timestamptz AND create_time < $2::timestamptz
  AND ($3::timestamptz IS NULL OR (create_time, order_id) < ($3::timestamptz, $4::bigint))
ORDER BY create_time DESC OFFSET $5::int LIMIT 1
""",
    int,
)
_NEWEST = Statement(
    """
SELECT order_id, create_time, 0 FROM orders
WHERE create_time >= $1::timestamptz AND create_time < $2::timestamptz
  AND ($3::timestamptz IS NULL OR (create_time, order_id) < ($3::timestamptz, $4::bigint))
ORDER BY create_time DESC, order_id DESC LIMIT $5::int
""",
    Fitting,
)
_READ = Statement(
    """
SELECT o.order_id, o.order_code, o.partner_id, o.state, o.traveller_id, o.customer_name,
  o.passengers_sealed, o.ticket_count, o.payment_reference, o.amount_minor, o.currency_code,
  o.create_time, o.pay_time, o.cancel_reason,
  coalesce((SELECT p.partner_code FROM partners p WHERE p.partner_id = o.partner_id), ''),
  CASE WHEN $2::boolean AND o.partner_id > 0 THEN ARRAY(
    SELECT DISTINCT t.customer_name FROM tickets t
    WHERE t.order_id = o.order_id AND t.customer_name <> '' LIMIT 1000) ELSE '{}' END
FROM orders o WHERE o.order_id = ANY($1::bigint[])
""",
    FoundOrder,
)
_OF_TICKET = Statement(
    "SELECT order_id FROM tickets WHERE ticket_id = $1::bigint AND order_id IS NOT NULL", int
)
_PARTNER = Statement("SELECT partner_id FROM partners WHERE partner_code = $1", int)
_MARK = Statement(
    "SELECT create_time, order_id FROM order_search_backfill WHERE name = 'orders' FOR UPDATE",
    _Mark,
)
_TO_BACKFILL = Statement(
    """
SELECT o.order_id, o.create_time, o.passengers_sealed,
  CASE WHEN o.partner_id > 0 THEN ARRAY(
    SELECT DISTINCT t.customer_name FROM tickets t
    WHERE t.order_id = o.order_id AND t.customer_name <> '' LIMIT 1000) || o.customer_name
  ELSE '{}' END
FROM orders o WHERE (o.create_time, o.order_id) > ($1::timestamptz, $2::bigint)
ORDER BY o.create_time, o.order_id LIMIT $3::int
""",
    _Unindexed,
)
_MOVE_MARK = Statement("""
UPDATE order_search_backfill SET create_time = $1::timestamptz, order_id = $2::bigint
WHERE name = 'orders'
""")
_END_BACKFILL = Statement("DELETE FROM order_search_backfill WHERE name = 'orders'")

_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2300, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class OrderQuery:
    """What is searched for: all that is not empty has to fit.

    `code` is of an order or a ticket, as it is written; `document_number` and `contact_phone` are
    whole, as they are compared, or their last four characters.
    """

    code: str = ""
    name: str = ""
    document_number: str = ""
    contact_phone: str = ""
    time_from: datetime | None = None
    time_until: datetime | None = None

    @property
    def kinds(self) -> list[str]:
        """What of persons is said, by name."""
        return [
            name for name in ("name", "document_number", "contact_phone") if getattr(self, name)
        ]

    @property
    def text(self) -> str:
        """All of it in one text."""
        return "\0".join((self.code, self.name, self.document_number, self.contact_phone))

    @property
    def times(self) -> tuple[datetime, datetime]:
        """From when on, and before when, orders were made."""
        return self.time_from or _FIRST, self.time_until or _LAST

    def fits_passenger(self, name: str, document_number: str) -> bool:
        """Whether somebody who travels is whom the name and the document mean."""
        return (not self.name or search_terms.fits_name(self.name, name)) and (
            not self.document_number
            or search_terms.fits_end(
                self.document_number, documents.document_number(document_number)
            )
        )


def store(made: Iterable[NewTerms]) -> Command[None] | None:
    """Writes what new orders are found by, in the transaction that makes them."""
    rows = [
        (order_id, create_time, "{" + ",".join(map(str, terms)) + "}")
        for order_id, create_time, terms in made
        if terms
    ]
    return _STORE.of_rows(rows)


def of_party(order_id: int, create_time: datetime, party: PassengerParty) -> NewTerms:
    """What a traveller's order is found by; nothing where this process has no key."""
    terms: Sequence[int] = ()
    if search_terms.has_key():
        terms = search_terms.terms_of_party(party.passengers, party.contact_phone)
    return NewTerms(order_id, create_time, terms)


def of_names(order_id: int, create_time: datetime, names: Iterable[str]) -> NewTerms:
    """The same of a partner's order."""
    terms = search_terms.terms_of_names(names) if search_terms.has_key() else ()
    return NewTerms(order_id, create_time, terms)


async def search(
    tx: AsyncConnection,
    seals: PassengerSeals,
    wanted: OrderQuery,
    *,
    before: tuple[datetime, int] | None,
    limit: int,
) -> tuple[list[FoundOrder], tuple[datetime, int] | None]:
    """Orders that fit, the newest first, of `limit` that may; and the place of the last of these
    if there may be more.

    Raises INVALID_FIELD for what more than MOST_FITTING orders may fit, but too few of the newest
    LOOKED_THROUGH.
    """
    if wanted.code:
        found = await _of_code(tx, wanted.code)
        return await _fitting(tx, seals, wanted, [] if before else found), None
    at: tuple[datetime | None, int | None] = before or (None, None)
    if wanted.kinds:
        terms = search_terms.terms_of_wanted(
            name=wanted.name,
            document_number=wanted.document_number,
            contact_phone=wanted.contact_phone,
        )
        rows = await run(tx, _FITTING(terms, *wanted.times, MOST_FITTING + 1, *at, limit + 1))
        if rows and rows[0].fitting > MOST_FITTING:
            rows = await _newest_fitting(tx, wanted, terms, at, limit + 1)
    else:
        rows = await run(tx, _NEWEST(*wanted.times, *at, limit + 1))
    more, rows = len(rows) > limit, rows[:limit]
    after = (rows[-1].create_time, rows[-1].order_id) if more else None
    return await _fitting(tx, seals, wanted, [row.order_id for row in rows]), after


async def _newest_fitting(
    tx: AsyncConnection,
    wanted: OrderQuery,
    terms: Sequence[int],
    at: tuple[datetime | None, int | None],
    limit: int,
) -> list[Fitting]:
    where = *wanted.times, *at
    rows = await run(tx, _NEWEST_FITTING(terms, *where, LOOKED_THROUGH, limit))
    if len(rows) < limit and await run(tx, _BEYOND(*where, LOOKED_THROUGH)):
        raise invalid(
            wanted.kinds[0],
            f"may be that of more than {MOST_FITTING} orders; send more of it, another field,"
            " or a span of time",
        )
    return rows


async def read(tx: AsyncConnection, order_ids: Sequence[int]) -> list[FoundOrder]:
    """Orders by their numbers, the newest first."""
    found = await run(tx, _READ(order_ids, True))
    return sorted(found, key=lambda each: (each.create_time, each.order_id), reverse=True)


async def get(tx: AsyncConnection, order_code: str) -> FoundOrder:
    """An order by its code. Raises NOT_FOUND."""
    order_id = await order_number(tx, order_code)
    found = [] if order_id is None else await run(tx, _READ([order_id], True))
    if not found or found[0].order_code != order_code:
        raise not_found("order", order_code)
    return found[0]


async def order_number(tx: AsyncConnection, order_code: str) -> int | None:
    """The number that an order's code spells; None for none."""
    code = Code.parse(order_code)
    if code is None or code.prefix != ORDER_PREFIX:
        return None
    partner_id = await _channel(tx, code)
    return None if partner_id is None else code.number(partner_id)


async def ticket_number(tx: AsyncConnection, ticket_code: str) -> int | None:
    """The number that a ticket's code spells; None for none."""
    code = Code.parse(ticket_code)
    if code is None or code.prefix == ORDER_PREFIX:
        return None
    partner_id = await _channel(tx, code)
    return None if partner_id is None else code.number(partner_id)


def backfilling(secret_key: bytes | None) -> Work:
    """The work of the job that makes orders of earlier releases be found, in pieces."""
    seals = PassengerSeals(secret_key) if secret_key else None

    async def work(tx: AsyncConnection, _now: datetime) -> Progress:
        marks = await run(tx, _MARK())
        if not marks or seals is None or not search_terms.has_key():
            return Progress(more=False)
        found = await run(tx, _TO_BACKFILL(*marks[0], BACKFILLED_AT_ONCE))
        await run(tx, store([_terms_of(each, seals) for each in found]))
        if len(found) < BACKFILLED_AT_ONCE:
            await run(tx, _END_BACKFILL())
            return Progress(more=False, items=len(found))
        await run(tx, _MOVE_MARK(found[-1].create_time, found[-1].order_id))
        return Progress(more=True, items=len(found))

    return work


def _terms_of(each: _Unindexed, seals: PassengerSeals) -> NewTerms:
    if each.passengers_sealed is None:
        return of_names(each.order_id, each.create_time, each.names)
    party = seals.open_party(each.order_id, each.passengers_sealed)
    return of_party(each.order_id, each.create_time, party)


async def _channel(tx: AsyncConnection, code: Code) -> int | None:
    if code.partner_code == DIRECT_CODE:
        return DIRECT
    found = await run(tx, _PARTNER(code.partner_code))
    return found[0] if found else None


async def _of_code(tx: AsyncConnection, text: str) -> list[int]:
    order_id = await order_number(tx, text)
    if order_id is not None:
        return [order_id]
    ticket_id = await ticket_number(tx, text)
    return [] if ticket_id is None else await run(tx, _OF_TICKET(ticket_id))


async def _fitting(
    tx: AsyncConnection, seals: PassengerSeals, wanted: OrderQuery, order_ids: Sequence[int]
) -> list[FoundOrder]:
    if not order_ids:
        return []
    found = await run(tx, _READ(order_ids, bool(wanted.name)))
    begin, end = wanted.times
    fitting = [
        each
        for each in found
        if begin <= each.create_time < end and (not wanted.kinds or _fits(each, seals, wanted))
    ]
    return sorted(fitting, key=lambda each: (each.create_time, each.order_id), reverse=True)


def _fits(order: FoundOrder, seals: PassengerSeals, wanted: OrderQuery) -> bool:
    """Whether what the hashes say is so: they are cut short, and of all persons of an order."""
    if order.passengers_sealed is None:
        return wanted.kinds == ["name"] and any(
            search_terms.fits_name(wanted.name, name) for name in order.names
        )
    party = order.party(seals)
    if wanted.contact_phone and not search_terms.fits_end(
        wanted.contact_phone, party.contact_phone
    ):
        return False
    return any(wanted.fits_passenger(p.name, p.document_number) for p in party.passengers)
