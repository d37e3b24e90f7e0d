"""What happens to partners' stock, batches and tickets, in order, how far each partner has read,
and where else it is sent.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
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

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    Column("endpoint_id", Uuid, primary_key=True),
    Column("url", Text, nullable=False),
    # all types of events if empty
    Column("types", ARRAY(Text), nullable=False),
    Column("description", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("disabled_reason", Text, nullable=False),
    # see webhook_secrets.py
    Column("encrypted_secret", LargeBinary, nullable=False),
    Column("encrypted_previous_secret", LargeBinary),
    Column("previous_secret_expire_time", DateTime(timezone=True)),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    # counts the changes of what the partner sets, and of its state
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("state IN ('ENABLED', 'DISABLED')", name="state"),
    CheckConstraint("(state = 'ENABLED') = (disabled_reason = '')", name="disabled_has_reason"),
    CheckConstraint(
        "(encrypted_previous_secret IS NULL) = (previous_secret_expire_time IS NULL)",
        name="previous_secret_expires",
    ),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    Column("endpoint_id", Uuid, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    # as the event has them; 0 is that of a test event, whose data are here
    Column("sequence", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("occurred_time", DateTime(timezone=True), nullable=False),
    Column("test_data", JSONB),
    Column("state", Text, nullable=False),
    # of a PENDING one
    Column("due_time", DateTime(timezone=True), nullable=False),
    # Until when it is its who has taken it to send it, for as long as that may take; also the proof
    # of having taken it. What a process that died had taken is taken again then. In no index.
    Column("lease_time", DateTime(timezone=True)),
    # since it was last asked for
    Column("attempts", Integer, nullable=False),
    # of a ticket's event the subject of its batch's, which comes first
    Column("batch", Text),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("state IN ('PENDING', 'DELIVERED', 'DEAD')", name="state"),
    CheckConstraint("attempts >= 0", name="attempts"),
    # room on each page for the rows that are taken
    postgresql_with={"fillfactor": 60},
)
_d = webhook_deliveries.c
Index(
    "ix_webhook_deliveries_due",
    _d.partner_id,
    _d.endpoint_id,
    _d.due_time,
    postgresql_where=_d.state == "PENDING",
)
Index(
    "ix_webhook_deliveries_batch",
    _d.partner_id,
    _d.endpoint_id,
    _d.batch,
    _d.sequence,
    postgresql_where=(_d.state == "PENDING") & _d.batch.is_not(None),
)
Index(
    "ix_webhook_deliveries_subject",
    _d.partner_id,
    _d.endpoint_id,
    _d.subject,
    _d.sequence,
    postgresql_where=_d.state == "PENDING",
)

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    Column("endpoint_id", Uuid, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("attempt_time", DateTime(timezone=True), primary_key=True),
    # 0: there was no answer
    Column("http_status", Integer, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("answer", Text, nullable=False),
)
