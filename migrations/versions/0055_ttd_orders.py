"""Orders that Ctrip's attractions channel makes at our door"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "ttd_orders",
        sa.Column("channel_code", sa.Text(), nullable=False),
        sa.Column("ota_order_id", sa.Text(), nullable=False),
        sa.Column("sequence_id", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_content", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("is_direct", sa.Boolean(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default="1", nullable=False),
        sa.Column("supplier_order_id", sa.Text(), server_default="", nullable=False),
        sa.Column("left_then", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.Column("item_ids", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.Column("sealed_voucher", sa.LargeBinary(), nullable=True),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("noted_used", sa.Integer(), server_default="0", nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('RECEIVED', 'HELD', 'SOLD', 'CANCELLED')", name=op.f("ck_ttd_orders_state")
        ),
        sa.CheckConstraint(
            "state NOT IN ('HELD', 'SOLD') OR order_id IS NOT NULL",
            name=op.f("ck_ttd_orders_order"),
        ),
        sa.CheckConstraint(
            "state <> 'SOLD' OR sealed_voucher IS NOT NULL", name=op.f("ck_ttd_orders_sold")
        ),
        sa.CheckConstraint("noted_used >= 0", name=op.f("ck_ttd_orders_noted_used")),
        sa.ForeignKeyConstraint(
            ["channel_code"],
            ["channels.channel_code"],
            name=op.f("fk_ttd_orders_channel_code"),
        ),
        sa.PrimaryKeyConstraint("channel_code", "ota_order_id", name=op.f("pk_ttd_orders")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "uq_ttd_orders_sequence_id", "ttd_orders", ["channel_code", "sequence_id"], unique=True
    )
    op.create_index("uq_ttd_orders_order_id", "ttd_orders", ["order_id"], unique=True)
    op.create_index(
        "ix_ttd_orders_sold",
        "ttd_orders",
        ["channel_code", "last_day"],
        postgresql_where=sa.text("state = 'SOLD'"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("ttd_orders")
