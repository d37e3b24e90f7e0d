"""What administrators may call; those of before stay administrators"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.add_column(
        "accounts", sa.Column("admin_roles", ARRAY(sa.Text), nullable=False, server_default="{}")
    )
    op.execute("UPDATE accounts SET admin_roles = '{ADMINISTRATOR}' WHERE role = 'ADMIN'")
    op.create_check_constraint(
        op.f("ck_accounts_admin_roles_of_administrators"),
        "accounts",
        "role = 'ADMIN' OR admin_roles = '{}'",
    )


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_column("accounts", "admin_roles")
