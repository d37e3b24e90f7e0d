"""Orders."""

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Integer, Table, Text, Uuid

from server.db import metadata

orders = Table(
    "orders",
    metadata,
    Column("order_id", BigInteger, primary_key=True, autoincrement=False),
    Column("order_code", Text, nullable=False),
    # 0 is our own sales channel, DIRECT
    Column("partner_id", Integer, nullable=False),
    Column("state", Text, nullable=False),
    # id of the order's QR
    Column("jti", Uuid, nullable=False),
    Column("customer_type", Text, nullable=False),
    Column("customer_name", Text, nullable=False),
    Column("ticket_count", Integer, nullable=False),
    Column("payment_reference", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("state IN ('PENDING', 'PAID', 'COMPLETED', 'CANCELLED')", name="state"),
    CheckConstraint("amount_minor >= 0", name="amount_minor"),
)
