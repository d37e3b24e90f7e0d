"""Administrators' second factors and recovery codes"""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.create_table(
        "admin_factors",
        sa.Column("username", sa.Text, sa.ForeignKey("accounts.username"), primary_key=True),
        sa.Column("secret_sealed", sa.LargeBinary, nullable=False),
        sa.Column("last_step", sa.BigInteger, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirm_time", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("username", sa.Text, sa.ForeignKey("accounts.username"), primary_key=True),
        sa.Column("code_hash", sa.LargeBinary, primary_key=True),
        sa.Column("use_time", sa.DateTime(timezone=True)),
    )


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_table("recovery_codes")
    op.drop_table("admin_factors")
