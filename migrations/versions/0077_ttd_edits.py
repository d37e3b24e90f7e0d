"""Orders of Ctrip's attractions channel may be refused and corrected, and have vouchers of changes"""

import sqlalchemy as sa
from alembic import op

revision = "0077"
down_revision = "0076"
branch_labels = None
depends_on = None

STATE, REFUSED = "ck_ttd_orders_state", "ck_ttd_orders_refused"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("ttd_orders", sa.Column("sealed_changed_vouchers", sa.LargeBinary()))
    op.drop_constraint(op.f(STATE), "ttd_orders")
    op.create_check_constraint(
        op.f(STATE),
        "ttd_orders",
        "state IN ('RECEIVED', 'REFUSED', 'HELD', 'SOLD', 'CANCELLED')",
    )
    op.create_check_constraint(
        op.f(REFUSED), "ttd_orders", "state <> 'REFUSED' OR supplier_order_id = ''"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_constraint(op.f(REFUSED), "ttd_orders")
    op.execute("UPDATE ttd_orders SET state = 'RECEIVED' WHERE state = 'REFUSED'")
    op.drop_constraint(op.f(STATE), "ttd_orders")
    op.create_check_constraint(
        op.f(STATE), "ttd_orders", "state IN ('RECEIVED', 'HELD', 'SOLD', 'CANCELLED')"
    )
    op.drop_column("ttd_orders", "sealed_changed_vouchers")
