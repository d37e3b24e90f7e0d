"""Money: payments at WeChat, its notices, what did not fit, and the daily comparison with its
bill.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from server.platform.database import metadata

payments = Table(
    "payments",
    metadata,
    Column("order_id", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    # made of the order and the attempt: see rules.out_trade_no
    Column("out_trade_no", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    # the payer at WeChat
    Column("openid", Text, nullable=False),
    # empty until WeChat has answered
    Column("prepay_id", Text, nullable=False, server_default=""),
    Column("expire_time", DateTime(timezone=True), nullable=False),
    # WeChat's number; empty until it is paid
    Column("transaction_id", Text, nullable=False, server_default=""),
    Column("success_time", DateTime(timezone=True)),
    # given back of it, or being given back
    Column("refunded_minor", BigInteger, nullable=False, server_default="0"),
    # refunds of it that WeChat was asked for, each number one; it takes on rules.MOST_REFUNDS
    Column("refund_count", Integer, nullable=False, server_default="0"),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("state IN ('PENDING', 'SUCCEEDED', 'CLOSED')", name="state"),
    CheckConstraint("amount_minor > 0", name="amount_minor"),
    CheckConstraint(
        "refunded_minor BETWEEN 0 AND amount_minor AND (refunded_minor = 0 OR state = 'SUCCEEDED')",
        name="refunds_within_payment",
    ),
    CheckConstraint("(state = 'SUCCEEDED') = (success_time IS NOT NULL)", name="success_time"),
    CheckConstraint("refund_count BETWEEN 0 AND 50", name="refund_count"),
)
# for the daily comparison with the bill
Index(
    "ix_payments_success_time",
    payments.c.success_time,
    postgresql_where=payments.c.success_time.is_not(None),
)

notices = Table(
    "notices",
    metadata,
    # WeChat's id of it: the same notice, sent again, is one row
    Column("notice_id", Text, primary_key=True),
    Column("event_type", Text, nullable=False),
    # as it came
    Column("body", LargeBinary, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("receive_time", DateTime(timezone=True), nullable=False),
)

payment_incidents = Table(
    "payment_incidents",
    metadata,
    # what does not fit, for an administrator to look at
    Column("incident_id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    # our order, if it names one
    Column("order_id", BigInteger),
    # what was expected, and what came
    Column("facts", JSONB, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("resolve_time", DateTime(timezone=True)),
    Column("resolved_by", Text),
    Column("comment", Text),
    CheckConstraint("(resolve_time IS NULL) = (resolved_by IS NULL)", name="resolved"),
)
Index("ix_payment_incidents_time", payment_incidents.c.create_time, payment_incidents.c.incident_id)

reconciliations = Table(
    "reconciliations",
    metadata,
    # one comparison with WeChat's bill of a day
    Column("bill_date", Date, primary_key=True),
    Column("payment_count", Integer, nullable=False),
    Column("payment_minor", BigInteger, nullable=False),
    Column("refund_count", Integer, nullable=False),
    Column("refund_minor", BigInteger, nullable=False),
    Column("difference_count", Integer, nullable=False),
    Column("run_time", DateTime(timezone=True), nullable=False),
)

reconciliation_differences = Table(
    "reconciliation_differences",
    metadata,
    Column("bill_date", Date, primary_key=True),
    Column("difference_no", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("out_trade_no", Text, nullable=False),
    Column("out_refund_no", Text, nullable=False, server_default=""),
    # minor units; none where one side has nothing
    Column("ours_minor", BigInteger),
    Column("theirs_minor", BigInteger),
    Column("detail", Text, nullable=False),
)
