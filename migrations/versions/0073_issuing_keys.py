"""Tokens are signed by keys of a partner's day, whose private halves do not outlive it"""

import sqlalchemy as sa
from alembic import op

revision = "0073"
down_revision = "0072"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
IS_ACTIVE = sa.text("state = 'ACTIVE'")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "issuing_keys",
        sa.Column(
            "number",
            sa.Integer(),
            sa.Identity(start=256, minvalue=256, maxvalue=16_777_215),
            primary_key=True,
        ),
        sa.Column("partner_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("verify_key", sa.LargeBinary(), nullable=False),
        sa.Column("encrypted_seed", sa.LargeBinary()),
        sa.Column("create_time", MOMENT, nullable=False),
        sa.Column("end_time", MOMENT, nullable=False),
        sa.Column("retire_time", MOMENT),
        sa.Column("compromise_time", MOMENT),
        sa.Column(
            "transaction_id",
            sa.BigInteger(),
            nullable=False,
            server_default=sa.text("pg_current_xact_id()::text::bigint"),
        ),
        sa.CheckConstraint(
            "octet_length(verify_key) = 32", name=op.f("ck_issuing_keys_verify_key")
        ),
        sa.CheckConstraint(
            "state IN ('ACTIVE', 'VERIFY_ONLY', 'COMPROMISED')", name=op.f("ck_issuing_keys_state")
        ),
        sa.CheckConstraint(
            "(encrypted_seed IS NOT NULL) = (state = 'ACTIVE')", name=op.f("ck_issuing_keys_seed")
        ),
    )
    op.create_index(
        "issuing_keys_one_active",
        "issuing_keys",
        ["partner_id", "day"],
        unique=True,
        postgresql_where=IS_ACTIVE,
    )
    op.create_index("ix_issuing_keys_day", "issuing_keys", ["day", "partner_id", "number"])
    op.create_index("ix_issuing_keys_end_time", "issuing_keys", ["end_time"])
    op.create_index("ix_issuing_keys_transaction_id", "issuing_keys", ["transaction_id"])
    op.create_table(
        "issuing_key_issues",
        sa.Column("key_number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("jti", sa.Uuid(), primary_key=True),
        sa.Column("issue_time", MOMENT, nullable=False),
        sa.Column("replace_time", MOMENT),
    )
    op.create_index(
        "ix_issuing_key_issues_to_replace",
        "issuing_key_issues",
        ["key_number", "kind", "number"],
        postgresql_where=sa.text("replace_time IS NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("issuing_key_issues")
    op.drop_table("issuing_keys")
