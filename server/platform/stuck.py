"""What got stuck: found by jobs that look for it, kept until it is no longer found, for an
administrator to see to.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Column, DateTime, Table, Text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import select

from server.platform.database import metadata
from server.platform.metrics import STUCK
from server.platform.statements import Statement, run

stuck_findings = Table(
    "stuck_findings",
    metadata,
    # what is wrong, e.g. `refunding-ticket`, and with which
    Column("kind", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("found", Text, nullable=False),
    Column("first_time", DateTime(timezone=True), nullable=False),
    Column("seen_time", DateTime(timezone=True), nullable=False),
)


class Stuck(NamedTuple):
    """Something that does not go on by itself: what was found of it, since when, and when last."""

    kind: str
    subject: str
    found: str
    first_time: datetime
    seen_time: datetime


class _Count(NamedTuple):
    kind: str
    findings: int


_NOTE = Statement("""
INSERT INTO stuck_findings (kind, subject, found, first_time, seen_time)
SELECT v.kind, v.subject, v.found, $1::timestamptz, $1::timestamptz
FROM unnest($2::text[], $3::text[], $4::text[]) AS v (kind, subject, found)
ON CONFLICT (kind, subject) DO UPDATE SET found = excluded.found, seen_time = excluded.seen_time
""")
_FORGET = Statement("""
DELETE FROM stuck_findings WHERE kind = ANY($1::text[]) AND seen_time < $2::timestamptz
""")
_COUNT = Statement(
    """
SELECT k.kind, count(f.kind)::int FROM unnest($1::text[]) AS k (kind)
LEFT JOIN stuck_findings f USING (kind) GROUP BY 1
""",
    _Count,
)


async def note(
    tx: AsyncConnection, found: Sequence[tuple[str, str, str]], *, now: datetime
) -> None:
    """Notes what was found, as (kind, subject, found), each once."""
    rows = {(kind, subject): (kind, subject, text) for kind, subject, text in found}
    await run(tx, _NOTE.of_rows(list(rows.values()), now))


async def forget(tx: AsyncConnection, kinds: Collection[str], *, before: datetime) -> None:
    """Forgets what was not found again since then, and counts the rest for the metrics."""
    await run(tx, _FORGET(list(kinds), before))
    for kind, findings in await run(tx, _COUNT(list(kinds))):
        STUCK.labels(kind).set(findings)


async def page(
    tx: AsyncConnection, *, kind: str, after: tuple[str, str] | None, limit: int
) -> list[Stuck]:
    """Up to `limit` of what is stuck after (kind, subject); "" is every kind."""
    place = stuck_findings.c.kind, stuck_findings.c.subject
    columns = [stuck_findings.c[name] for name in Stuck._fields]
    query = select(*columns).order_by(*place).limit(limit)
    if kind:
        query = query.where(stuck_findings.c.kind == kind)
    if after:
        query = query.where(tuple_(*place) > after)
    return [Stuck(*row) for row in await tx.execute(query)]
