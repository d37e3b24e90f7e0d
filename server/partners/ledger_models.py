"""The partners' ledgers, and the statements of their months."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from server.platform.database import metadata

ledgers = Table(
    "ledgers",
    metadata,
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    # of the last event whose entries are made
    Column("posted_sequence", BigInteger, nullable=False),
    # months by their first day: the first there is, and the first that is not sealed
    Column("first_month", Date, nullable=False),
    Column("open_month", Date, nullable=False),
    CheckConstraint("first_month <= open_month", name="months"),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    # Never updated. Those of one event are its journal; its first line says how many tickets or
    # uses there are.
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("line", SmallInteger, primary_key=True, autoincrement=False),
    # in which it is booked, by its first day; that of `day` unless it was sealed already
    Column("month", Date, nullable=False),
    # on which it happened
    Column("day", Date, nullable=False),
    Column("kind", Text, nullable=False),
    Column("debit_account", Text, nullable=False),
    Column("credit_account", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    # who sold it, empty for the partner itself; and whose COMMISSION_PAYABLE it is
    Column("distributor_id", Text, nullable=False),
    Column("payee_id", Text, nullable=False),
    Column("product_id", Integer, nullable=False),
    Column("batch_id", Uuid, nullable=False),
    # none: all tickets of the batch
    Column("ticket_id", BigInteger),
    Column("function_code", Text, nullable=False),
    # one row is one debit and one credit, so that a journal cannot be out of balance
    CheckConstraint("amount_minor >= 0 AND debit_account <> credit_account", name="amount"),
    CheckConstraint(
        "(payee_id <> '') = ('COMMISSION_PAYABLE' IN (debit_account, credit_account))", name="payee"
    ),
    CheckConstraint("extract(day FROM month) = 1", name="month"),
)
_e = ledger_entries.c
Index("ix_ledger_entries_month", _e.partner_id, _e.month)
Index(
    "ix_ledger_entries_ticket",
    _e.partner_id,
    _e.ticket_id,
    postgresql_where=_e.ticket_id.is_not(None),
)
Index(
    "ix_ledger_entries_batch",
    _e.partner_id,
    _e.batch_id,
    postgresql_where=_e.ticket_id.is_(None),
)

statements = Table(
    "statements",
    metadata,
    # of sealed months; never updated
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    Column("month", Date, primary_key=True),
    # the last event that was posted when it was sealed
    Column("through_sequence", BigInteger, nullable=False),
    # names and zone as they were then: what the content has besides the entries
    Column("header", JSONB, nullable=False),
    # canonical JSON, and its SHA-256
    Column("content", LargeBinary, nullable=False),
    Column("content_sha256", Text, nullable=False),
    Column("seal_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("content_sha256 ~ '^[0-9a-f]{64}$'", name="content_sha256"),
)
