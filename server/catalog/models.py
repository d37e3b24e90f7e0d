"""What is sold, and how much of it each sales channel has."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Integer,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from server.db import metadata

products = Table(
    "products",
    metadata,
    Column("product_id", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("display_name_en", Text, nullable=False),
    Column("display_name_zh", Text, nullable=False),
    Column("currency_code", Text, nullable=False),
    # a list of {customer_type, day_type, amount_minor}
    Column("fares", JSONB, nullable=False),
    # a list of {function_code, display_name_en/zh, total_uses, use_mode, guard_seconds}
    Column("entitlements", JSONB, nullable=False),
    Column("validity_days", Integer, nullable=False),
    Column("blackout_dates", ARRAY(Date), nullable=False),
    Column("state", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("kind IN ('TRANSPORT', 'PACKAGE', 'RENTAL')", name="kind"),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name="state"),
    CheckConstraint("validity_days > 0", name="validity_days"),
)

stocks = Table(
    "stocks",
    metadata,
    # product_id << 20 | partner_id: one allotment for each product and channel, stated by the key itself
    Column("stock_id", BigInteger, primary_key=True, autoincrement=False),
    Column("product_id", ForeignKey(products.c.product_id), nullable=False),
    # 0 is our own sales channel, DIRECT
    Column("partner_id", Integer, nullable=False, index=True),
    Column("total", Integer, nullable=False),
    Column("held", Integer, nullable=False, server_default="0"),
    Column("sold", Integer, nullable=False, server_default="0"),
    Column("update_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("held >= 0 AND sold >= 0 AND held + sold <= total", name="no_oversell"),
    CheckConstraint(
        "stock_id = (product_id::bigint << 20) + partner_id", name="stock_id_is_product_and_channel"
    ),
)
