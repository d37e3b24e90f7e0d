"""Outside channels: their credentials, words and listings, what each was sent, and every call"""

import sqlalchemy as sa
from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.create_table(
        "channels",
        sa.Column("channel_code", sa.Text(), primary_key=True),
        sa.Column("vendor_code", sa.Text(), nullable=False),
        sa.Column("partner_id", sa.Integer(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("currency_code", sa.Text(), nullable=False),
        sa.Column("calls_per_minute", sa.Integer(), nullable=False),
        sa.Column("sealed_credentials", sa.LargeBinary(), nullable=False),
        sa.Column("credentials_version", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("create_time", MOMENT, nullable=False),
        sa.Column("update_time", MOMENT, nullable=False),
        sa.CheckConstraint("state IN ('ACTIVE', 'PAUSED', 'REVOKED')", name="state"),
        sa.CheckConstraint("calls_per_minute BETWEEN 1 AND 60000", name="calls_per_minute"),
    )
    _create_words_and_listings()
    _create_values()
    op.create_table(
        "channel_calls",
        sa.Column("channel_code", sa.Text(), primary_key=True),
        sa.Column("call_id", sa.Uuid(), primary_key=True),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("request_bytes", sa.Integer(), nullable=False),
        sa.Column("response_bytes", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("create_time", MOMENT, nullable=False),
    )
    op.create_index(
        "ix_channel_calls_create_time", "channel_calls", ["create_time"], postgresql_using="brin"
    )


def _channel() -> sa.Column[str]:
    return sa.Column(
        "channel_code", sa.Text(), sa.ForeignKey("channels.channel_code"), primary_key=True
    )


def _create_words_and_listings() -> None:
    op.create_table(
        "channel_words",
        _channel(),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("word", sa.Text(), primary_key=True),
        sa.Column("counterpart", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("create_time", MOMENT, nullable=False),
        sa.Column("update_time", MOMENT, nullable=False),
    )
    op.create_table(
        "channel_listings",
        _channel(),
        sa.Column("item_id", sa.Text(), primary_key=True),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("product_id", sa.Integer()),
        sa.Column("timetable_id", sa.Integer()),
        sa.Column("class_index", sa.Integer()),
        sa.Column("origin_index", sa.Integer()),
        sa.Column("destination_index", sa.Integer()),
        sa.Column("customer_type", sa.Text(), nullable=False),
        sa.Column("currency_code", sa.Text(), nullable=False),
        sa.Column("rate_millionths", sa.BigInteger(), nullable=False),
        sa.Column("markup_basis_points", sa.Integer(), nullable=False),
        sa.Column("threshold", sa.Integer(), nullable=False),
        sa.Column("days_ahead", sa.Integer(), nullable=False),
        sa.Column("create_time", MOMENT, nullable=False),
        sa.CheckConstraint(
            "(product_id IS NULL) <> (timetable_id IS NULL) AND (timetable_id IS NULL) ="
            " (class_index IS NULL) AND (timetable_id IS NULL) = (origin_index IS NULL)"
            " AND (timetable_id IS NULL) = (destination_index IS NULL)",
            name="subject",
        ),
        sa.CheckConstraint("rate_millionths > 0", name="rate"),
        sa.CheckConstraint("markup_basis_points BETWEEN -10000 AND 100000", name="markup"),
        sa.CheckConstraint("threshold BETWEEN 0 AND 1000", name="threshold"),
        sa.CheckConstraint("days_ahead BETWEEN 1 AND 365", name="days_ahead"),
    )


def _create_values() -> None:
    op.create_table(
        "channel_values",
        _channel(),
        sa.Column("what", sa.Text(), primary_key=True),
        sa.Column("item_id", sa.Text(), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("wanted", sa.BigInteger(), nullable=False),
        sa.Column("currency_code", sa.Text()),
        sa.Column("wanted_version", sa.BigInteger(), nullable=False),
        sa.Column("wanted_time", MOMENT, nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False, server_default="false"),
        sa.Column("stock_id", sa.BigInteger()),
        sa.Column("sent", sa.BigInteger()),
        sa.Column("sent_version", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("sent_time", MOMENT),
        sa.Column("fault", sa.Text(), nullable=False, server_default=""),
        sa.CheckConstraint("what IN ('PRICES', 'AVAILABILITY')", name="what"),
        sa.CheckConstraint("wanted >= 0", name="wanted"),
        sa.CheckConstraint("sent_version <= wanted_version", name="versions"),
        sa.CheckConstraint("(what = 'PRICES') = (currency_code IS NOT NULL)", name="currency"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "ix_channel_values_pending",
        "channel_values",
        ["channel_code", "what", sa.text("urgent DESC"), "wanted_time"],
        postgresql_where=sa.text("sent_version < wanted_version"),
    )


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    for table in ("calls", "values", "listings", "words"):
        op.drop_table(f"channel_{table}")
    op.drop_table("channels")
