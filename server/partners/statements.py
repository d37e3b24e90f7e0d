"""Partners' monthly statements: of a running month as far as it is posted, sealed when it is over.

A month is sealed some hours after its end, when all that has happened in it is posted: its content
is kept with its hash, and whatever comes later is booked in the next month. Both are done under the
lock of the ledger's row, so that no entry comes into a month that is sealed.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.models import products
from server.parties.models import partners
from server.parties.rules import SANDBOX_BIT
from server.partners import statement_rules as rules
from server.partners.distributor_models import distributors
from server.partners.ledger_rules import month_of
from server.partners.statement_rules import (
    BalanceKey,
    Carried,
    Moved,
    StatementDocument,
    last_finished_month,
    month_text,
    next_month,
    previous_month,
)
from server.platform.errors import not_found
from server.platform.statements import Statement, run, run_together
from server.webhooks import events
from server.webhooks.events import PartnerEvent
from server.webhooks.rules import STATEMENT_READY

NO_LIMIT = (1 << 63) - 1


class _Ledger(NamedTuple):
    partner_id: int
    posted_sequence: int
    first_month: date
    open_month: date


class StatementSummary(NamedTuple):
    """A statement in a list: what it is of; without hash and time while it is not sealed."""

    month: date
    content_sha256: str
    seal_time: datetime | None


class SealedStatement(NamedTuple):
    """A statement as it was sealed."""

    through_sequence: int
    header: dict[str, Any]
    content: bytes
    content_sha256: str


class Rebuilt(NamedTuple):
    """A sealed statement and what its entries give now."""

    sealed: SealedStatement
    document: StatementDocument

    @property
    def fault(self) -> str:
        """What differs; empty if nothing does."""
        sealed, again = self.sealed, self.document
        kept = rules.document(rules.content_from(sealed.content), is_sealed=True)
        if kept.content_sha256 != sealed.content_sha256 or kept.canonical != sealed.content:
            return (
                f"the content that is kept has the hash {kept.content_sha256}, it was sealed with"
                f" {sealed.content_sha256}"
            )
        if again.canonical != sealed.content:
            where = ", ".join(rules.differences(kept.content, again.content))
            return (
                f"the ledger gives a statement with the hash {again.content_sha256}, it was sealed"
                f" with {sealed.content_sha256}; these parts differ: {where}"
            )
        return ""


_LEDGER = Statement(
    """
SELECT partner_id, posted_sequence, first_month, open_month FROM ledgers
WHERE partner_id = $1::int
""",
    _Ledger,
)
_CARRIED = Statement(
    """
SELECT debit_account, credit_account, currency_code, payee_id, sum(amount_minor)::bigint
FROM ledger_entries
WHERE partner_id = $1::int AND month >= $2::date AND month < $3::date AND sequence <= $4::bigint
GROUP BY debit_account, credit_account, currency_code, payee_id
""",
    Carried,
)
_MOVED = Statement(
    """
SELECT day, kind, debit_account, credit_account, currency_code, distributor_id, payee_id,
  product_id, sum(quantity)::bigint, sum(amount_minor)::bigint
FROM ledger_entries WHERE partner_id = $1::int AND month = $2::date AND sequence <= $3::bigint
GROUP BY day, kind, debit_account, credit_account, currency_code, distributor_id, payee_id,
  product_id
""",
    Moved,
)
_SEALED = Statement(
    """
SELECT through_sequence, header, content, content_sha256 FROM statements
WHERE partner_id = $1::int AND month = $2::date
""",
    SealedStatement,
)
_SUMMARIES = Statement(
    """
SELECT month, content_sha256, seal_time FROM statements
WHERE partner_id = $1::int AND month = ANY($2::date[])
""",
    StatementSummary,
)
# whose month is over, with all that happened in it numbered and posted; locked, so that nothing is
# posted meanwhile
_DUE = Statement(
    """
