"""What the operator did to departures, and the tickets each concerned.

A ticket's row says what it was then; what became of it is read from the ticket, its refunds and its
changes (`disruption_reports.py`), so that both never differ.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
)

from server.platform.database import metadata

disruptions = Table(
    "disruptions",
    metadata,
    # in the order of time (RFC 9562, version 7)
    Column("disruption_id", Uuid, primary_key=True),
    Column("departure_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("waiver_code", Text, nullable=False),
    # of a cancellation
    Column("refunds", Text),
    # when it was to leave before, and does now, or would have
    Column("was_time", DateTime(timezone=True), nullable=False),
    Column("departure_time", DateTime(timezone=True), nullable=False),
    # on which preview it was decided; empty if on none
    Column("preview_id", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    # what waited for payment, and what partners had reserved, then
    Column("order_ids", ARRAY(BigInteger), nullable=False),
    Column("reservation_ids", ARRAY(Uuid), nullable=False),
    CheckConstraint("kind IN ('CANCELLED', 'MOVED')", name="kind"),
    CheckConstraint("(kind = 'CANCELLED') = (refunds IS NOT NULL)", name="refunds"),
)
Index("ix_disruptions_departure_id", disruptions.c.departure_id, disruptions.c.disruption_id)

disruption_tickets = Table(
    "disruption_tickets",
    metadata,
    Column("disruption_id", Uuid, primary_key=True),
    Column("ticket_id", BigInteger, primary_key=True, autoincrement=False),
    Column("ticket_code", Text, nullable=False),
    # none of a partner's that was not sold
    Column("order_id", BigInteger),
    # 0 is our own channel
    Column("partner_id", Integer, nullable=False),
    # as it was then
    Column("was_state", Text, nullable=False),
    Column("was_blocked", Boolean, nullable=False),
    Column("was_reference_time", DateTime(timezone=True), nullable=False),
    # paid for it; of a partner's what its ledger had then
    Column("paid_minor", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    # why its order could not follow at the last attempt
    Column("failure", Text),
)
