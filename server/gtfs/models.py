"""Which of ours was made of what of a GTFS feed."""

from sqlalchemy import CheckConstraint, Column, Table, Text

from server.platform.database import metadata

gtfs_ids = Table(
    "gtfs_ids",
    metadata,
    # by what name the feed is imported again and again
    Column("feed_name", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    # stop_id; route_id and pattern; trip_id, start and clock: see planning.py
    Column("feed_id", Text, primary_key=True),
    # the code of a stop, the number of a route or timetable
    Column("our_id", Text, nullable=False),
    # the feed's route_id it belongs to; empty of a stop
    Column("feed_route_id", Text, nullable=False),
    CheckConstraint("kind IN ('STOP', 'ROUTE', 'TIMETABLE')", name="kind"),
)
