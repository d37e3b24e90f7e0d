"""What travellers are notified, by which channels, what they have agreed to, and by which texts.

Rows of one traveller carry `traveller_id`, which leads every key of the family.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from server.platform.database import metadata

notifications = Table(
    "notifications",
    metadata,
    Column("traveller_id", BigInteger, primary_key=True, autoincrement=False),
    # ascending in the order of what happened; given by the one follower, see following.py
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("order_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    # what it tells of, once: a move of the order, a redemption, what somebody asked for
    Column("source", Text, nullable=False),
    Column("language", Text, nullable=False),
    # as the inbox shows them
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    # what the texts of all channels are made of
    Column("facts", JSONB, nullable=False),
    Column("occurred_time", DateTime(timezone=True), nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("read_time", DateTime(timezone=True)),
    CheckConstraint("language IN ('zh', 'en')", name="language"),
)
_n = notifications.c
Index("uq_notifications_source", _n.traveller_id, _n.source, unique=True)
Index(
    "ix_notifications_unread", _n.traveller_id, _n.number, postgresql_where=_n.read_time.is_(None)
)
Index("ix_notifications_create_time", _n.create_time, postgresql_using="brin")

notification_deliveries = Table(
    "notification_deliveries",
    metadata,
    Column("traveller_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("channel", Text, primary_key=True),
    # those of one order go out in the order of their numbers, in each channel
    Column("order_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    # WeChat's, for which the traveller's consent was taken; empty in the other channels
    Column("template_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    # why it is SKIPPED or DEAD, or the last attempt failed
    Column("reason", Text, nullable=False),
    Column("due_time", DateTime(timezone=True), nullable=False),
    # until when it is its who has taken it to send it; also the proof of having taken it
    Column("lease_time", DateTime(timezone=True)),
    Column("attempts", Integer, nullable=False),
    # DEAD or SKIPPED: its consent is the traveller's again, and a replay takes one
    Column("consent_returned", Boolean, nullable=False, server_default="false"),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("channel IN ('WECHAT', 'SMS', 'EMAIL')", name="channel"),
    CheckConstraint("state IN ('PENDING', 'SENT', 'SKIPPED', 'DEAD')", name="state"),
    CheckConstraint("attempts >= 0", name="attempts"),
    postgresql_with={"fillfactor": 60},
)
_d = notification_deliveries.c
Index(
    "ix_notification_deliveries_due",
    _d.channel,
    _d.due_time,
    postgresql_where=_d.state == "PENDING",
)
Index(
    "ix_notification_deliveries_order",
    _d.traveller_id,
    _d.order_id,
    _d.channel,
    _d.number,
    postgresql_where=_d.state == "PENDING",
)
Index("ix_notification_deliveries_ended", _d.update_time, postgresql_using="brin")

notification_preferences = Table(
    "notification_preferences",
    metadata,
    Column("traveller_id", BigInteger, primary_key=True, autoincrement=False),
    # empty: the setting's
    Column("language", Text, nullable=False),
    Column("sms", Boolean, nullable=False),
    Column("email", Boolean, nullable=False),
    # telephone number and address, AES-GCM; see preferences.py
    Column("contacts_sealed", LargeBinary),
    # minutes of the day between which what may wait waits; both NULL: the setting's
    Column("quiet_from", SmallInteger),
    Column("quiet_until", SmallInteger),
    Column("update_time", DateTime(timezone=True), nullable=False),
    # counts how often they were set; 1 is that of a traveller who never did
    Column("version", Integer, nullable=False, server_default="2"),
    CheckConstraint("language IN ('', 'zh', 'en')", name="language"),
    CheckConstraint(
        "(quiet_from IS NULL) = (quiet_until IS NULL)"
        " AND quiet_from BETWEEN 0 AND 1439 AND quiet_until BETWEEN 0 AND 1439",
        name="quiet_hours",
    ),
)

notification_consents = Table(
    "notification_consents",
    metadata,
    # how many messages of a template of WeChat's the traveller has agreed to: one consent, one
    # message
    Column("traveller_id", BigInteger, primary_key=True, autoincrement=False),
    Column("template_id", Text, primary_key=True),
    Column("available", Integer, nullable=False),
    Column("granted", Integer, nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("available BETWEEN 0 AND granted", name="available"),
)

notification_requests = Table(
    "notification_requests",
    metadata,
    # what somebody asks the traveller of an order to be notified, until the follower takes it
    Column("order_id", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("request_key", Text, primary_key=True),
    Column("facts", JSONB, nullable=False),
    Column("occurred_time", DateTime(timezone=True), nullable=False),
)

notification_marks = Table(
    "notification_marks",
    metadata,
    # one row: up to where redemptions were followed, and the last number that was given
    Column("name", Text, primary_key=True),
    Column("redemptions_until", DateTime(timezone=True), nullable=False),
    Column("last_number", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("name = 'notifications'", name="one"),
)

# A small table that every process reads whole; the greatest version counts.
notification_templates = Table(
    "notification_templates",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("language", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    # of a message: its title or subject, and its text
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    # of WeChat: the template's id there, the page it opens, and its fields by their keywords
    Column("template_id", Text, nullable=False),
    Column("page", Text, nullable=False),
    Column("fields", JSONB, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("author", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("channel IN ('INBOX', 'WECHAT', 'SMS', 'EMAIL')", name="channel"),
    CheckConstraint("language IN ('zh', 'en')", name="language"),
    CheckConstraint("version > 0", name="version"),
)

notification_pauses = Table(
    "notification_pauses",
    metadata,
    # channels that are stopped, as a whole or one template of WeChat's, until an administrator
    # resumes them or an attempt after `probe_time` succeeds
    Column("channel", Text, primary_key=True),
    Column("template_id", Text, primary_key=True),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("pause_time", DateTime(timezone=True), nullable=False),
    Column("probe_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("channel IN ('WECHAT', 'SMS', 'EMAIL')", name="channel"),
)
