"""Cars are rented: categories, locations, extras and fleets, with a stock for each day"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
SUBJECT = "ck_stocks_stock_id_is_its_subject"
FLEETS = (
    "fleet_id IS NOT NULL THEN use_date IS NOT NULL AND product_id IS NOT NULL AND departure_id IS"
    " NULL AND promotion_id IS NULL AND fleet_id BETWEEN 1 AND 67108863 AND stock_id ="
    " (3::bigint << 61) + (fleet_id::bigint << 34) + ((use_date - DATE '2020-01-01')::bigint << 20)"
    " + partner_id WHEN "
)
OTHERS = (
    "departure_id IS NOT NULL THEN fare_class IS NOT NULL AND product_id IS NOT NULL AND"
    " promotion_id IS NULL AND use_date IS NULL AND stock_id & ~(15::bigint << 20) ="
    " (1::bigint << 62) + (departure_id << 24) + partner_id WHEN promotion_id IS NOT NULL THEN"
    " product_id IS NULL AND use_date IS NULL AND stock_id = (1::bigint << 61) +"
    " (promotion_id::bigint << 20) WHEN use_date IS NOT NULL THEN product_id IS NOT NULL AND"
    " product_id < 67108864 AND partner_id > 0 AND stock_id = (1::bigint << 60) +"
    " (product_id::bigint << 34) + ((use_date - DATE '2020-01-01')::bigint << 20) + partner_id"
    " ELSE product_id IS NOT NULL AND stock_id = (product_id::bigint << 20) + partner_id END"
)
OF_CATALOGUE = (
    "partner_id = 0 AND promotion_id IS NULL {no_fleet}AND (departure_id IS NULL OR hold_seconds IS"
    " NOT NULL)"
)
STATE = ("state", "state IN ('ACTIVE', 'ARCHIVED')")
PLACE = ("place", "(latitude_microdegrees IS NULL) = (longitude_microdegrees IS NULL)")


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    _create_car_categories()
    _create_locations()
    _create_extras()
    _create_fleets()
    op.add_column("stocks", sa.Column("fleet_id", sa.Integer()))
    _set_subject(f"CASE WHEN {FLEETS}{OTHERS}")
    _set_index("AND fleet_id IS NULL ")


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.execute("DELETE FROM stocks WHERE fleet_id IS NOT NULL")
    _set_index("")
    _set_subject(f"CASE WHEN {OTHERS}")
    op.drop_column("stocks", "fleet_id")
    for table in ("rental_fleets", "rental_extras", "rental_locations", "car_categories"):
        op.drop_table(table)


def _set_subject(check: str) -> None:
    op.drop_constraint(SUBJECT, "stocks")
    op.execute(f"ALTER TABLE stocks ADD CONSTRAINT {SUBJECT} CHECK ({check})")


def _set_index(no_fleet: str) -> None:
    op.drop_index("ix_stocks_catalogue", "stocks")
    of_catalogue = sa.text(OF_CATALOGUE.format(no_fleet=no_fleet))
    op.create_index("ix_stocks_catalogue", "stocks", ["stock_id"], postgresql_where=of_catalogue)


def _create(
    table: str,
    key: sa.Column[int],
    columns: list[sa.Column[Any]],
    *checks: tuple[str, str],
) -> None:
    op.create_table(
        table,
        key,
        *columns,
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        *[
            sa.CheckConstraint(check, name=op.f(f"ck_{table}_{name}"))
            for name, check in (*checks, STATE)
        ],
    )


def _key(name: str, *references: sa.ForeignKey) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), *references, primary_key=True, autoincrement=False)


def _columns(kind: sa.types.TypeEngine[Any], *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False) for name in names]


def _texts(*names: str) -> list[sa.Column[Any]]:
    return _columns(sa.Text(), *names)


def _reference(name: str, to: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), sa.ForeignKey(to), nullable=False)


def _create_car_categories() -> None:
    _create(
        "car_categories",
        _key("product_id", sa.ForeignKey("products.product_id")),
        [
            *_texts("category_code", "make", "model"),
            *_columns(sa.Integer(), "model_year", "seats", "doors", "large_bags", "small_bags"),
            *_texts("transmission", "fuel_type"),
            *_columns(sa.Boolean(), "air_conditioning"),
            *_columns(postgresql.ARRAY(sa.Text()), "feature_codes", "image_urls"),
            *_columns(sa.Integer(), "min_driver_age", "young_driver_age"),
            *_columns(sa.BigInteger(), "young_driver_minor"),
            *_columns(sa.Integer(), "grace_minutes", "min_days", "max_days"),
        ],
        ("transmission", "transmission IN ('AUTOMATIC', 'MANUAL')"),
        ("fuel_type", "fuel_type IN ('GASOLINE', 'DIESEL', 'HYBRID', 'ELECTRIC')"),
        ("length", "min_days BETWEEN 1 AND max_days"),
    )


def _create_locations() -> None:
    _create(
        "rental_locations",
        _key("location_id"),
        [
            sa.Column("city_code", sa.Text(), sa.ForeignKey("cities.city_code"), nullable=False),
            *_texts("display_name_en", "display_name_zh", "address_en", "address_zh", "phone"),
            sa.Column("latitude_microdegrees", sa.Integer()),
            sa.Column("longitude_microdegrees", sa.Integer()),
            *_columns(sa.Boolean(), "pick_up", "drop_off"),
            *_columns(postgresql.JSONB(), "opening_hours"),
            *_columns(postgresql.ARRAY(sa.Date()), "closed_dates"),
            sa.Column("venue_code", sa.Text()),
        ],
        ("location_id", "location_id BETWEEN 1 AND 9999"),
        PLACE,
    )


def _create_extras() -> None:
    _create(
        "rental_extras",
        _key("extra_id"),
        [
            *_texts("extra_code", "display_name_en", "display_name_zh", "charge_basis"),
            *_columns(sa.BigInteger(), "amount_minor"),
            *_texts("currency_code"),
            *_columns(sa.Integer(), "max_quantity"),
            *_columns(sa.BigInteger(), "max_amount_minor"),
            *_columns(postgresql.ARRAY(sa.Integer()), "product_ids"),
        ],
        ("extra_id", "extra_id BETWEEN 1 AND 99"),
        ("charge_basis", "charge_basis IN ('PER_DAY', 'PER_RENTAL')"),
        ("max_quantity", "max_quantity BETWEEN 1 AND 9"),
    )
    op.create_unique_constraint(
        op.f("uq_rental_extras_extra_code"), "rental_extras", ["extra_code"]
    )


def _create_fleets() -> None:
    _create(
        "rental_fleets",
        _key("fleet_id"),
        [
            _reference("product_id", "products.product_id"),
            _reference("location_id", "rental_locations.location_id"),
            *_columns(postgresql.JSONB(), "fares"),
            *_columns(sa.Integer(), "cars"),
            *_columns(sa.Date(), "first_date", "last_date"),
            *_columns(sa.Integer(), "sale_days", "closing_minutes"),
            *_columns(postgresql.JSONB(), "one_way"),
        ],
        ("fleet_id_26_bits", "fleet_id BETWEEN 1 AND 67108863"),
        ("cars", "cars >= 0"),
        ("dates", "first_date <= last_date"),
    )
    op.create_index(
        "uq_rental_fleets_product_id", "rental_fleets", ["product_id", "location_id"], unique=True
    )
