"""The one way in which what is left of a stock changes, and becomes known to whoever sells the same
elsewhere: each statement that changes it counts the row's `version` up, and leaves a notice in its
own transaction where few are left of what is listed, or were.

So nobody who sells, gives back, moves or closes has to think of outside channels: `change` and
`begin` write all statements that change `total`, `held`, `sold` or `closed`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from server.platform.statements import Command, Statement

NOTED = "stock_notices"
"""What a transaction that changes a stock notifies: this process looks for notices after the
commit.
"""
ALLOTTED = "allotment_version = s.allotment_version + 1"
"""SQL that a change of a stock `s` sets besides, where it is one of its total."""
NEW = 1
"""The version of a stock that has just begun."""


class StockNotice(NamedTuple):
    """A change of what is left of a stock: few are, or were, of what is listed; or the stock is
    new, of which one notice stands for all that its channel got together.
    """

    stock_id: int
    version: int

    @property
    def is_new(self) -> bool:
        """Whether it is of new stock."""
        return self.version == NEW


_LEFT = "CASE WHEN s.closed THEN 0 ELSE s.total - s.held - s.sold END"


def change(sets: str, rest: str, *, locks: str = "") -> str:
    """SQL of a change of stocks: what it `sets` of a stock `s`, and the `rest` of the UPDATE. Gives
    the ids of those that changed. `locks` is what goes before it, a WITH clause.
    """
    return f"""
WITH changed AS (
{locks}
UPDATE stocks s SET {sets}, version = s.version + 1, left_before = {_LEFT}
{rest}
RETURNING s.stock_id, s.version, s.left_before, {_LEFT} AS left_now, s.notice_level
), noted AS (
  INSERT INTO stock_notices (stock_id, version) SELECT stock_id, version FROM changed
  WHERE left_before <> left_now AND LEAST(left_before, left_now) <= notice_level
)
SELECT stock_id FROM changed
"""  # noqa: S608 - texts of this room


def begin(insert: str) -> str:
    """SQL that begins stocks by an INSERT; gives the ids of the new ones."""
    return f"""
WITH made AS (
{insert}
ON CONFLICT DO NOTHING RETURNING stock_id, partner_id, promotion_id
), noted AS (
  INSERT INTO stock_notices (stock_id, version)
  SELECT min(stock_id), {NEW} FROM made WHERE promotion_id IS NULL GROUP BY partner_id
  ON CONFLICT DO NOTHING
)
SELECT stock_id FROM made
"""  # noqa: S608 - texts of this room


# the locks in order; only rows that change, so that nobody waits for it later
_LIST = Statement("""
WITH locked AS MATERIALIZED (
  SELECT s.stock_id FROM unnest($1::bigint[], $2::int[]) AS v (stock_id, notice_level)
  JOIN stocks s USING (stock_id) WHERE COALESCE(s.notice_level, -1) < v.notice_level
  ORDER BY s.stock_id FOR NO KEY UPDATE OF s
)
UPDATE stocks s SET notice_level = GREATEST(s.notice_level, v.notice_level)
FROM unnest($1::bigint[], $2::int[]) AS v (stock_id, notice_level) JOIN locked USING (stock_id)
WHERE s.stock_id = v.stock_id
""")
_TAKE = Statement(
    """
DELETE FROM stock_notices WHERE (stock_id, version) IN (
  SELECT stock_id, version FROM stock_notices LIMIT $1::int FOR UPDATE SKIP LOCKED)
RETURNING stock_id, version
""",
    StockNotice,
)

_ANY = Statement("SELECT EXISTS (SELECT FROM stock_notices)", bool)


def note_from(levels: Mapping[int, int]) -> Command[None] | None:
    """Has changes of these stocks noted when so many are left, or fewer, or were before; a level
    only rises: one that was listed with more before leaves notices of which nothing is sent, since
    who takes them goes by the thresholds of now. To be committed before what is left is read for
    whoever wants the notices.
    """
    return _LIST.of_rows(sorted(levels.items()))


def any_notices() -> Command[bool]:
    """Whether there are notices to take."""
    return _ANY()


def take_notices(*, limit: int) -> Command[StockNotice]:
    """Takes notices, which are gone with the commit. What is read of their stocks after it is as
    new as they are.
    """
    return _TAKE(limit)
