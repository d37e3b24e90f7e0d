"""Notifications of travellers: what they are notified, by which channels and texts, and what they have
agreed to; moves of orders say whether they are still to be notified
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
TABLES = (
    *("notifications", "notification_deliveries", "notification_preferences"),
    *("notification_consents", "notification_requests", "notification_marks"),
    *("notification_templates", "notification_pauses", "wechat_access_tokens"),
)


def number(name: str, kind: type[sa.types.TypeEngine[int]] = sa.BigInteger) -> sa.Column[int]:
    return sa.Column(name, kind(), autoincrement=False, nullable=False)


def words(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def times(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, TIME, nullable=False) for name in names]


def key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # what has happened before is not notified any more
    op.add_column(
        "order_events", sa.Column("notify", sa.Boolean(), nullable=False, server_default="false")
    )
    op.alter_column("order_events", "notify", server_default="true")
    op.create_index(
        "ix_order_events_notify",
        "order_events",
        ["occurred_time", "order_id"],
        postgresql_where=sa.text("notify"),
    )
    _messages()
    _travellers()
    _configuration()


def _messages() -> None:
    op.create_table(
        "notifications",
        number("traveller_id"),
        number("number"),
        number("order_id"),
        *words("kind", "source", "language", "title", "body"),
        sa.Column("facts", JSONB(), nullable=False),
        *times("occurred_time", "create_time"),
        sa.Column("read_time", TIME),
        key("notifications", "traveller_id", "number"),
        check("notifications", "language", "language IN ('zh', 'en')"),
    )
    op.create_index(
        "uq_notifications_source", "notifications", ["traveller_id", "source"], unique=True
    )
    op.create_index(
        "ix_notifications_unread",
        "notifications",
        ["traveller_id", "number"],
        postgresql_where=sa.text("read_time IS NULL"),
    )
    op.create_index(
        "ix_notifications_create_time", "notifications", ["create_time"], postgresql_using="brin"
    )
    table = "notification_deliveries"
    op.create_table(
        table,
        number("traveller_id"),
        number("number"),
        *words("channel"),
        number("order_id"),
        *words("kind", "template_id", "state", "reason"),
        *times("due_time"),
        sa.Column("lease_time", TIME),
        number("attempts", sa.Integer),
        *times("create_time", "update_time"),
        key(table, "traveller_id", "number", "channel"),
        check(table, "channel", "channel IN ('WECHAT', 'SMS', 'EMAIL')"),
        check(table, "state", "state IN ('PENDING', 'SENT', 'SKIPPED', 'DEAD')"),
        check(table, "attempts", "attempts >= 0"),
        postgresql_with={"fillfactor": 60},
    )
    pending = sa.text("state = 'PENDING'")
    op.create_index(f"ix_{table}_due", table, ["channel", "due_time"], postgresql_where=pending)
    of_order = ["traveller_id", "order_id", "channel", "number"]
    op.create_index(f"ix_{table}_order", table, of_order, postgresql_where=pending)
    op.create_index(f"ix_{table}_ended", table, ["update_time"], postgresql_using="brin")


def _travellers() -> None:
    table = "notification_preferences"
    op.create_table(
        table,
        number("traveller_id"),
        *words("language"),
        sa.Column("sms", sa.Boolean(), nullable=False),
        sa.Column("email", sa.Boolean(), nullable=False),
        sa.Column("contacts_sealed", sa.LargeBinary()),
        sa.Column("quiet_from", sa.SmallInteger()),
        sa.Column("quiet_until", sa.SmallInteger()),
        *times("update_time"),
        key(table, "traveller_id"),
        check(table, "language", "language IN ('', 'zh', 'en')"),
        check(
            table,
            "quiet_hours",
            "(quiet_from IS NULL) = (quiet_until IS NULL)"
            " AND quiet_from BETWEEN 0 AND 1439 AND quiet_until BETWEEN 0 AND 1439",
        ),
    )
    table = "notification_consents"
    op.create_table(
        table,
        number("traveller_id"),
        *words("template_id"),
        number("available", sa.Integer),
        number("granted", sa.Integer),
        *times("update_time"),
        key(table, "traveller_id", "template_id"),
        check(table, "available", "available BETWEEN 0 AND granted"),
    )
    table = "notification_requests"
    op.create_table(
        table,
        number("order_id"),
        *words("kind", "request_key"),
        sa.Column("facts", JSONB(), nullable=False),
        *times("occurred_time"),
        key(table, "order_id", "kind", "request_key"),
    )


def _configuration() -> None:
    table = "notification_marks"
    op.create_table(
        table,
        *words("name"),
        *times("redemptions_until"),
        sa.Column("last_number", sa.BigInteger(), nullable=False, server_default="0"),
        key(table, "name"),
        check(table, "one", "name = 'notifications'"),
    )
    op.execute("INSERT INTO notification_marks VALUES ('notifications', now(), 0)")
    table = "notification_templates"
    op.create_table(
        table,
        *words("kind", "channel", "language"),
        number("version", sa.Integer),
        *words("title", "body", "template_id", "page"),
        sa.Column("fields", JSONB(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        *words("author"),
        *times("create_time"),
        key(table, "kind", "channel", "language", "version"),
        check(table, "channel", "channel IN ('INBOX', 'WECHAT', 'SMS', 'EMAIL')"),
        check(table, "language", "language IN ('zh', 'en')"),
        check(table, "version", "version > 0"),
    )
    table = "notification_pauses"
    op.create_table(
        table,
        *words("channel", "template_id", "code", "reason"),
        number("failures", sa.Integer),
        *times("pause_time", "probe_time"),
        key(table, "channel", "template_id"),
        check(table, "channel", "channel IN ('WECHAT', 'SMS', 'EMAIL')"),
    )
    op.create_table(
        "wechat_access_tokens",
        *words("app_id"),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("expire_time", TIME),
        sa.Column("fetch_time", TIME),
        sa.Column("fetch_until", TIME),
        key("wechat_access_tokens", "app_id"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in TABLES:
        op.drop_table(table)
    op.drop_index("ix_order_events_notify", "order_events")
    op.drop_column("order_events", "notify")
