"""Subscribe messages against the simulator of WeChat: what becomes of each of its codes, one token
for all processes, and channels that stop and go on.

The dispatcher works over a database of the module; messages are written as the follower does.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from server.notifications import deliveries, pauses, tasks
from server.notifications.deliveries import DeliveryOutcome, DueMessage
from server.notifications.dispatching import NotificationDispatcher
from server.notifications.preferences import ContactSeals
from server.notifications.sending import AttemptResult
from server.notifications.templates import Templates
from server.notifications.wechat_sender import WechatSender
from server.platform import dead_letters
from server.platform.change_feed import ChangeFeed
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.statements import run
from server.platform.task_worker import TaskWorker
from server.wechat.access_tokens import AccessTokens
from server.wechat.mini_program_client import MiniProgramClient
from tests.support import databases
from tests.support.rpc_server import SECRET_KEY
from tests.support.wechat import WechatSimulator

TEMPLATE = "TPL-refund"
TRAVELLER = """
INSERT INTO travellers (traveller_id, app_id, openid, state, create_time, update_time,
  last_login_time)
VALUES (%(t)s, %(app)s, 'o-' || %(t)s, 'ACTIVE', now(), now(), now()) ON CONFLICT DO NOTHING
"""
MESSAGE = """
INSERT INTO notifications (traveller_id, number, order_id, kind, source, language, title, body,
  facts, occurred_time, create_time)
VALUES (%(t)s, %(n)s, %(o)s, 'REFUND_RESULT', 'test:' || %(n)s, 'zh', 't', 'b',
  '{"order_code": "ORD-DT-20261128-000001", "amount": {"minor": 1250, "currency": "CNY"},
    "product": {"zh": "一个名字很长很长很长很长很长很长很长的产品名称", "en": "x"}}', now(), now())
"""
DELIVERY = """
INSERT INTO notification_deliveries (traveller_id, number, channel, order_id, kind, template_id,
  state, reason, due_time, attempts, create_time, update_time)
VALUES (%(t)s, %(n)s, 'WECHAT', %(o)s, 'REFUND_RESULT', %(template)s, 'PENDING', '', now(), 0,
  now(), now())
"""
PUBLISHED = """
INSERT INTO notification_templates VALUES ('REFUND_RESULT', 'WECHAT', 'zh', 1, '', '', %s,
  'pages/order?id={order_code}',
  '{"character_string1": "{order_code}", "amount2": "{amount}", "thing3": "{product}"}', true,
  'test', now())
