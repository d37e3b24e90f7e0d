"""What one traveller has of a departure, of a product on a day of use, or of a promotion: counted,
so that it has a limit.

Counted is what is held or sold. A row is one guarded write, so the limit holds whatever races; its
keys are made by `ids.quota_id` and `ids.promotion_quota_id`. (DOMAIN: Stock; Price.)
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.statements import Command, Statement, Transaction, run, run_together


class Use(NamedTuple):
    """What counts for a traveller: so many tickets, or orders under a promotion."""

    quota_id: int
    traveller_id: int
    quantity: int


class QuotaRow(NamedTuple):
    """What is counted for a traveller."""

    quota_id: int
    traveller_id: int
    quantity: int


class Count(NamedTuple):
    """What is to be added for a traveller, and the limit it was decided by."""

    quota_id: int
    traveller_id: int
    quantity: int
    max_quantity: int


QuotaKey = tuple[int, int]
"""A quota_id and a traveller_id."""

READ = Statement(
    """
SELECT q.quota_id, q.traveller_id, q.quantity
FROM unnest($1::bigint[], $2::bigint[]) AS k (quota_id, traveller_id)
JOIN traveller_quotas q USING (quota_id, traveller_id)
""",
    QuotaRow,
)
# what somebody else counted since it was read would violate the check of the limit
ADD = Statement("""
INSERT INTO traveller_quotas AS q (quota_id, traveller_id, quantity, max_quantity)
SELECT v.* FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[]) v
ON CONFLICT (quota_id, traveller_id) DO UPDATE
SET quantity = q.quantity + excluded.quantity, max_quantity = excluded.max_quantity
""")
# the locks first, in order: two that give back the same rows do not wait for each other
_GIVE_BACK = Statement("""
WITH v AS (
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[])
    AS r (quota_id, traveller_id, quantity)
), locked AS MATERIALIZED (
  SELECT q.quota_id, q.traveller_id FROM traveller_quotas q JOIN v USING (quota_id, traveller_id)
  ORDER BY q.quota_id, q.traveller_id FOR UPDATE OF q
)
UPDATE traveller_quotas q SET quantity = q.quantity - v.quantity
FROM v JOIN locked l USING (quota_id, traveller_id)
WHERE q.quota_id = v.quota_id AND q.traveller_id = v.traveller_id
""")
_FORGET = Statement("""
DELETE FROM traveller_quotas q
USING unnest($1::bigint[], $2::bigint[]) AS v (quota_id, traveller_id)
WHERE q.quota_id = v.quota_id AND q.traveller_id = v.traveller_id AND q.quantity = 0
""")


def read(keys: Sequence[QuotaKey]) -> Command[QuotaRow] | None:
    """What is counted now; without a lock."""
    return READ.of_rows(keys)


def add(counts: Sequence[Count]) -> Command[None] | None:
    """Counts what was decided by what `read` gave, in the order of the keys."""
    return ADD.of_rows(counts)


async def count(tx: AsyncConnection, use: Use, *, limit: int) -> int | None:
    """Counts a use if the traveller then has no more than `limit`; if not, what is counted
    already, and nothing is done.
    """
    rows = await run(tx, read([use[:2]]))
    held = rows[0].quantity if rows else 0
    if held + use.quantity > limit:
        return held
    await run(tx, add([Count(*use, limit)]))
    return None


async def give_back(tx: Transaction, uses: Iterable[Use]) -> None:
    """These uses do not count any more. Once for each: the caller holds the lock of the order
    that says it counts.
    """
    quantities: Counter[tuple[int, int]] = Counter()
    for use in uses:
        quantities[use[:2]] += use.quantity
    if not quantities:
        return
    rows = [Use(*key, quantity) for key, quantity in sorted(quantities.items())]
    keys = [row[:2] for row in rows]
    await run_together(tx, _GIVE_BACK.of_rows(rows), _FORGET.of_rows(keys))
