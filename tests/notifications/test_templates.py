"""Templates of messages: what may be published, by whom, and that it counts within a second."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from deeptravel.admin.v1 import notification_pb2
from deeptravel.ticketing.v1 import notification_pb2 as traveller_pb2

from server.notifications import texts
from server.notifications.rules import CHANNELS, KINDS, LANGUAGES
from server.notifications.template_rules import Template, faults, fill, placeholders
from server.platform.errors import Reason
from tests.support.gate_server import GateServer
from tests.support.operations import Manager
from tests.support.order_scenario import OrderScenario, a_scenario
from tests.support.traveller import TravellerClient, World, a_world, request_id, traveller_server

ORDER_CANCELLED = {
    "kind": traveller_pb2.NOTIFICATION_KIND_ORDER_CANCELLED,
    "channel": notification_pb2.NOTIFICATION_CHANNEL_INBOX,
    "language": traveller_pb2.NOTIFICATION_LANGUAGE_ZH,
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("order {order_code}", "order A"),
        ("{{order_code}}", "{order_code}"),
        ("{order_code}{order_code}", "AA"),
        ("{nothing}", ""),
        ("{__class__} {order_code.__class__} {0} {}", "{__class__} {order_code.__class__} {0} {}"),
    ],
)
def test_a_text_is_filled_in_and_runs_nothing(text: str, filled: str) -> None:
    """Values stay as they are, braces in them too."""
    assert fill(text, {"order_code": "A"}) == filled
    assert fill("{x}", {"x": "{order_code}"}) == "{order_code}"


@pytest.mark.parametrize("text", ["{", "}", "{order code}", "{order_code.x}", "{Order}", "{0}"])
def test_a_brace_that_stands_alone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="stands alone"):
        placeholders(text)


def test_unknown_placeholders_are_refused_by_name() -> None:
    template = Template("{order_code} {secret}", "{amount} {password} {{x}}")
    known = texts.PLACEHOLDERS["PAYMENT_SUCCEEDED"]
    found = {fault.field: fault.description for fault in faults("INBOX", template, known)}
    assert "{secret}" in found["title"]
    assert "{password}" in found["body"]
    assert "{amount}" not in found["body"].partition(";")[0]


def test_every_shipped_text_is_one_that_could_be_published() -> None:
    """In both languages, of every kind, with a value for each placeholder."""
    wanted = {(k, c, lang) for k in KINDS for c in CHANNELS for lang in LANGUAGES if c != "WECHAT"}
    assert texts.SHIPPED.keys() == wanted
    for (kind, channel, _), template in texts.SHIPPED.items():
        assert faults(channel, template, texts.PLACEHOLDERS[kind]) == []
    named = {name for known in texts.PLACEHOLDERS.values() for name in known}
    assert named <= texts.SAMPLE.keys()


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url) as filled:
        await filled.enrol(1)
        yield filled


@pytest.fixture(scope="module")
async def server(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with traveller_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture(scope="module")
async def scenario(world: World, module_database_url: str) -> AsyncIterator[OrderScenario]:
    async with a_scenario(module_database_url) as made:
        yield made


@pytest.fixture
async def manager(scenario: OrderScenario, server: GateServer) -> Manager:
    return await Manager.hired(scenario.db, server.channel)


def ask(manager: Manager, method: str, **fields: Any) -> Any:
    request = getattr(notification_pb2, f"{method}Request")(**fields)
    return getattr(manager.stub, method)(request, metadata=manager.headers)


async def test_a_published_template_counts_within_a_second(
    server: GateServer, manager: Manager, world: World
) -> None:
    """With a version, once; what was in force can be read and published again."""
    read = await ask(manager, "GetNotificationTemplate", **ORDER_CANCELLED)
    assert (read.template.version, read.template.author) == (0, "")
    assert "order_code" in [each.name for each in read.placeholders]
    new = notification_pb2.NotificationTexts(title="没了", body="{order_code}：{reason}")
    publishing = {**ORDER_CANCELLED, "template": new, "version": 0}
    preview = await ask(manager, "PreviewNotificationTemplate", **ORDER_CANCELLED, template=new)
    assert preview.body == "ORD-DT-20261128-000001：超时未支付"
    made = await ask(manager, "UpdateNotificationTemplate", **publishing, request_id=request_id())
    assert made.template.version == 1
    again = ask(manager, "UpdateNotificationTemplate", **publishing, request_id=request_id())
    refused = await manager.refused(again)
    assert refused.reason is Reason.VERSION_MISMATCH
    assert refused.metadata["version"] == "1"
    await asyncio.sleep(1)  # every process sees a change within a second
    client = TravellerClient.of(server.channel, 1)
    order = await client.order(world.package())
    await client.cancel(order.order_id)
    await world.until("SELECT count(*) = 1 FROM notifications")
    assert await world.value("SELECT body FROM notifications") == f"{order.order_id}：您已取消"
    trail = "SELECT action FROM audit_events WHERE resource = 'notification_template'"
    assert await world.sql(trail) == [("update",)]


async def test_what_wechat_would_refuse_is_shown_before_it_is_published(manager: Manager) -> None:
    wechat = {**ORDER_CANCELLED, "channel": notification_pb2.NOTIFICATION_CHANNEL_WECHAT}
    fields = [
        notification_pb2.NotificationField(keyword=keyword, text=text)
        for keyword, text in {
            "thing1": "{product}{product}{product}{product}",
            "time2": "{time}",
            "character_string3": "{product}",
        }.items()
    ]
    texts_given = notification_pb2.NotificationTexts(template_id="T", fields=fields)
    shown = await ask(manager, "PreviewNotificationTemplate", **wechat, template=texts_given)
    values = {field.keyword: field.text for field in shown.fields}
    assert len(values["thing1"]) == 20
    assert values["time2"] == "2026-12-05 09:00"
    assert [each.partition(":")[0] for each in shown.refusals] == ["character_string3"]
    wrong = notification_pb2.NotificationTexts(body="x", fields=fields)
    refused = await manager.refused(
        ask(manager, "PreviewNotificationTemplate", **wechat, template=wrong)
    )
    assert refused.reason is Reason.INVALID_FIELD
    assert set(refused.fields) == {"template.template_id", "template.body"}
