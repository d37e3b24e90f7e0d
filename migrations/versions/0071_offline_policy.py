"""A merchant has a policy for its terminals without network; the defaults are what held before"""

import sqlalchemy as sa
from alembic import op

revision = "0071"
down_revision = "0070"
branch_labels = None
depends_on = None

NAMES = (
    "offline_pack_seconds",
    "offline_clock_seconds",
    "offline_over_admission",
    "offline_bears_refunds",
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name, default in zip(NAMES[:2], ("86400", "120"), strict=True):
        column = sa.Column(name, sa.Integer(), nullable=False, server_default=default)
        op.add_column("merchants", column)
    for name in NAMES[2:]:
        flag: sa.Column[bool] = sa.Column(
            name, sa.Boolean(), nullable=False, server_default="false"
        )
        op.add_column("merchants", flag)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in NAMES:
        op.drop_column("merchants", name)
