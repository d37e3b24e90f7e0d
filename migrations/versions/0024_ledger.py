"""The partners' ledgers, and the statements of their months

A ledger begins with the first event of its partner that is kept: what was sold before is in none.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ledgers",
        sa.Column("partner_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("posted_sequence", sa.BigInteger(), nullable=False),
        sa.Column("first_month", sa.Date(), nullable=False),
        sa.Column("open_month", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("partner_id", name=op.f("pk_ledgers")),
        sa.CheckConstraint("first_month <= open_month", name=op.f("ck_ledgers_months")),
    )
    op.create_table(
        "ledger_entries",
        sa.Column("partner_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("debit_account", sa.Text(), nullable=False),
        sa.Column("credit_account", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency_code", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("distributor_id", sa.Text(), nullable=False),
        sa.Column("payee_id", sa.Text(), nullable=False),
        sa.Column("product_id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger()),
        sa.Column("function_code", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("partner_id", "sequence", "line", name=op.f("pk_ledger_entries")),
        sa.CheckConstraint(
            "amount_minor >= 0 AND debit_account <> credit_account",
            name=op.f("ck_ledger_entries_amount"),
        ),
        sa.CheckConstraint(
            "(payee_id <> '') = ('COMMISSION_PAYABLE' IN (debit_account, credit_account))",
            name=op.f("ck_ledger_entries_payee"),
        ),
        sa.CheckConstraint("extract(day FROM month) = 1", name=op.f("ck_ledger_entries_month")),
    )
    op.create_index("ix_ledger_entries_month", "ledger_entries", ["partner_id", "month"])
    op.create_index(
        "ix_ledger_entries_ticket",
        "ledger_entries",
        ["partner_id", "ticket_id"],
        postgresql_where=sa.text("ticket_id IS NOT NULL"),
    )
    op.create_index(
        "ix_ledger_entries_batch",
        "ledger_entries",
        ["partner_id", "batch_id"],
        postgresql_where=sa.text("ticket_id IS NULL"),
    )
    op.create_table(
        "statements",
        sa.Column("partner_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("through_sequence", sa.BigInteger(), nullable=False),
        sa.Column("header", JSONB(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("seal_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("partner_id", "month", name=op.f("pk_statements")),
        sa.CheckConstraint(
            "content_sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_statements_content_sha256")
        ),
    )


def downgrade() -> None:
    op.drop_table("statements")
    op.drop_table("ledger_entries")
    op.drop_table("ledgers")
