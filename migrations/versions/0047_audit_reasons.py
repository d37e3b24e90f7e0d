"""A part of an audit event's reason is looked for among those that have one"""

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index(
        "ix_audit_events_reason",
        "audit_events",
        ["occurred_time", "audit_id"],
        postgresql_where=sa.text("reason IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_audit_events_reason", "audit_events")
