"""Timetables have exceptions and headways, stops a place; what of a GTFS feed is which of ours"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

DATES = ("added_dates", "removed_dates")
PLACE = ("latitude_microdegrees", "longitude_microdegrees")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in DATES:
        op.add_column(
            "timetables", sa.Column(name, ARRAY(sa.Date), nullable=False, server_default="{}")
        )
    op.add_column("timetables", sa.Column("headway_seconds", sa.Integer))
    op.create_check_constraint(
        op.f("ck_timetables_headway_seconds"),
        "timetables",
        "headway_seconds BETWEEN 1 AND 86400",
    )
    for name in PLACE:
        op.add_column("stops", sa.Column(name, sa.Integer))
    op.create_check_constraint(
        op.f("ck_stops_place"),
        "stops",
        "(latitude_microdegrees IS NULL) = (longitude_microdegrees IS NULL)",
    )
    op.create_table(
        "gtfs_ids",
        sa.Column("feed_name", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("feed_id", sa.Text, primary_key=True),
        sa.Column("our_id", sa.Text, nullable=False),
        sa.Column("feed_route_id", sa.Text, nullable=False),
        sa.CheckConstraint("kind IN ('STOP', 'ROUTE', 'TIMETABLE')", name=op.f("ck_gtfs_ids_kind")),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("gtfs_ids")
    op.drop_constraint(op.f("ck_stops_place"), "stops")
    for name in PLACE:
        op.drop_column("stops", name)
    op.drop_constraint(op.f("ck_timetables_headway_seconds"), "timetables")
    for name in ("headway_seconds", *DATES):
        op.drop_column("timetables", name)
