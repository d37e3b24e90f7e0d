"""Tickets and what happens to them carry the number of their transaction, for terminals' packs"""

import sqlalchemy as sa
from alembic import op

revision = "0059"
down_revision = "0058"
branch_labels = None
depends_on = None

COLUMNS = {
    "redemption_events": "transaction_id",
    "ticket_events": "transaction_id",
    "tickets": "create_transaction_id",
}
CONDITIONS = {
    "redemption_events": "transaction_id IS NOT NULL AND result <> 'REJECT'",
    "ticket_events": "transaction_id IS NOT NULL AND action <> 'expired'",
    "tickets": "create_transaction_id IS NOT NULL",
}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, column in COLUMNS.items():
        # none of before: no pack is of before
        op.add_column(table, sa.Column(column, sa.BigInteger()))
        default = sa.text("pg_current_xact_id()::text::bigint")
        op.alter_column(table, column, server_default=default)
        condition = sa.text(CONDITIONS[table])
        op.create_index(f"ix_{table}_{column}", table, [column], postgresql_where=condition)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, column in COLUMNS.items():
        op.drop_index(f"ix_{table}_{column}", table)
        op.drop_column(table, column)
