"""Refunds that WeChat sends to another account at an administrator's word, over gRPC and JSON,
with the simulator.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from deeptravel.admin.v1 import refund_pb2

from server.platform.errors import Reason
from tests.support.order_scenario import REFUND_STATE, give_back, states
from tests.support.paying import PaymentScenario, a_scenario
from tests.support.refund_client import ABNORMAL, SUCCEEDED, AdminClient, an_admin_client
from tests.support.rpc_server import refusal
from tests.support.traveller import passenger, traveller_server

TRAVELLERS = refund_pb2.ABNORMAL_REFUND_ACCOUNT_USER_BANK_CARD
OURS = refund_pb2.ABNORMAL_REFUND_ACCOUNT_MERCHANT_BANK_CARD
NUMBER, NAME = "6222020200012345678", "王小明的户名"
CARD = {
    "account": TRAVELLERS,
    "bank_type": "ICBC_DEBIT",
    "bank_account": NUMBER,
    "real_name": NAME,
}


@pytest.fixture(scope="module")
async def filled_scenario(
    module_database_url: str, module_redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PaymentScenario]:
    async with a_scenario(
        module_database_url, module_redis_url, tmp_path_factory.mktemp("wechat")
    ) as seeded:
        yield seeded


@pytest.fixture
async def scenario(filled_scenario: PaymentScenario) -> AsyncIterator[PaymentScenario]:
    yield filled_scenario
    await filled_scenario.idle()
    await filled_scenario.sound()
    await filled_scenario.wechat.begin_again()


@pytest.fixture
async def admin_client(scenario: PaymentScenario) -> AdminClient:
    return await an_admin_client(scenario.world, scenario.server.channel)


async def abnormal(scenario: PaymentScenario) -> tuple[Any, Any]:
    """An order, and a refund of it that the traveller's account does not take."""
    order = await scenario.client.order(scenario.world.seat(), passengers=[passenger()])
    await scenario.pay(order)
    await scenario.paid(order)
    await scenario.wechat.switch(refund_outcome="ABNORMAL")
    refund = await give_back(scenario.client, order.order_id)
    await scenario.world.until("SELECT count(*) = 1 FROM refunds WHERE state = 'ABNORMAL'")
    return order, refund


async def until_refunded(scenario: PaymentScenario) -> None:
    await scenario.world.until("SELECT count(*) = 1 FROM refunds WHERE state = 'SUCCEEDED'")


async def nowhere(scenario: PaymentScenario, *secrets: str) -> None:
    """Fails if a table holds one of these texts."""
    tables = await scenario.world.sql(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
    )
    for (table,) in tables:
        for secret in secrets:
            found = f"SELECT count(*) FROM {table} t WHERE strpos(t::text, %s) > 0"
            assert await scenario.world.value(found, secret) == 0, table
            kept = f"SELECT count(*) FROM {table} t WHERE strpos(t::text, %s) > 0"
            assert await scenario.world.value(kept, secret.encode().hex()) == 0, table


async def test_a_card_of_the_travellers(
    scenario: PaymentScenario, admin_client: AdminClient
) -> None:
    order, refund = await abnormal(scenario)
    asked = {"refund_id": refund.refund_id, "request_id": "a1", "comment": "by phone", **CARD}
    await scenario.wechat.switch(refund_outcome="PROCESSING")
    at_once = [admin_client.do("ApplyAbnormalRefund", **asked) for _ in range(3)]
    sent, *repeats = [answer.refund for answer in await asyncio.gather(*at_once)]
    assert repeats == [sent, sent]
    assert (REFUND_STATE[sent.state], sent.parts[0].sent_to) == ("PROCESSING", "USER_BANK_CARD")
    assert (await admin_client.do("ApplyAbnormalRefund", **asked)).refund == sent
    other = asked | {"bank_account": NUMBER[::-1]}
    refused = await refusal(admin_client.do("ApplyAbnormalRefund", **other))
    assert refused.reason == Reason.IDEMPOTENCY_MISMATCH
    again = {**asked, "request_id": "a2"}
    refused = await refusal(admin_client.do("ApplyAbnormalRefund", **again))
    assert (refused.reason, refused.metadata["why"]) == (Reason.REFUND_REFUSED, "NOT_ABNORMAL")
    by_hand = {"refund_id": refund.refund_id, "state": SUCCEEDED, "comment": "cash"}
    assert (
        await refusal(admin_client.do("SettleRefund", **by_hand))
    ).reason == Reason.REFUND_REFUSED
    await scenario.wechat.switch(refund_outcome="SUCCESS")
    await until_refunded(scenario)
    assert await states(scenario.client, order.order_id) == ["REFUNDED"]
    audited = (
        "SELECT actor, action, after ->> 'comment' FROM audit_events WHERE resource = 'refund'"
    )
    assert await scenario.world.sql(audited) == [
        ("admin:root", "apply-abnormal-refund", "by phone")
    ]
    await nowhere(scenario, NUMBER, NAME)


