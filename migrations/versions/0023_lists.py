"""Lists of partners' batches in the order of their tickets, and of orders by payment reference"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
BATCHES, ORDERS = "ix_batches_partner_id", "ix_orders_payment_reference"


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.create_index(BATCHES, "batches", ["partner_id", "first_ticket_id"])
    op.create_index(
        ORDERS,
        "orders",
        ["partner_id", "payment_reference", "order_id"],
        postgresql_where=sa.text("partner_id > 0"),
    )


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_index(ORDERS, "orders")
    op.drop_index(BATCHES, "batches")