SELECT l.partner_id, l.posted_sequence, l.first_month, l.open_month
FROM ledgers l JOIN partner_feeds f USING (partner_id)
WHERE l.partner_id BETWEEN $2::int AND $3::int
  AND l.open_month <= $1::date AND l.posted_sequence = f.last_sequence
  AND NOT EXISTS (SELECT FROM partner_events e
    WHERE e.sequence IS NULL AND e.partner_id = l.partner_id)
ORDER BY l.open_month, l.partner_id LIMIT 1 FOR NO KEY UPDATE OF l
""",
    _Ledger,
)
_SEAL = Statement("""
INSERT INTO statements (partner_id, month, through_sequence, header, content, content_sha256,
  seal_time)
VALUES ($1::int, $2::date, $3::bigint, $4::jsonb, $5::bytea, $6, $7::timestamptz)
""")
_NEXT = Statement("""
UPDATE ledgers SET open_month = $3::date WHERE partner_id = $1::int AND open_month = $2::date
""")


async def page(
    tx: AsyncConnection,
    partner_id: int,
    *,
    zone: ZoneInfo,
    now: datetime,
    before: date | None,
    limit: int,
) -> list[StatementSummary]:
    """Up to `limit` of a partner's statements, the latest first, those before a month."""
    ledgers = await run(tx, _LEDGER(partner_id))
    if not ledgers:
        return []
    ledger = ledgers[0]
    month = previous_month(before) if before else _last_month(ledger, zone, now)
    months: list[date] = []
    while month >= ledger.first_month and len(months) < limit:
        months.append(month)
        month = previous_month(month)
    sealed = {each.month: each for each in await run(tx, _SUMMARIES(partner_id, months))}
    return [sealed.get(each) or StatementSummary(each, "", None) for each in months]


async def get(
    tx: AsyncConnection, partner_id: int, month: str, *, zone: ZoneInfo, now: datetime
) -> StatementDocument:
    """A partner's statement of a month such as `2026-11`: as it was sealed, or as far as it is
    posted. Raises NOT_FOUND before the ledger began, and for a month to come.
    """
    first_day = rules.month_from(month)
    ledgers, sealed = await run_together(tx, _LEDGER(partner_id), _SEALED(partner_id, first_day))
    if sealed:
        return rules.document(rules.content_from(sealed[0].content), is_sealed=True)
    if not ledgers:
        raise not_found("statement", month)
    ledger = ledgers[0]
    if not ledger.open_month <= first_day <= _last_month(ledger, zone, now):
        raise not_found("statement", month)
    opening = await _opening_since_sealed(tx, ledger, first_day)
    moved = await run(tx, _MOVED(partner_id, first_day, ledger.posted_sequence))
    header = await _header(tx, partner_id, zone, moved, opening)
    content = rules.content_of(header, first_day, ledger.posted_sequence, opening, moved)
    return rules.document(content, is_sealed=False)


async def seal_due(
    tx: AsyncConnection, *, zone: ZoneInfo, now: datetime, sandbox_id: int | None = None
) -> bool:
    """Seals the oldest month that is over and posted, of one partner; whether there was one. With
    `sandbox_id` one of that sandbox, by whose clock it is `now`; else of none.
    """
    of_live = 0, SANDBOX_BIT - 1
    of = of_live if sandbox_id is None else (sandbox_id, sandbox_id)
    due = await run(tx, _DUE(last_finished_month(now, zone), *of))
    if not due:
        return False
    ledger = due[0]
    month = ledger.open_month
    opening = await _opening_since_sealed(tx, ledger, month)
    moved = await run(tx, _MOVED(ledger.partner_id, month, ledger.posted_sequence))
    header = await _header(tx, ledger.partner_id, zone, moved, opening)
    content = rules.content_of(header, month, ledger.posted_sequence, opening, moved)
    made = rules.document(content, is_sealed=True)
    ready = PartnerEvent(
        ledger.partner_id,
        STATEMENT_READY,
        month_text(month),
        {"month": month_text(month), "content_sha256": made.content_sha256},
    )
    await run_together(
        tx,
        _SEAL(
            ledger.partner_id,
            month,
            ledger.posted_sequence,
            header,
            made.canonical,
            made.content_sha256,
            now,
        ),
        _NEXT(ledger.partner_id, month, next_month(month)),
        events.record(ready, now=now),
    )
    return True


