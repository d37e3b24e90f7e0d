"""Tickets whose validity is over are found by an index of those that are open"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.create_index(
        "ix_tickets_open_until",
        "tickets",
        ["valid_until_time", "ticket_id"],
        postgresql_where=sa.text("state IN ('ACTIVE', 'PARTIALLY_REDEEMED')"),
    )


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_index("ix_tickets_open_until", "tickets")
