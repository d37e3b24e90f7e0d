"""The audit trail's chain is resumed after a break, which stays known"""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

NEVER_NULL = (
    ("begin_position", sa.BigInteger),
    ("checkpoints", sa.BigInteger),
    ("fault", sa.Text),
    ("actor", sa.Text),
    ("reason", sa.Text),
    ("create_time", sa.DateTime(timezone=True)),
    ("signature", sa.LargeBinary),
)


def upgrade() -> None:
    op.create_table(
        "audit_segments",
        sa.Column("segment_number", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(name, kind, nullable=False) for name, kind in NEVER_NULL),
    )


def downgrade() -> None:
    op.drop_table("audit_segments")
