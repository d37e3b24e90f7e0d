"""The payments that partners say were made, by their signed webhooks."""

from sqlalchemy import CheckConstraint, Column, DateTime, Integer, LargeBinary, Table, Text

from server.platform.database import metadata

partner_payment_secrets = Table(
    "partner_payment_secrets",
    metadata,
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    # see server/webhooks/webhook_secrets.py
    Column("encrypted_secret", LargeBinary, nullable=False),
    Column("encrypted_previous_secret", LargeBinary),
    Column("previous_secret_expire_time", DateTime(timezone=True)),
    Column("update_time", DateTime(timezone=True), nullable=False),
)

partner_payments = Table(
    "partner_payments",
    metadata,
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    # the sender's `webhook-id`
    Column("message_id", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("receive_time", DateTime(timezone=True), nullable=False),
    Column("state", Text, nullable=False),
    # why it was refused
    Column("reason", Text),
    CheckConstraint("state IN ('RECEIVED', 'ACTIVATED', 'REFUSED')", name="state"),
)
