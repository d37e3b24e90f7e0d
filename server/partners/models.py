"""Reservations: stock that is held for partners without payment, until they make tickets of it and
sell these (DOMAIN, OTA partners).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
)

from server.platform.database import metadata

reservations = Table(
    "reservations",
    metadata,
    Column("reservation_id", Uuid, primary_key=True),
    Column("partner_id", Integer, nullable=False),
    # what it is of: the stock, and what that is the stock of
    Column("stock_id", BigInteger, nullable=False),
    Column("product_id", Integer, nullable=False),
    Column("departure_id", BigInteger),
    Column("fare_class", Text),
    Column("use_date", Date),
    Column("quantity", Integer, nullable=False),
    # of the quantity: what there are tickets of, and what of these are sold. While it is OPEN the
    # stock holds quantity - activated
    Column("generated", Integer, nullable=False, server_default="0"),
    Column("activated", Integer, nullable=False, server_default="0"),
    Column("state", Text, nullable=False),
    Column("expire_time", DateTime(timezone=True), nullable=False),
    # no extension goes beyond it
    Column("max_expire_time", DateTime(timezone=True), nullable=False),
    # when the partner is warned that it expires; none when that is done
    Column("warn_time", DateTime(timezone=True)),
    Column("create_time", DateTime(timezone=True), nullable=False),
    # when it was completed, released or found to be expired
    Column("close_time", DateTime(timezone=True)),
    # why it was released or expired; none of one that was closed before that was kept
    Column("end_reason", Text),
    # closed, with tickets that are still to be VOIDED
    Column("voids_pending", Boolean, nullable=False, server_default="false"),
    CheckConstraint("state IN ('OPEN', 'COMPLETED', 'RELEASED', 'EXPIRED')", name="state"),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint(
        "activated >= 0 AND activated <= generated AND generated <= quantity", name="parts"
    ),
    CheckConstraint("(state = 'COMPLETED') = (activated = quantity)", name="completed"),
    CheckConstraint("(state = 'OPEN') = (close_time IS NULL)", name="closed"),
    CheckConstraint("expire_time <= max_expire_time", name="max_expire_time"),
    CheckConstraint(
        "end_reason IN ('PARTNER', 'TICKETS_CANCELLED', 'TIME_OVER', 'DEPARTURE_CANCELLED',"
        " 'DEPARTURE_LEFT')",
        name="end_reason",
    ),
    CheckConstraint(
        "NOT voids_pending OR state IN ('RELEASED', 'EXPIRED')", name="voids_of_closed"
    ),
)
Index(
    "ix_reservations_partner_id",
    reservations.c.partner_id,
    reservations.c.create_time.desc(),
    reservations.c.reservation_id.desc(),
)
# few of many: a partner makes dozens a second, and lists those of one product, or in one state
for _column in ("product_id", "state"):
    Index(
        f"ix_reservations_{_column}",
        reservations.c.partner_id,
        reservations.c[_column],
        reservations.c.create_time.desc(),
        reservations.c.reservation_id.desc(),
    )
Index(
    "ix_reservations_expire_time",
    reservations.c.expire_time,
    postgresql_where=reservations.c.state == "OPEN",
)
Index(
    "ix_reservations_departure_id",
    reservations.c.departure_id,
    reservations.c.reservation_id,
    postgresql_where=(reservations.c.state == "OPEN") & reservations.c.departure_id.is_not(None),
)
Index(
    "ix_reservations_warn_time",
    reservations.c.warn_time,
    postgresql_where=reservations.c.warn_time.is_not(None),
)
Index(
    "ix_reservations_voids_pending",
    reservations.c.reservation_id,
    postgresql_where=reservations.c.voids_pending,
)
