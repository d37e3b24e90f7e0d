"""A scan that was redeemed online names that redemption; scans are looked up by their key alone"""

import sqlalchemy as sa
from alembic import op

revision = "0076"
down_revision = "0075"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("offline_scans", sa.Column("online_event_id", sa.BigInteger()))
    op.create_index(
        "uq_offline_scans_online",
        "offline_scans",
        ["ticket_id", "online_event_id", "terminal_device_id"],
        unique=True,
        postgresql_where=sa.text("online_event_id IS NOT NULL"),
    )
    _index_counters(sa.text("counter >= 0"))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _index_counters(None)
    op.drop_index("uq_offline_scans_online", "offline_scans")
    op.drop_column("offline_scans", "online_event_id")


def _index_counters(where: sa.TextClause | None) -> None:
    op.drop_index("ix_offline_scans_counter", "offline_scans")
    columns = ["terminal_device_id", "counter"]
    op.create_index("ix_offline_scans_counter", "offline_scans", columns, postgresql_where=where)
