"""QR tokens that are issued are recorded; a key that others have refuses what it made"""

import sqlalchemy as sa
from alembic import op

revision = "0065"
down_revision = "0064"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
STATE = "ck_qr_keys_state"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("qr_keys", sa.Column("compromise_time", MOMENT))
    op.drop_constraint(op.f(STATE), "qr_keys", type_="check")
    op.create_check_constraint(
        op.f(STATE),
        "qr_keys",
        "state IN ('PENDING', 'ACTIVE', 'VERIFY_ONLY', 'COMPROMISED', 'REVOKED')",
    )
    op.create_table(
        "qr_issues",
        sa.Column("key_id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("jti", sa.Uuid(), primary_key=True),
        sa.Column("issue_time", MOMENT, nullable=False),
        sa.Column("replace_time", MOMENT),
    )
    op.create_index(
        "ix_qr_issues_to_replace",
        "qr_issues",
        ["key_id", "kind", "number"],
        postgresql_where=sa.text("replace_time IS NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("qr_issues")
    # the release before does not know the state, and refuses the tokens too
    op.execute(
        "UPDATE qr_keys SET state = 'REVOKED', revoke_time = compromise_time"
        " WHERE state = 'COMPROMISED'"
    )
    op.drop_constraint(op.f(STATE), "qr_keys", type_="check")
    op.create_check_constraint(
        op.f(STATE), "qr_keys", "state IN ('PENDING', 'ACTIVE', 'VERIFY_ONLY', 'REVOKED')"
    )
    op.drop_column("qr_keys", "compromise_time")
