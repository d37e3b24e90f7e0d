"""Processes that die while they notify travellers: nothing is lost, and nothing is doubled that
WeChat can tell apart, nor anything else that was not under way.

Orders are cancelled by SQL, as their transaction would. Seen red when a message was marked SENT as
it was taken: what a killed process had in hand never went out.
"""

import asyncio
import contextlib
import random
from collections import Counter
from pathlib import Path

import psycopg

from tests.support.gate_server import gate_process
from tests.support.waiting import WAIT_SECONDS
from tests.support.wechat import WechatSimulator

ORDERS = 60
KILLS = 3
TEMPLATE = "TPL-cancelled"
FILL = """
INSERT INTO travellers (traveller_id, app_id, openid, state, create_time, update_time,
  last_login_time)
SELECT n, %(app)s, 'o-' || n, 'ACTIVE', now(), now(), now() FROM generate_series(1, %(count)s) n;
INSERT INTO notification_consents (traveller_id, template_id, available, granted, update_time)
SELECT n, %(template)s, 1, 1, now() FROM generate_series(1, %(count)s) n;
INSERT INTO notification_templates VALUES ('ORDER_CANCELLED', 'WECHAT', 'zh', 1, '', '',
  %(template)s, '', '{"character_string1": "{order_code}", "thing2": "{reason}"}', true, 'test',
  now());
"""
CANCELLED = """
WITH made AS (
  INSERT INTO orders (order_id, order_code, partner_id, state, sequence, jti, customer_type,
    customer_name, ticket_count, payment_reference, amount_minor, currency_code, traveller_id,
    content, passengers_sealed, hold_expire_time, cancel_reason, create_time)
  VALUES (%(n)s, 'ORD-DT-20261128-' || lpad(%(n)s::text, 6, '0'), 0, 'CANCELLED', 2,
    gen_random_uuid(), '', '', 1, '', 100, 'CNY', %(n)s, '{"items": []}', '', now(), 'TRAVELLER',
    now()) RETURNING order_id)
INSERT INTO order_events (order_id, sequence, event, state, cancel_reason, actor, occurred_time)
SELECT order_id, 2, 'order.cancelled', 'CANCELLED', 'TRAVELLER', 'system', now() FROM made
"""
LEASES_END = (
    "UPDATE notification_deliveries SET lease_time = now(), due_time = now()"
    " WHERE state = 'PENDING'"
)

UNDER_WAY = """
SELECT traveller_id FROM notification_deliveries WHERE state = 'PENDING' AND reason = 'SENDING'
"""
NOBODY_ELSE = """
SELECT count(*) = 0, array_agg(query) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
ALL_SENT = f"""
SELECT count(*) FILTER (WHERE state = 'SENT') = {ORDERS}, array_agg(DISTINCT (state, reason)::text)
FROM notification_deliveries
"""


async def test_killed_servers_lose_no_message_and_double_none_with_a_consent(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    rng = random.Random(7)
    async with (
        WechatSimulator(tmp_path / "wechat", consents="counted", slow={"message": 0.1}) as wechat,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as pg,
    ):
        app_id = wechat.merchant.app_id
        values = {"app": app_id, "count": ORDERS, "template": TEMPLATE}
        for statement in FILL.split(";\n"):
            if statement.strip():
                await pg.execute(statement.encode(), values)
        for number in range(1, ORDERS + 1):
            # every second one agreed to more: of those WeChat cannot tell
            wechat.simulator.messages.consents[f"o-{number}", TEMPLATE] = 1 + 9 * (number % 2)
        at_kills: Counter[int] = Counter()
        settings = {**wechat.environment(), "DEEPTRAVEL_NOTIFICATION_QUIET_HOURS": "00:00-00:00"}
        numbers = iter(range(1, ORDERS + 1))
        for kill in range(KILLS + 1):
            with gate_process(database_url, redis_url, tmp_path / "data", settings=settings) as one:
                for _, number in zip(range(ORDERS // KILLS), numbers, strict=False):
                    await pg.execute(CANCELLED.encode(), {"n": number})
                if kill < KILLS:
                    await asyncio.sleep(rng.uniform(0.02, 0.4))
                    one.crash()
                    await _until(pg, NOBODY_ELSE)  # what it had asked for is done, or never is
                    under_way = await (await pg.execute(UNDER_WAY.encode())).fetchall()
                    at_kills.update(int(str(row[0])) for row in under_way)
                    await pg.execute(LEASES_END.encode())
                else:
                    await _until(pg, ALL_SENT)
        query = b"SELECT count(*), count(DISTINCT order_id) FROM notifications"
        assert await (await pg.execute(query)).fetchone() == (ORDERS, ORDERS)
        sent = Counter(message["touser"] for message in wechat.simulator.messages.sent)
        for number in range(1, ORDERS + 1):
            doubled = at_kills[number] if number % 2 else 0
            assert 1 <= sent[f"o-{number}"] <= 1 + doubled, number
        assert len(sent) == ORDERS


async def _until(pg: psycopg.AsyncConnection[tuple[object, ...]], query: str) -> None:
    """Waits for a query's first column to be true."""
    row = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WAIT_SECONDS):
            while not (row and row[0]):
                await asyncio.sleep(0.02)
                row = await (await pg.execute(query.encode())).fetchone()
    assert row
    assert row[0], row
