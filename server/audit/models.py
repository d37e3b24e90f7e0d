"""The table of the audit trail."""

from sqlalchemy import (
    Column,
    DateTime,
    Index,
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
)


Index("ix_audit_events_time", audit_events.c.occurred_time, audit_events.c.audit_id)


Index("ix_audit_events_name", audit_events.c.resource, audit_events.c.name)
