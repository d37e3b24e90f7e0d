"""Tables of whom we deal with: partners, merchants, their venues and terminals."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from server.platform.database import metadata

partners = Table(
    "partners",
    metadata,
    # 20 bits, since it leads the ticket ids; 0 is ourselves (DIRECT)
    Column("partner_id", Integer, Identity(start=1), primary_key=True),
    Column("partner_code", Text, nullable=False, unique=True),
    Column("display_name", Text, nullable=False),
    Column("requests_per_minute", Integer, nullable=False),
    Column("allowed_addresses", ARRAY(Text), nullable=False),
    # of the price that an activation's payment may be off, either way
    Column("activation_tolerance_basis_points", Integer, nullable=False, server_default="0"),
    Column("state", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    # counts the changes: who changes it may say which one was read
    Column("version", Integer, nullable=False, server_default="1"),
    # the partner whose sandbox it is, see rules.py; none for all others
    Column("sandbox_of", ForeignKey("partners.partner_id")),
    CheckConstraint("partner_id BETWEEN 1 AND 1048575", name="partner_id_20_bits"),
    CheckConstraint(
        "CASE WHEN sandbox_of IS NULL THEN partner_id < 524288"
        " ELSE sandbox_of < 524288 AND partner_id = sandbox_of + 524288 END",
        name="sandbox_number",
    ),
    CheckConstraint(
        "activation_tolerance_basis_points BETWEEN 0 AND 10000", name="activation_tolerance"
    ),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED', 'REVOKED')", name="state"),
)


merchants = Table(
    "merchants",
    metadata,
    Column("merchant_code", Text, primary_key=True),
    Column("display_name", Text, nullable=False),
    Column("function_codes", ARRAY(Text), nullable=False),
    Column("reversal_window_seconds", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    # counts the changes: who changes it may say which one was read
    Column("version", Integer, nullable=False, server_default="1"),
    # what holds for its terminals without network, see `rules.OfflinePolicy`
    Column("offline_pack_seconds", Integer, nullable=False, server_default="86400"),
    Column("offline_clock_seconds", Integer, nullable=False, server_default="120"),
    Column("offline_over_admission", Boolean, nullable=False, server_default="false"),
    Column("offline_bears_refunds", Boolean, nullable=False, server_default="false"),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED', 'REVOKED')", name="state"),
)


venues = Table(
    "venues",
    metadata,
    Column("venue_code", Text, primary_key=True),
    Column("merchant_code", ForeignKey(merchants.c.merchant_code), nullable=False, index=True),
    Column("display_name", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    # empty: all the merchant may redeem
    Column("function_codes", ARRAY(Text), nullable=False),
    Column("state", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    # counts the changes: who changes it may say which one was read
    Column("version", Integer, nullable=False, server_default="1"),
    # what holds for its terminals without network; none: what the merchant has
    Column("offline_pack_seconds", Integer),
    Column("offline_clock_seconds", Integer),
    Column("offline_over_admission", Boolean),
    Column("offline_bears_refunds", Boolean),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED', 'REVOKED')", name="state"),
)


terminals = Table(
    "terminals",
    metadata,
    Column("terminal_device_id", Text, primary_key=True),
    Column("venue_code", ForeignKey(venues.c.venue_code), nullable=False, index=True),
    Column("display_name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    # counts the changes: who changes it may say which one was read
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED', 'REVOKED')", name="state"),
)


# Of a sandbox that was ever changed by a call. Its row is locked, FOR SHARE, by every call that
# changes something, so that what such a call writes has the time that the clock shows.
sandbox_clocks = Table(
    "sandbox_clocks",
    metadata,
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    Column("ahead_microseconds", BigInteger, nullable=False, server_default="0"),
    # what it shows while it is being moved
    Column("standing_time", DateTime(timezone=True)),
    CheckConstraint("ahead_microseconds >= 0", name="ahead"),
)


sandbox_advances = Table(
    "sandbox_advances",
    metadata,
    # how a clock was moved, or is to be: each begins where the one before ends
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    Column("target_time", DateTime(timezone=True), primary_key=True),
    Column("from_time", DateTime(timezone=True), nullable=False),
    # by the time that it really is, as those that follow
    Column("create_time", DateTime(timezone=True), nullable=False),
    # of the last step; who moves it has died if that is long ago
    Column("step_time", DateTime(timezone=True), nullable=False),
    Column("finish_time", DateTime(timezone=True)),
    Column("steps", Integer, nullable=False, server_default="0"),
    # what happened meanwhile: how many events of each type
    Column("events", JSONB),
    CheckConstraint("from_time < target_time", name="forward"),
    CheckConstraint("(finish_time IS NULL) = (events IS NULL)", name="finished"),
)
