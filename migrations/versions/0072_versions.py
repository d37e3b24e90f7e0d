"""What is set whole has a version too: departures, examples, webhook endpoints, preferences"""

import sqlalchemy as sa
from alembic import op

revision = "0072"
down_revision = "0071"
branch_labels = None
depends_on = None

# what is there of the last two was set at least once; 1 is that of what never was
FIRST = {
    "departures": "1",
    "webhook_endpoints": "1",
    "product_examples": "2",
    "notification_preferences": "2",
}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, first in FIRST.items():
        column = sa.Column("version", sa.Integer(), nullable=False, server_default=first)
        op.add_column(table, column)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in FIRST:
        op.drop_column(table, "version")
