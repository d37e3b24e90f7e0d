"""Channels, their words and what is listed there, what each was sent of it, and every call.

Rows of one channel carry `channel_code`, which leads every key of the family.
"""

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
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from server.platform.database import metadata

channels = Table(
    "channels",
    metadata,
    Column("channel_code", Text, primary_key=True),
    # of registry.py
    Column("vendor_code", Text, nullable=False),
    # whose allotments are sold there; 0 is DIRECT
    Column("partner_id", Integer, nullable=False),
    Column("base_url", Text, nullable=False),
    # of amounts whose currency the vendor does not say
    Column("currency_code", Text, nullable=False),
    Column("calls_per_minute", Integer, nullable=False),
    # JSON, AES-GCM, bound to the channel; empty of one that was disconnected, of which the account
    # is known by a keyed hash alone
    Column("sealed_credentials", LargeBinary, nullable=False),
    Column("account_hash", LargeBinary),
    # counts their rotations: tokens and the limit of calls belong to one version
    Column("credentials_version", Integer, nullable=False, server_default="1"),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("state IN ('ACTIVE', 'PAUSED', 'DISCONNECTING', 'REVOKED')", name="state"),
    CheckConstraint(
        "(state = 'REVOKED') = (account_hash IS NOT NULL)"
        " AND (state = 'REVOKED') = (sealed_credentials = '')",
        name="credentials",
    ),
    CheckConstraint("calls_per_minute BETWEEN 1 AND 60000", name="calls_per_minute"),
)

channel_words = Table(
    "channel_words",
    metadata,
    Column("channel_code", ForeignKey(channels.c.channel_code), primary_key=True),
    Column("kind", Text, primary_key=True),
    # the word that says which row it is: the vendor's of states and codes, ours of all others
    Column("word", Text, primary_key=True),
    Column("counterpart", Text, nullable=False),
    # counts the changes of the row
    Column("version", Integer, nullable=False, server_default="1"),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
)

