"""Channels are kept in step at a cadence for each kind of data; full syncs report what differed"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0062"
down_revision = "0061"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("channel_listings", sa.Column("price_pace", sa.Text()))
    op.execute("""
        UPDATE channel_listings l SET price_pace = CASE c.vendor_code
          WHEN 'ctrip' THEN 'DAILY' WHEN 'ctrip_ttd' THEN 'DAILY' WHEN 'expedia' THEN 'FOUR_HOURLY'
          ELSE 'HOURLY' END
        FROM channels c WHERE c.channel_code = l.channel_code""")
    op.alter_column("channel_listings", "price_pace", nullable=False)
    op.create_check_constraint(
        op.f("ck_channel_listings_price_pace"),
        "channel_listings",
        "price_pace IN ('DAILY', 'FOUR_HOURLY', 'HOURLY', 'AT_ONCE')",
    )
    op.create_table(
        "channel_syncs",
        _channel(),
        sa.Column("part", sa.Text(), primary_key=True),
        sa.Column("asked_time", MOMENT, nullable=False),
        sa.Column("done_time", MOMENT),
    )
    op.create_table(
        "channel_differences",
        _channel(),
        sa.Column("sync_time", MOMENT, primary_key=True),
        sa.Column("what", sa.Text(), primary_key=True),
        sa.Column("item_id", sa.Text(), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("sent", sa.BigInteger()),
        sa.Column("sent_currency_code", sa.Text()),
        sa.Column("sent_content", postgresql.JSONB()),
        sa.Column("wanted", sa.BigInteger(), nullable=False),
        sa.Column("currency_code", sa.Text()),
        sa.Column("content", postgresql.JSONB()),
        sa.Column("version", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_channel_differences_sync_time", "channel_differences", ["sync_time"])


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("channel_differences")
    op.drop_table("channel_syncs")
    op.drop_column("channel_listings", "price_pace")


def _channel() -> sa.Column[str]:
    return sa.Column(
        "channel_code", sa.Text(), sa.ForeignKey("channels.channel_code"), primary_key=True
    )
