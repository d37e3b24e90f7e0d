"""Orders are completed in place: the index of holds that may expire does not name the state"""

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None

NOT_LEFT = "hold_expire_time IS NOT NULL AND pay_time IS NULL AND cancel_reason IS NULL"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _replace_check(f"state <> 'PENDING' OR {NOT_LEFT}")
    op.create_index(
        "ix_orders_pending_hold", "orders", ["hold_expire_time"], postgresql_where=sa.text(NOT_LEFT)
    )
    op.drop_index("ix_orders_hold_expire_time", "orders")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index(
        "ix_orders_hold_expire_time",
        "orders",
        ["hold_expire_time"],
        postgresql_where=sa.text("state = 'PENDING'"),
    )
    op.drop_index("ix_orders_pending_hold", "orders")
    _replace_check("state <> 'PENDING' OR hold_expire_time IS NOT NULL")


def _replace_check(condition: str) -> None:
    op.drop_constraint("ck_orders_hold_of_pending", "orders")
    op.create_check_constraint(op.f("ck_orders_hold_of_pending"), "orders", condition)