async def test_over_json(scenario: PaymentScenario, admin_client: AdminClient) -> None:
    order, refund = await abnormal(scenario)
    headers = dict(admin_client.metadata)
    async with httpx2.AsyncClient(base_url=scenario.url, headers=headers, trust_env=False) as http:
        path = f"/admin/refunds/{refund.refund_id}"
        found = (await http.get(path)).json()["refund"]
        assert [part["state"] for part in found["parts"]] == ["ABNORMAL"]
        body = {**CARD, "account": "USER_BANK_CARD", "request_id": "j1"}
        wrong = {**body, "bank_account": "6222 0202"}
        answer = await http.post(f"{path}/apply-abnormal-refund", json=wrong)
        assert answer.status_code == 400
        assert "6222" not in answer.text
        await scenario.wechat.switch(refund_outcome="PROCESSING")
        answer = await http.post(f"{path}/apply-abnormal-refund", json=body)
        assert (answer.status_code, answer.json()["refund"]["state"]) == (200, "PROCESSING")
        assert NUMBER not in answer.text
    await scenario.wechat.switch(refund_outcome="SUCCESS")
    await until_refunded(scenario)
    assert await states(scenario.client, order.order_id) == ["REFUNDED"]


async def test_our_own_account(scenario: PaymentScenario, admin_client: AdminClient) -> None:
    """From there the traveller is yet to get it: an incident is opened."""
    _, refund = await abnormal(scenario)
    named = {"refund_id": refund.refund_id, "account": OURS}
    refused = await refusal(admin_client.do("ApplyAbnormalRefund", **named, bank_account=NUMBER))
    assert refused.reason == Reason.INVALID_FIELD
    await admin_client.do("ApplyAbnormalRefund", **named)
    await until_refunded(scenario)
    assert await scenario.incidents() == ["REFUND_ABNORMAL", "REFUND_TO_MERCHANT"]


async def test_wechat_refuses_or_does_not_answer(
    scenario: PaymentScenario, admin_client: AdminClient
) -> None:
    order, refund = await abnormal(scenario)
    named: dict[str, Any] = {"refund_id": refund.refund_id, **CARD}
    for missing in ("account", "bank_type", "bank_account", "real_name"):
        refused = await refusal(
            admin_client.do("ApplyAbnormalRefund", **named | {missing: type(named[missing])()})
        )
        assert refused.reason == Reason.INVALID_FIELD
    unknown = named | {"out_refund_no": "DT1R1S1"}
    assert (
        await refusal(admin_client.do("ApplyAbnormalRefund", **unknown))
    ).reason == Reason.NOT_FOUND
    # what WeChat has settled meanwhile, and we have not heard of
    number = await scenario.world.value("SELECT provider_refund_id FROM refund_parts")
    await scenario.world.sql("UPDATE refund_parts SET provider_refund_id = '50'")
    refused = await refusal(admin_client.do("ApplyAbnormalRefund", **named))
    assert (refused.reason, refused.metadata["why"]) == (Reason.REFUND_REFUSED, "WECHAT_REFUSED")
    await scenario.world.sql("UPDATE refund_parts SET provider_refund_id = %s", number)
    assert await scenario.world.value("SELECT state FROM refunds") == "ABNORMAL"
    # an outcome that is not known: the same request may be repeated, and WeChat is asked about it
    # anyhow
    await scenario.wechat.switch(down={"abnormal_refund": -1})
    named["request_id"] = "u1"
    refused = await refusal(admin_client.do("ApplyAbnormalRefund", **named))
    assert refused.reason == Reason.PAYMENT_PROVIDER_UNAVAILABLE
    assert await scenario.world.value("SELECT state FROM refunds") == "PROCESSING"
    assert not (await admin_client.do("ListRefunds", state=ABNORMAL)).refunds
    await scenario.wechat.switch(down={})
    sent = (await admin_client.do("ApplyAbnormalRefund", **named)).refund
    assert REFUND_STATE[sent.state] in ("PROCESSING", "SUCCEEDED")
    await until_refunded(scenario)
    assert await states(scenario.client, order.order_id) == ["REFUNDED"]
    await nowhere(scenario, NUMBER, NAME)


async def test_a_repeat_of_a_call_whose_answer_was_lost(
    scenario: PaymentScenario, admin_client: AdminClient
) -> None:
    """WeChat has given it back meanwhile: the repeat is the same request, and stands in the
    trail once.
    """
    _, refund = await abnormal(scenario)
    await scenario.wechat.switch(lost_answers={"abnormal_refund": -1})
    named = {"refund_id": refund.refund_id, "request_id": "l1", "comment": "lost", **CARD}
    refused = await refusal(admin_client.do("ApplyAbnormalRefund", **named))
    assert refused.reason == Reason.PAYMENT_PROVIDER_UNAVAILABLE
    await until_refunded(scenario)
    # WeChat is not asked again
    for _ in range(2):
        sent = (await admin_client.do("ApplyAbnormalRefund", **named)).refund
        assert (REFUND_STATE[sent.state], sent.parts[0].sent_to) == ("SUCCEEDED", "USER_BANK_CARD")
    audited = "SELECT action, after ->> 'comment' FROM audit_events WHERE resource = 'refund'"
    assert await scenario.world.sql(audited) == [("apply-abnormal-refund", "lost")]
    again = await refusal(admin_client.do("ApplyAbnormalRefund", **named | {"request_id": "l2"}))
    assert (again.reason, again.metadata["why"]) == (Reason.REFUND_REFUSED, "NOT_ABNORMAL")


async def test_without_a_merchant(
    scenario: PaymentScenario,
    module_database_url: str,
    module_redis_url: str,
    admin_client: AdminClient,
) -> None:
    async with traveller_server(module_database_url, module_redis_url) as bare:
        stub = type(admin_client.stub)(bare.channel)
        call = AdminClient(stub, admin_client.metadata).do(
            "ApplyAbnormalRefund", refund_id="x", **CARD
        )
        assert (await refusal(call)).reason == Reason.PAYMENTS_NOT_CONFIGURED