async def rebuild(tx: AsyncConnection, partner_code: str, month: str) -> Rebuilt:
    """A sealed statement, made again of all entries since the ledger began, and of the names and
    the time zone that were kept with it. Raises NOT_FOUND.
    """
    partner_id = await partner_id_of(tx, partner_code)
    first_day = rules.month_from(month)
    ledgers, sealed = await run_together(tx, _LEDGER(partner_id), _SEALED(partner_id, first_day))
    if not ledgers or not sealed:
        raise not_found("sealed statement", month)
    kept = sealed[0]
    carried, moved = await run_together(
        tx,
        _CARRIED(partner_id, date.min, first_day, NO_LIMIT),
        _MOVED(partner_id, first_day, NO_LIMIT),
    )
    content = rules.content_of(
        kept.header, first_day, kept.through_sequence, rules.opening_of(carried), moved
    )
    return Rebuilt(kept, rules.document(content, is_sealed=True))


async def partner_id_of(tx: AsyncConnection, partner_code: str) -> int:
    """A partner's number by its code. Raises NOT_FOUND."""
    query = select(partners.c.partner_id).where(partners.c.partner_code == partner_code)
    partner_id = await tx.scalar(query)
    if partner_id is None:
        raise not_found("partner", partner_code)
    return int(partner_id)


def _last_month(ledger: _Ledger, zone: ZoneInfo, now: datetime) -> date:
    """The month that is running, or the one that is open, if the clock is behind."""
    return max(month_of(now, zone), ledger.open_month)


async def _opening_since_sealed(
    tx: AsyncConnection, ledger: _Ledger, month: date
) -> Counter[BalanceKey]:
    """The opening balances of a month that is not sealed: the closing ones of the last that is, and
    the entries between them.
    """
    last = previous_month(ledger.open_month)
    sealed, carried = await run_together(
        tx,
        _SEALED(ledger.partner_id, last),
        _CARRIED(ledger.partner_id, ledger.open_month, month, ledger.posted_sequence),
    )
    opening = rules.opening_of(carried)
    if sealed:
        opening.update(rules.closing_of(rules.content_from(sealed[0].content)))
    return opening


async def _header(
    tx: AsyncConnection,
    partner_id: int,
    zone: ZoneInfo,
    moved: Sequence[Moved],
    opening: Counter[BalanceKey],
) -> dict[str, Any]:
    """What a statement has besides the entries, as it is now."""
    of_partner = select(partners.c.partner_code, partners.c.display_name).where(
        partners.c.partner_id == partner_id
    )
    partner = (await tx.execute(of_partner)).one()
    names = select(products.c.product_id, products.c.display_name_en, products.c.display_name_zh)
    named = await tx.execute(
        names.where(products.c.product_id.in_({each.product_id for each in moved}))
    )
    sellers = {each.distributor_id for each in moved} | {each.payee_id for each in moved}
    sellers |= {distributor_id for _, _, distributor_id in opening}
    return {
        "partner_code": partner.partner_code,
        "partner_name": partner.display_name,
        "time_zone": zone.key,
        "products": {str(row.product_id): [row[1], row[2]] for row in named},
        "distributors": await _distributor_names(tx, partner_id, sellers - {""}),
    }


async def _distributor_names(
    tx: AsyncConnection, partner_id: int, distributor_ids: set[str]
) -> dict[str, str]:
    """The names of those that are in the partner's tree."""
    named = select(distributors.c.distributor_id, distributors.c.display_name).where(
        distributors.c.partner_id == partner_id,
        distributors.c.distributor_id.in_(distributor_ids),
    )
    return {row[0]: row[1] for row in await tx.execute(named)}
