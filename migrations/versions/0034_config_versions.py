"""What sells has numbered versions: drafts, what is scheduled, and all that ever was published"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

PRODUCT_FIELDS = (
    "display_name_en, display_name_zh, fares, entitlements, validity_days, blackout_dates, tiers,"
    " policy, max_per_traveller, city_code, calendar_code, boarding_minutes, unaccompanied_types,"
    " age_limits"
)
PROMOTION_FIELDS = (
    "code, display_name_en, display_name_zh, basis_points_off, amount_off_minor, currency_code,"
    " to_char(begin_time AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US+00:00') AS begin_time,"
    " to_char(end_time AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US+00:00') AS end_time,"
    " min_party, product_ids, stackable, max_per_traveller"
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "config_versions",
        sa.Column("object_type", sa.Text, primary_key=True),
        sa.Column("object_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("base_version", sa.Integer),
        sa.Column("content", JSONB, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("publisher", sa.Text),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("effective_time", sa.DateTime(timezone=True)),
        sa.Column("publish_time", sa.DateTime(timezone=True)),
        sa.Column("force_comment", sa.Text, nullable=False, server_default=""),
        sa.Column("fault", sa.Text, nullable=False, server_default=""),
        sa.CheckConstraint(
            "object_type IN ('PRODUCT', 'ROUTE_FARES', 'PROMOTION')",
            name=op.f("ck_config_versions_object_type"),
        ),
        sa.CheckConstraint(
            "state IN ('DRAFT', 'SCHEDULED', 'PUBLISHED', 'SUPERSEDED', 'DISCARDED')",
            name=op.f("ck_config_versions_state"),
        ),
        sa.CheckConstraint(
            "version > 0 AND base_version < version", name=op.f("ck_config_versions_version")
        ),
        sa.CheckConstraint(
            "(state IN ('PUBLISHED', 'SUPERSEDED')) = (publish_time IS NOT NULL)",
            name=op.f("ck_config_versions_published"),
        ),
        sa.CheckConstraint(
            "state <> 'SCHEDULED' OR (effective_time IS NOT NULL AND publisher IS NOT NULL)",
            name=op.f("ck_config_versions_scheduled"),
        ),
    )
    op.create_index(
        "uq_config_versions_published",
        "config_versions",
        ["object_type", "object_id"],
        unique=True,
        postgresql_where=sa.text("state = 'PUBLISHED'"),
    )
    op.create_index(
        "ix_config_versions_effective_time",
        "config_versions",
        ["effective_time"],
        postgresql_where=sa.text("state = 'SCHEDULED'"),
    )
    op.create_table(
        "product_examples",
        sa.Column("product_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
    )
    _first_versions("PRODUCT", "product_id", PRODUCT_FIELDS, "products")
    _first_versions("ROUTE_FARES", "route_id", "fares", "routes")
    _first_versions("PROMOTION", "promotion_id", PROMOTION_FIELDS, "promotions")


def _first_versions(object_type: str, key: str, fields: str, table: str) -> None:
    """Version 1 of all there is, as it is."""
    op.execute(
        "INSERT INTO config_versions (object_type, object_id, version, state, content, comment,"  # noqa: S608
        " author, publisher, create_time, update_time, publish_time)"
        f" SELECT '{object_type}', {key}, 1, 'PUBLISHED', (SELECT to_jsonb(c) FROM (SELECT {fields})"
        f" c), 'as it was when versions began', 'system', 'system', now(), now(), now() FROM {table}"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("product_examples")
    op.drop_table("config_versions")
