"""Lists of a partner's reservations by product and by state"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
INDEXES = {"product_id": "ix_reservations_product_id", "state": "ix_reservations_state"}


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    for column, name in INDEXES.items():
        newest_first = sa.text("create_time DESC"), sa.text("reservation_id DESC")
        op.create_index(name, "reservations", ["partner_id", column, *newest_first])


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    for name in INDEXES.values():
        op.drop_index(name, "reservations")
