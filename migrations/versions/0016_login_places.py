"""Where each name has logged in, so that known terminals keep a way in while others guess"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "login_places",
        sa.Column("username_hash", sa.LargeBinary(), nullable=False),
        sa.Column("place_hash", sa.LargeBinary(), nullable=False),
        sa.Column("last_login_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("username_hash", "place_hash", name=op.f("pk_login_places")),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("login_places")
