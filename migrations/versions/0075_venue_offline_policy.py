"""A venue may have a policy of its own for its terminals without network; none: the merchant's"""

import sqlalchemy as sa
from alembic import op

revision = "0075"
down_revision = "0074"
branch_labels = None
depends_on = None

NUMBERS = "offline_pack_seconds", "offline_clock_seconds"
FLAGS = "offline_over_admission", "offline_bears_refunds"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in NUMBERS:
        op.add_column("venues", sa.Column(name, sa.Integer()))
    for name in FLAGS:
        op.add_column("venues", sa.Column(name, sa.Boolean()))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in (*NUMBERS, *FLAGS):
        op.drop_column("venues", name)
