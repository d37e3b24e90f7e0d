"""Cancelled and moved departures have a report: what was done, and the tickets concerned"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.add_column("departures", sa.Column("waiver_code", sa.Text))
    time = sa.DateTime(timezone=True)
    op.create_table(
        "disruptions",
        sa.Column("disruption_id", sa.Uuid, primary_key=True),
        sa.Column("departure_id", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("waiver_code", sa.Text, nullable=False),
        sa.Column("refunds", sa.Text),
        sa.Column("was_time", time, nullable=False),
        sa.Column("departure_time", time, nullable=False),
        sa.Column("preview_id", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("create_time", time, nullable=False),
        sa.Column("order_ids", ARRAY(sa.BigInteger), nullable=False),
        sa.Column("reservation_ids", ARRAY(sa.Uuid), nullable=False),
        sa.CheckConstraint("kind IN ('CANCELLED', 'MOVED')", name=op.f("ck_disruptions_kind")),
        sa.CheckConstraint(
            "(kind = 'CANCELLED') = (refunds IS NOT NULL)", name=op.f("ck_disruptions_refunds")
        ),
    )
    op.create_index("ix_disruptions_departure_id", "disruptions", ["departure_id", "disruption_id"])
    op.create_table(
        "disruption_tickets",
        sa.Column("disruption_id", sa.Uuid, primary_key=True),
        sa.Column("ticket_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("ticket_code", sa.Text, nullable=False),
        sa.Column("order_id", sa.BigInteger),
        sa.Column("partner_id", sa.Integer, nullable=False),
        sa.Column("was_state", sa.Text, nullable=False),
        sa.Column("was_blocked", sa.Boolean, nullable=False),
        sa.Column("was_reference_time", time, nullable=False),
        sa.Column("paid_minor", sa.BigInteger, nullable=False),
        sa.Column("currency_code", sa.Text, nullable=False),
        sa.Column("failure", sa.Text),
    )


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_table("disruption_tickets")
    op.drop_table("disruptions")
    op.drop_column("departures", "waiver_code")
