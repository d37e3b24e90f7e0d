"""What reports are read from beside the rooms' own tables: sums of sales, and counts of states."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Integer,
    Table,
    Text,
)

from server.platform.database import metadata

# What happened to orders and tickets in an hour of the platform's time zone; sandboxes left out.
# See sales_sums.py.
sales_sums = Table(
    "sales_sums",
    metadata,
    Column("begin_time", DateTime(timezone=True), primary_key=True),
    Column("kind", Text, primary_key=True),
    # 0 is our own sales channel
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    # 0: of whole orders
    Column("product_id", Integer, primary_key=True, autoincrement=False),
    # empty where orders that end are counted
    Column("currency_code", Text, primary_key=True),
    Column("items", BigInteger, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    CheckConstraint(
        "kind IN ('MADE', 'PAID', 'CANCELLED', 'COMPLETED', 'SOLD', 'CHANGED', 'REFUNDED')",
        name="kind",
    ),
)

# One row: all that happened before its time is in the sums, and nothing since.
sales_sums_mark = Table(
    "sales_sums_mark",
    metadata,
    Column("name", Text, primary_key=True),
    Column("until_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("name = 'sales'", name="one"),
)

# How many tickets and orders were in each state when a job last counted them.
state_counts = Table(
    "state_counts",
    metadata,
    Column("noun", Text, primary_key=True),
    Column("state", Text, primary_key=True),
    Column("items", BigInteger, nullable=False),
    Column("count_time", DateTime(timezone=True), nullable=False),
    # how long it took to count all of the noun
    Column("seconds", Double, nullable=False),
    CheckConstraint("noun IN ('TICKET', 'ORDER')", name="noun"),
)
