"""A partner's distributors (下游分销商): a tree of a few levels, and the line of sale that a batch made
for one of them gets.

Whoever changes the tree holds the partner's lock, so that what has to hold of several rows together
(no circle, commissions of a line) is decided on rows that stay as they are. Whoever reads a line
takes no lock: one statement sees one moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import already_exists, shown
from server.audit.trail import AuditedChange, audit
from server.identity.callers import Partner
from server.partners.commission import MAX_LEVELS, WHOLE, SaleLevel
from server.partners.distributor_models import distributors
from server.platform.errors import DomainError, Reason, not_found, refuse_stale
from server.platform.statements import Statement, run

MAX_DISTRIBUTORS = 10_000
"""Of a partner: a change of the tree looks at all of them."""
TREE_LOCKS = 0x44545406
"""First half of an advisory lock, any number that nobody else uses; the second is the partner."""


@dataclass(frozen=True, slots=True)
class Distributor:
    """A distributor; `line` are the ids from the first level below the partner to its own."""

    distributor_id: str
    parent_distributor_id: str
    line: list[str]
    display_name: str
    commission_basis_points: int
    state: str
    version: int
    create_time: datetime
    update_time: datetime


_COLUMNS = [column for column in distributors.c if column.name != "partner_id"]
_LINE = Statement(
    """
SELECT d.distributor_id, d.commission_basis_points
FROM distributors seller JOIN distributors d
  ON d.partner_id = seller.partner_id AND d.distributor_id = ANY(seller.line)
WHERE seller.partner_id = $1::int AND seller.distributor_id = $2
ORDER BY cardinality(d.line)
""",
    SaleLevel,
)
# of the lines through one distributor: the longest, and the most that one of them keeps through
# which anything new may be sold
_GREATEST = text("""
SELECT coalesce(max(levels), 0), coalesce(max(kept) FILTER (WHERE state = 'ACTIVE'), 0) FROM (
  SELECT cardinality(d.line) AS levels, d.state, sum(a.commission_basis_points) AS kept
  FROM distributors d JOIN distributors a
    ON a.partner_id = d.partner_id AND a.distributor_id = ANY(d.line)
  WHERE d.partner_id = :partner_id AND d.line @> ARRAY[:distributor_id]
  GROUP BY d.distributor_id, d.line, d.state) lines
""")
_MOVE_BELOW = text("""
UPDATE distributors SET line = CAST(:line AS text[]) || line[:own_levels + 1:]
WHERE partner_id = :partner_id AND line @> ARRAY[:distributor_id]
  AND distributor_id <> :distributor_id
""")


async def create(
    tx: AsyncConnection,
    partner: Partner,
    *,
    distributor_id: str,
    parent_distributor_id: str,
    display_name: str,
    commission_basis_points: int,
    now: datetime,
) -> Distributor:
    """A new distributor. Raises ALREADY_EXISTS, NOT_FOUND for the parent, DISTRIBUTOR_REFUSED."""
    await _lock_tree(tx, partner)
    if await _find(tx, partner, distributor_id):
        raise already_exists("distributor", distributor_id)
    of_partner = distributors.c.partner_id == partner.partner_id
    count = await tx.scalar(select(func.count()).where(of_partner))
    if count is not None and count >= MAX_DISTRIBUTORS:
        raise _refused(distributor_id, "TOO_MANY", f"there are {MAX_DISTRIBUTORS} already")
    above = await _line_of_parent(tx, partner, parent_distributor_id)
    new = Distributor(
        distributor_id=distributor_id,
        parent_distributor_id=parent_distributor_id,
        line=[*above, distributor_id],
        display_name=display_name,
        commission_basis_points=commission_basis_points,
        state="ACTIVE",
        version=1,
        create_time=now,
        update_time=now,
    )
    if len(new.line) > MAX_LEVELS:
        raise _too_deep(distributor_id)
    await tx.execute(distributors.insert().values(partner_id=partner.partner_id, **shown(new)))
    await _require_commissions(tx, partner, distributor_id)
    await _trace(tx, partner, None, new, "create", now=now)
    return new


async def get(tx: AsyncConnection, partner: Partner, distributor_id: str) -> Distributor:
    """A partner's distributor. Raises NOT_FOUND."""
    found = await _find(tx, partner, distributor_id)
    if found is None:
        raise not_found("distributor", distributor_id)
    return found


