"""A merchant has a policy for its terminals without network; the defaults are what held before"""

import sqlalchemy as sa
from alembic import op

revision = "0071"
down_revision = "0070"
branch_labels = None
depends_on = None

COLUMNS = {
    "offline_pack_seconds": (sa.Integer(), "86400"),
    "offline_clock_seconds": (sa.Integer(), "120"),
    "offline_over_admission": (sa.Boolean(), "false"),
    "offline_bears_refunds": (sa.Boolean(), "false"),
}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name, (kind, default) in COLUMNS.items():
        column = sa.Column(name, kind, nullable=False, server_default=default)
        op.add_column("merchants", column)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in COLUMNS:
        op.drop_column("merchants", name)
