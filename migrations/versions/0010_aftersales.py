"""A change knows the order that its chain of changes began with; what partners may differ from
their prices
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# each change up to the order its chain began with, and the item of that order
_BEGIN = """
WITH RECURSIVE chain AS (
  SELECT o.order_id, o.changes_order_id AS first_order_id, s.item_index AS first_item_index
  FROM orders o JOIN ticket_sales s ON s.ticket_id = o.changes_ticket_id
  JOIN orders f ON f.order_id = o.changes_order_id AND f.changes_order_id IS NULL
  UNION ALL
  SELECT o.order_id, c.first_order_id, c.first_item_index FROM orders o JOIN chain c ON c.order_id = o.changes_order_id)
UPDATE orders o SET first_order_id = c.first_order_id, first_item_index = c.first_item_index
FROM chain c WHERE o.order_id = c.order_id
"""
# a shared entitlement is valid as long as the latest of its item's tickets, changed ones included
_FOLLOW = """
WITH members AS (
  SELECT coalesce(o.first_order_id, o.order_id) AS order_id, coalesce(o.first_item_index, s.item_index) AS item_index,
    min(t.valid_from_time) AS valid_from_time, max(t.valid_until_time) AS valid_until_time
  FROM tickets t JOIN ticket_sales s USING (ticket_id) JOIN orders o ON o.order_id = s.order_id
  WHERE s.passenger_index >= 0 AND t.state NOT IN ('REFUNDED', 'CHANGED', 'VOIDED') GROUP BY 1, 2)
UPDATE tickets t SET valid_from_time = least(t.valid_from_time, m.valid_from_time), valid_until_time = m.valid_until_time
FROM ticket_sales s JOIN members m USING (order_id, item_index)
WHERE t.ticket_id = s.ticket_id AND s.passenger_index < 0 AND t.state NOT IN ('REFUNDED', 'EXPIRED')
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "partners",
        sa.Column(
            "activation_tolerance_basis_points", sa.Integer(), server_default="0", nullable=False
        ),
    )
    op.create_check_constraint(
        op.f("ck_partners_activation_tolerance"),
        "partners",
        "activation_tolerance_basis_points BETWEEN 0 AND 10000",
    )
    op.add_column("orders", sa.Column("first_order_id", sa.BigInteger(), nullable=True))
    op.add_column("orders", sa.Column("first_item_index", sa.SmallInteger(), nullable=True))
    op.execute(_BEGIN)
    op.execute(_FOLLOW)
    op.create_check_constraint(
        op.f("ck_orders_first_of_changes"),
        "orders",
        "(changes_order_id IS NULL) = (first_order_id IS NULL)"
        " AND (first_order_id IS NULL) = (first_item_index IS NULL)",
    )
    op.create_index(
        "ix_orders_first_order_id",
        "orders",
        ["first_order_id"],
        postgresql_where=sa.text("first_order_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_orders_first_order_id", table_name="orders")
    op.drop_constraint(op.f("ck_orders_first_of_changes"), "orders", type_="check")
    op.drop_column("orders", "first_item_index")
    op.drop_column("orders", "first_order_id")
    op.drop_constraint(op.f("ck_partners_activation_tolerance"), "partners", type_="check")
    op.drop_column("partners", "activation_tolerance_basis_points")
