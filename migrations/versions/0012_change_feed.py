"""Changes of configuration: a row for each, which says what changed, instead of one row that
counts them
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.create_table(
        "change_feed",
        sa.Column(
            "transaction_id",
            sa.BigInteger(),
            server_default=sa.text("pg_current_xact_id()::text::bigint"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("kind", sa.Text(), server_default="EVERYTHING", nullable=False),
        sa.Column("key", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "create_time",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("transaction_id", "kind", "key", name=op.f("pk_change_feed")),
    )
    op.create_index("ix_change_feed_create_time", "change_feed", ["create_time"])
    op.drop_table("config_version")


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.create_table(
        "config_version",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_config_version")),
    )
    op.execute("INSERT INTO config_version (id, version) VALUES (1, 1)")
    op.drop_table("change_feed")
