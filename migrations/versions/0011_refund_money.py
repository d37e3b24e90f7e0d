"""Refunds: how many WeChat was asked for of a payment, and what WeChat said of each part, with
its own times
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
STATES = "('', 'PROCESSING', 'SUCCEEDED', 'CLOSED', 'ABNORMAL')"
TEXTS = ("provider_state", "abnormal_account", "abnormal_request")
TIMES = ("provider_create_time", "provider_success_time")
CHECKS = {
    "provider_state": f"provider_state IN {STATES}",
    "abnormal_account": "abnormal_account IN ('', 'USER_BANK_CARD', 'MERCHANT_BANK_CARD')",
    "asked_count": "asked_count >= 0",
}


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.add_column(
        "payments", sa.Column("refund_count", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column(
        "refund_parts",
        sa.Column("asked_count", sa.SmallInteger(), server_default="0", nullable=False),
    )
    for name in TEXTS:
        op.add_column("refund_parts", sa.Column(name, sa.Text(), server_default="", nullable=False))
    for name in TIMES:
        op.add_column("refund_parts", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    _fill()
    op.create_check_constraint(
        op.f("ck_payments_refund_count"), "payments", "refund_count BETWEEN 0 AND 50"
    )
    for name, condition in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_refund_parts_{name}"), "refund_parts", condition)
    op.create_index(
        "ix_refund_parts_provider_create_time",
        "refund_parts",
        ["provider_create_time"],
        postgresql_where=sa.text("provider_create_time IS NOT NULL"),
    )
    op.create_index(
        "ix_refund_parts_processing",
        "refund_parts",
        ["update_time"],
        postgresql_where=sa.text("state = 'PROCESSING'"),
    )


def _fill() -> None:
    """Every number that was used so far counts, a renumbered part has as many as its last number
    says (…A2: two).

    WeChat's number that is kept with a renumbered part which is not settled is of a number that
    WeChat has closed. When WeChat took a refund on is not known of those from before: the
    comparison with the bill expects none of them.
    """
    op.execute(
        "UPDATE refund_parts SET"
        " asked_count = coalesce(substring(out_refund_no FROM 'A([0-9]+)$')::smallint, 1),"
        " provider_refund_id = CASE WHEN out_refund_no ~ 'A[0-9]+$' AND state = 'ABNORMAL' THEN ''"
        " ELSE provider_refund_id END,"
        " provider_state = CASE WHEN provider_refund_id = '' THEN ''"
        " WHEN out_refund_no ~ 'A[0-9]+$' AND state = 'ABNORMAL' THEN '' ELSE state END"
    )
    op.execute(
        "UPDATE payments p SET refund_count = LEAST(50, c.asked) FROM ("
        " SELECT payment_order_id, payment_attempt, sum(asked_count) AS asked FROM refund_parts GROUP BY 1, 2) c"
        " WHERE p.order_id = c.payment_order_id AND p.attempt = c.payment_attempt"
    )


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_index("ix_refund_parts_processing", "refund_parts")
    op.drop_index("ix_refund_parts_provider_create_time", "refund_parts")
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_refund_parts_{name}"), "refund_parts")
    op.drop_constraint(op.f("ck_payments_refund_count"), "payments")
    for name in (*TIMES, *TEXTS, "asked_count"):
        op.drop_column("refund_parts", name)
    op.drop_column("payments", "refund_count")
