"""The audit trail knows why and from where, and is a chain

What is there is put into the chain by the first server that starts.
"""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
TEXTS = ("reason", "address", "terminal_device_id", "request_id")
CHAIN = (
    ("seal", sa.LargeBinary),
    ("position", sa.BigInteger),
    ("chain_hash", sa.LargeBinary),
    ("chain_seal", sa.LargeBinary),
)
CHAINED = "(position IS NULL) = (chain_hash IS NULL) AND (position IS NULL) = (chain_seal IS NULL)"


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    for name in TEXTS:
        op.add_column("audit_events", sa.Column(name, sa.Text))
    for name, kind in CHAIN:
        op.add_column("audit_events", sa.Column(name, kind))
    op.create_check_constraint(op.f("ck_audit_events_chained"), "audit_events", CHAINED)
    op.create_index("ix_audit_events_actor", "audit_events", ["actor", "occurred_time", "audit_id"])
    op.create_index("uq_audit_events_position", "audit_events", ["position"], unique=True)
    op.create_index(
        "ix_audit_events_unchained",
        "audit_events",
        ["occurred_time", "audit_id"],
        postgresql_where=sa.text("position IS NULL"),
    )
    op.create_table(
        "audit_heads",
        sa.Column("head_id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("chain_hash", sa.LargeBinary, nullable=False),
        sa.Column("checkpoints", sa.BigInteger, nullable=False),
        sa.Column("begin_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seal", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("head_id = 1", name=op.f("ck_audit_heads_one")),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("checkpoint_number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("chain_hash", sa.LargeBinary, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_table("audit_checkpoints")
    op.drop_table("audit_heads")
    op.drop_index("ix_audit_events_actor", "audit_events")
    for name in (*TEXTS, *(name for name, _ in CHAIN)):
        op.drop_column("audit_events", name)
