"""Partners reserve stock; allotments of one departure's class or one day, which return in time."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
SUBJECT = "ck_stocks_stock_id_is_its_subject"
DEPARTURES = (
    "departure_id IS NOT NULL THEN fare_class IS NOT NULL AND product_id IS NOT NULL AND"
    " promotion_id IS NULL {no_date}AND stock_id & ~(15::bigint << 20) = (1::bigint << 62) +"
    " (departure_id << 24) + partner_id"
)
PROMOTIONS = (
    "promotion_id IS NOT NULL THEN product_id IS NULL {no_date}AND stock_id = (1::bigint << 61) +"
    " (promotion_id::bigint << 20)"
)
DAYS = (
    "use_date IS NOT NULL THEN product_id IS NOT NULL AND product_id < 67108864 AND partner_id > 0"
    " AND stock_id = (1::bigint << 60) + (product_id::bigint << 34) + ((use_date - DATE"
    " '2020-01-01')::bigint << 20) + partner_id"
)
PRODUCTS = "ELSE product_id IS NOT NULL AND stock_id = (product_id::bigint << 20) + partner_id END"
NO_DATE = "AND use_date IS NULL "
NEW_SUBJECT = (
    f"CASE WHEN {DEPARTURES.format(no_date=NO_DATE)} WHEN {PROMOTIONS.format(no_date=NO_DATE)} WHEN"
    f" {DAYS} {PRODUCTS}"
)
OLD_SUBJECT = (
    f"CASE WHEN {DEPARTURES.format(no_date='')} WHEN {PROMOTIONS.format(no_date='')} {PRODUCTS}"
)
CHECKS = {
    "max_hold_seconds": "max_hold_seconds BETWEEN 1 AND 2592000",
    "release_days": "release_days BETWEEN 0 AND 365",
    "release_of_partners": "release_days IS NULL OR (partner_id > 0 AND (departure_id IS NOT NULL"
    " OR use_date IS NOT NULL))",
}
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    _create_reservations()
    op.add_column("tickets", sa.Column("reservation_id", sa.Uuid()))
    op.add_column("batches", sa.Column("reservation_id", sa.Uuid()))
    op.create_index(
        "ix_batches_reservation",
        "batches",
        ["reservation_id", "first_ticket_id"],
        postgresql_where=sa.text("reservation_id IS NOT NULL"),
    )
    op.add_column("stocks", sa.Column("use_date", sa.Date()))
    for name in ("max_hold_seconds", "release_days"):
        op.add_column("stocks", sa.Column(name, sa.Integer()))
    op.add_column("stocks", sa.Column("release_date", sa.Date()))
    op.drop_constraint(SUBJECT, "stocks")
    op.execute(f"ALTER TABLE stocks ADD CONSTRAINT {SUBJECT} CHECK ({NEW_SUBJECT})")
    for name, check in CHECKS.items():
        op.execute(f"ALTER TABLE stocks ADD CONSTRAINT ck_stocks_{name} CHECK ({check})")
    op.create_index(
        "ix_stocks_release_date",
        "stocks",
        ["release_date"],
        postgresql_where=sa.text("release_date IS NOT NULL"),
    )


def _create_reservations() -> None:
    op.create_table(
        "reservations",
        sa.Column("reservation_id", sa.Uuid(), nullable=False),
        sa.Column("partner_id", sa.Integer(), nullable=False),
        sa.Column("stock_id", sa.BigInteger(), nullable=False),
        sa.Column("product_id", sa.Integer(), nullable=False),
        sa.Column("departure_id", sa.BigInteger()),
        sa.Column("fare_class", sa.Text()),
        sa.Column("use_date", sa.Date()),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("generated", sa.Integer(), server_default="0", nullable=False),
        sa.Column("activated", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("expire_time", MOMENT, nullable=False),
        sa.Column("max_expire_time", MOMENT, nullable=False),
        sa.Column("warn_time", MOMENT),
        sa.Column("create_time", MOMENT, nullable=False),
        sa.Column("close_time", MOMENT),
        sa.Column("voids_pending", sa.Boolean(), server_default="false", nullable=False),
        sa.CheckConstraint(
            "state IN ('OPEN', 'COMPLETED', 'RELEASED', 'EXPIRED')",
            name=op.f("ck_reservations_state"),
        ),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_reservations_quantity")),
        sa.CheckConstraint(
            "activated >= 0 AND activated <= generated AND generated <= quantity",
            name=op.f("ck_reservations_parts"),
        ),
        sa.CheckConstraint(
            "(state = 'COMPLETED') = (activated = quantity)",
            name=op.f("ck_reservations_completed"),
        ),
        sa.CheckConstraint(
            "(state = 'OPEN') = (close_time IS NULL)", name=op.f("ck_reservations_closed")
        ),
        sa.CheckConstraint(
            "expire_time <= max_expire_time", name=op.f("ck_reservations_max_expire_time")
        ),
        sa.CheckConstraint(
            "NOT voids_pending OR state IN ('RELEASED', 'EXPIRED')",
            name=op.f("ck_reservations_voids_of_closed"),
        ),
        sa.PrimaryKeyConstraint("reservation_id", name=op.f("pk_reservations")),
    )
    newest_first = [sa.text("create_time DESC"), sa.text("reservation_id DESC")]
    op.create_index("ix_reservations_partner_id", "reservations", ["partner_id", *newest_first])
    for column, condition in (
        ("expire_time", "state = 'OPEN'"),
        ("warn_time", "warn_time IS NOT NULL"),
    ):
        op.create_index(
            f"ix_reservations_{column}",
            "reservations",
            [column],
            postgresql_where=sa.text(condition),
        )
    op.create_index(
        "ix_reservations_voids_pending",
        "reservations",
        ["reservation_id"],
        postgresql_where=sa.text("voids_pending"),
    )


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    # to the former server what there are tickets of is sold, and the rest free
    op.execute("""
UPDATE stocks s SET held = s.held - r.held, sold = s.sold + r.generated FROM (
  SELECT stock_id, sum(quantity - activated) AS held, sum(generated - activated) AS generated
  FROM reservations WHERE state = 'OPEN' GROUP BY stock_id) r
WHERE s.stock_id = r.stock_id
""")
    op.drop_index("ix_stocks_release_date", "stocks")
    for name in CHECKS:
        op.drop_constraint(f"ck_stocks_{name}", "stocks")
    # what the former server would not know: the allotments of single days
    op.execute("DELETE FROM stocks WHERE use_date IS NOT NULL")
    op.drop_constraint(SUBJECT, "stocks")
    op.execute(f"ALTER TABLE stocks ADD CONSTRAINT {SUBJECT} CHECK ({OLD_SUBJECT})")
    for name in ("release_date", "release_days", "max_hold_seconds", "use_date"):
        op.drop_column("stocks", name)
    op.drop_index("ix_batches_reservation", "batches")
    op.drop_column("batches", "reservation_id")
    op.drop_column("tickets", "reservation_id")
    op.drop_table("reservations")
