"""Travellers"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "travellers",
        sa.Column("traveller_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("app_id", sa.Text(), nullable=False),
        sa.Column("openid", sa.Text(), nullable=False),
        sa.Column("unionid", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_login_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('ACTIVE', 'BLOCKED')", name=op.f("ck_travellers_state")),
        sa.CheckConstraint(
            "traveller_id BETWEEN 1 AND 9007199254740991",
            name=op.f("ck_travellers_traveller_id_53_bits"),
        ),
        sa.PrimaryKeyConstraint("traveller_id", name=op.f("pk_travellers")),
        sa.UniqueConstraint("openid", "app_id", name=op.f("uq_travellers_openid_app_id")),
    )
    op.create_index(
        "ix_travellers_blocked",
        "travellers",
        ["traveller_id"],
        unique=False,
        postgresql_where=sa.text("state = 'BLOCKED'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_travellers_blocked",
        table_name="travellers",
        postgresql_where=sa.text("state = 'BLOCKED'"),
    )
    op.drop_table("travellers")
