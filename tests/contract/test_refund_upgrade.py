"""Refunds of an earlier release after the upgrade in place: every number that was used counts."""

from alembic import command
from sqlalchemy import text

from tests.contract.test_schema import connected, empty_database, run
from tools.dev.embedded.services import EmbeddedServices

PAYMENTS = """
INSERT INTO payments (order_id, attempt, out_trade_no, state, amount_minor, currency_code, openid,
  expire_time, transaction_id, success_time, create_time, update_time)
SELECT n, 1, 'DT' || n || 'P1', 'SUCCEEDED', 1000, 'CNY', '', now(), '42-' || n, now(), now(), now()
FROM generate_series(1, 3) n
"""
PARTS = """
INSERT INTO refund_parts (order_id, refund_no, part_no, payment_order_id, payment_attempt,
  out_refund_no, amount_minor, state, provider_refund_id, update_time)
SELECT 1, n, 1, 1, 1, 'DT1R' || n || 'S1', 1, 'SUCCEEDED', '50' || n, now()
FROM generate_series(1, 50) n
UNION ALL SELECT 1, 51, 1, 1, 1, 'DT1R51S1', 1, 'ABNORMAL', '', now()
UNION ALL SELECT 2, 1, 1, 2, 1, 'DT2R1S1A3', 1, 'ABNORMAL', '5099', now()
UNION ALL SELECT 2, 2, 1, 2, 1, 'DT2R2S1', 1, 'PROCESSING', '5098', now()
"""


def test_every_number_that_was_used_counts(services: EmbeddedServices) -> None:
    with empty_database(services, "refund_upgrade") as url, connected(url) as connection:
        run(connection, command.upgrade, "0010")
        connection.execute(text(PAYMENTS))
        connection.execute(text(PARTS))
        run(connection, command.upgrade, "0011")
        counts = connection.execute(text("SELECT refund_count FROM payments ORDER BY order_id"))
        assert list(counts.scalars()) == [50, 4, 0]
        parts = connection.execute(
            text(
                "SELECT out_refund_no, asked_count, provider_refund_id, provider_state FROM"
                " refund_parts WHERE refund_no IN (1, 2, 51) ORDER BY order_id, refund_no"
            )
        )
        assert [tuple(row) for row in parts] == [
            ("DT1R1S1", 1, "501", "SUCCEEDED"),
            ("DT1R2S1", 1, "502", "SUCCEEDED"),
            ("DT1R51S1", 1, "", ""),
            # WeChat's number is of one that it closed
            ("DT2R1S1A3", 3, "", ""),
            ("DT2R2S1", 1, "5098", "PROCESSING"),
        ]
        run(connection, command.downgrade, "0010")
        columns = (
            "SELECT count(*) FROM information_schema.columns WHERE column_name = 'asked_count'"
        )
        assert connection.execute(text(columns)).scalar_one() == 0
