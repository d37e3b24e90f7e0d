"""Stored answers are found by a hash of caller, method and request_id: a third of the bytes

Those that are stored stay valid. Going back forgets them all, since a hash does not say what it was
made of: a call that is repeated then is a new one.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
TABLE, TIME = "idempotency_records", "ix_idempotency_records_time"
# as KeyedCall of server/platform/idempotency.py
NAMED = r"""convert_to(caller, 'UTF8') || '\x00' || convert_to(method, 'UTF8') || '\x00'
    || convert_to(request_id, 'UTF8')"""
COPY = f"""
INSERT INTO idempotency_records (key, content_hash, answer, create_time)
SELECT encode(substring(sha256({NAMED}) FOR 16), 'hex')::uuid, substring(content_hash FOR 16),
  answer, create_time
FROM idempotency_records_by_name
"""  # noqa: S608 - our own

CONTENT: dict[str, sa.types.TypeEngine[Any]] = {
    "content_hash": sa.LargeBinary(),
    "answer": sa.LargeBinary(),
    "create_time": sa.DateTime(timezone=True),
}


def columns(*, nullable: bool) -> list[sa.Column[Any]]:
    return [
        sa.Column(name, kind, nullable=nullable or name == "answer")
        for name, kind in CONTENT.items()
    ]


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.rename_table(TABLE, "idempotency_records_by_name")
    op.create_table(TABLE, sa.Column("key", sa.Uuid()), *columns(nullable=True))
    op.execute(COPY)
    op.drop_table("idempotency_records_by_name")
    # last: until now the other table had the names of what they make
    op.create_primary_key(op.f("pk_idempotency_records"), TABLE, ["key"])
    op.create_index(TIME, TABLE, ["create_time"], postgresql_using="brin")
    for name in ("content_hash", "create_time"):
        op.alter_column(TABLE, name, nullable=False)


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_table(TABLE)
    names = "caller", "method", "request_id"
    op.create_table(
        TABLE,
        *[sa.Column(name, sa.Text(), nullable=False) for name in names],
        *columns(nullable=False),
        sa.PrimaryKeyConstraint(*names, name=op.f("pk_idempotency_records")),
    )
    op.create_index(TIME, TABLE, ["create_time"], postgresql_using="brin")
