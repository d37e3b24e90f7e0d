"""Outbox"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outbox_tasks",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("again_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('OPEN', 'DONE', 'DEAD')", name=op.f("ck_outbox_tasks_state")),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_outbox_tasks_attempts")),
        sa.CheckConstraint(
            "lease_until IS NULL OR state = 'OPEN'", name=op.f("ck_outbox_tasks_lease_of_open")
        ),
        sa.CheckConstraint(
            "again_time IS NULL OR lease_until IS NOT NULL",
            name=op.f("ck_outbox_tasks_again_while_leased"),
        ),
        sa.CheckConstraint(
            "state <> 'DEAD' OR last_error IS NOT NULL",
            name=op.f("ck_outbox_tasks_death_has_reason"),
        ),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_outbox_tasks")),
    )
    for name, columns, state in (
        ("ix_outbox_tasks_due", ["kind", "due_time"], "OPEN"),
        ("ix_outbox_tasks_dead", ["update_time", "task_id"], "DEAD"),
        ("ix_outbox_tasks_done", ["update_time"], "DONE"),
    ):
        where = sa.text(f"state = '{state}'")
        op.create_index(name, "outbox_tasks", columns, postgresql_where=where)
    op.create_index(
        "uq_outbox_tasks_open",
        "outbox_tasks",
        ["kind", "key"],
        unique=True,
        postgresql_where=sa.text("state = 'OPEN'"),
    )


def downgrade() -> None:
    op.drop_table("outbox_tasks")
