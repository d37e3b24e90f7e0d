"""Partners, merchants, venues, terminals and operators are archived and taken back; accounts count
their changes
"""

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None

TABLES = ("partners", "merchants", "venues", "terminals", "accounts")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("accounts", sa.Column("version", sa.Integer, nullable=False, server_default="1"))
    for table in TABLES:
        _states(table, "ACTIVE", "ARCHIVED", "REVOKED")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in TABLES:
        # the release before knows none that is shut out for a while
        op.execute(f"UPDATE {table} SET state = 'REVOKED' WHERE state = 'ARCHIVED'")  # noqa: S608
        _states(table, "ACTIVE", "REVOKED")
    op.drop_column("accounts", "version")


def _states(table: str, *states: str) -> None:
    name = op.f(f"ck_{table}_state")
    op.drop_constraint(name, table)
    allowed = ", ".join(f"'{state}'" for state in states)
    op.create_check_constraint(name, table, f"state IN ({allowed})")
