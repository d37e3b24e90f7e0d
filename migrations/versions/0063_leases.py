"""A function of a ticket may be leased to a terminal"""

import sqlalchemy as sa
from alembic import op

revision = "0063"
down_revision = "0062"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("entitlements", sa.Column("leased_by", sa.Text()))
    op.add_column("entitlements", sa.Column("leased_until", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_entitlements_leased",
        "entitlements",
        ["leased_by", "leased_until"],
        postgresql_where=sa.text("leased_by IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_entitlements_leased", "entitlements")
    op.drop_column("entitlements", "leased_until")
    op.drop_column("entitlements", "leased_by")
