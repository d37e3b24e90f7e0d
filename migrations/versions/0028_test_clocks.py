"""Test clocks of sandboxes, and reminders of partners' tickets before they expire."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.create_table(
        "sandbox_clocks",
        sa.Column("partner_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ahead_microseconds", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("standing_time", TIME, nullable=True),
        sa.CheckConstraint("ahead_microseconds >= 0", name="ahead"),
        sa.PrimaryKeyConstraint("partner_id", name="pk_sandbox_clocks"),
    )
    op.execute(
        "INSERT INTO sandbox_clocks (partner_id)"
        " SELECT partner_id FROM partners WHERE sandbox_of IS NOT NULL"
    )
    op.create_table(
        "sandbox_advances",
        sa.Column("partner_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("target_time", TIME, nullable=False),
        sa.Column("from_time", TIME, nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("step_time", TIME, nullable=False),
        sa.Column("finish_time", TIME, nullable=True),
        sa.Column("steps", sa.Integer(), server_default="0", nullable=False),
        sa.Column("events", postgresql.JSONB(), nullable=True),
        sa.CheckConstraint("from_time < target_time", name="forward"),
        sa.CheckConstraint("(finish_time IS NULL) = (events IS NULL)", name="finished"),
        sa.PrimaryKeyConstraint("partner_id", "target_time", name="pk_sandbox_advances"),
    )
    op.create_table(
        "ticket_reminders",
        sa.Column("partner_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("until_time", TIME, nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partner_id", name="pk_ticket_reminders"),
    )
    # of no ticket that there is at an upgrade from a server without sandboxes
    op.create_index(
        "ix_tickets_sandbox_expiry",
        "tickets",
        ["partner_id", "valid_until_time", "ticket_id"],
        postgresql_where=sa.text("expiry_pending AND partner_id >= 524288"),
    )


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_index("ix_tickets_sandbox_expiry", "tickets")
    op.drop_table("ticket_reminders")
    op.drop_table("sandbox_advances")
    op.drop_table("sandbox_clocks")
