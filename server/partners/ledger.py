"""The partners' ledgers: entries made of partner events, in their order, each event once.

One loop in each process reads each partner's events after the last one that is posted, and makes
their entries. The entries and the cursor, `posted_sequence`, are written in one transaction, which
holds the lock of the ledger's row: whoever dies in between has written nothing, and of two
processes one passes by. What happens is not slowed down by it: it reads what is over.

A ledger begins with the first event of its partner that is kept; what was sold before that is in no
entry, nor is what happens to it later.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.partners import ledger_models  # noqa: F401 - whoever posts has the tables
from server.partners import ledger_rules as rules
from server.partners.ledger_rules import BatchBooks, Posted, SaleTerms, TicketBooks
from server.platform.database import Database
from server.platform.errors import DomainError
from server.platform.loops import Loops, Polling
from server.platform.statements import (
    LAZY_COMMIT,
    Statement,
    Transaction,
    commit_with,
    run,
    run_together,
)
from server.tickets import snapshots
from server.tickets.rules import Code
from server.webhooks import feed
from server.webhooks.feed import FeedEvent
from server.webhooks.rules import BATCH_GENERATED
from server.webhooks.sequencing import SEQUENCED

POLL_SECONDS = 2.0
"""How often a process looks for events that others have numbered."""
SPACING_SECONDS = 0.1
"""Between two looks: under load one look posts many events, and each costs less."""
POSTED_AT_ONCE = 80
"""Events in one transaction: some 10 ms, of which the event loop stands still for 1 or 2 at a time.
Of 250 it stood still for more than 6 ms thirty times in ten seconds, and gates with it.
"""
TRANSACTIONS_AT_ONCE = 24
"""Of one look: many that wait are not spaced as few are that come, but REST_FACTOR times as long as
a transaction took others have their turn.
"""
REST_FACTOR = 4
"""Entries can wait, gates cannot: when a million tickets end at midnight, and each is an event, the
ledger takes a fifth of one connection's time, and has all of them some minutes later.
"""
ENTERED_AT_ONCE = 40
"""Events whose entries are made without letting the event loop do anything else."""

log = structlog.get_logger()

_BEHIND = Statement(
    """
SELECT f.partner_id FROM partner_feeds f LEFT JOIN ledgers l USING (partner_id)
WHERE f.last_sequence > coalesce(l.posted_sequence, f.purged_sequence) ORDER BY f.partner_id
""",
    int,
)
_ANY_BEHIND = Statement(
    """
SELECT EXISTS (SELECT FROM partner_feeds f LEFT JOIN ledgers l USING (partner_id)
  WHERE f.last_sequence > coalesce(l.posted_sequence, f.purged_sequence))
""",
    bool,
)
# of a partner that has no ledger: it begins with the first event that is kept
_BEGIN = Statement("""
INSERT INTO ledgers (partner_id, posted_sequence, first_month, open_month)
SELECT f.partner_id, f.purged_sequence, first.month, first.month
FROM partner_feeds f CROSS JOIN LATERAL (
  SELECT date_trunc('month', e.occurred_time AT TIME ZONE $2)::date AS month FROM partner_events e
  WHERE e.partner_id = f.partner_id AND e.sequence > f.purged_sequence
  ORDER BY e.sequence LIMIT 1) first
WHERE f.partner_id = $1::int AND NOT EXISTS (SELECT FROM ledgers WHERE partner_id = $1::int)
ON CONFLICT DO NOTHING
""")


class _Cursor(NamedTuple):
    posted_sequence: int
    open_month: date


# whoever finds it locked has nothing to do: another process is at it, or seals a month
_LOCK = Statement(
    """
SELECT posted_sequence, open_month FROM ledgers WHERE partner_id = $1::int
FOR NO KEY UPDATE SKIP LOCKED
""",
    _Cursor,
)


class _TicketRow(NamedTuple):
    ticket_id: int
    batch_id: UUID
    product_id: int
    distributor_id: str
    snapshot_id: UUID


class _BatchRow(NamedTuple):
    batch_id: UUID
    product_id: int
    distributor_id: str
    snapshot_id: UUID
    first_ticket_id: int


class _UsesRow(NamedTuple):
    ticket_id: int
    function_code: str
    total_uses: int


_TICKETS = Statement(
    """
SELECT ticket_id, batch_id, product_id, distributor_id, snapshot_id FROM tickets
WHERE ticket_id = ANY($1::bigint[]) AND batch_id IS NOT NULL
""",
    _TicketRow,
)
_USES = Statement(
    """
SELECT ticket_id, function_code, total_uses FROM entitlements WHERE ticket_id = ANY($1::bigint[])
""",
    _UsesRow,
)
_BATCHES = Statement(
    """
SELECT batch_id, product_id, distributor_id, snapshot_id, first_ticket_id FROM batches
WHERE batch_id = ANY($1::uuid[])
""",
    _BatchRow,
)
_POSTED_OF_TICKETS = Statement(
    """
