"""A message that was given up knows whether its consent was given back"""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "notification_deliveries",
        sa.Column("consent_returned", sa.Boolean, nullable=False, server_default="false"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("notification_deliveries", "consent_returned")
