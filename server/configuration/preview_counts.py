"""What a change of configuration leaves as it was sold, counted."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.parties.rules import SANDBOX_BIT
from server.platform.statements import Statement, run


class StillSold(NamedTuple):
    """What keeps the snapshot it was sold under, or is not touched.

    `live_tickets` can still be used or refunded, `unsold_tickets` of them are partners' that wait
    for activation, of so many `batches`; `waiting_orders` wait for payment. `reservations` are
    open, and `allotments` partners' stocks with so many `allotted` places left: what is made of
    both from then on is sold under the new terms.
    """

    live_tickets: int
    unsold_tickets: int
    batches: int
    waiting_orders: int
    reservations: int
    allotments: int
    allotted: int


_STILL_SOLD = Statement(
    f"""
SELECT t.live, t.unsold, t.batches, o.waiting, r.open, s.allotments, s.allotted
FROM (SELECT count(*) AS live, count(*) FILTER (WHERE state = 'PRE_GENERATED') AS unsold,
    count(DISTINCT batch_id) FILTER (WHERE state = 'PRE_GENERATED') AS batches
  FROM tickets WHERE expiry_pending AND valid_until_time > $2::timestamptz
    AND partner_id < {SANDBOX_BIT} AND product_id = ANY($1::int[]) AND state IN (
      'PRE_GENERATED', 'ACTIVE', 'PARTIALLY_REDEEMED', 'REFUNDING', 'CHANGING')) t,
  (SELECT count(*) AS waiting FROM orders WHERE state = 'PENDING' AND content IS NOT NULL
    AND pay_time IS NULL AND cancel_reason IS NULL AND hold_expire_time > $2::timestamptz
    AND EXISTS (
      SELECT 1 FROM jsonb_array_elements(content -> 'items') item
      JOIN snapshots n ON n.snapshot_id = (item ->> 'snapshot_id')::uuid
      WHERE n.product_id = ANY($1::int[]))) o,
  (SELECT count(*) AS open FROM reservations WHERE state = 'OPEN'
    AND partner_id < {SANDBOX_BIT} AND product_id = ANY($1::int[])) r,
  (SELECT count(*) AS allotments, coalesce(sum(total - held - sold), 0)::bigint AS allotted
    FROM stocks WHERE partner_id > 0 AND partner_id < {SANDBOX_BIT} AND NOT archived
    AND product_id = ANY($1::int[])) s
""",  # noqa: S608 - our own number
    StillSold,
)
_USED_UP = Statement(
    """
SELECT promotion_id FROM stocks
WHERE partner_id = 0 AND promotion_id IS NOT NULL AND held + sold >= total
""",
    int,
)


async def kept(tx: AsyncConnection, product_ids: Sequence[int], *, now: datetime) -> StillSold:
    """What of these products stays as it was sold."""
    (found,) = await run(tx, _STILL_SOLD(product_ids, now))
    return found


async def used_up(tx: AsyncConnection) -> frozenset[int]:
    """The promotions that have been used as often as they may be."""
    return frozenset(await run(tx, _USED_UP()))
