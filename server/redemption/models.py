"""Redemption events, and the guards which state that a QR redeems a function once."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)

from server.platform.database import metadata

redemption_guards = Table(
    "redemption_guards",
    metadata,
    Column("ticket_id", BigInteger, primary_key=True, autoincrement=False),
    Column("jti", Uuid, primary_key=True),
    Column("function_code", Text, primary_key=True),
    # the admitted scan that holds the guard
    Column("event_id", BigInteger, nullable=False),
    Column("redeemed_time", DateTime(timezone=True), nullable=False),
    Column("terminal_device_id", Text, nullable=False),
    Column("venue_code", Text, nullable=False),
)

redemption_events = Table(
    "redemption_events",
    metadata,
    # 0 for a scan that named no ticket of ours
    Column("ticket_id", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", BigInteger, primary_key=True, autoincrement=False),
    Column("ticket_code", Text, nullable=False),
    Column("jti", Uuid),
    Column("function_code", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("reason", Text),
    Column("quantity", Integer, nullable=False),
    Column("merchant_code", Text, nullable=False),
    Column("venue_code", Text, nullable=False),
    Column("terminal_device_id", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("session_code", Text),
    Column("request_id", Text),
    Column("occurred_time", DateTime(timezone=True), nullable=False),
    Column("reversed_event_id", BigInteger),
    Column("comment", Text),
    # which transaction has recorded it, none before terminals had packs: see pack_statements.py
    Column("transaction_id", BigInteger, server_default=text("pg_current_xact_id()::text::bigint")),
    # by which token somebody was admitted (qr.Seal), if by one; an order's has `qr_order_id`
    Column("qr_key_id", Integer),
    Column("qr_digest", LargeBinary),
    Column("qr_order_id", BigInteger),
    CheckConstraint("result IN ('SUCCESS', 'REJECT', 'REVERSED')", name="result"),
    CheckConstraint("(result = 'REJECT') = (reason IS NOT NULL)", name="reason_of_refusals"),
    # a ticket of a sandbox is admitted by a simulated terminal alone, and it by nothing else
    CheckConstraint(
        "result = 'REJECT' OR (ticket_id >= 4611686018427387904) = (merchant_code = '(sandbox)')",
        name="simulated",
    ),
)
Index(
    "ix_redemption_events_merchant",
    redemption_events.c.merchant_code,
    redemption_events.c.occurred_time,
    redemption_events.c.event_id,
)
Index("ix_redemption_events_jti", redemption_events.c.jti)
Index(
    "ix_redemption_events_transaction_id",
    redemption_events.c.transaction_id,
    postgresql_where=text("transaction_id IS NOT NULL AND result <> 'REJECT'"),
)
# what is asked for beside the merchant
for _name, _column in (("terminal", "terminal_device_id"), ("operator", "operator")):
    Index(
        f"ix_redemption_events_{_name}",
        redemption_events.c.merchant_code,
        redemption_events.c[_column],
        redemption_events.c.occurred_time,
        redemption_events.c.event_id,
    )
for _name, _result in (("rejects", "REJECT"), ("reversals", "REVERSED")):
    Index(
        f"ix_redemption_events_{_name}",
        redemption_events.c.merchant_code,
        redemption_events.c.occurred_time,
        redemption_events.c.event_id,
        postgresql_where=redemption_events.c.result == _result,
    )
Index(
    "uq_redemption_events_reversal",
    redemption_events.c.ticket_id,
    redemption_events.c.reversed_event_id,
    unique=True,
    postgresql_where=redemption_events.c.reversed_event_id.is_not(None),
)

unissued_redemptions = Table(
    "unissued_redemptions",
    metadata,
    # redemptions by a token that has no row in `issued_tokens`; see issue_check.py
    Column("ticket_id", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", BigInteger, primary_key=True, autoincrement=False),
    Column("find_time", DateTime(timezone=True), nullable=False),
)
Index(
    "ix_unissued_redemptions_find_time",
    unissued_redemptions.c.find_time,
    unissued_redemptions.c.ticket_id,
    unissued_redemptions.c.event_id,
)

# One row: the redemptions up to this one were looked at, in the order of their transactions, whose
# numbers are those of one cluster of PostgreSQL.
issue_check_marks = Table(
    "issue_check_marks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("cluster_id", BigInteger, nullable=False),
    Column("transaction_id", BigInteger, nullable=False),
    Column("ticket_id", BigInteger, nullable=False),
    Column("event_id", BigInteger, nullable=False),
    CheckConstraint("name = 'redemptions'", name="one"),
)

offline_scans = Table(
    "offline_scans",
    metadata,
    # what terminals had decided without network, as it was uploaded, and its verdict for good. By
    # the hash of its content: a repeat is the same row, another content under one id another
    Column("terminal_device_id", Text, primary_key=True),
    Column("scan_hash", Text, primary_key=True),
    Column("scan_id", Text, nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("pack_version", BigInteger, nullable=False),
    # by the terminal's clock, and by ours
    Column("scanned_time", DateTime(timezone=True)),
    Column("received_time", DateTime(timezone=True), nullable=False),
    Column("merchant_code", Text, nullable=False),
    Column("venue_code", Text, nullable=False),
    # who uploaded it
    Column("operator", Text, nullable=False),
    Column("function_code", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("verdict", Text, nullable=False),
    # who bears it: MERCHANT, PLATFORM, none
    Column("liable", Text),
    # 0 for one that named no ticket of ours
    Column("ticket_id", BigInteger, nullable=False),
    # the verdict as answers.py keeps answers, and since when the ticket was revoked
    Column("answer", LargeBinary, nullable=False),
    Column("revoked_time", DateTime(timezone=True)),
    # of a scan that was redeemed online before, when its answer was lost: that event of the ticket
    Column("online_event_id", BigInteger),
    CheckConstraint("liable IN ('MERCHANT', 'PLATFORM')", name="liable"),
)
# partial, though it has all: not to be taken for the primary key
Index(
    "ix_offline_scans_counter",
    offline_scans.c.terminal_device_id,
    offline_scans.c.counter,
    postgresql_where=offline_scans.c.counter >= 0,
)
# what administrators look at
Index(
    "ix_offline_scans_attention",
    offline_scans.c.received_time,
    offline_scans.c.terminal_device_id,
    offline_scans.c.scan_hash,
    postgresql_where=text("verdict NOT IN ('ACCEPTED', 'RECORDED')"),
)
# one redemption excuses one scan
Index(
    "uq_offline_scans_online",
    offline_scans.c.ticket_id,
    offline_scans.c.online_event_id,
    offline_scans.c.terminal_device_id,
    unique=True,
    postgresql_where=offline_scans.c.online_event_id.is_not(None),
)

receipt_keys = Table(
    "receipt_keys",
    metadata,
    # the newest signs, see receipt_keys.py
    Column("key_number", Integer, primary_key=True, autoincrement=False),
    # Ed25519
    Column("public_key", LargeBinary, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
)

# What happened in an hour, or a day of UTC, once as a whole and once by venue, terminal and
# operator (`member`). See sums.py.
redemption_sums = Table(
    "redemption_sums",
    metadata,
    Column("merchant_code", Text, primary_key=True),
    Column("grouped_by", Text, primary_key=True),
    Column("span", Text, primary_key=True),
    Column("begin_time", DateTime(timezone=True), primary_key=True),
    Column("member", Text, primary_key=True),
    Column("function_code", Text, primary_key=True),
    Column("result", Text, primary_key=True),
    # empty where there is none
    Column("reason", Text, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("uses", BigInteger, nullable=False),
    CheckConstraint("grouped_by IN ('ALL', 'VENUE', 'TERMINAL', 'OPERATOR')", name="grouped_by"),
    CheckConstraint("span IN ('HOUR', 'DAY')", name="span"),
)

# One row: all events before its time are in the sums, and none since.
redemption_sums_mark = Table(
    "redemption_sums_mark",
    metadata,
    Column("name", Text, primary_key=True),
    Column("until_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("name = 'redemptions'", name="one"),
)
