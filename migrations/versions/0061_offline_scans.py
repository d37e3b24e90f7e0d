"""Scans that terminals have decided without network, and their verdicts"""

import sqlalchemy as sa
from alembic import op

revision = "0061"
down_revision = "0060"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "offline_scans",
        sa.Column("terminal_device_id", sa.Text(), nullable=False),
        sa.Column("scan_hash", sa.Text(), nullable=False),
        sa.Column("scan_id", sa.Text(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("previous_hash", sa.Text(), nullable=False),
        sa.Column("pack_version", sa.BigInteger(), nullable=False),
        sa.Column("scanned_time", sa.DateTime(timezone=True)),
        sa.Column("received_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("merchant_code", sa.Text(), nullable=False),
        sa.Column("venue_code", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("function_code", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("liable", sa.Text()),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("revoked_time", sa.DateTime(timezone=True)),
        sa.CheckConstraint("liable IN ('MERCHANT', 'PLATFORM')", name="liable"),
        sa.PrimaryKeyConstraint("terminal_device_id", "scan_hash"),
    )
    op.create_index("ix_offline_scans_counter", "offline_scans", ["terminal_device_id", "counter"])
    op.create_index(
        "ix_offline_scans_attention",
        "offline_scans",
        ["received_time", "terminal_device_id", "scan_hash"],
        postgresql_where=sa.text("verdict NOT IN ('ACCEPTED', 'RECORDED')"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("offline_scans")
