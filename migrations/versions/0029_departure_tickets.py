"""Partners' tickets of departures, and why a reservation ended"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
END_REASON = (
    "end_reason IN ('PARTNER', 'TICKETS_CANCELLED', 'TIME_OVER', 'DEPARTURE_CANCELLED',"
    " 'DEPARTURE_LEFT')"
)


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.create_table(
        "departure_tickets",
        sa.Column("ticket_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("departure_id", sa.BigInteger, nullable=False),
        sa.Column("stock_id", sa.BigInteger, nullable=False),
        sa.Column("seat_index", sa.Integer),
        sa.Column("seat", sa.Text),
        sa.Column("reference_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(seat_index IS NULL) = (seat IS NULL)", name=op.f("ck_departure_tickets_seat")
        ),
    )
    op.create_index(
        "ix_departure_tickets_departure_id", "departure_tickets", ["departure_id", "ticket_id"]
    )
    op.add_column("reservations", sa.Column("end_reason", sa.Text))
    op.create_check_constraint(op.f("ck_reservations_end_reason"), "reservations", END_REASON)
    op.create_index(
        "ix_reservations_departure_id",
        "reservations",
        ["departure_id", "reservation_id"],
        postgresql_where=sa.text("state = 'OPEN' AND departure_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_index("ix_reservations_departure_id", "reservations")
    op.drop_column("reservations", "end_reason")
    op.drop_table("departure_tickets")
