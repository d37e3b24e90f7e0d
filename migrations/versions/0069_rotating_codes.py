"""Templates of entitlements say whether a redemption asks for the rotating code of a phone"""

import sqlalchemy as sa
from alembic import op

revision = "0069"
down_revision = "0068"
branch_labels = None
depends_on = None

TABLE, CHECK = "entitlement_templates", "ck_entitlement_templates_rotating_code"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        TABLE, sa.Column("rotating_code", sa.Text(), server_default="NONE", nullable=False)
    )
    op.create_check_constraint(
        op.f(CHECK), TABLE, "rotating_code IN ('NONE', 'OPTIONAL', 'REQUIRED')"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_constraint(op.f(CHECK), TABLE)
    op.drop_column(TABLE, "rotating_code")
