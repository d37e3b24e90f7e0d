"""Tasks know whose they are: those of a process that died are given back at once"""

import sqlalchemy as sa
from alembic import op

revision = "0064"
down_revision = "0063"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("outbox_tasks", sa.Column("holder", sa.Integer()))
    op.create_index(
        "ix_outbox_tasks_holder",
        "outbox_tasks",
        ["holder"],
        postgresql_where=sa.text("holder IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_outbox_tasks_holder", "outbox_tasks")
    op.drop_column("outbox_tasks", "holder")
