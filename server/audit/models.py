"""The tables of the audit trail."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from server.platform.database import metadata

audit_events = Table(
    "audit_events",
    metadata,
    Column("audit_id", Uuid, primary_key=True),
    Column("occurred_time", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("before", JSONB(none_as_null=True)),
    Column("after", JSONB(none_as_null=True)),
    Column("reason", Text),
    Column("address", Text),
    Column("terminal_device_id", Text),
    Column("request_id", Text),
    # of the event's content, by a key that is not in the database
    Column("seal", LargeBinary),
    # the event's place in the chain, the chain's hash there, and the seal of both; none until the
    # sequencer has come by
    Column("position", BigInteger),
    Column("chain_hash", LargeBinary),
    Column("chain_seal", LargeBinary),
    CheckConstraint(
        "(position IS NULL) = (chain_hash IS NULL) AND (position IS NULL) = (chain_seal IS NULL)",
        name="chained",
    ),
)
Index("ix_audit_events_time", audit_events.c.occurred_time, audit_events.c.audit_id)
Index("ix_audit_events_name", audit_events.c.resource, audit_events.c.name)
Index(
    "ix_audit_events_actor",
    audit_events.c.actor,
    audit_events.c.occurred_time,
    audit_events.c.audit_id,
)
Index(
    "ix_audit_events_action",
    audit_events.c.action,
    audit_events.c.occurred_time,
    audit_events.c.audit_id,
)
# a part of a reason is looked for among those that have one, which are few
Index(
    "ix_audit_events_reason",
    audit_events.c.occurred_time,
    audit_events.c.audit_id,
    postgresql_where=audit_events.c.reason.is_not(None),
)
Index("uq_audit_events_position", audit_events.c.position, unique=True)
Index(
    "ix_audit_events_unchained",
    audit_events.c.occurred_time,
    audit_events.c.audit_id,
    postgresql_where=audit_events.c.position.is_(None),
)

audit_heads = Table(
    "audit_heads",
    metadata,
    # one row, which the sequencer alone moves: how long the chain is, and how many checkpoints
    Column("head_id", SmallInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
    Column("chain_hash", LargeBinary, nullable=False),
    Column("checkpoints", BigInteger, nullable=False),
    Column("begin_time", DateTime(timezone=True), nullable=False),
    Column("seal", LargeBinary, nullable=False),
    CheckConstraint("head_id = 1", name="one"),
)

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("checkpoint_number", BigInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
    Column("chain_hash", LargeBinary, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    # Ed25519, of the line that is exported
    Column("signature", LargeBinary, nullable=False),
)

audit_segments = Table(
    "audit_segments",
    metadata,
    # each begins after a break of the chain that was looked at; the first has no row
    Column("segment_number", BigInteger, primary_key=True, autoincrement=False),
    Column("begin_position", BigInteger, nullable=False),
    # how many there were before
    Column("checkpoints", BigInteger, nullable=False),
    # what was wrong, who has resumed the chain, and why
    Column("fault", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    # Ed25519, of all of it
    Column("signature", LargeBinary, nullable=False),
)
