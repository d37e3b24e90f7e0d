"""Tables of refunds and the payments they are paid back from."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from server.platform.database import metadata

refunds = Table(
    "refunds",
    metadata,
    Column("order_id", BigInteger, primary_key=True, autoincrement=False),
    Column("refund_no", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("cause", Text, nullable=False),
    # a list of {ticket_id, paid_minor, amount_minor, fee_minor, percent, rule, facts, state
    # (before)}
    Column("tickets", JSONB, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("settle_time", DateTime(timezone=True)),
    CheckConstraint("state IN ('PROCESSING', 'SUCCEEDED', 'CLOSED', 'ABNORMAL')", name="state"),
    CheckConstraint(
        "cause IN ('TRAVELLER', 'LATE_PAYMENT', 'CHANGE', 'ADMINISTRATOR', 'DEPARTURE_CANCELLED')",
        name="cause",
    ),
    CheckConstraint("amount_minor >= 0", name="amount_minor"),
)


# for the administrators' list, and the daily comparison with the bill
Index("ix_refunds_create_time", refunds.c.create_time, refunds.c.order_id, refunds.c.refund_no)
# for reports, of what is not summed yet
Index(
    "ix_refunds_settle_time",
    refunds.c.settle_time,
    postgresql_where=refunds.c.settle_time.is_not(None),
)


refund_parts = Table(
    "refund_parts",
    metadata,
    # what a refund gives back of one payment: WeChat's refund
    Column("order_id", BigInteger, primary_key=True, autoincrement=False),
    Column("refund_no", Integer, primary_key=True, autoincrement=False),
    Column("part_no", SmallInteger, primary_key=True, autoincrement=False),
    Column("payment_order_id", BigInteger, nullable=False),
    Column("payment_attempt", Integer, nullable=False),
    # one stable number until it settles: see rules.out_refund_no
    Column("out_refund_no", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    # how many numbers WeChat was asked under, each of which counts against what it takes on of a
    # payment
    Column("asked_count", SmallInteger, nullable=False, server_default="0"),
    # WeChat's number; empty until WeChat has answered. This and what follows is of the number used
    # last
    Column("provider_refund_id", Text, nullable=False, server_default=""),
    # what WeChat said last, in our words; empty until it has answered
    Column("provider_state", Text, nullable=False, server_default=""),
    # when WeChat took it on, by which its bill counts it, and when it had given it back
    Column("provider_create_time", DateTime(timezone=True)),
    Column("provider_success_time", DateTime(timezone=True)),
    # where an abnormal refund was sent instead, and which request of an administrator's asked for
    # it; else empty
    Column("abnormal_account", Text, nullable=False, server_default=""),
    Column("abnormal_request", Text, nullable=False, server_default=""),
    Column("update_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("state IN ('PROCESSING', 'SUCCEEDED', 'CLOSED', 'ABNORMAL')", name="state"),
    CheckConstraint(
        "provider_state IN ('', 'PROCESSING', 'SUCCEEDED', 'CLOSED', 'ABNORMAL')",
        name="provider_state",
    ),
    CheckConstraint(
        "abnormal_account IN ('', 'USER_BANK_CARD', 'MERCHANT_BANK_CARD')", name="abnormal_account"
    ),
    CheckConstraint("amount_minor > 0", name="amount_minor"),
    CheckConstraint("asked_count >= 0", name="asked_count"),
)


# for the daily comparison with the bill, and for whoever looks that somebody is at each
Index(
    "ix_refund_parts_provider_create_time",
    refund_parts.c.provider_create_time,
    postgresql_where=refund_parts.c.provider_create_time.is_not(None),
)


Index(
    "ix_refund_parts_processing",
    refund_parts.c.update_time,
    postgresql_where=refund_parts.c.state == "PROCESSING",
)
