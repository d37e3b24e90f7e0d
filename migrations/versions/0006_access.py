"""Access: rotations of QR codes counted on orders, failed log-ins by place, refresh tokens'
successors
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ROTATED = """
SELECT DISTINCT t.ticket_id, t.order_id FROM ticket_events e JOIN tickets t USING (ticket_id)
WHERE e.action = 'qr_rotated' AND t.order_id IS NOT NULL
"""

CHANGED = """
SELECT DISTINCT changes_order_id FROM orders
WHERE order_id = ANY(:ids) AND changes_order_id IS NOT NULL
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "orders",
        sa.Column("ticket_rotations", sa.Integer(), server_default="0", nullable=False),
    )
    op.add_column(
        "tickets", sa.Column("rotation", sa.Integer(), server_default="0", nullable=False)
    )
    _count_rotations_until_now()
    _count_failures_by_place()
    op.add_column("logins", sa.Column("former_refresh_hash", sa.LargeBinary(), nullable=True))
    op.add_column("logins", sa.Column("successor_sealed", sa.LargeBinary(), nullable=True))


def _count_rotations_until_now() -> None:
    """When an order's code was issued was not kept: those out there do not open a ticket that
    was rotated.
    """
    connection = op.get_bind()
    rows = connection.execute(sa.text(ROTATED)).all()
    orders = {row.order_id for row in rows}
    # and the orders that were changed into these, up to the first
    changed = orders
    while changed:
        found = connection.execute(sa.text(CHANGED), {"ids": sorted(changed)})
        changed = set(found.scalars()) - orders
        orders |= changed
    connection.execute(
        sa.text("UPDATE tickets SET rotation = 1 WHERE ticket_id = ANY(:ids)"),
        {"ids": sorted({row.ticket_id for row in rows})},
    )
    connection.execute(
        sa.text("UPDATE orders SET ticket_rotations = 1 WHERE order_id = ANY(:ids)"),
        {"ids": sorted(orders)},
    )


def _count_failures_by_place() -> None:
    """Failures of minutes: those until now, which no place is known of, are forgotten."""
    op.execute("LOCK TABLE login_failures")  # a log-in that fails meanwhile would have no place
    op.execute("DELETE FROM login_failures")
    op.add_column("login_failures", sa.Column("place_hash", sa.LargeBinary(), nullable=False))
    op.drop_constraint("pk_login_failures", "login_failures", type_="primary")
    op.create_primary_key(
        op.f("pk_login_failures"), "login_failures", ["username_hash", "place_hash"]
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("logins", "successor_sealed")
    op.drop_column("logins", "former_refresh_hash")
    op.execute("LOCK TABLE login_failures")
    op.execute("DELETE FROM login_failures")
    op.drop_constraint("pk_login_failures", "login_failures", type_="primary")
    op.drop_column("login_failures", "place_hash")
    op.create_primary_key(op.f("pk_login_failures"), "login_failures", ["username_hash"])
    op.drop_column("tickets", "rotation")
    op.drop_column("orders", "ticket_rotations")
