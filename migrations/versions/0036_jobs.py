"""Jobs have runs under way, pauses, and a history"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "last_run_id": sa.Uuid(),
    "last_start_time": TIME,
    "last_end_time": TIME,
    "last_outcome": sa.Text(),
    "last_error": sa.Text(),
    "last_worker": sa.Text(),
    "last_items": sa.BigInteger(),
    "run_id": sa.Uuid(),
    "worker": sa.Text(),
    "start_time": TIME,
    "beat_time": TIME,
    "items": sa.BigInteger(),
    "run_asked_by": sa.Text(),
    "asked_run_id": sa.Uuid(),
    "asked_by": sa.Text(),
    "asked_time": TIME,
    "paused_by": sa.Text(),
    "paused_time": TIME,
    "pause_comment": sa.Text(),
}
CHECKS = {
    "run_beats": "(run_id IS NULL) = (beat_time IS NULL)",
    "pause": "(paused_by IS NULL) = (paused_time IS NULL)",
    "asked": "(asked_by IS NULL) = (asked_run_id IS NULL)",
}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name, kind in COLUMNS.items():
        op.add_column("job_runs", sa.Column(name, kind))
    # a job that is paused, or asked for, before it ever ran; a former server reads NULL as never
    op.alter_column("job_runs", "run_time", nullable=True)
    for name, condition in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_job_runs_{name}"), "job_runs", condition)
    op.create_table(
        "job_history",
        sa.Column("run_id", sa.Uuid, nullable=False),
        sa.Column("job_name", sa.Text, nullable=False),
        sa.Column("start_time", TIME, nullable=False),
        sa.Column("end_time", TIME, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("items", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("asked_by", sa.Text),
        sa.PrimaryKeyConstraint("run_id", name="pk_job_history"),
        sa.CheckConstraint(
            "outcome IN ('DONE', 'FAILED', 'STOPPED', 'LOST')", name=op.f("ck_job_history_outcome")
        ),
    )
    op.create_index("ix_job_history_job", "job_history", ["job_name", "start_time", "run_id"])
    op.create_index("ix_job_history_start", "job_history", ["start_time", "run_id"])
    op.create_index("ix_job_history_end", "job_history", ["end_time"])


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("job_history")
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_job_runs_{name}"), "job_runs")
    op.execute("DELETE FROM job_runs WHERE run_time IS NULL")
    op.alter_column("job_runs", "run_time", nullable=False)
    for name in reversed(COLUMNS):
        op.drop_column("job_runs", name)