async def page(
    tx: AsyncConnection,
    partner: Partner,
    *,
    parent_distributor_id: str,
    all_below: bool,
    state: str,
    after: str | None,
    limit: int,
) -> list[Distributor]:
    """Up to `limit` distributors of a parent, or all below it, after the id `after`, in the order
    of their ids. Raises NOT_FOUND for the parent.
    """
    if parent_distributor_id:
        await get(tx, partner, parent_distributor_id)
    query = select(*_COLUMNS).where(distributors.c.partner_id == partner.partner_id)
    if not all_below:
        query = query.where(distributors.c.parent_distributor_id == parent_distributor_id)
    elif parent_distributor_id:
        query = query.where(
            distributors.c.line.contains([parent_distributor_id]),
            distributors.c.distributor_id != parent_distributor_id,
        )
    if state:
        query = query.where(distributors.c.state == state)
    if after is not None:
        query = query.where(distributors.c.distributor_id > after)
    query = query.order_by(distributors.c.distributor_id).limit(limit)
    return [Distributor(*row) for row in await tx.execute(query)]


async def update(
    tx: AsyncConnection,
    partner: Partner,
    distributor_id: str,
    values: Mapping[str, Any],
    *,
    version: int,
    now: datetime,
) -> Distributor:
    """Changes the given fields of an active distributor; only if `version` is its own, unless that
    is 0. What is sold through it already keeps its line of sale.

    Raises NOT_FOUND, VERSION_MISMATCH, DISTRIBUTOR_REFUSED.
    """
    await _lock_tree(tx, partner)
    before = await get(tx, partner, distributor_id)
    refuse_stale("distributor", distributor_id, sent=version, now=before.version)
    if before.state == "ARCHIVED":
        raise _archived(distributor_id)
    after = replace(before, **values, version=before.version + 1, update_time=now)
    if after.parent_distributor_id != before.parent_distributor_id:
        above = await _line_of_parent(tx, partner, after.parent_distributor_id)
        if distributor_id in above:
            raise _refused(
                distributor_id, "CIRCLE", f"{after.parent_distributor_id!r} is it or is below it"
            )
        after = replace(after, line=[*above, distributor_id])
        deepest, _ = await _greatest(tx, partner, distributor_id)
        if deepest - len(before.line) + len(after.line) > MAX_LEVELS:
            raise _too_deep(distributor_id)
    await _write(tx, partner, before, after)
    await _require_commissions(tx, partner, distributor_id)
    await _trace(tx, partner, before, after, "update", now=now)
    return after


async def archive(
    tx: AsyncConnection, partner: Partner, distributor_id: str, *, now: datetime
) -> Distributor:
    """Sells nothing new through a distributor, for good; a repeat changes nothing. Raises
    NOT_FOUND, DISTRIBUTOR_REFUSED while an active one is below it.
    """
    await _lock_tree(tx, partner)
    before = await get(tx, partner, distributor_id)
    if before.state == "ARCHIVED":
        return before
    active = select(distributors.c.distributor_id).where(
        distributors.c.partner_id == partner.partner_id,
        distributors.c.parent_distributor_id == distributor_id,
        distributors.c.state == "ACTIVE",
    )
    below = await tx.scalar(active.order_by(distributors.c.distributor_id).limit(1))
    if below is not None:
        raise _refused(
            distributor_id, "ACTIVE_BELOW", f"{below!r} buys from it; archive that first"
        )
    after = replace(before, state="ARCHIVED", version=before.version + 1, update_time=now)
    await _write(tx, partner, before, after)
    await _trace(tx, partner, before, after, "archive", now=now)
    return after


async def line(tx: AsyncConnection, partner: Partner, distributor_id: str) -> list[SaleLevel]:
    """The line of sale through a distributor now, from the first level below the partner to it;
    empty for one that is not in the tree.
    """
    return await run(tx, _LINE(partner.partner_id, distributor_id))


