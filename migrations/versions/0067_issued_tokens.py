"""Each QR token that is issued is recorded, and by which token somebody was admitted"""

import sqlalchemy as sa
from alembic import op

revision = "0067"
down_revision = "0066"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "qr_keys",
        sa.Column("is_recorded", sa.Boolean(), nullable=False, server_default="false"),
    )
    op.create_table(
        "issued_tokens",
        sa.Column("key_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("issue_time", MOMENT, nullable=False),
        sa.CheckConstraint("octet_length(digest) = 16", name=op.f("ck_issued_tokens_digest")),
    )
    op.add_column("redemption_events", sa.Column("qr_key_id", sa.Integer()))
    op.add_column("redemption_events", sa.Column("qr_digest", sa.LargeBinary()))
    op.add_column("redemption_events", sa.Column("qr_order_id", sa.BigInteger()))
    op.create_table(
        "unissued_redemptions",
        sa.Column("ticket_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("event_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("find_time", MOMENT, nullable=False),
    )
    op.create_index(
        "ix_unissued_redemptions_find_time",
        "unissued_redemptions",
        ["find_time", "ticket_id", "event_id"],
    )
    op.create_table(
        "issue_check_marks",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("cluster_id", sa.BigInteger(), nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("name = 'redemptions'", name=op.f("ck_issue_check_marks_one")),
    )
    # what was redeemed before says of no token
    op.execute("""
INSERT INTO issue_check_marks
SELECT 'redemptions', system_identifier, pg_snapshot_xmin(pg_current_snapshot())::text::bigint, 0, 0
FROM pg_control_system()
""")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("issue_check_marks")
    op.drop_table("unissued_redemptions")
    op.drop_column("redemption_events", "qr_order_id")
    op.drop_column("redemption_events", "qr_digest")
    op.drop_column("redemption_events", "qr_key_id")
    op.drop_table("issued_tokens")
    op.drop_column("qr_keys", "is_recorded")
