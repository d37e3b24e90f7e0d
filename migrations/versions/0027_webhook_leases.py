"""Taking a webhook's delivery writes no index: a lease of its own, and room for it on the page

The log is read in the order of the events' ids, which is that of their times.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("webhook_deliveries", sa.Column("lease_time", sa.DateTime(timezone=True)))
    op.execute("ALTER TABLE webhook_deliveries SET (fillfactor = 60)")
    op.drop_index("ix_webhook_deliveries_log", "webhook_deliveries")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index(
        "ix_webhook_deliveries_log",
        "webhook_deliveries",
        ["partner_id", "endpoint_id", "create_time", "event_id"],
    )
    op.execute("ALTER TABLE webhook_deliveries RESET (fillfactor)")
    # what was taken is due when its lease is over
    op.execute(
        "UPDATE webhook_deliveries SET due_time = lease_time"
        " WHERE state = 'PENDING' AND lease_time > now()"
    )
    op.drop_column("webhook_deliveries", "lease_time")
