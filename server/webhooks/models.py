"""What happens to partners' stock, batches and tickets, in order, and how far each partner has
read.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from server.platform.database import metadata

partner_events = Table(
    "partner_events",
    metadata,
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    # in the order of time, and those of one process in the order they were made
    Column("event_id", Uuid, primary_key=True),
    Column("type", Text, nullable=False),
    # what it happened to: a ticket's code, a batch's id, … ; events of one subject keep their order
    Column("subject", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("occurred_time", DateTime(timezone=True), nullable=False),
    # by the one clock of the database, under the lock of what it happened to
    Column(
        "record_time",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.clock_timestamp(),
    ),
    # where it stands among the partner's events; given after the commit, see sequencing.py
    Column("sequence", BigInteger),
    CheckConstraint("sequence > 0", name="sequence"),
)
_e = partner_events.c
Index("uq_partner_events_sequence", _e.partner_id, _e.sequence, unique=True)
Index(
    "ix_partner_events_unsequenced",
    _e.record_time,
    _e.event_id,
    postgresql_where=_e.sequence.is_(None),
)
Index("ix_partner_events_record_time", _e.record_time, postgresql_using="brin")

partner_feeds = Table(
    "partner_feeds",
    metadata,
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    # of the last event that has one; there are no gaps up to it
    Column("last_sequence", BigInteger, nullable=False, server_default=text("0")),
    # what is before and at it was removed, since it was too old
    Column("purged_sequence", BigInteger, nullable=False, server_default=text("0")),
    # what the partner says it has dealt with
    Column("acknowledged_sequence", BigInteger, nullable=False, server_default=text("0")),
    Column("acknowledge_time", DateTime(timezone=True)),
    CheckConstraint(
        "purged_sequence BETWEEN 0 AND last_sequence"
        " AND acknowledged_sequence BETWEEN 0 AND last_sequence",
        name="sequences",
    ),
)
