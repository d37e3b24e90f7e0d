"""Versions of several objects are published together, as a change set; those of promotions have the
cap; departures come back with a feed
"""

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "config_versions", sa.Column("change_set_id", sa.Text, nullable=False, server_default="")
    )
    op.create_check_constraint(
        op.f("ck_config_versions_change_set"),
        "config_versions",
        "change_set_id = '' OR state IN ('SCHEDULED', 'PUBLISHED', 'SUPERSEDED')",
    )
    op.create_index(
        "ix_config_versions_change_set_id",
        "config_versions",
        ["change_set_id"],
        postgresql_where=sa.text("change_set_id <> ''"),
    )
    op.add_column(
        "departures",
        sa.Column("withdrawn", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    # of what is superseded nobody knows it: that keeps the cap when it is published again
    op.execute(
        "UPDATE config_versions v SET content = v.content || jsonb_build_object('cap', CASE WHEN"
        " p.capped THEN (SELECT total FROM stocks s WHERE s.promotion_id = p.promotion_id) END)"
        " FROM promotions p WHERE v.object_type = 'PROMOTION' AND v.object_id = p.promotion_id"
        " AND v.state IN ('DRAFT', 'SCHEDULED', 'PUBLISHED')"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        "UPDATE config_versions SET content = content - 'cap' WHERE object_type = 'PROMOTION'"
    )
    op.drop_column("departures", "withdrawn")
    op.drop_index("ix_config_versions_change_set_id", "config_versions")
    op.drop_constraint(op.f("ck_config_versions_change_set"), "config_versions")
    op.drop_column("config_versions", "change_set_id")
