"""The partners' distributors."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from server.platform.database import metadata

distributors = Table(
    "distributors",
    metadata,
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    Column("distributor_id", Text, primary_key=True),
    # empty: the partner itself
    Column("parent_distributor_id", Text, nullable=False),
    # from the first level below the partner to this one
    Column("line", ARRAY(Text), nullable=False),
    Column("display_name", Text, nullable=False),
    # of the gross, see commission.py
    Column("commission_basis_points", Integer, nullable=False),
    Column("state", Text, nullable=False),
    # counts the changes of the row
    Column("version", BigInteger, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name="state"),
    CheckConstraint("commission_basis_points BETWEEN 0 AND 10000", name="commission"),
    CheckConstraint(
        "cardinality(line) BETWEEN 1 AND 8 AND line[cardinality(line)] = distributor_id"
        " AND coalesce(line[cardinality(line) - 1], '') = parent_distributor_id",
        name="line",
    ),
)
Index(
    "ix_distributors_parent",
    distributors.c.partner_id,
    distributors.c.parent_distributor_id,
    distributors.c.distributor_id,
)