async def line_for_batch(
    tx: AsyncConnection, partner: Partner, distributor_id: str
) -> list[SaleLevel]:
    """The line of sale of a batch that is made for a distributor now. One that is not in the tree
    sells for the partner itself and keeps nothing, as every distributor did before there was one.

    Raises DISTRIBUTOR_REFUSED for one that is archived.
    """
    if not distributor_id:
        return []
    found = await _find(tx, partner, distributor_id)
    if found is None:
        return [SaleLevel(distributor_id, 0)]
    if found.state == "ARCHIVED":
        raise _archived(distributor_id)
    return await line(tx, partner, distributor_id)


async def line_for_tickets(
    tx: AsyncConnection, partner: Partner, distributor_id: str
) -> list[SaleLevel]:
    """The line of sale of tickets that are reassigned to a distributor now, who is in the tree;
    none for the partner itself. Raises NOT_FOUND, DISTRIBUTOR_REFUSED for one that is archived.
    """
    if distributor_id:
        await get(tx, partner, distributor_id)
    return await line_for_batch(tx, partner, distributor_id)


async def _lock_tree(tx: AsyncConnection, partner: Partner) -> None:
    """Waits for whoever changes the partner's tree."""
    await tx.execute(select(func.pg_advisory_xact_lock(TREE_LOCKS, partner.partner_id)))


async def _find(tx: AsyncConnection, partner: Partner, distributor_id: str) -> Distributor | None:
    query = select(*_COLUMNS).where(
        distributors.c.partner_id == partner.partner_id,
        distributors.c.distributor_id == distributor_id,
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else Distributor(*row)


async def _line_of_parent(
    tx: AsyncConnection, partner: Partner, parent_distributor_id: str
) -> Sequence[str]:
    """Empty for the partner itself. Raises NOT_FOUND, DISTRIBUTOR_REFUSED."""
    if not parent_distributor_id:
        return []
    parent = await get(tx, partner, parent_distributor_id)
    if parent.state == "ARCHIVED":
        raise _archived(parent_distributor_id)
    return parent.line


async def _greatest(tx: AsyncConnection, partner: Partner, distributor_id: str) -> tuple[int, int]:
    values = {"partner_id": partner.partner_id, "distributor_id": distributor_id}
    levels, kept = (await tx.execute(_GREATEST, values)).one()
    return levels, int(kept)


async def _require_commissions(tx: AsyncConnection, partner: Partner, distributor_id: str) -> None:
    """Raises DISTRIBUTOR_REFUSED if a line through it keeps more than there is."""
    _, kept = await _greatest(tx, partner, distributor_id)
    if kept > WHOLE:
        why = f"a line through it would keep {kept} basis points of the price, of {WHOLE}"
        raise _refused(distributor_id, "COMMISSION_TOO_HIGH", why)


async def _write(
    tx: AsyncConnection, partner: Partner, before: Distributor, after: Distributor
) -> None:
    """Writes the row as it is now, and the lines of those below it where it has another."""
    written = await tx.execute(
        distributors.update()
        .where(
            distributors.c.partner_id == partner.partner_id,
            distributors.c.distributor_id == before.distributor_id,
            distributors.c.version == before.version,
        )
        .values(shown(after))
    )
    assert written.rowcount == 1, "nobody changes the tree meanwhile"
    if after.line != before.line:
        values = {
            "partner_id": partner.partner_id,
            "distributor_id": before.distributor_id,
            "line": after.line,
            "own_levels": len(before.line),
        }
        await tx.execute(_MOVE_BELOW, values)


async def _trace(
    tx: AsyncConnection,
    partner: Partner,
    before: Distributor | None,
    after: Distributor,
    action: str,
    *,
    now: datetime,
) -> None:
    change = AuditedChange(
        actor=partner.key,
        action=action,
        resource="distributor",
        name=f"{partner.partner_code}/{after.distributor_id}",
        before=shown(before) if before else None,
        after=shown(after),
    )
    await run(tx, audit(change, now=now))


def _refused(distributor_id: str, why: str, words: str) -> DomainError:
    return DomainError(
        Reason.DISTRIBUTOR_REFUSED,
        f"distributor {distributor_id!r}: {words}",
        distributor_id=distributor_id,
        why=why,
    )


def _archived(distributor_id: str) -> DomainError:
    return _refused(distributor_id, "ARCHIVED", "is archived, nothing new is sold through it")


def _too_deep(distributor_id: str) -> DomainError:
    return _refused(distributor_id, "TOO_DEEP", f"a line has at most {MAX_LEVELS} levels")