SELECT ticket_id, kind, debit_account, credit_account, function_code, sum(amount_minor)::bigint,
  sum(quantity)::bigint
FROM ledger_entries WHERE partner_id = $1::int AND ticket_id = ANY($2::bigint[])
GROUP BY ticket_id, kind, debit_account, credit_account, function_code
""",
    lambda ticket_id, *posted: (ticket_id, Posted(*posted)),
)
_POSTED_OF_BATCHES = Statement(
    """
SELECT batch_id, kind, amount_minor, quantity FROM ledger_entries
WHERE partner_id = $1::int AND batch_id = ANY($2::uuid[]) AND ticket_id IS NULL AND line = 0
""",
    lambda batch_id, *posted: (batch_id, BatchBooks(*posted)),
)
_POST = Statement("""
INSERT INTO ledger_entries (partner_id, sequence, line, month, day, kind, debit_account,
  credit_account, amount_minor, currency_code, quantity, distributor_id, payee_id, product_id,
  batch_id, ticket_id, function_code)
SELECT $1::int, v.* FROM unnest($2::bigint[], $3::smallint[], $4::date[], $5::date[], $6::text[],
  $7::text[], $8::text[], $9::bigint[], $10::text[], $11::int[], $12::text[], $13::text[],
  $14::int[], $15::uuid[], $16::bigint[], $17::text[]) v
""")
_ADVANCE = Statement(
    """
UPDATE ledgers SET posted_sequence = $3::bigint
WHERE partner_id = $1::int AND posted_sequence = $2::bigint RETURNING true
""",
    bool,
)


_POSTED = Statement("SELECT posted_sequence FROM ledgers WHERE partner_id = $1::int", int)


class Bookkeeper:
    """Posts what has happened, in each process."""

    def __init__(self, db: Database, zone: ZoneInfo, loops: Loops | None = None) -> None:
        self._db = db
        self._zone = zone
        self._loop = (loops or Loops()).add(
            "ledgers",
            Polling(
                self._look,
                POLL_SECONDS,
                jitter_seconds=POLL_SECONDS / 5,
                spacing_seconds=SPACING_SECONDS,
                at_once=True,
                tolerated=(DomainError,),  # the database is away: next time
                due=_ANY_BEHIND,
            ),
        )

    def start(self) -> None:
        """Begins to look, at once, and after each commit of this process that numbers events."""
        self._db.notifications.listen(SEQUENCED, self._loop.wake)
        self._loop.start()

    async def stop(self) -> None:
        """Stops looking."""
        self._db.notifications.unlisten(SEQUENCED, self._loop.wake)
        await self._loop.end()

    async def _look(self) -> None:
        async with self._db.transaction() as tx:
            partners = await run(tx, _BEHIND())
        for partner_id in partners:
            try:
                if await self._post_some(partner_id):
                    self._loop.wake()
            except DomainError:
                raise
            except Exception:  # one partner's ledger must not hold up the others'
                log.exception("ledger.failed", partner_id=partner_id)

    async def _post_some(self, partner_id: int) -> bool:
        """Posts up to so many transactions; whether there may be more."""
        for _ in range(TRANSACTIONS_AT_ONCE):
            began = time.monotonic()
            if await post(self._db, partner_id, zone=self._zone) < POSTED_AT_ONCE:
                return False
            if self._loop.is_ending:
                break
            await asyncio.sleep(REST_FACTOR * (time.monotonic() - began))
        return True


async def posted_sequence(tx: AsyncConnection, partner_id: int) -> int:
    """The last of a partner's events that has its entries; 0 without a ledger."""
    rows = await run(tx, _POSTED(partner_id))
    return rows[0] if rows else 0


async def post(
    db: Database, partner_id: int, *, zone: ZoneInfo, limit: int = POSTED_AT_ONCE
) -> int:
    """Posts up to `limit` events of a partner; how many. None are left where it is fewer, or
    another process is at it. `zone` is whose days and months count.

    Raises DATABASE_UNAVAILABLE.
    """
    async with db.pipeline() as tx, tx.transaction():
        # what a crash loses of it is posted again, of the same events
        _, _, locked = await run_together(
            tx, LAZY_COMMIT(), _BEGIN(partner_id, zone.key), _LOCK(partner_id)
        )
        if not locked:
            return 0
        cursor = locked[0]
        events = await run(tx, feed.events_after(partner_id, cursor.posted_sequence, limit))
        if not events:
            return 0
        sequences = [event.sequence for event in events]
        begin = cursor.posted_sequence + 1
        assert sequences == [*range(begin, begin + len(events))], "events are read without gaps"
        facts = await _facts(tx, partner_id, events)
        for start in range(0, len(events), ENTERED_AT_ONCE):
            some = events[start : start + ENTERED_AT_ONCE]
            rows = [row for event in some for row in facts.rows(event, zone, cursor.open_month)]
            await run(tx, _POST.of_rows(rows, partner_id))
        advance = _ADVANCE(partner_id, cursor.posted_sequence, sequences[-1])
        (advanced,) = await commit_with(tx, [advance])
        assert advanced, "nobody posts for a ledger that is locked"
    return len(events)


