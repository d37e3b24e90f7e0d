"""Channels are sent static data; their words for categories and features stand beside the
catalogue's codes
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0058"
down_revision = "0057"
branch_labels = None
depends_on = None

WHAT = "ck_channel_values_what"
CONTENT = "ck_channel_values_content"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in ("content", "sent_content"):
        op.add_column("channel_values", sa.Column(name, postgresql.JSONB()))
    op.add_column("channel_values", sa.Column("sent_currency_code", sa.Text()))
    op.execute(
        "UPDATE channel_values SET sent_currency_code = currency_code WHERE sent IS NOT NULL"
    )
    op.drop_constraint(op.f(WHAT), "channel_values")
    op.create_check_constraint(
        op.f(WHAT), "channel_values", "what IN ('PRICES', 'AVAILABILITY', 'STATIC')"
    )
    op.create_check_constraint(
        op.f(CONTENT), "channel_values", "(what = 'STATIC') = (content IS NOT NULL)"
    )
    # nothing was ever sent by the words of the seed
    op.execute("""
        UPDATE channel_words w SET word = upper(word)
        WHERE kind = 'CATEGORY' AND word <> upper(word) AND NOT EXISTS (
          SELECT FROM channel_words o WHERE o.channel_code = w.channel_code AND o.kind = w.kind
            AND o.word = upper(w.word))""")
    op.execute("""
        UPDATE channel_words w SET word = lower(replace(word, ' ', '_'))
        WHERE kind = 'FEATURE' AND word <> lower(replace(word, ' ', '_')) AND NOT EXISTS (
          SELECT FROM channel_words o WHERE o.channel_code = w.channel_code AND o.kind = w.kind
            AND o.word = lower(replace(w.word, ' ', '_')))""")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DELETE FROM channel_values WHERE what = 'STATIC'")
    op.drop_constraint(op.f(CONTENT), "channel_values")
    op.drop_constraint(op.f(WHAT), "channel_values")
    op.create_check_constraint(op.f(WHAT), "channel_values", "what IN ('PRICES', 'AVAILABILITY')")
    for name in ("sent_currency_code", "sent_content", "content"):
        op.drop_column("channel_values", name)
