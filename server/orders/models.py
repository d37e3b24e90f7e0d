"""Orders: what was ordered and by whom, and what happened to it; what each direct ticket was
sold for; by which terms orders are searched for.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from server.platform.database import metadata

orders = Table(
    "orders",
    metadata,
    Column("order_id", BigInteger, primary_key=True, autoincrement=False),
    Column("order_code", Text, nullable=False),
    # 0 is our own sales channel, DIRECT
    Column("partner_id", Integer, nullable=False),
    Column("state", Text, nullable=False),
    # counts the moves of the order, see order_events
    Column("sequence", Integer, nullable=False, server_default="1"),
    # id of the order's QR, new with each rotation; issued codes add to it, see rules.order_qr_jti
    Column("jti", Uuid, nullable=False),
    # of a partner's order; empty in a traveller's
    Column("customer_type", Text, nullable=False),
    Column("customer_name", Text, nullable=False),
    Column("ticket_count", Integer, nullable=False),
    # of a partner's order; in a traveller's empty, or under what it was paid on account: by an
    # outside channel, which owes us its amount, so that no payment of it is at WeChat
    Column("payment_reference", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    # of many tickets: one that was not final when last looked, see completion.py
    Column("open_ticket_id", BigInteger),
    # all below only in a traveller's order
    Column("traveller_id", BigInteger),
    # what was ordered, never updated: see ticketing.ordering.content
    Column("content", JSONB(none_as_null=True)),
    # names and documents, AES-GCM
    Column("passengers_sealed", LargeBinary),
    Column("hold_expire_time", DateTime(timezone=True)),
    Column("pay_time", DateTime(timezone=True)),
    Column("cancel_reason", Text),
    # the ticket this order changes into another, the order of that, and what of the amount is
    # covered by it
    Column("changes_ticket_id", BigInteger),
    Column("changes_order_id", BigInteger),
    # of a change: the order its chain of changes began with, and the item there; what that item
    # shares is also this one's
    Column("first_order_id", BigInteger),
    Column("first_item_index", SmallInteger),
    Column("credit_minor", BigInteger, nullable=False, server_default="0"),
    Column("create_time", DateTime(timezone=True), nullable=False),
    # how often the own QR of one of its tickets was rotated, see rules.order_qr_jti
    Column("ticket_rotations", Integer, nullable=False, server_default="0"),
    # which transaction rotated the order's own QR, if one did: see redemption/pack_statements.py
    Column("qr_transaction_id", BigInteger),
    CheckConstraint("state IN ('PENDING', 'PAID', 'COMPLETED', 'CANCELLED')", name="state"),
    CheckConstraint("amount_minor >= 0", name="amount_minor"),
    CheckConstraint("credit_minor BETWEEN 0 AND amount_minor", name="credit_minor"),
    CheckConstraint("(traveller_id IS NULL) = (content IS NULL)", name="content_of_travellers"),
    CheckConstraint(
        "state <> 'PENDING' OR hold_expire_time IS NOT NULL AND pay_time IS NULL"
        " AND cancel_reason IS NULL",
        name="hold_of_pending",
    ),
    CheckConstraint(
        "(changes_order_id IS NULL) = (first_order_id IS NULL)"
        " AND (first_order_id IS NULL) = (first_item_index IS NULL)",
        name="first_of_changes",
    ),
    CheckConstraint(
        "cancel_reason IN ('TRAVELLER', 'HOLD_EXPIRED', 'REFUNDED', 'DEPARTURE_CANCELLED')",
        name="cancel_reason",
    ),
    # Tickets that end at the same midnight complete orders that were made together: a page has room
    # for all of its orders at once.
    postgresql_with={"fillfactor": 50},
)
# those that are PENDING, which has no part in it: an order is COMPLETED on its page then, and in no
# index anew
Index(
    "ix_orders_pending_hold",
    orders.c.hold_expire_time,
    postgresql_where=text(
        "hold_expire_time IS NOT NULL AND pay_time IS NULL AND cancel_reason IS NULL"
    ),
)
Index(
    "ix_orders_payment_reference",
    orders.c.partner_id,
    orders.c.payment_reference,
    orders.c.order_id,
    postgresql_where=orders.c.partner_id > 0,
)
Index(
    "ix_orders_qr_transaction_id",
    orders.c.qr_transaction_id,
    postgresql_where=orders.c.qr_transaction_id.is_not(None),
)
Index(
    "ix_orders_first_order_id",
    orders.c.first_order_id,
    postgresql_where=orders.c.first_order_id.is_not(None),
)
Index(
    "ix_orders_traveller_id",
    orders.c.traveller_id,
    orders.c.create_time.desc(),
    orders.c.order_id.desc(),
    postgresql_where=orders.c.traveller_id.is_not(None),
)

# for reports, of what is not summed yet; as that of events it grows at its end alone
Index("ix_orders_create_time", orders.c.create_time)

order_events = Table(
    "order_events",
    metadata,
    # moves of a traveller's order after the first, which the order's own row tells
    Column("order_id", BigInteger, primary_key=True, autoincrement=False),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("event", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("cancel_reason", Text),
    Column("ticket_id", BigInteger),
    Column("actor", Text, nullable=False),
    Column("occurred_time", DateTime(timezone=True), nullable=False),
    # whether the traveller is still to be notified of it: see event_feed.py
    Column("notify", Boolean, nullable=False, server_default="true"),
)
Index(
    "ix_order_events_notify",
    order_events.c.occurred_time,
    order_events.c.order_id,
    postgresql_where=order_events.c.notify,
)
Index("ix_order_events_occurred_time", order_events.c.occurred_time)

ticket_sales = Table(
    "ticket_sales",
    metadata,
    # how a direct ticket was sold; never updated, but reference_time when its departure is moved
    Column("ticket_id", BigInteger, primary_key=True, autoincrement=False),
    Column("order_id", BigInteger, nullable=False),
    # positions in the order's content
    Column("item_index", SmallInteger, nullable=False),
    # -1 for a shared entitlement
    Column("passenger_index", SmallInteger, nullable=False),
    Column("stock_id", BigInteger, nullable=False),
    Column("departure_id", BigInteger),
    Column("seat_index", Integer),
    Column("seat", Text),
    # its value: what was paid for it, all changes included
    Column("amount_minor", BigInteger, nullable=False),
    # departure, or when its use begins
    Column("reference_time", DateTime(timezone=True), nullable=False),
    Column("changes_made", SmallInteger, nullable=False),
    CheckConstraint("amount_minor >= 0", name="amount_minor"),
)
# whom the operator's changes of a departure concern
Index(
    "ix_ticket_sales_departure_id",
    ticket_sales.c.departure_id,
    ticket_sales.c.order_id,
    postgresql_where=ticket_sales.c.departure_id.is_not(None),
)

order_search_terms = Table(
    "order_search_terms",
    metadata,
    # an order's row is made with it; it is all that a search needs, and is deleted where the
    # personal data are
    Column("order_id", BigInteger, primary_key=True, autoincrement=False),
    # of the order
    Column("create_time", DateTime(timezone=True), nullable=False),
    # keyed hashes of parts of names, documents and telephone numbers, see search_terms.py
    Column("terms", ARRAY(Integer), nullable=False),
)
# What is not in the index yet is looked through by each search, and put there by the insert that
# fills the list: a short one keeps both quick.
Index(
    "ix_order_search_terms_terms",
    order_search_terms.c.terms,
    postgresql_using="gin",
    postgresql_with={"gin_pending_list_limit": 512},
)

order_search_backfill = Table(
    "order_search_backfill",
    metadata,
    # up to where orders of earlier releases have their search terms, by (create_time, order_id);
    # no row when all have
    Column("name", Text, primary_key=True),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("order_id", BigInteger, nullable=False),
    CheckConstraint("name = 'orders'", name="one"),
)
