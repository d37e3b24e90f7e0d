"""What one traveller has of a departure, of a product on a day of use, or of a promotion: counted,
so that it has a limit.

Counted is what is held or sold. A row is one guarded write, so the limit holds whatever races; its
keys are made by `rules.quota_id` and `rules.promotion_quota_id`. (DOMAIN: Stock; Price.)
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import orjson
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stock.models import traveller_quotas


class Use(NamedTuple):
    """What counts for a traveller: so many tickets, or orders under a promotion."""

    quota_id: int
    traveller_id: int
    quantity: int


_COUNT = text("""
INSERT INTO traveller_quotas AS q (quota_id, traveller_id, quantity, max_quantity)
VALUES (:quota_id, :traveller_id, :quantity, :limit)
ON CONFLICT (quota_id, traveller_id) DO UPDATE
SET quantity = q.quantity + excluded.quantity, max_quantity = excluded.max_quantity
WHERE q.quantity + excluded.quantity <= excluded.max_quantity
RETURNING quantity
""")
# the locks first, in order: two that give back the same rows do not wait for each other
_GIVE_BACK = text("""
WITH v AS (
  SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (quota_id bigint, traveller_id bigint, quantity int)
), locked AS MATERIALIZED (
  SELECT q.quota_id, q.traveller_id FROM traveller_quotas q JOIN v USING (quota_id, traveller_id)
  ORDER BY q.quota_id, q.traveller_id FOR UPDATE OF q
)
UPDATE traveller_quotas q SET quantity = q.quantity - v.quantity
FROM v JOIN locked l USING (quota_id, traveller_id)
WHERE q.quota_id = v.quota_id AND q.traveller_id = v.traveller_id
""")
_FORGET = text("""
DELETE FROM traveller_quotas q
USING jsonb_to_recordset(CAST(:rows AS jsonb)) AS v (quota_id bigint, traveller_id bigint, quantity int)
WHERE q.quota_id = v.quota_id AND q.traveller_id = v.traveller_id AND q.quantity = 0
""")


async def count(tx: AsyncConnection, use: Use, *, limit: int) -> int | None:
    """Counts a use if the traveller then has no more than `limit`; if not, what is counted
    already, and nothing is done.
    """
    if use.quantity <= limit and await tx.scalar(_COUNT, {**use._asdict(), "limit": limit}):
        return None
    query = select(traveller_quotas.c.quantity).where(
        traveller_quotas.c.quota_id == use.quota_id,
        traveller_quotas.c.traveller_id == use.traveller_id,
    )
    return await tx.scalar(query) or 0


async def give_back(tx: AsyncConnection, uses: Iterable[Use]) -> None:
    """These uses do not count any more. Once for each: the caller holds the lock of the order
    that says it counts.
    """
    quantities: Counter[tuple[int, int]] = Counter()
    for use in uses:
        quantities[use[:2]] += use.quantity
    if not quantities:
        return
    rows = [Use(*key, quantity)._asdict() for key, quantity in sorted(quantities.items())]
    for statement in (_GIVE_BACK, _FORGET):
        await tx.execute(statement, {"rows": orjson.dumps(rows).decode()})