"""


@dataclass
class Line:
    """A process that sends to the simulator, and the database it works on."""

    pg: psycopg.AsyncConnection[Any]
    db: Database
    wechat: WechatSimulator
    dispatcher: NotificationDispatcher
    tokens: AccessTokens
    numbers: int = 0

    async def write(self, traveller_id: int, *, order_id: int = 0, template: str = TEMPLATE) -> int:
        """A message that is due; its number."""
        self.numbers += 1
        values = {
            "t": traveller_id,
            "n": self.numbers,
            "o": order_id or self.numbers,
            "app": self.wechat.merchant.app_id,
            "template": template,
        }
        for statement in (TRAVELLER, MESSAGE, DELIVERY):
            await self.pg.execute(statement.encode(), values)
        return self.numbers

    async def state(self, number: int) -> tuple[str, str, int]:
        """(state, reason, attempts) of a delivery."""
        query = b"SELECT state, reason, attempts FROM notification_deliveries WHERE number = %s"
        row = await (await self.pg.execute(query, [number])).fetchone()
        assert row
        return row[0], row[1], row[2]

    async def available(self, traveller_id: int) -> int:
        """How many consents a traveller has left."""
        query = b"SELECT available FROM notification_consents WHERE traveller_id = %s"
        row = await (await self.pg.execute(query, [traveller_id])).fetchone()
        assert row
        return int(row[0])

    async def look(self) -> None:
        """Sends what is due, and writes down what became of it."""
        await self.dispatcher._look()
        dispatch = self.dispatcher._dispatch
        while dispatch.under_way:
            await asyncio.wait(set(dispatch._running))
        await dispatch._settle()

    async def sent(self, number: int) -> tuple[str, str, int]:
        """Where a delivery stands after one look."""
        await self.look()
        return await self.state(number)

    async def now_due(self) -> None:
        """Lets so much time pass that all is due, leases are over, and channels are tried."""
        await self.pg.execute(
            b"UPDATE notification_deliveries SET due_time = now(), lease_time = NULL"
            b" WHERE state = 'PENDING'"
        )
        await self.pg.execute(b"UPDATE notification_pauses SET probe_time = now()")

    async def stopped(self) -> list[tuple[str, str, str]]:
        """(channel, template, code) of what is stopped."""
        async with self.db.transaction() as tx:
            return [row[:3] for row in await run(tx, pauses.read())]

    def messages(self) -> list[dict[str, Any]]:
        """What WeChat has taken."""
        return list(self.wechat.simulator.messages.sent)


@asynccontextmanager
async def a_line(database_url: str, wechat: WechatSimulator) -> AsyncIterator[Line]:
    settings = load_settings()
    db = Database(settings, database_url)
    feed = ChangeFeed(db)
    await feed.start()
    merchant = wechat.merchant
    client = MiniProgramClient(merchant.app_id, merchant.app_secret, wechat.url, answer_seconds=2.0)
    tokens = AccessTokens(db, SECRET_KEY, merchant.app_id, client.fetch_token)
    dispatcher = NotificationDispatcher(
        db,
        Templates(db, feed),
        ContactSeals(SECRET_KEY),
        [WechatSender(client, tokens)],
        zone=settings.zone,
    )
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as pg:
        try:
            yield Line(pg, db, wechat, dispatcher, tokens)
        finally:
            await client.close()
            await feed.stop()
            await db.close()


@pytest.fixture(scope="module")
async def wechat(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WechatSimulator]:
    async with WechatSimulator(Path(tmp_path_factory.mktemp("wechat"))) as running:
        yield running


@pytest.fixture(scope="module")
async def module_line(module_database_url: str, wechat: WechatSimulator) -> AsyncIterator[Line]:
    async with a_line(module_database_url, wechat) as made:
        await made.pg.execute(PUBLISHED.encode(), [TEMPLATE])
        yield made


@pytest.fixture
async def line(module_line: Line, wechat: WechatSimulator) -> Line:
    await wechat.begin_again()
    module_line.tokens._known = None
    return module_line


async def test_a_message_says_what_its_template_has_room_for(line: Line) -> None:
    number = await line.write(1)
    assert await line.sent(number) == ("SENT", "", 1)
    (message,) = line.messages()
    assert message["touser"] == "o-1"
    assert message["page"] == "pages/order?id=ORD-DT-20261128-000001"
    assert message["lang"] == "zh_CN"
    data = {keyword: given["value"] for keyword, given in message["data"].items()}
    assert data["amount2"] == "¥12.50"
    assert data["thing3"] == "一个名字很长很长很长很长很长很长很长的…"[:19] + "…"


CODES: list[tuple[int, Callable[[int], tuple[str, str, int]], str]] = [
    *((code, lambda _: ("SENT", "", 1), "") for code in (40001, 40014, 42001, 41001)),
    *((code, lambda code: ("PENDING", str(code), 1), "") for code in (-1, 43108, 45011, 99999)),
    *((code, lambda code: ("DEAD", str(code), 1), "") for code in (40003, 40038, 45168, 47003)),
    (43101, lambda code: ("SKIPPED", str(code), 1), ""),
    *((code, lambda _: ("PENDING", "PAUSED", 0), TEMPLATE) for code in (40037, 41030, 43107)),
    *(
        (code, lambda _: ("PENDING", "PAUSED", 0), "*")
        for code in (40013, 40164, 45009, 48001, 48004, 50002)
    ),
]
"""Code of an answer, where the delivery stands then, and what is stopped by it."""


@pytest.mark.parametrize(("code", "expected", "stops"), CODES, ids=[str(c[0]) for c in CODES])
async def test_each_code_is_handled_by_its_kind(
    line: Line, code: int, expected: Callable[[int], tuple[str, str, int]], stops: str
) -> None:
    """One that asks for a fresh token gets one and goes out in the same attempt; what cannot go out
    is a dead letter; what concerns all stops all, and is not lost.
    """
    await line.wechat.switch(message_codes={code: 1})
    number = await line.write(2)
    assert await line.sent(number) == expected(code)
    wanted = {"": [], "*": [("WECHAT", "", str(code))]}
    assert await line.stopped() == wanted.get(stops, [("WECHAT", stops, str(code))])
    if expected(code)[0] != "PENDING":
        return
    await line.now_due()
    assert (await line.sent(number))[0] == "SENT"  # it was mended meanwhile
    assert await line.stopped() == []
    assert len(line.messages()) == 1


async def test_a_channel_that_is_stopped_is_tried_by_one_message(line: Line) -> None:
    """A wrong secret: nothing is sent, nothing lost, and after it is mended all goes out, in the
    order of the orders. Seen red without the limit of one while a channel is tried.
    """
    await line.wechat.switch(token_codes={40125: -1})
    numbers = [await line.write(3, order_id=1 + place % 2) for place in range(6)]
    await line.look()
    await line.look()
    assert await line.stopped() == [("WECHAT", "", "40125")]
    before = line.wechat.simulator.messages.token_calls
    await line.now_due()
    await line.look()
    assert line.wechat.simulator.messages.token_calls == before + 1
    assert {(await line.state(number))[0] for number in numbers} == {"PENDING"}
    await line.wechat.switch(token_codes={})
    await line.now_due()
    for _ in range(8):
        await line.look()
        await line.now_due()
    assert {(await line.state(number))[0] for number in numbers} == {"SENT"}
    assert len(line.messages()) == 6


async def test_what_was_given_up_before_leaves_the_next_of_its_order_free(line: Line) -> None:
    """In order per order: the second waits while the first may still go out, and goes when it is
    over. Seen red without the condition on the numbers before.
    """
    await line.wechat.switch(message_codes={-1: 1})
    one, two = [await line.write(4, order_id=9) for _ in range(2)]
    await line.look()
    assert (await line.state(one))[0] == "PENDING"
    await line.look()
    assert (await line.state(two)) == ("PENDING", "WAITS", 0)
    await line.wechat.switch(message_codes={47003: 1})
    await line.now_due()
    await line.look()
    assert (await line.state(one))[0] == "DEAD"
    assert (await line.sent(two))[0] == "SENT"


async def test_a_lost_answer_is_sent_again_and_a_used_consent_says_that_it_arrived(
    line: Line,
) -> None:
    """WeChat knows no message again, but it counts consents: where one was left, the message has
    used it.
    """
    await line.wechat.switch(lost_answers={"message": 1}, consents="counted")
    line.wechat.simulator.messages.consents["o-5", TEMPLATE] = 1
    number = await line.write(5)
    assert await line.sent(number) == ("PENDING", "UNKNOWN", 1)
    await line.now_due()
    assert await line.sent(number) == ("SENT", "CONSENT_USED", 2)
    assert len(line.messages()) == 1


async def test_a_slow_answer_is_not_waited_for_and_the_limit_of_a_minute_is_kept(
    line: Line,
) -> None:
    await line.wechat.switch(messages_per_minute=1)
    first, second = await line.write(6), await line.write(7)
    await line.look()
    states = sorted([await line.state(first), await line.state(second)])
    assert states == [("PENDING", "45011", 1), ("SENT", "", 1)]
    query = b"SELECT min(due_time) FROM notification_deliveries WHERE state = 'PENDING'"
    row = await (await line.pg.execute(query)).fetchone()
    assert row
    assert row[0] > datetime.now(UTC) + timedelta(seconds=50)
    await line.wechat.switch(messages_per_minute=0, slow={"message": 5.0})
    third = await line.write(8)
    assert await line.sent(third) == ("PENDING", "UNKNOWN", 1)


async def test_all_processes_have_one_token(
    line: Line, module_database_url: str, wechat: WechatSimulator
) -> None:
    """It is fetched once however many ask at once, also when WeChat calls it invalid. Seen red
    without `fetch_until`.
    """
    async with a_line(module_database_url, wechat) as other:
        calls = wechat.simulator.messages
        asked = [each.tokens.get() for each in (line, other) for _ in range(5)]
        tokens = set(await asyncio.gather(*asked))
        assert (len(tokens), calls.token_calls) == (1, 1)
        calls.revoke_tokens()
        (old,) = tokens
        await line.pg.execute(b"UPDATE wechat_access_tokens SET fetch_time = now() - interval '1h'")
        asked = [each.tokens.get(refused=old) for each in (line, other) for _ in range(5)]
        fresh = set(await asyncio.gather(*asked))
        assert (len(fresh), calls.token_calls) == (1, 2)
        assert fresh != tokens
    row = await (await line.pg.execute(b"SELECT sealed FROM wechat_access_tokens")).fetchone()
    assert row
    assert next(iter(fresh)).encode() not in row[0]


async def test_what_another_process_has_taken_meanwhile_stays_its(line: Line) -> None:
    """Also where another channel of the same message is this process's. Seen red with the
    message's number alone as what is compared: the one that goes on became a dead letter.
    """
    number = await line.write(10)
    now = datetime.now(UTC)
    copy = DELIVERY.replace("'WECHAT'", "'EMAIL'")
    values = {"t": 10, "n": number, "o": number, "template": ""}
    await line.pg.execute(copy.encode(), values)
    lease = b"UPDATE notification_deliveries SET lease_time = %s WHERE number = %s"
    await line.pg.execute(lease, [now, number])
    mine, others = (
        DueMessage(10, number, channel, number, "REFUND_RESULT", "", 1, "", taken)
        for channel, taken in (("WECHAT", now), ("EMAIL", now - timedelta(seconds=30)))
    )
    async with line.db.transaction() as tx:
        ended = [
            DeliveryOutcome(mine, "SENT", "", now, AttemptResult.SENT),
            DeliveryOutcome(others, "DEAD", "550", now, AttemptResult.GIVE_UP),
        ]
        await deliveries.settle(tx, ended, now=now)
    query = b"SELECT channel, state FROM notification_deliveries WHERE number = %s ORDER BY 1"
    rows = await (await line.pg.execute(query, [number])).fetchall()
    assert rows == [("EMAIL", "PENDING"), ("WECHAT", "SENT")]
    letters = b"SELECT key FROM outbox_tasks WHERE key LIKE '10/%'"
    assert await (await line.pg.execute(letters)).fetchall() == []


async def test_consents_are_locked_in_the_order_of_whoever_writes_messages(line: Line) -> None:
    """Attempts end in any order: these would lock the second traveller's first. Seen red with the
    consents in the order of the attempts: a deadlock.
    """
    now = datetime.now(UTC)
    consent = b"INSERT INTO notification_consents VALUES (%s, %s, 0, 9, now())"
    ended = []
    for traveller_id in (16, 15):
        number = await line.write(traveller_id)
        await line.pg.execute(consent, [traveller_id, TEMPLATE])
        lease = b"UPDATE notification_deliveries SET lease_time = %s WHERE number = %s"
        await line.pg.execute(lease, [now, number])
        mine = DueMessage(
            traveller_id, number, "WECHAT", number, "REFUND_RESULT", TEMPLATE, 1, "", now
        )
        ended.append(DeliveryOutcome(mine, "DEAD", "47003", now, AttemptResult.GIVE_UP))

    async def settle() -> None:
        async with line.db.transaction() as tx:
            await deliveries.settle(tx, ended, now=now)

    lock = b"SELECT FROM notification_consents WHERE traveller_id = %s FOR NO KEY UPDATE"
    async with asyncio.TaskGroup() as group, line.pg.transaction():
        await line.pg.execute(lock, [15])
        group.create_task(settle())
        await databases.until_a_lock_is_waited_for(line.db)
        await line.pg.execute(lock, [16])
    assert [await line.available(traveller_id) for traveller_id in (15, 16)] == [1, 1]


async def given_up(line: Line, traveller_id: int, *, available: int) -> tuple[int, UUID]:
    """A message that WeChat does not take, of a traveller who has so many consents after it was
    given up: its number, and its dead letter.
    """
    await line.wechat.switch(message_codes={47003: 1})
    number = await line.write(traveller_id)
    consent = "INSERT INTO notification_consents VALUES (%s, %s, %s, 9, now())"
    await line.pg.execute(consent.encode(), [traveller_id, TEMPLATE, available - 1])
    assert (await line.sent(number))[0] == "DEAD"
    key = f"{traveller_id}/{number}/WECHAT"
    query = b"SELECT task_id, last_error FROM outbox_tasks WHERE key = %s"
    ((letter, error),) = await (await line.pg.execute(query, [key])).fetchall()
    assert error.partition(" ")[0] == "47003"
    assert await line.available(traveller_id) == available
    return number, letter


async def replayed(line: Line, letter: UUID) -> None:
    async with line.db.transaction() as tx:
        await dead_letters.replay(tx, letter, now=datetime.now(UTC))
    await TaskWorker(line.db, tasks.kinds(line.db)).drain()


async def test_a_dead_letter_is_replayed_with_the_consent_that_was_given_back(line: Line) -> None:
    """An administrator sees what was given up, and by which code; ReplayTask has it sent again.
    Seen red without taking it: a message more than the traveller has agreed to.
    """
    number, letter = await given_up(line, 9, available=1)
    await replayed(line, letter)
    assert await line.available(9) == 0
    assert await line.sent(number) == ("SENT", "", 1)
    # given up once more, it is given back once more
    number, letter = await given_up(line, 11, available=1)
    await line.wechat.switch(message_codes={47003: 1})
    await replayed(line, letter)
    assert (await line.sent(number))[0] == "DEAD"
    assert await line.available(11) == 1


async def test_a_dead_letter_whose_consent_another_message_has_used_stays_in_the_inbox(
    line: Line,
) -> None:
    number, letter = await given_up(line, 12, available=1)
    await line.pg.execute(b"UPDATE notification_consents SET available = 0 WHERE traveller_id = 12")
    await replayed(line, letter)
    assert await line.sent(number) == ("SKIPPED", "NO_CONSENT", 0)
    assert await line.available(12) == 0


async def test_a_consent_that_may_have_been_used_is_neither_given_back_nor_taken(
    line: Line,
) -> None:
    await line.wechat.switch(lost_answers={"message": 1})
    number = await line.write(13)
    consent = b"INSERT INTO notification_consents VALUES (13, %s, 1, 9, now())"
    await line.pg.execute(consent, [TEMPLATE])
    assert await line.sent(number) == ("PENDING", "UNKNOWN", 1)
    await line.wechat.switch(message_codes={47003: 1})
    await line.now_due()
    assert (await line.sent(number))[0] == "DEAD"
    async with line.db.transaction() as tx:
        await run(tx, deliveries.replay(f"13/{number}/WECHAT", now=datetime.now(UTC)))
    assert (await line.state(number))[0] == "PENDING"
    assert await line.available(13) == 1


async def test_one_that_is_replayed_twice_at_once_takes_one_consent(line: Line) -> None:
    """As a task whose lease was over while it ran. Seen red without the delivery's lock: both took
    one.
    """
    number, _ = await given_up(line, 14, available=3)

    async def again() -> None:
        async with line.db.transaction() as tx:
            await run(tx, deliveries.replay(f"14/{number}/WECHAT", now=datetime.now(UTC)))

    async with asyncio.TaskGroup() as group, line.db.transaction() as tx:
        await run(tx, deliveries.replay(f"14/{number}/WECHAT", now=datetime.now(UTC)))
        group.create_task(again())
        await databases.until_a_lock_is_waited_for(line.db)
    assert await line.available(14) == 2
    assert await line.sent(number) == ("SENT", "", 1)
