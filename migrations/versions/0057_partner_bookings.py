"""Bookings of partners: what is held and sold under one id of the partner's own"""

import sqlalchemy as sa
from alembic import op

revision = "0057"
down_revision = "0056"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "partner_bookings",
        sa.Column("partner_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("booking_id", sa.Uuid, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("confirm_hash", sa.LargeBinary),
        sa.Column("reservation_id", sa.Uuid, nullable=False),
        sa.Column("first_ticket_id", sa.BigInteger, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("product_id", sa.Integer, nullable=False),
        sa.Column("option_id", sa.Text, nullable=False),
        sa.Column("slot_id", sa.Text, nullable=False),
        sa.Column("travel_date", sa.Date, nullable=False),
        sa.Column("reseller_reference", sa.Text, nullable=False, server_default=""),
        sa.Column("order_code", sa.Text, nullable=False, server_default=""),
        sa.Column("sealed_content", sa.LargeBinary, nullable=False),
        sa.Column("cancel_reason", sa.Text, nullable=False, server_default=""),
        sa.Column("refund_minor", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirm_time", sa.DateTime(timezone=True)),
        sa.Column("cancel_time", sa.DateTime(timezone=True)),
        sa.CheckConstraint("state IN ('HELD', 'CONFIRMED', 'CANCELLED')", name="state"),
        sa.CheckConstraint("quantity > 0", name="quantity"),
        sa.CheckConstraint("state <> 'CONFIRMED' OR confirm_time IS NOT NULL", name="confirmed"),
        sa.CheckConstraint("(confirm_time IS NULL) = (confirm_hash IS NULL)", name="confirm_hash"),
        sa.CheckConstraint("(state = 'CANCELLED') = (cancel_time IS NOT NULL)", name="cancelled"),
        sa.CheckConstraint("refund_minor >= 0", name="refund_minor"),
    )
    op.create_index(
        "ix_partner_bookings_reseller_reference",
        "partner_bookings",
        ["partner_id", "reseller_reference"],
        postgresql_where=sa.text("reseller_reference <> ''"),
    )
    op.create_index(
        "ix_partner_bookings_order_code",
        "partner_bookings",
        ["partner_id", "order_code"],
        postgresql_where=sa.text("order_code <> ''"),
    )
    op.create_index(
        "ix_partner_bookings_travel_date",
        "partner_bookings",
        ["partner_id", "travel_date", "booking_id"],
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("partner_bookings")
