"""The gate: when boarding opens, and validator sessions for one departure"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "products",
        sa.Column("boarding_minutes", sa.Integer(), server_default="120", nullable=False),
    )
    op.create_check_constraint(
        op.f("ck_products_boarding_minutes"), "products", "boarding_minutes BETWEEN 1 AND 1440"
    )
    op.add_column("validator_sessions", sa.Column("departure_id", sa.BigInteger(), nullable=True))
    op.add_column("validator_sessions", sa.Column("service_number", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_validator_sessions_departure"),
        "validator_sessions",
        "(departure_id IS NULL) = (service_number IS NULL)",
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_constraint(op.f("ck_validator_sessions_departure"), "validator_sessions")
    op.drop_column("validator_sessions", "service_number")
    op.drop_column("validator_sessions", "departure_id")
    op.drop_constraint(op.f("ck_products_boarding_minutes"), "products")
    op.drop_column("products", "boarding_minutes")