class _Facts:
    """What the entries of a few events are made of."""

    def __init__(
        self,
        tickets: Mapping[int, _TicketRow],
        batches: Mapping[UUID, _BatchRow],
        contents: Mapping[UUID, Mapping[str, Any]],
        uses: Mapping[int, Mapping[str, int]],
    ) -> None:
        self.partner_id = 0
        self.batch_books: dict[UUID, BatchBooks] = {}
        self.history: defaultdict[int, list[Posted]] = defaultdict(list)
        self._tickets = tickets
        self._batches = batches
        self._contents = contents
        self._uses = uses
        self._books: dict[int, TicketBooks] = {}
        self._terms: dict[tuple[UUID, str], SaleTerms] = {}

    def rows(self, event: FeedEvent, zone: ZoneInfo, open_month: date) -> list[tuple[Any, ...]]:
        """The journal of an event, as rows of `_POST`."""
        month = rules.booked_month(event.occurred_time, zone, open_month)
        day = event.occurred_time.astimezone(zone).date()
        if event.type == BATCH_GENERATED:
            batch = self._batches[UUID(event.data["batch_id"])]
            terms = self._terms_of(batch)
            entries = rules.batch_entries(terms, event.data)
            first = entries[0]
            self.batch_books[batch.batch_id] = BatchBooks(
                first.kind, first.amount_minor, first.quantity
            )
            subject: _BatchRow | _TicketRow = batch
            ticket_id = None
        else:
            found = self._tickets.get(_ticket_id(self.partner_id, event) or 0)
            if found is None:
                return []
            books = self._books_of(found)
            terms, subject, ticket_id = books.terms, found, found.ticket_id
            entries = rules.ticket_entries(event.type, event.data, books)
        where = month, day
        what = subject.product_id, subject.batch_id, ticket_id, event.data.get("function_code", "")
        return [
            (event.sequence, line, *where, *entry[:4], terms.currency_code, *entry[4:], *what)
            for line, entry in enumerate(entries)
        ]

    def _terms_of(self, subject: _BatchRow | _TicketRow) -> SaleTerms:
        key = subject.snapshot_id, subject.distributor_id
        if key not in self._terms:
            self._terms[key] = rules.terms_of(
                self._contents[subject.snapshot_id], subject.distributor_id
            )
        return self._terms[key]

    def _books_of(self, ticket: _TicketRow) -> TicketBooks:
        """The books of a ticket, as they are after the events before."""
        if ticket.ticket_id not in self._books:
            self._books[ticket.ticket_id] = rules.books_of(
                self._terms_of(ticket),
                self._uses.get(ticket.ticket_id, {}),
                self.batch_books.get(ticket.batch_id),
                ticket.ticket_id - self._batches[ticket.batch_id].first_ticket_id,
                self.history[ticket.ticket_id],
            )
        return self._books[ticket.ticket_id]


async def _facts(tx: Transaction, partner_id: int, events: Sequence[FeedEvent]) -> _Facts:
    """Reads what a partner's events are about."""
    made = {UUID(e.data["batch_id"]) for e in events if e.type == BATCH_GENERATED}
    kinds = [(found, e.type) for e in events if (found := _ticket_id(partner_id, e)) is not None]
    ids = sorted({found for found, _ in kinds})
    used = sorted({found for found, kind in kinds if kind in rules.OF_USES})
    rows, uses = await run_together(tx, _TICKETS(ids), _USES(used) if used else None)
    batch_ids = sorted(made | {row.batch_id for row in rows})
    batches, of_batches, of_tickets = await run_together(
        tx,
        _BATCHES(batch_ids),
        _POSTED_OF_BATCHES(partner_id, batch_ids),
        _POSTED_OF_TICKETS(partner_id, ids),
    )
    wanted = {row.snapshot_id for row in rows} | {row.snapshot_id for row in batches}
    contents = await run(tx, snapshots.read(sorted(wanted)))
    uses_of: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for row in uses:
        uses_of[row.ticket_id][row.function_code] = row.total_uses
    facts = _Facts(
        {row.ticket_id: row for row in rows},
        {row.batch_id: row for row in batches},
        {each.snapshot_id: each.content for each in contents},
        uses_of,
    )
    facts.partner_id = partner_id
    facts.batch_books.update(of_batches)
    for ticket_id, posted in of_tickets:
        facts.history[ticket_id].append(posted)
    return facts


def _ticket_id(partner_id: int, event: FeedEvent) -> int | None:
    """The ticket that an event is about; None if it is about something else."""
    return _number(partner_id, event.data.get("ticket_code", ""))


@lru_cache(maxsize=2 * POSTED_AT_ONCE)  # each event's is asked for twice
def _number(partner_id: int, ticket_code: str) -> int | None:
    code = Code.parse(ticket_code)
    return code.number(partner_id) if code else None
