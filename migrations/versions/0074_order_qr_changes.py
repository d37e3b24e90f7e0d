"""An order says which transaction gave it another QR, for terminals' packs"""

import sqlalchemy as sa
from alembic import op

revision = "0074"
down_revision = "0073"
branch_labels = None
depends_on = None

INDEX = "ix_orders_qr_transaction_id"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("orders", sa.Column("qr_transaction_id", sa.BigInteger()))
    condition = sa.text("qr_transaction_id IS NOT NULL")
    op.create_index(INDEX, "orders", ["qr_transaction_id"], postgresql_where=condition)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index(INDEX, "orders")
    op.drop_column("orders", "qr_transaction_id")
