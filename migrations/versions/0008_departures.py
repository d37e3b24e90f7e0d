"""departures"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
CANCEL_REASONS = "cancel_reason IN ('TRAVELLER', 'HOLD_EXPIRED', 'REFUNDED'{})"
CAUSES = "cause IN ('TRAVELLER', 'LATE_PAYMENT', 'CHANGE', 'ADMINISTRATOR'{})"
NEW = ", 'DEPARTURE_CANCELLED'"


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.add_column(
        "stocks", sa.Column("closed", sa.Boolean(), server_default="false", nullable=False)
    )
    op.execute(
        "UPDATE stocks s SET closed = true FROM departures d"
        " WHERE d.departure_id = s.departure_id AND d.state = 'CANCELLED'"
    )
    for name, kind in (
        ("planned_time", sa.DateTime(timezone=True)),
        ("cancel_time", sa.DateTime(timezone=True)),
        ("cancel_refunds", sa.Text()),
    ):
        op.add_column("departures", sa.Column(name, kind, nullable=True))
    op.create_check_constraint(
        op.f("ck_departures_cancel_refunds"),
        "departures",
        "cancel_refunds IN ('AT_ONCE', 'AFTER_CHOICE')",
    )
    op.create_check_constraint(
        op.f("ck_departures_cancelled"),
        "departures",
        "(cancel_time IS NULL) = (cancel_refunds IS NULL)"
        " AND (cancel_time IS NULL OR state = 'CANCELLED')",
    )
    op.create_index(
        "ix_ticket_sales_departure_id",
        "ticket_sales",
        ["departure_id", "order_id"],
        unique=False,
        postgresql_where=sa.text("departure_id IS NOT NULL"),
    )
    _constrain(NEW)


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.execute(
        "UPDATE orders SET cancel_reason = 'HOLD_EXPIRED' WHERE cancel_reason = 'DEPARTURE_CANCELLED'"
    )
    op.execute("UPDATE refunds SET cause = 'ADMINISTRATOR' WHERE cause = 'DEPARTURE_CANCELLED'")
    _constrain("")
    op.drop_index("ix_ticket_sales_departure_id", table_name="ticket_sales")
    for column in ("cancel_refunds", "cancel_time", "planned_time"):
        op.drop_column("departures", column)  # with its constraints
    op.drop_column("stocks", "closed")


def _constrain(more: str) -> None:
    """Puts up the new constraints without reading the whole tables under the lock, then has them
    read.
    """
    for table, name, condition in (
        ("orders", "cancel_reason", CANCEL_REASONS),
        ("refunds", "cause", CAUSES),
    ):
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
        op.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_{name}"
            f" CHECK ({condition.format(more)}) NOT VALID"
        )
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT ck_{table}_{name}")
