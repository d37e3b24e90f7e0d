"""The traveller's loop: catalogue, orders and holds, payments, refunds"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _create_tables()
    _extend_tables()


def _create_tables() -> None:
    op.create_table(
        "cities",
        sa.Column("city_code", sa.Text(), nullable=False),
        sa.Column("display_name_en", sa.Text(), nullable=False),
        sa.Column("display_name_zh", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("hot_rank", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("city_code", name=op.f("pk_cities")),
    )
    op.create_table(
        "holidays",
        sa.Column("calendar_code", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("day_type", sa.Text(), nullable=False),
        sa.Column("display_name_en", sa.Text(), nullable=False),
        sa.Column("display_name_zh", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "day_type IN ('weekday', 'weekend', 'holiday')", name=op.f("ck_holidays_day_type")
        ),
        sa.PrimaryKeyConstraint("calendar_code", "day", name=op.f("pk_holidays")),
    )
    op.create_table(
        "notices",
        sa.Column("notice_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("receive_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("notice_id", name=op.f("pk_notices")),
    )
    op.create_table(
        "order_events",
        sa.Column("order_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.Column("ticket_id", sa.BigInteger(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("occurred_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "sequence", name=op.f("pk_order_events")),
    )
    op.create_table(
        "payment_incidents",
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=True),
        sa.Column("facts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolve_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_by", sa.Text(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(resolve_time IS NULL) = (resolved_by IS NULL)",
            name=op.f("ck_payment_incidents_resolved"),
        ),
        sa.PrimaryKeyConstraint("incident_id", name=op.f("pk_payment_incidents")),
    )
    op.create_index(
        "ix_payment_incidents_time",
        "payment_incidents",
        ["create_time", "incident_id"],
        unique=False,
    )
    op.create_table(
        "payments",
        sa.Column("order_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("out_trade_no", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency_code", sa.Text(), nullable=False),
        sa.Column("openid", sa.Text(), nullable=False),
        sa.Column("prepay_id", sa.Text(), server_default="", nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("transaction_id", sa.Text(), server_default="", nullable=False),
        sa.Column("success_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refunded_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(state = 'SUCCEEDED') = (success_time IS NOT NULL)",
            name=op.f("ck_payments_success_time"),
        ),
        sa.CheckConstraint(
            "refunded_minor BETWEEN 0 AND amount_minor AND (refunded_minor = 0 OR state = 'SUCCEEDED')",
            name=op.f("ck_payments_refunds_within_payment"),
        ),
        sa.CheckConstraint(
            "state IN ('PENDING', 'SUCCEEDED', 'CLOSED')", name=op.f("ck_payments_state")
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_payments_amount_minor")),
        sa.PrimaryKeyConstraint("order_id", "attempt", name=op.f("pk_payments")),
    )
    op.create_index(
        "ix_payments_success_time",
        "payments",
        ["success_time"],
        unique=False,
        postgresql_where=sa.text("success_time IS NOT NULL"),
    )
    op.create_table(
        "promotions",
        sa.Column("promotion_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("display_name_en", sa.Text(), nullable=False),
        sa.Column("display_name_zh", sa.Text(), nullable=False),
        sa.Column("basis_points_off", sa.Integer(), nullable=False),
        sa.Column("amount_off_minor", sa.Integer(), nullable=False),
        sa.Column("begin_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("min_party", sa.Integer(), nullable=False),
        sa.Column("product_ids", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("stackable", sa.Boolean(), nullable=False),
        sa.Column("capped", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name=op.f("ck_promotions_state")),
        sa.CheckConstraint(
            "(basis_points_off = 0) <> (amount_off_minor = 0)",
            name=op.f("ck_promotions_one_discount"),
        ),
        sa.CheckConstraint(
            "basis_points_off BETWEEN 0 AND 10000 AND amount_off_minor >= 0",
            name=op.f("ck_promotions_discount"),
        ),
        sa.CheckConstraint("begin_time < end_time", name=op.f("ck_promotions_window")),
        sa.PrimaryKeyConstraint("promotion_id", name=op.f("pk_promotions")),
        sa.UniqueConstraint("code", name=op.f("uq_promotions_code")),
    )
    op.create_table(
        "reconciliation_differences",
        sa.Column("bill_date", sa.Date(), nullable=False),
        sa.Column("difference_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("out_trade_no", sa.Text(), nullable=False),
        sa.Column("out_refund_no", sa.Text(), server_default="", nullable=False),
        sa.Column("ours_minor", sa.BigInteger(), nullable=True),
        sa.Column("theirs_minor", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "bill_date", "difference_no", name=op.f("pk_reconciliation_differences")
        ),
    )
    op.create_table(
        "reconciliations",
        sa.Column("bill_date", sa.Date(), nullable=False),
        sa.Column("payment_count", sa.Integer(), nullable=False),
        sa.Column("payment_minor", sa.BigInteger(), nullable=False),
        sa.Column("refund_count", sa.Integer(), nullable=False),
        sa.Column("refund_minor", sa.BigInteger(), nullable=False),
        sa.Column("difference_count", sa.Integer(), nullable=False),
        sa.Column("run_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("bill_date", name=op.f("pk_reconciliations")),
    )
    op.create_table(
        "refund_parts",
        sa.Column("order_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("refund_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("part_no", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("payment_order_id", sa.BigInteger(), nullable=False),
        sa.Column("payment_attempt", sa.Integer(), nullable=False),
        sa.Column("out_refund_no", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("provider_refund_id", sa.Text(), server_default="", nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('PROCESSING', 'SUCCEEDED', 'CLOSED', 'ABNORMAL')",
            name=op.f("ck_refund_parts_state"),
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_refund_parts_amount_minor")),
        sa.PrimaryKeyConstraint("order_id", "refund_no", "part_no", name=op.f("pk_refund_parts")),
    )
    op.create_table(
        "refunds",
        sa.Column("order_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("refund_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("tickets", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency_code", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settle_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "cause IN ('TRAVELLER', 'LATE_PAYMENT', 'CHANGE', 'ADMINISTRATOR')",
            name=op.f("ck_refunds_cause"),
        ),
        sa.CheckConstraint(
            "state IN ('PROCESSING', 'SUCCEEDED', 'CLOSED', 'ABNORMAL')",
            name=op.f("ck_refunds_state"),
        ),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_refunds_amount_minor")),
        sa.PrimaryKeyConstraint("order_id", "refund_no", name=op.f("pk_refunds")),
    )
    op.create_index(
        "ix_refunds_create_time",
        "refunds",
        ["create_time", "order_id", "refund_no"],
        unique=False,
    )
    op.create_table(
        "taken_seats",
        sa.Column("stock_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seat_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stock_id", "seat_index", name=op.f("pk_taken_seats")),
    )
    op.create_table(
        "ticket_sales",
        sa.Column("ticket_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("item_index", sa.SmallInteger(), nullable=False),
        sa.Column("passenger_index", sa.SmallInteger(), nullable=False),
        sa.Column("stock_id", sa.BigInteger(), nullable=False),
        sa.Column("departure_id", sa.BigInteger(), nullable=True),
        sa.Column("seat_index", sa.Integer(), nullable=True),
        sa.Column("seat", sa.Text(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("reference_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changes_made", sa.SmallInteger(), nullable=False),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_ticket_sales_amount_minor")),
        sa.PrimaryKeyConstraint("ticket_id", name=op.f("pk_ticket_sales")),
    )
    op.create_table(
        "travel_guards",
        sa.Column("departure_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document_hash", sa.LargeBinary(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("departure_id", "document_hash", name=op.f("pk_travel_guards")),
    )
    op.create_table(
        "traveller_quotas",
        sa.Column("stock_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("traveller_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.CheckConstraint("quantity >= 0", name=op.f("ck_traveller_quotas_quantity")),
        sa.PrimaryKeyConstraint("stock_id", "traveller_id", name=op.f("pk_traveller_quotas")),
    )
    op.create_table(
        "routes",
        sa.Column("route_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("product_id", sa.Integer(), nullable=False),
        sa.Column("vehicle", sa.Text(), nullable=False),
        sa.Column("stops", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("fare_classes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("fares", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name=op.f("ck_routes_state")),
        sa.CheckConstraint("vehicle IN ('TRAIN', 'FERRY', 'BUS')", name=op.f("ck_routes_vehicle")),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.product_id"], name=op.f("fk_routes_product_id")
        ),
        sa.PrimaryKeyConstraint("route_id", name=op.f("pk_routes")),
    )
    op.create_table(
        "stops",
        sa.Column("stop_code", sa.Text(), nullable=False),
        sa.Column("city_code", sa.Text(), nullable=False),
        sa.Column("display_name_en", sa.Text(), nullable=False),
        sa.Column("display_name_zh", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["city_code"], ["cities.city_code"], name=op.f("fk_stops_city_code")
        ),
        sa.PrimaryKeyConstraint("stop_code", name=op.f("pk_stops")),
    )
    op.create_table(
        "timetables",
        sa.Column("timetable_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("route_id", sa.Integer(), nullable=False),
        sa.Column("service_number", sa.Text(), nullable=False),
        sa.Column("departure_clock", sa.Time(), nullable=False),
        sa.Column("weekdays", sa.SmallInteger(), nullable=False),
        sa.Column("first_date", sa.Date(), nullable=False),
        sa.Column("last_date", sa.Date(), nullable=False),
        sa.Column("seats", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("sale_days", sa.Integer(), nullable=False),
        sa.Column("closing_minutes", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name=op.f("ck_timetables_state")),
        sa.CheckConstraint("first_date <= last_date", name=op.f("ck_timetables_dates")),
        sa.CheckConstraint(
            "timetable_id BETWEEN 1 AND 1048575", name=op.f("ck_timetables_timetable_id_20_bits")
        ),
        sa.CheckConstraint("weekdays BETWEEN 0 AND 127", name=op.f("ck_timetables_weekdays")),
        sa.ForeignKeyConstraint(
            ["route_id"], ["routes.route_id"], name=op.f("fk_timetables_route_id")
        ),
        sa.PrimaryKeyConstraint("timetable_id", name=op.f("pk_timetables")),
    )
    op.create_table(
        "departures",
        sa.Column("departure_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("timetable_id", sa.Integer(), nullable=False),
        sa.Column("travel_date", sa.Date(), nullable=False),
        sa.Column("departure_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('SCHEDULED', 'CANCELLED')", name=op.f("ck_departures_state")),
        sa.ForeignKeyConstraint(
            ["timetable_id"], ["timetables.timetable_id"], name=op.f("fk_departures_timetable_id")
        ),
        sa.PrimaryKeyConstraint("departure_id", name=op.f("pk_departures")),
    )
    op.create_index("ix_departures_travel_date", "departures", ["travel_date"], unique=False)


def _extend_tables() -> None:
    op.add_column("orders", sa.Column("sequence", sa.Integer(), server_default="1", nullable=False))
    op.add_column("orders", sa.Column("traveller_id", sa.BigInteger(), nullable=True))
    op.add_column(
        "orders",
        sa.Column(
            "content", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
    )
    op.add_column("orders", sa.Column("passengers_sealed", sa.LargeBinary(), nullable=True))
    op.add_column(
        "orders", sa.Column("hold_expire_time", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("orders", sa.Column("pay_time", sa.DateTime(timezone=True), nullable=True))
    op.add_column("orders", sa.Column("cancel_reason", sa.Text(), nullable=True))
    op.add_column("orders", sa.Column("open_ticket_id", sa.BigInteger(), nullable=True))
    op.add_column("orders", sa.Column("changes_ticket_id", sa.BigInteger(), nullable=True))
    op.add_column("orders", sa.Column("changes_order_id", sa.BigInteger(), nullable=True))
    op.add_column(
        "orders", sa.Column("credit_minor", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.create_index(
        "ix_orders_hold_expire_time",
        "orders",
        ["hold_expire_time"],
        unique=False,
        postgresql_where=sa.text("state = 'PENDING'"),
    )
    op.create_index(
        "ix_orders_traveller_id",
        "orders",
        [
            "traveller_id",
            sa.literal_column("create_time DESC"),
            sa.literal_column("order_id DESC"),
        ],
        unique=False,
        postgresql_where=sa.text("traveller_id IS NOT NULL"),
    )
    op.add_column(
        "products",
        sa.Column(
            "tiers",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
    )
    op.add_column(
        "products",
        sa.Column(
            "policy",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
    )
    op.add_column(
        "products", sa.Column("max_per_traveller", sa.Integer(), server_default="9", nullable=False)
    )
    op.add_column("products", sa.Column("city_code", sa.Text(), nullable=True))
    op.add_column(
        "products", sa.Column("calendar_code", sa.Text(), server_default="HK", nullable=False)
    )
    op.add_column("stocks", sa.Column("departure_id", sa.BigInteger(), nullable=True))
    op.add_column("stocks", sa.Column("fare_class", sa.Text(), nullable=True))
    op.add_column("stocks", sa.Column("promotion_id", sa.Integer(), nullable=True))
    op.add_column("stocks", sa.Column("hold_seconds", sa.Integer(), nullable=True))
    op.alter_column("stocks", "product_id", existing_type=sa.INTEGER(), nullable=True)
    op.create_index(
        "ix_stocks_departure_id",
        "stocks",
        ["departure_id"],
        unique=False,
        postgresql_where=sa.text("departure_id IS NOT NULL"),
    )
    op.create_index(
        "ix_stocks_catalogue",
        "stocks",
        ["stock_id"],
        unique=False,
        postgresql_where=sa.text(
            "partner_id = 0 AND promotion_id IS NULL"
            " AND (departure_id IS NULL OR hold_seconds IS NOT NULL)"
        ),
    )
    op.drop_constraint(op.f("ck_stocks_stock_id_is_product_and_channel"), "stocks")
    op.create_check_constraint(
        op.f("ck_stocks_hold_seconds"), "stocks", "hold_seconds BETWEEN 1 AND 86400"
    )
    op.create_check_constraint(
        op.f("ck_stocks_stock_id_is_its_subject"),
        "stocks",
        "CASE WHEN departure_id IS NOT NULL"
        " THEN fare_class IS NOT NULL AND product_id IS NOT NULL AND promotion_id IS NULL"
        " AND stock_id & ~(15::bigint << 20) = (1::bigint << 62) + (departure_id << 24) + partner_id"
        " WHEN promotion_id IS NOT NULL"
        " THEN product_id IS NULL AND stock_id = (1::bigint << 61) + (promotion_id::bigint << 20)"
        " ELSE product_id IS NOT NULL AND stock_id = (product_id::bigint << 20) + partner_id END",
    )
    for name, condition in (
        ("credit_minor", "credit_minor BETWEEN 0 AND amount_minor"),
        ("content_of_travellers", "(traveller_id IS NULL) = (content IS NULL)"),
        ("hold_of_pending", "state <> 'PENDING' OR hold_expire_time IS NOT NULL"),
        ("cancel_reason", "cancel_reason IN ('TRAVELLER', 'HOLD_EXPIRED', 'REFUNDED')"),
    ):
        op.create_check_constraint(op.f(f"ck_orders_{name}"), "orders", condition)
    op.execute("ALTER TABLE stocks SET (fillfactor = 50)")
    op.execute("ALTER TABLE orders SET (fillfactor = 85)")


NEW_COLUMNS = {
    "orders": (
        "sequence",
        "traveller_id",
        "content",
        "passengers_sealed",
        "hold_expire_time",
        "pay_time",
        "cancel_reason",
        "open_ticket_id",
        "changes_ticket_id",
        "changes_order_id",
        "credit_minor",
    ),
    "products": ("tiers", "policy", "max_per_traveller", "city_code", "calendar_code"),
    "stocks": ("departure_id", "fare_class", "promotion_id", "hold_seconds"),
}
NEW_TABLES = (
    "departures",
    "timetables",
    "stops",
    "routes",
    "cities",
    "holidays",
    "promotions",
    "taken_seats",
    "travel_guards",
    "traveller_quotas",
    "order_events",
    "ticket_sales",
    "refunds",
    "refund_parts",
    "payments",
    "notices",
    "payment_incidents",
    "reconciliations",
    "reconciliation_differences",
)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DELETE FROM stocks WHERE departure_id IS NOT NULL OR promotion_id IS NOT NULL")
    for table, columns in NEW_COLUMNS.items():
        for column in columns:
            op.drop_column(table, column)  # with its constraints and indexes
    op.alter_column("stocks", "product_id", existing_type=sa.Integer(), nullable=False)
    op.create_check_constraint(
        op.f("ck_stocks_stock_id_is_product_and_channel"),
        "stocks",
        "stock_id = (product_id::bigint << 20) + partner_id",
    )
    op.execute("ALTER TABLE stocks RESET (fillfactor)")
    op.execute("ALTER TABLE orders RESET (fillfactor)")
    for table in NEW_TABLES:
        op.drop_table(table)
