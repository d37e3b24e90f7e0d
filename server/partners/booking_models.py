"""Bookings of partners: what is held and then sold under one id of the partner's own."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
)

from server.platform.database import metadata

partner_bookings = Table(
    "partner_bookings",
    metadata,
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    # the partner's, or made by us: one booking of each
    Column("booking_id", Uuid, primary_key=True),
    # HELD, CONFIRMED or CANCELLED; whether a hold is over says its reservation
    Column("state", Text, nullable=False),
    # what it was asked for with, and how it was confirmed: a repeat has the same
    Column("request_hash", LargeBinary, nullable=False),
    Column("confirm_hash", LargeBinary),
    # its tickets are first_ticket_id .. first_ticket_id + quantity - 1, made of the reservation
    Column("reservation_id", Uuid, nullable=False),
    Column("first_ticket_id", BigInteger, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("product_id", Integer, nullable=False),
    Column("option_id", Text, nullable=False),
    Column("slot_id", Text, nullable=False),
    # the day of travel or of first use, there
    Column("travel_date", Date, nullable=False),
    # the partner's own, empty without one; and the code of the order, empty before it is confirmed
    Column("reseller_reference", Text, nullable=False, server_default=""),
    Column("order_code", Text, nullable=False, server_default=""),
    # who travels and what was agreed: JSON, AES-GCM, bound to partner and booking
    Column("sealed_content", LargeBinary, nullable=False),
    # of one that was cancelled
    Column("cancel_reason", Text, nullable=False, server_default=""),
    Column("refund_minor", BigInteger, nullable=False, server_default="0"),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    Column("confirm_time", DateTime(timezone=True)),
    Column("cancel_time", DateTime(timezone=True)),
    CheckConstraint("state IN ('HELD', 'CONFIRMED', 'CANCELLED')", name="state"),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint("state <> 'CONFIRMED' OR confirm_time IS NOT NULL", name="confirmed"),
    CheckConstraint("(confirm_time IS NULL) = (confirm_hash IS NULL)", name="confirm_hash"),
    CheckConstraint("(state = 'CANCELLED') = (cancel_time IS NOT NULL)", name="cancelled"),
    CheckConstraint("refund_minor >= 0", name="refund_minor"),
)
_b = partner_bookings.c
Index(
    "ix_partner_bookings_reseller_reference",
    _b.partner_id,
    _b.reseller_reference,
    postgresql_where=_b.reseller_reference != "",
)
Index(
    "ix_partner_bookings_order_code",
    _b.partner_id,
    _b.order_code,
    postgresql_where=_b.order_code != "",
)
Index("ix_partner_bookings_travel_date", _b.partner_id, _b.travel_date, _b.booking_id)
