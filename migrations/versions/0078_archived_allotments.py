"""A partner's allotment is archived and taken back"""

import sqlalchemy as sa
from alembic import op

revision = "0078"
down_revision = "0077"
branch_labels = None
depends_on = None

CHECK = "ck_stocks_archived_is_closed"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    column: sa.Column[bool] = sa.Column(
        "archived", sa.Boolean(), nullable=False, server_default="false"
    )
    op.add_column("stocks", column)
    # every row is as the column's default says: there is nothing to be looked at under the lock
    op.execute(
        f"ALTER TABLE stocks ADD CONSTRAINT {CHECK}"
        " CHECK (NOT archived OR (closed AND partner_id > 0)) NOT VALID"
    )
    op.execute(f"ALTER TABLE stocks VALIDATE CONSTRAINT {CHECK}")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # what was archived is taken back
    op.execute("""
UPDATE stocks s SET closed = EXISTS (
  SELECT FROM departures d WHERE d.departure_id = s.departure_id AND d.state = 'CANCELLED')
WHERE s.archived
""")
    op.execute(f"ALTER TABLE stocks DROP CONSTRAINT {CHECK}")
    op.drop_column("stocks", "archived")
