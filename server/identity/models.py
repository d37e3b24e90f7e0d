"""Tables of who calls: partners' keys, accounts and their second factors, log-ins and failed ones,
sessions at terminals, travellers.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY

from server.parties.models import merchants, partners, terminals
from server.platform.database import metadata

partner_keys = Table(
    "partner_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("partner_id", ForeignKey(partners.c.partner_id), nullable=False, index=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("last_used_time", DateTime(timezone=True)),
    Column("revoke_time", DateTime(timezone=True)),
)


accounts = Table(
    "accounts",
    metadata,
    Column("username", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("merchant_code", ForeignKey(merchants.c.merchant_code), index=True),
    # empty: all the merchant's venues
    Column("venue_codes", ARRAY(Text), nullable=False),
    Column("display_name", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    # what an administrator may call, as the contract's AdminRole; of all others empty
    Column("admin_roles", ARRAY(Text), nullable=False, server_default="{}"),
    # counts the changes: who changes it may say which one was read
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("role = 'ADMIN' OR admin_roles = '{}'", name="admin_roles_of_administrators"),
    CheckConstraint("role IN ('OPERATOR', 'SUPERVISOR', 'ADMIN')", name="role"),
    CheckConstraint("(role = 'ADMIN') = (merchant_code IS NULL)", name="merchant_of_operators"),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED', 'REVOKED')", name="state"),
)

admin_factors = Table(
    "admin_factors",
    metadata,
    Column("username", ForeignKey(accounts.c.username), primary_key=True),
    # bound to the name
    Column("secret_sealed", LargeBinary, nullable=False),
    # of the last code that was taken, in steps of the clock
    Column("last_step", BigInteger, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("confirm_time", DateTime(timezone=True)),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("username", ForeignKey(accounts.c.username), primary_key=True),
    Column("code_hash", LargeBinary, primary_key=True),
    Column("use_time", DateTime(timezone=True)),
)

login_failures = Table(
    "login_failures",
    metadata,
    # of the name as it was typed: names that do not exist are locked out like all others, and a
    # password typed into the wrong field is not kept; of no name for what is counted over all of an
    # address
    Column("username_hash", LargeBinary, primary_key=True),
    # of terminal and address, or of the address
    Column("place_hash", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    # when the failures are forgotten, or the lock-out is over
    Column("expire_time", DateTime(timezone=True), nullable=False),
)

login_places = Table(
    "login_places",
    metadata,
    # of the name and of terminal and address, as in login_failures: where it has logged in
    Column("username_hash", LargeBinary, primary_key=True),
    Column("place_hash", LargeBinary, primary_key=True),
    Column("last_login_time", DateTime(timezone=True), nullable=False),
)

logins = Table(
    "logins",
    metadata,
    Column("login_id", Uuid, primary_key=True),
    Column("username", ForeignKey(accounts.c.username), nullable=False, index=True),
    Column("terminal_device_id", ForeignKey(terminals.c.terminal_device_id)),
    # when the tokens now valid were made
    Column("issue_time", DateTime(timezone=True), nullable=False),
    Column("access_hash", LargeBinary, nullable=False),
    Column("access_expire_time", DateTime(timezone=True), nullable=False),
    Column("refresh_hash", LargeBinary, nullable=False),
    Column("refresh_expire_time", DateTime(timezone=True), nullable=False),
    Column("end_time", DateTime(timezone=True)),
    # the refresh token before, and the tokens it gave, sealed under its own secret: for a repeat,
    # see refreshing.py
    Column("former_refresh_hash", LargeBinary),
    Column("successor_sealed", LargeBinary),
)

validator_sessions = Table(
    "validator_sessions",
    metadata,
    Column("session_code", Text, primary_key=True),
    Column("login_id", ForeignKey(logins.c.login_id, ondelete="CASCADE"), nullable=False),
    Column("open_time", DateTime(timezone=True), nullable=False),
    Column("close_time", DateTime(timezone=True)),
    # the departure it admits, and its service as people call it; none: all departures
    Column("departure_id", BigInteger),
    Column("service_number", Text),
    CheckConstraint("(departure_id IS NULL) = (service_number IS NULL)", name="departure"),
)
Index(
    "uq_validator_sessions_open",
    validator_sessions.c.login_id,
    unique=True,
    postgresql_where=validator_sessions.c.close_time.is_(None),
)

travellers = Table(
    "travellers",
    metadata,
    # made by us, in the order of seconds; below 2**53, since JavaScript's numbers end there
    Column("traveller_id", BigInteger, primary_key=True, autoincrement=False),
    # the mini-program's, and who the traveller is in it
    Column("app_id", Text, nullable=False),
    Column("openid", Text, nullable=False),
    # who the traveller is in all programs of one owner, where WeChat tells
    Column("unionid", Text),
    Column("state", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    Column("last_login_time", DateTime(timezone=True), nullable=False),
    UniqueConstraint("openid", "app_id"),
    CheckConstraint("state IN ('ACTIVE', 'BLOCKED')", name="state"),
    CheckConstraint("traveller_id BETWEEN 1 AND 9007199254740991", name="traveller_id_53_bits"),
)
Index(
    "ix_travellers_blocked",
    travellers.c.traveller_id,
    postgresql_where=travellers.c.state == "BLOCKED",
)
