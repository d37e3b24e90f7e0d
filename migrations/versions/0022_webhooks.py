"""Webhooks to partners: their endpoints, what is delivered to each, and every attempt; and the
payments that partners say were made
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def key(*names: str) -> list[sa.Column[Any]]:
    """Columns of a primary key, the first of which is the partner."""
    return [
        sa.Column("partner_id", sa.Integer(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Uuid(), nullable=False) for name in names),
    ]


def upgrade() -> None:
    op.create_table(
        "webhook_endpoints",
        *key("endpoint_id"),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("types", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=False),
        sa.Column("encrypted_secret", sa.LargeBinary(), nullable=False),
        sa.Column("encrypted_previous_secret", sa.LargeBinary()),
        sa.Column("previous_secret_expire_time", TIME),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sa.PrimaryKeyConstraint("partner_id", "endpoint_id", name=op.f("pk_webhook_endpoints")),
        sa.CheckConstraint(
            "state IN ('ENABLED', 'DISABLED')", name=op.f("ck_webhook_endpoints_state")
        ),
        sa.CheckConstraint(
            "(state = 'ENABLED') = (disabled_reason = '')",
            name=op.f("ck_webhook_endpoints_disabled_has_reason"),
        ),
        sa.CheckConstraint(
            "(encrypted_previous_secret IS NULL) = (previous_secret_expire_time IS NULL)",
            name=op.f("ck_webhook_endpoints_previous_secret_expires"),
        ),
    )
    op.create_table(
        "webhook_deliveries",
        *key("endpoint_id", "event_id"),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("occurred_time", TIME, nullable=False),
        sa.Column("test_data", JSONB()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_time", TIME, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sa.PrimaryKeyConstraint(
            "partner_id", "endpoint_id", "event_id", name=op.f("pk_webhook_deliveries")
        ),
        sa.CheckConstraint(
            "state IN ('PENDING', 'DELIVERED', 'DEAD')", name=op.f("ck_webhook_deliveries_state")
        ),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_webhook_deliveries_attempts")),
    )
    of_endpoint = ["partner_id", "endpoint_id"]
    pending = sa.text("state = 'PENDING'")
    for name, columns, where in (
        ("due", ["due_time"], pending),
        ("subject", ["subject", "sequence"], pending),
        ("log", ["create_time", "event_id"], None),
    ):
        op.create_index(
            f"ix_webhook_deliveries_{name}",
            "webhook_deliveries",
            of_endpoint + columns,
            postgresql_where=where,
        )
    op.create_table(
        "webhook_attempts",
        *key("endpoint_id", "event_id"),
        sa.Column("attempt_time", TIME, nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "partner_id",
            "endpoint_id",
            "event_id",
            "attempt_time",
            name=op.f("pk_webhook_attempts"),
        ),
    )
    op.create_table(
        "partner_payment_secrets",
        *key(),
        sa.Column("encrypted_secret", sa.LargeBinary(), nullable=False),
        sa.Column("encrypted_previous_secret", sa.LargeBinary()),
        sa.Column("previous_secret_expire_time", TIME),
        sa.Column("update_time", TIME, nullable=False),
        sa.PrimaryKeyConstraint("partner_id", name=op.f("pk_partner_payment_secrets")),
    )
    op.create_table(
        "partner_payments",
        *key(),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("receive_time", TIME, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("partner_id", "message_id", name=op.f("pk_partner_payments")),
        sa.CheckConstraint(
            "state IN ('RECEIVED', 'ACTIVATED', 'REFUSED')", name=op.f("ck_partner_payments_state")
        ),
    )


def downgrade() -> None:
    for table in (
        "partner_payments",
        "partner_payment_secrets",
        "webhook_attempts",
        "webhook_deliveries",
        "webhook_endpoints",
    ):
        op.drop_table(table)
