"""Redemption events are summed by hour and day, and found by terminal, operator and rare results"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
# Hours that are over by far; what has happened since the job sums up.
MARK = "date_trunc('hour', now() - interval '10 minutes', 'UTC')"
SUM_HOURS = f"""
INSERT INTO redemption_sums
  (merchant_code, grouped_by, span, begin_time, member, function_code, result, reason, events, uses)
SELECT e.merchant_code, g.grouped_by, 'HOUR', date_trunc('hour', e.occurred_time, 'UTC'),
  CASE g.grouped_by WHEN 'VENUE' THEN e.venue_code WHEN 'TERMINAL' THEN e.terminal_device_id
    WHEN 'OPERATOR' THEN e.operator ELSE '' END,
  e.function_code, e.result, coalesce(e.reason, ''), count(*),
  coalesce(sum(e.quantity) FILTER (WHERE e.result <> 'REJECT'), 0)
FROM redemption_events e
CROSS JOIN (VALUES ('ALL'), ('VENUE'), ('TERMINAL'), ('OPERATOR')) AS g (grouped_by)
WHERE e.occurred_time < {MARK} GROUP BY 1, 2, 4, 5, 6, 7, 8
"""  # noqa: S608 - our own
SUM_DAYS = f"""
INSERT INTO redemption_sums
  (merchant_code, grouped_by, span, begin_time, member, function_code, result, reason, events, uses)
SELECT merchant_code, grouped_by, 'DAY', date_trunc('day', begin_time, 'UTC'), member, function_code,
  result, reason, sum(events), sum(uses)
FROM redemption_sums WHERE begin_time < date_trunc('day', {MARK}, 'UTC')
GROUP BY 1, 2, 4, 5, 6, 7, 8
"""  # noqa: S608 - our own


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.create_table(
        "redemption_sums",
        sa.Column("merchant_code", sa.Text(), primary_key=True),
        sa.Column("grouped_by", sa.Text(), primary_key=True),
        sa.Column("span", sa.Text(), primary_key=True),
        sa.Column("begin_time", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("member", sa.Text(), primary_key=True),
        sa.Column("function_code", sa.Text(), primary_key=True),
        sa.Column("result", sa.Text(), primary_key=True),
        sa.Column("reason", sa.Text(), primary_key=True),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "grouped_by IN ('ALL', 'VENUE', 'TERMINAL', 'OPERATOR')",
            name="grouped_by",
        ),
        sa.CheckConstraint("span IN ('HOUR', 'DAY')", name="span"),
    )
    op.create_table(
        "redemption_sums_mark",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("until_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("name = 'redemptions'", name="one"),
    )
    op.execute(SUM_HOURS)
    op.execute(SUM_DAYS)
    op.execute(f"INSERT INTO redemption_sums_mark VALUES ('redemptions', {MARK})")  # noqa: S608
    for name, columns, condition in (
        ("terminal", ("merchant_code", "terminal_device_id", "occurred_time", "event_id"), None),
        ("operator", ("merchant_code", "operator", "occurred_time", "event_id"), None),
        ("rejects", ("merchant_code", "occurred_time", "event_id"), "result = 'REJECT'"),
        ("reversals", ("merchant_code", "occurred_time", "event_id"), "result = 'REVERSED'"),
    ):
        where = sa.text(condition) if condition else None
        index = f"ix_redemption_events_{name}"
        op.create_index(index, "redemption_events", list(columns), postgresql_where=where)


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    for name in ("terminal", "operator", "rejects", "reversals"):
        op.drop_index(f"ix_redemption_events_{name}", "redemption_events")
    op.drop_table("redemption_sums_mark")
    op.drop_table("redemption_sums")
