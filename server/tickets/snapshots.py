"""What was sold, as it was then: kept for ever, and never changed."""

from collections.abc import Collection
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from server.platform.statements import Command, Statement


class SoldContent(NamedTuple):
    """What was sold under a snapshot."""

    snapshot_id: UUID
    content: dict[str, Any]


class NewSnapshot(NamedTuple):
    """A product as it is sold now; an id stands for one content, whoever stores it."""

    snapshot_id: UUID
    product_id: int
    content: dict[str, Any]


_READ = Statement(
    "SELECT snapshot_id, content FROM snapshots WHERE snapshot_id = ANY($1::uuid[])", SoldContent
)
_READ_OF_TICKETS = Statement(
    """
SELECT snapshot_id, content FROM snapshots
WHERE snapshot_id = ANY(ARRAY(SELECT snapshot_id FROM tickets WHERE ticket_id = ANY($1::bigint[])))
""",
    SoldContent,
)
_STORE = Statement("""
INSERT INTO snapshots (snapshot_id, product_id, content, create_time)
SELECT v.*, $1::timestamptz FROM unnest($2::uuid[], $3::int[], $4::jsonb[]) v
ON CONFLICT DO NOTHING
""")


def read(snapshot_ids: Collection[UUID]) -> Command[SoldContent]:
    """What was sold, by the ids of its snapshots."""
    return _READ(snapshot_ids)


def of_tickets(ticket_ids: Collection[int]) -> Command[SoldContent]:
    """What these tickets were sold as."""
    return _READ_OF_TICKETS(ticket_ids)


def store(sold: Collection[NewSnapshot], *, now: datetime) -> Command[None] | None:
    """Keeps what is sold; what is kept already stays. In the order of the ids: others may keep
    the same.
    """
    return _STORE.of_rows(sorted(sold, key=attrgetter("snapshot_id")), now)
