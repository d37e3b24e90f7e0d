"""A webhook of a ticket knows its batch, whose own comes first"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

NAME = "ix_webhook_deliveries_batch"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("webhook_deliveries", sa.Column("batch", sa.Text))
    op.create_index(
        NAME,
        "webhook_deliveries",
        ["partner_id", "endpoint_id", "batch", "sequence"],
        postgresql_where=sa.text("state = 'PENDING' AND batch IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index(NAME, "webhook_deliveries")
    op.drop_column("webhook_deliveries", "batch")
