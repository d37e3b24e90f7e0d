"""Partner events: what happens to a partner's batches, tickets and stock, in order, and how far each
partner has read

Nothing is recorded of what happened before.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "partner_events",
        sa.Column("partner_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("data", JSONB(), nullable=False),
        sa.Column("occurred_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "record_time",
            sa.DateTime(timezone=True),
            server_default=sa.func.clock_timestamp(),
            nullable=False,
        ),
        sa.Column("sequence", sa.BigInteger()),
        sa.PrimaryKeyConstraint("partner_id", "event_id", name=op.f("pk_partner_events")),
        sa.CheckConstraint("sequence > 0", name=op.f("ck_partner_events_sequence")),
    )
    op.create_index(
        "uq_partner_events_sequence", "partner_events", ["partner_id", "sequence"], unique=True
    )
    op.create_index(
        "ix_partner_events_unsequenced",
        "partner_events",
        ["record_time", "event_id"],
        postgresql_where=sa.text("sequence IS NULL"),
    )
    op.create_index(
        "ix_partner_events_record_time", "partner_events", ["record_time"], postgresql_using="brin"
    )
    zero = sa.text("0")
    op.create_table(
        "partner_feeds",
        sa.Column("partner_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), server_default=zero, nullable=False),
        sa.Column("purged_sequence", sa.BigInteger(), server_default=zero, nullable=False),
        sa.Column("acknowledged_sequence", sa.BigInteger(), server_default=zero, nullable=False),
        sa.Column("acknowledge_time", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("partner_id", name=op.f("pk_partner_feeds")),
        sa.CheckConstraint(
            "purged_sequence BETWEEN 0 AND last_sequence"
            " AND acknowledged_sequence BETWEEN 0 AND last_sequence",
            name=op.f("ck_partner_feeds_sequences"),
        ),
    )


def downgrade() -> None:
    op.drop_table("partner_feeds")
    op.drop_table("partner_events")
