"""Channels are disconnected: sent that nothing is left, then without credentials"""

import sqlalchemy as sa
from alembic import op

revision = "0068"
down_revision = "0067"
branch_labels = None
depends_on = None

STATE, CREDENTIALS = "ck_channels_state", "ck_channels_credentials"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("channels", sa.Column("account_hash", sa.LargeBinary()))
    op.drop_constraint(op.f(STATE), "channels")
    op.create_check_constraint(
        op.f(STATE), "channels", "state IN ('ACTIVE', 'PAUSED', 'DISCONNECTING', 'REVOKED')"
    )
    op.create_check_constraint(
        op.f(CREDENTIALS),
        "channels",
        "(state = 'REVOKED') = (account_hash IS NOT NULL)"
        " AND (state = 'REVOKED') = (sealed_credentials = '')",
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_constraint(op.f(CREDENTIALS), "channels")
    op.execute("UPDATE channels SET state = 'PAUSED' WHERE state = 'DISCONNECTING'")
    op.drop_constraint(op.f(STATE), "channels")
    op.create_check_constraint(op.f(STATE), "channels", "state IN ('ACTIVE', 'PAUSED', 'REVOKED')")
    op.drop_column("channels", "account_hash")
