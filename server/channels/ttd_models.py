"""Orders that Ctrip's attractions channel has made at our door."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from server.channels.models import channels
from server.platform.database import metadata

ttd_orders = Table(
    "ttd_orders",
    metadata,
    Column("channel_code", ForeignKey(channels.c.channel_code), primary_key=True),
    # Ctrip's
    Column("ota_order_id", Text, primary_key=True),
    # of the call that made it, and what says whether another call says the same
    Column("sequence_id", Text, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    # what is ordered, JSON, AES-GCM, bound to channel and id
    Column("sealed_content", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    # paid when it was made (CreateOrder), not afterwards (PayPreOrder)
    Column("is_direct", Boolean, nullable=False),
    # our order, and which attempt at one it is: of each attempt there is one
    Column("order_id", BigInteger),
    Column("attempt", Integer, nullable=False, server_default="1"),
    # the code of the first, which Ctrip keeps; empty until there is one
    Column("supplier_order_id", Text, nullable=False, server_default=""),
    # how many were left of each item when it was held, as the answer had it
    Column("left_then", JSONB, nullable=False, server_default="[]"),
    # Ctrip's ids of the items, in their order; empty until it is paid
    Column("item_ids", JSONB, nullable=False, server_default="[]"),
    # the QR text, AES-GCM, as the payment's answer had it
    Column("sealed_voucher", LargeBinary),
    # the QR texts of the orders that its tickets were changed into, JSON by order_id, likewise
    Column("sealed_changed_vouchers", LargeBinary),
    # the last day of use, after which nobody looks for uses any more
    Column("last_day", Date, nullable=False),
    # how many tickets were used when Ctrip was last to be notified
    Column("noted_used", Integer, nullable=False, server_default="0"),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("state IN ('RECEIVED', 'REFUSED', 'HELD', 'SOLD', 'CANCELLED')", name="state"),
    CheckConstraint("state <> 'REFUSED' OR supplier_order_id = ''", name="refused"),
    CheckConstraint("state NOT IN ('HELD', 'SOLD') OR order_id IS NOT NULL", name="order"),
    CheckConstraint("state <> 'SOLD' OR sealed_voucher IS NOT NULL", name="sold"),
    CheckConstraint("noted_used >= 0", name="noted_used"),
    postgresql_with={"fillfactor": 70},
)
_o = ttd_orders.c
Index("uq_ttd_orders_sequence_id", _o.channel_code, _o.sequence_id, unique=True)
Index("uq_ttd_orders_order_id", _o.order_id, unique=True)
Index("ix_ttd_orders_sold", _o.channel_code, _o.last_day, postgresql_where=_o.state == "SOLD")
