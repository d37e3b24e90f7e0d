"""Partners' distributors, and which batches are sold through each

Batches that were made for a distributor by its free text stay as they are: sold through it alone.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
LINE = (
    "cardinality(line) BETWEEN 1 AND 8 AND line[cardinality(line)] = distributor_id"
    " AND coalesce(line[cardinality(line) - 1], '') = parent_distributor_id"
)


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.create_table(
        "distributors",
        sa.Column("partner_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("distributor_id", sa.Text(), nullable=False),
        sa.Column("parent_distributor_id", sa.Text(), nullable=False),
        sa.Column("line", ARRAY(sa.Text()), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("commission_basis_points", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("partner_id", "distributor_id", name=op.f("pk_distributors")),
        sa.CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name=op.f("ck_distributors_state")),
        sa.CheckConstraint(
            "commission_basis_points BETWEEN 0 AND 10000", name=op.f("ck_distributors_commission")
        ),
        sa.CheckConstraint(LINE, name=op.f("ck_distributors_line")),
    )
    op.create_index(
        "ix_distributors_parent",
        "distributors",
        ["partner_id", "parent_distributor_id", "distributor_id"],
    )
    op.create_table(
        "distributor_batches",
        sa.Column("partner_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("distributor_id", sa.Text(), nullable=False),
        sa.Column("first_ticket_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("snapshot_id", sa.Uuid(), nullable=False),
        sa.Column("last_ticket_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "partner_id",
            "distributor_id",
            "first_ticket_id",
            "snapshot_id",
            name=op.f("pk_distributor_batches"),
        ),
        sa.CheckConstraint(
            "first_ticket_id <= last_ticket_id", name=op.f("ck_distributor_batches_range")
        ),
    )
    op.execute("""
        INSERT INTO distributor_batches
        SELECT partner_id, distributor_id, first_ticket_id, snapshot_id,
          first_ticket_id + quantity - 1
        FROM batches WHERE distributor_id <> ''
    """)
    op.drop_index("ix_batches_distributor", "batches")


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.create_index(
        "ix_batches_distributor", "batches", ["partner_id", "distributor_id", "first_ticket_id"]
    )
    op.drop_table("distributor_batches")
    op.drop_table("distributors")
