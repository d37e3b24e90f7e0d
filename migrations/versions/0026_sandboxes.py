"""Sandboxes of partners: partners of their own, whose tickets no live terminal admits."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
NUMBER = "ck_partners_sandbox_number"
NUMBER_CHECK = (
    "CASE WHEN sandbox_of IS NULL THEN partner_id < 524288"
    " ELSE sandbox_of < 524288 AND partner_id = sandbox_of + 524288 END"
)
SIMULATED = "ck_redemption_events_simulated"
SIMULATED_CHECK = (
    "result = 'REJECT' OR (ticket_id >= 4611686018427387904) = (merchant_code = '(sandbox)')"
)


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.add_column("partners", sa.Column("sandbox_of", sa.Integer()))
    op.create_foreign_key(
        "fk_partners_sandbox_of", "partners", "partners", ["sandbox_of"], ["partner_id"]
    )
    # of a downgrade before
    op.execute(
        "UPDATE partners s SET sandbox_of = p.partner_id, state = p.state FROM partners p"
        " WHERE s.partner_id >= 524288 AND p.partner_id = s.partner_id - 524288"
    )
    op.execute(f"ALTER TABLE partners ADD CONSTRAINT {NUMBER} CHECK ({NUMBER_CHECK})")
    # the rows that are there are read later, while others read and write
    op.execute(
        f"ALTER TABLE redemption_events ADD CONSTRAINT {SIMULATED} CHECK ({SIMULATED_CHECK})"
        " NOT VALID"
    )
    op.execute(f"ALTER TABLE redemption_events VALIDATE CONSTRAINT {SIMULATED}")


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_constraint(SIMULATED, "redemption_events")
    # to a server that knows no sandboxes they are partners, and their tickets would be admitted
    op.execute("UPDATE partners SET state = 'REVOKED' WHERE sandbox_of IS NOT NULL")
    op.execute("UPDATE tickets SET blocked = true WHERE ticket_id >= 4611686018427387904")
    op.drop_constraint(NUMBER, "partners")
    op.drop_column("partners", "sandbox_of")
