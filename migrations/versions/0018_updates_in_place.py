"""A redemption changes its ticket in place: no index depends on the state, and pages have room

What is on the disk already keeps its pages; new tickets get new ones.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
OPEN = "'ACTIVE', 'PARTIALLY_REDEEMED', 'REFUNDING', 'CHANGING'"
CHECK = "ck_tickets_open_until_it_expires"
END = ["valid_until_time", "ticket_id"]


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    # those that are final, most of all that were ever sold, are not written
    pending: sa.Column[bool] = sa.Column(
        "expiry_pending", sa.Boolean(), nullable=False, server_default="false"
    )
    op.add_column("tickets", pending)
    op.execute(
        f"UPDATE tickets SET expiry_pending = true WHERE state IN ({OPEN}, 'PRE_GENERATED')"  # noqa: S608
    )
    op.alter_column("tickets", "expiry_pending", server_default="true")
    op.execute(
        f"ALTER TABLE tickets ADD CONSTRAINT {CHECK}"
        f" CHECK (expiry_pending OR state NOT IN ({OPEN}))"
    )
    op.drop_index("ix_tickets_open_until", "tickets")
    op.create_index(
        "ix_tickets_expiry_pending", "tickets", END, postgresql_where=sa.text("expiry_pending")
    )
    for table in ("tickets", "entitlements"):
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 50)")


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    for table in ("tickets", "entitlements"):
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 85)")
    op.drop_index("ix_tickets_expiry_pending", "tickets")
    op.create_index(
        "ix_tickets_open_until",
        "tickets",
        END,
        postgresql_where=sa.text("state IN ('ACTIVE', 'PARTIALLY_REDEEMED')"),
    )
    op.drop_constraint(CHECK, "tickets")
    op.drop_column("tickets", "expiry_pending")
