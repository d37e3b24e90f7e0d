"""Redemptions of an earlier release after the upgrade in place: all that is over is summed."""

from alembic import command
from sqlalchemy import text

from server.operations.consistency.sums import SUMS
from tests.contract.test_schema import connected, empty_database, run
from tools.dev.embedded.services import EmbeddedServices

EVENTS = """
INSERT INTO redemption_events (ticket_id, event_id, ticket_code, function_code, result, reason,
  quantity, merchant_code, venue_code, terminal_device_id, operator, occurred_time)
SELECT n, n, '', 'ferry', CASE WHEN n % 5 = 0 THEN 'REJECT' ELSE 'SUCCESS' END,
  CASE WHEN n % 5 = 0 THEN 'TOKEN_EXPIRED' END, 2, 'M' || n % 2, 'PIER', 'T-' || n % 3, 'olga',
  now() - make_interval(mins => 20 * n)
FROM generate_series(0, 999) n
"""


def test_what_happened_before_the_upgrade_is_summed(services: EmbeddedServices) -> None:
    with empty_database(services, "sums_upgrade") as url, connected(url) as connection:
        run(connection, command.upgrade, "0014")
        connection.execute(text(EVENTS))
        run(connection, command.upgrade, "0015")
        (invariant,) = SUMS
        assert connection.execute(text(invariant.query)).all() == []
        by_span = connection.execute(
            text(
                "SELECT span, sum(events), sum(uses) FROM redemption_sums WHERE grouped_by ="
                " 'ALL' GROUP BY span"
            )
        )
        summed = {span: (int(events), int(uses)) for span, events, uses in by_span}
        events, uses = summed["HOUR"]
        assert 990 <= events < 1000
        assert uses < 2 * events
        assert 0 < summed["DAY"][0] <= events
        run(connection, command.downgrade, "0014")
        tables = "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'redemption_sums%'"
        assert connection.execute(text(tables)).scalar_one() == 0
