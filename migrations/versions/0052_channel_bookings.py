"""Bookings of outside channels, which become orders that are paid on account; rentals are listed"""

import sqlalchemy as sa
from alembic import op

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
MOMENT = sa.DateTime(timezone=True)
SUBJECT = (
    "(product_id IS NULL) <> (timetable_id IS NULL) AND (timetable_id IS NULL) ="
    " (class_index IS NULL) AND (timetable_id IS NULL) = (origin_index IS NULL)"
    " AND (timetable_id IS NULL) = (destination_index IS NULL)"
)


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.add_column("channel_listings", sa.Column("rental_location_id", sa.Integer()))
    op.drop_constraint(op.f("ck_channel_listings_subject"), "channel_listings")
    op.create_check_constraint(
        op.f("ck_channel_listings_subject"),
        "channel_listings",
        f"{SUBJECT} AND (rental_location_id IS NULL OR product_id IS NOT NULL)",
    )
    op.add_column("channel_values", sa.Column("sent_before", sa.BigInteger()))
    _create_bookings()
    op.create_table(
        "channel_fetches",
        _channel(),
        sa.Column("until_time", MOMENT, nullable=False),
    )


def _channel() -> sa.Column[str]:
    return sa.Column(
        "channel_code", sa.Text(), sa.ForeignKey("channels.channel_code"), primary_key=True
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def _create_bookings() -> None:
    op.create_table(
        "channel_bookings",
        _channel(),
        sa.Column("booking_id", sa.Text(), primary_key=True),
        sa.Column("state", sa.Text(), nullable=False),
        _text("vendor_state"),
        sa.Column("sealed_content", sa.LargeBinary()),
        sa.Column("content_hash", sa.LargeBinary()),
        _text("item_id"),
        sa.Column("pickup_day", sa.Date()),
        sa.Column("return_day", sa.Date()),
        sa.Column("total_minor", sa.BigInteger(), nullable=False, server_default="0"),
        _text("currency_code"),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("order_id", sa.BigInteger()),
        sa.Column("attempt", sa.Integer(), nullable=False, server_default="1"),
        _text("confirmation_number"),
        sa.Column("is_asked", sa.Boolean(), nullable=False, server_default="false"),
        sa.Column("confirm_time", MOMENT),
        _text("cancel_reason"),
        _text("cancel_comment"),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False, server_default="0"),
        _text("fault"),
        sa.Column("create_time", MOMENT, nullable=False),
        sa.Column("update_time", MOMENT, nullable=False),
        sa.CheckConstraint(
            "state IN ('UNREADABLE', 'RECEIVED', 'RESERVED', 'CONFIRM_PENDING', 'CONFIRMED',"
            " 'REJECT_PENDING', 'REJECTED', 'CANCEL_PENDING', 'CANCELLED')",
            name="state",
        ),
        sa.CheckConstraint("(state = 'UNREADABLE') = (sealed_content IS NULL)", name="readable"),
        sa.CheckConstraint(
            "state NOT IN ('RESERVED', 'CONFIRM_PENDING', 'CONFIRMED', 'CANCEL_PENDING')"
            " OR order_id IS NOT NULL",
            name="order",
        ),
        sa.CheckConstraint("state <> 'CONFIRMED' OR confirm_time IS NOT NULL", name="confirmed"),
        sa.CheckConstraint("fee_minor BETWEEN 0 AND total_minor", name="fee"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "ix_channel_bookings_open",
        "channel_bookings",
        ["channel_code", "first_day"],
        postgresql_where=sa.text("state NOT IN ('REJECTED', 'CANCELLED')"),
    )
    op.create_index(
        "ix_channel_bookings_create_time",
        "channel_bookings",
        ["channel_code", "create_time", "booking_id"],
    )
    op.create_index(
        "uq_channel_bookings_order_id",
        "channel_bookings",
        ["channel_code", "order_id"],
        unique=True,
    )


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_table("channel_fetches")
    op.drop_table("channel_bookings")
    op.drop_column("channel_values", "sent_before")
    op.drop_constraint(op.f("ck_channel_listings_subject"), "channel_listings")
    op.create_check_constraint(op.f("ck_channel_listings_subject"), "channel_listings", SUBJECT)
    op.drop_column("channel_listings", "rental_location_id")