channel_listings = Table(
    "channel_listings",
    metadata,
    Column("channel_code", ForeignKey(channels.c.channel_code), primary_key=True),
    # what the vendor calls it
    Column("item_id", Text, primary_key=True),
    # our word for the place, see MappingKind.LOCATION
    Column("location", Text, nullable=False),
    # a package; a category of cars at a location; or a class of a timetable's departures from one
    # stop to another, by position
    Column("product_id", Integer),
    Column("rental_location_id", Integer),
    Column("timetable_id", Integer),
    Column("class_index", Integer),
    Column("origin_index", Integer),
    Column("destination_index", Integer),
    # the price plan: the fare of whom, in which currency, at which rate, with what on top
    Column("customer_type", Text, nullable=False),
    Column("currency_code", Text, nullable=False),
    # units of that currency for a unit of the product's, in millionths
    Column("rate_millionths", BigInteger, nullable=False),
    # hundredths of a percent on top, or off if below zero
    Column("markup_basis_points", Integer, nullable=False),
    # so many left, or fewer, are sent at once, and so is what comes back from there
    Column("threshold", Integer, nullable=False),
    Column("days_ahead", Integer, nullable=False),
    # how often its prices are compared, see cadence_rules.PricePace
    Column("price_pace", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("update_time", DateTime(timezone=True), nullable=False),
    CheckConstraint(
        "(product_id IS NULL) <> (timetable_id IS NULL) AND (timetable_id IS NULL) ="
        " (class_index IS NULL) AND (timetable_id IS NULL) = (origin_index IS NULL)"
        " AND (timetable_id IS NULL) = (destination_index IS NULL)"
        " AND (rental_location_id IS NULL OR product_id IS NOT NULL)",
        name="subject",
    ),
    CheckConstraint("rate_millionths > 0", name="rate"),
    CheckConstraint("markup_basis_points BETWEEN -10000 AND 100000", name="markup"),
    CheckConstraint("threshold BETWEEN 0 AND 1000", name="threshold"),
    CheckConstraint("days_ahead BETWEEN 1 AND 365", name="days_ahead"),
    CheckConstraint(
        "price_pace IN ('DAILY', 'FOUR_HOURLY', 'HOURLY', 'AT_ONCE')", name="price_pace"
    ),
)

channel_values = Table(
    "channel_values",
    metadata,
    # what a channel is to know of an item on a day, and what it was sent: absolute values, of which
    # the last version wins
    Column("channel_code", ForeignKey(channels.c.channel_code), primary_key=True),
    # PRICES, AVAILABILITY or STATIC
    Column("what", Text, primary_key=True),
    Column("item_id", Text, primary_key=True),
    # the last there is of static data, which are of no day
    Column("day", Date, primary_key=True),
    Column("location", Text, nullable=False),
    # a price in minor units of `currency_code`, or how many are left; 0 of static data
    Column("wanted", BigInteger, nullable=False),
    Column("currency_code", Text),
    # static data alone: the fields of facts.StaticItem
    Column("content", JSONB),
    Column("wanted_version", BigInteger, nullable=False),
    Column("wanted_time", DateTime(timezone=True), nullable=False),
    # before all others
    Column("urgent", Boolean, nullable=False, server_default="false"),
    # whose quantity it is, and of which version (see stock/levels.py), so that none is written over
    # a newer one; none where nothing is sold whatever is left
    Column("stock_id", BigInteger),
    Column("stock_version", BigInteger, nullable=False, server_default="0"),
    Column("sent", BigInteger),
    Column("sent_version", BigInteger, nullable=False, server_default="0"),
    Column("sent_time", DateTime(timezone=True)),
    Column("sent_currency_code", Text),
    Column("sent_content", JSONB),
    # what was sent before that, which a customer may have booked at
    Column("sent_before", BigInteger),
    # why this version is not sent: a word that is mapped to nothing, or the vendor's refusal
    Column("fault", Text, nullable=False, server_default=""),
    CheckConstraint("what IN ('PRICES', 'AVAILABILITY', 'STATIC')", name="what"),
    CheckConstraint("(what = 'STATIC') = (content IS NOT NULL)", name="content"),
    CheckConstraint("wanted >= 0", name="wanted"),
    CheckConstraint("sent_version <= wanted_version", name="versions"),
    CheckConstraint("(what = 'PRICES') = (currency_code IS NOT NULL)", name="currency"),
    postgresql_with={"fillfactor": 70},
)
_v = channel_values.c
Index(
    "ix_channel_values_pending",
    _v.channel_code,
    _v.what,
    _v.urgent.desc(),
    _v.wanted_time,
    postgresql_where=_v.sent_version < _v.wanted_version,
)

# of what a stock has noted
Index(
    "ix_channel_values_stock_id",
    _v.stock_id,
    postgresql_where=(_v.what == "AVAILABILITY") & _v.stock_id.is_not(None),
)

channel_syncs = Table(
    "channel_syncs",
    metadata,
    Column("channel_code", ForeignKey(channels.c.channel_code), primary_key=True),
    # a cadence_rules.SyncPart
    Column("part", Text, primary_key=True),
    # when the clock asked for it last, and when it was done last
    Column("asked_time", DateTime(timezone=True), nullable=False),
    Column("done_time", DateTime(timezone=True)),
)

channel_differences = Table(
    "channel_differences",
    metadata,
    # of which values a full sync found that a channel had been sent others, as in channel_values
    Column("channel_code", ForeignKey(channels.c.channel_code), primary_key=True),
    Column("sync_time", DateTime(timezone=True), primary_key=True),
    Column("what", Text, primary_key=True),
    Column("item_id", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("sent", BigInteger),
    Column("sent_currency_code", Text),
    Column("sent_content", JSONB),
    Column("wanted", BigInteger, nullable=False),
    Column("currency_code", Text),
    Column("content", JSONB),
    # the channel knows better once this version of the value is sent
    Column("version", BigInteger, nullable=False),
)
Index("ix_channel_differences_sync_time", channel_differences.c.sync_time)

channel_bookings = Table(
    "channel_bookings",
    metadata,
    Column("channel_code", ForeignKey(channels.c.channel_code), primary_key=True),
    # the vendor's
    Column("booking_id", Text, primary_key=True),
    # where our work on it stands: see booking_rules.py
    Column("state", Text, nullable=False),
    # a BookingState, as the vendor had it when we looked last; empty while that is unreadable
    Column("vendor_state", Text, nullable=False, server_default=""),
    # all that is booked, JSON, AES-GCM, bound to channel and id; and what says whether it changed
    Column("sealed_content", LargeBinary),
    Column("content_hash", LargeBinary),
    Column("item_id", Text, nullable=False, server_default=""),
    Column("pickup_day", Date),
    Column("return_day", Date),
    # what the vendor sold it for, in minor units
    Column("total_minor", BigInteger, nullable=False, server_default="0"),
    Column("currency_code", Text, nullable=False, server_default=""),
    # the days on whose lists it stood when it was first seen, where it is read back
    Column("first_day", Date, nullable=False),
    Column("last_day", Date, nullable=False),
    # the order that was made of it, and which attempt at one it is: of each there is one
    Column("order_id", BigInteger),
    Column("attempt", Integer, nullable=False, server_default="1"),
    # ours, the same at each repeat; empty until there is an order
    Column("confirmation_number", Text, nullable=False, server_default=""),
    # a confirmation or cancellation was sent and its outcome is not known: it is read back
    Column("is_asked", Boolean, nullable=False, server_default="false"),
    Column("confirm_time", DateTime(timezone=True)),
    # why we reject or cancel it, a CancellationReason, and in words for the vendor
    Column("cancel_reason", Text, nullable=False, server_default=""),
    Column("cancel_comment", Text, nullable=False, server_default=""),
    # kept of `total_minor` when it was cancelled
    Column("fee_minor", BigInteger, nullable=False, server_default="0"),
    # what keeps it from going on, without personal data
    Column("fault", Text, nullable=False, server_default=""),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    CheckConstraint(
        "state IN ('UNREADABLE', 'RECEIVED', 'RESERVED', 'CONFIRM_PENDING', 'CONFIRMED',"
        " 'REJECT_PENDING', 'REJECTED', 'CANCEL_PENDING', 'CANCELLED')",
        name="state",
    ),
    CheckConstraint("(state = 'UNREADABLE') = (sealed_content IS NULL)", name="readable"),
    CheckConstraint(
        "state NOT IN ('RESERVED', 'CONFIRM_PENDING', 'CONFIRMED', 'CANCEL_PENDING')"
        " OR order_id IS NOT NULL",
        name="order",
    ),
    CheckConstraint("state <> 'CONFIRMED' OR confirm_time IS NOT NULL", name="confirmed"),
    CheckConstraint("fee_minor BETWEEN 0 AND total_minor", name="fee"),
    postgresql_with={"fillfactor": 70},
)
_b = channel_bookings.c
Index(
    "ix_channel_bookings_open",
    _b.channel_code,
    _b.first_day,
    postgresql_where=_b.state.not_in(("REJECTED", "CANCELLED")),
)
Index("ix_channel_bookings_create_time", _b.channel_code, _b.create_time, _b.booking_id)
Index("uq_channel_bookings_order_id", _b.channel_code, _b.order_id, unique=True)

channel_fetches = Table(
    "channel_fetches",
    metadata,
    # until when the bookings of a channel were fetched; the next fetch begins before it
    Column("channel_code", ForeignKey(channels.c.channel_code), primary_key=True),
    Column("until_time", DateTime(timezone=True), nullable=False),
)

channel_calls = Table(
    "channel_calls",
    metadata,
    Column("channel_code", Text, primary_key=True),
    Column("call_id", Uuid, primary_key=True),
    Column("endpoint", Text, nullable=False),
    Column("method", Text, nullable=False),
    # 0 without an answer
    Column("http_status", Integer, nullable=False),
    # OK, or a FailureKind
    Column("outcome", Text, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("request_bytes", Integer, nullable=False),
    Column("response_bytes", Integer, nullable=False),
    # without personal data
    Column("error", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
)
Index("ix_channel_calls_create_time", channel_calls.c.create_time, postgresql_using="brin")
