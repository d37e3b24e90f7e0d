"""Allotments and drafts count their changes, so that who changes one may say which was read"""

import sqlalchemy as sa
from alembic import op

revision = "0066"
down_revision = "0065"
branch_labels = None
depends_on = None

COLUMNS = (("stocks", "allotment_version"), ("config_versions", "revision"))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, column in COLUMNS:
        op.add_column(table, sa.Column(column, sa.Integer, nullable=False, server_default="1"))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, column in COLUMNS:
        op.drop_column(table, column)
