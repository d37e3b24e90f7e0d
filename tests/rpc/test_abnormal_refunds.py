"""Refunds that WeChat sends to another account at an administrator's word, over gRPC and JSON, with the simulator."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from deeptravel.admin.v1 import refund_pb2

from server.platform.errors import Reason
from tests.support.paying import Till, a_till
from tests.support.refund_office import ABNORMAL, SUCCEEDED, Office, an_office
from tests.support.rpc_server import refusal
from tests.support.till import REFUND_STATE, give_back, states
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


@pytest.fixture
async def till(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Till]:
    async with a_till(database_url, redis_url, tmp_path) as furnished:
        yield furnished
        await furnished.idle()
        await furnished.sound()


@pytest.fixture
async def office(till: Till) -> Office:
    return await an_office(till.world, till.server.channel)


async def abnormal(till: Till) -> tuple[Any, Any]:
    """An order, and a refund of it that the traveller's account does not take."""
    order = await till.desk.order(till.world.seat(), passengers=[passenger()])
    await till.pay(order)
    await till.paid(order)
    await till.wechat.switch(refund_outcome="ABNORMAL")
    refund = await give_back(till.desk, order.order_id)
    await till.world.until("SELECT count(*) = 1 FROM refunds WHERE state = 'ABNORMAL'")
    return order, refund


async def until_refunded(till: Till) -> None:
    await till.world.until("SELECT count(*) = 1 FROM refunds WHERE state = 'SUCCEEDED'")


async def nowhere(till: Till, *secrets: str) -> None:
    """Fails if a table holds one of these texts."""
    tables = await till.world.sql(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
    )
    for (table,) in tables:
        for secret in secrets:
            found = f"SELECT count(*) FROM {table} t WHERE strpos(t::text, %s) > 0"
            assert await till.world.value(found, secret) == 0, table
            kept = f"SELECT count(*) FROM {table} t WHERE strpos(t::text, %s) > 0"
            assert await till.world.value(kept, secret.encode().hex()) == 0, table


async def test_a_card_of_the_travellers(till: Till, office: Office) -> None:
    order, refund = await abnormal(till)
    asked = {"refund_id": refund.refund_id, "request_id": "a1", "comment": "by phone", **CARD}
    await till.wechat.switch(refund_outcome="PROCESSING")
    at_once = [office.do("ApplyAbnormalRefund", **asked) for _ in range(3)]
    sent, *repeats = [answer.refund for answer in await asyncio.gather(*at_once)]
    assert repeats == [sent, sent]
    assert (REFUND_STATE[sent.state], sent.parts[0].sent_to) == ("PROCESSING", "USER_BANK_CARD")
    assert (await office.do("ApplyAbnormalRefund", **asked)).refund == sent
    other = asked | {"bank_account": NUMBER[::-1]}
    refused = await refusal(office.do("ApplyAbnormalRefund", **other))
    assert refused.reason == Reason.IDEMPOTENCY_MISMATCH
    again = {**asked, "request_id": "a2"}
    refused = await refusal(office.do("ApplyAbnormalRefund", **again))
    assert (refused.reason, refused.metadata["why"]) == (Reason.REFUND_REFUSED, "NOT_ABNORMAL")
    by_hand = {"refund_id": refund.refund_id, "state": SUCCEEDED, "comment": "cash"}
    assert (await refusal(office.do("SettleRefund", **by_hand))).reason == Reason.REFUND_REFUSED
    await till.wechat.switch(refund_outcome="SUCCESS")
    await until_refunded(till)
    assert await states(till.desk, order.order_id) == ["REFUNDED"]
    audited = (
        "SELECT actor, action, after ->> 'comment' FROM audit_events WHERE resource = 'refund'"
    )
    assert await till.world.sql(audited) == [("admin:root", "apply-abnormal-refund", "by phone")]
    await nowhere(till, NUMBER, NAME)


async def test_over_json(till: Till, office: Office) -> None:
    order, refund = await abnormal(till)
    headers = dict(office.metadata)
    async with httpx2.AsyncClient(base_url=till.url, headers=headers, trust_env=False) as http:
        path = f"/admin/refunds/{refund.refund_id}"
        found = (await http.get(path)).json()["refund"]
        assert [part["state"] for part in found["parts"]] == ["ABNORMAL"]
        body = {**CARD, "account": "USER_BANK_CARD", "request_id": "j1"}
        wrong = {**body, "bank_account": "6222 0202"}
        answer = await http.post(f"{path}/apply-abnormal-refund", json=wrong)
        assert answer.status_code == 400
        assert "6222" not in answer.text
        await till.wechat.switch(refund_outcome="PROCESSING")
        answer = await http.post(f"{path}/apply-abnormal-refund", json=body)
        assert (answer.status_code, answer.json()["refund"]["state"]) == (200, "PROCESSING")
        assert NUMBER not in answer.text
    await till.wechat.switch(refund_outcome="SUCCESS")
    await until_refunded(till)
    assert await states(till.desk, order.order_id) == ["REFUNDED"]


async def test_our_own_account(till: Till, office: Office) -> None:
    """From there the traveller is yet to get it: somebody is told."""
    _, refund = await abnormal(till)
    named = {"refund_id": refund.refund_id, "account": OURS}
    refused = await refusal(office.do("ApplyAbnormalRefund", **named, bank_account=NUMBER))
    assert refused.reason == Reason.INVALID_FIELD
    await office.do("ApplyAbnormalRefund", **named)
    await until_refunded(till)
    assert await till.incidents() == ["REFUND_ABNORMAL", "REFUND_TO_MERCHANT"]


async def test_wechat_refuses_or_does_not_answer(till: Till, office: Office) -> None:
    order, refund = await abnormal(till)
    named: dict[str, Any] = {"refund_id": refund.refund_id, **CARD}
    for missing in ("account", "bank_type", "bank_account", "real_name"):
        refused = await refusal(
            office.do("ApplyAbnormalRefund", **named | {missing: type(named[missing])()})
        )
        assert refused.reason == Reason.INVALID_FIELD
    unknown = named | {"out_refund_no": "DT1R1S1"}
    assert (await refusal(office.do("ApplyAbnormalRefund", **unknown))).reason == Reason.NOT_FOUND
    # what WeChat has settled meanwhile, and we have not heard of
    number = await till.world.value("SELECT provider_refund_id FROM refund_parts")
    await till.world.sql("UPDATE refund_parts SET provider_refund_id = '50'")
    refused = await refusal(office.do("ApplyAbnormalRefund", **named))
    assert (refused.reason, refused.metadata["why"]) == (Reason.REFUND_REFUSED, "WECHAT_REFUSED")
    await till.world.sql("UPDATE refund_parts SET provider_refund_id = %s", number)
    assert await till.world.value("SELECT state FROM refunds") == "ABNORMAL"
    # an outcome that is not known: the same request may be repeated, and WeChat is asked about it
    # anyhow
    await till.wechat.switch(down={"abnormal_refund": -1})
    named["request_id"] = "u1"
    refused = await refusal(office.do("ApplyAbnormalRefund", **named))
    assert refused.reason == Reason.PAYMENT_PROVIDER_UNAVAILABLE
    assert await till.world.value("SELECT state FROM refunds") == "PROCESSING"
    assert not (await office.do("ListRefunds", state=ABNORMAL)).refunds
    await till.wechat.switch(down={})
    sent = (await office.do("ApplyAbnormalRefund", **named)).refund
    assert REFUND_STATE[sent.state] in ("PROCESSING", "SUCCEEDED")
    await until_refunded(till)
    assert await states(till.desk, order.order_id) == ["REFUNDED"]
    await nowhere(till, NUMBER, NAME)


async def test_a_repeat_of_a_call_whose_answer_was_lost(till: Till, office: Office) -> None:
    """WeChat has given it back meanwhile: the repeat is the same request, and stands in the trail once."""
    _, refund = await abnormal(till)
    await till.wechat.switch(lost_answers={"abnormal_refund": -1})
    named = {"refund_id": refund.refund_id, "request_id": "l1", "comment": "lost", **CARD}
    refused = await refusal(office.do("ApplyAbnormalRefund", **named))
    assert refused.reason == Reason.PAYMENT_PROVIDER_UNAVAILABLE
    await until_refunded(till)
    # WeChat is not asked again
    for _ in range(2):
        sent = (await office.do("ApplyAbnormalRefund", **named)).refund
        assert (REFUND_STATE[sent.state], sent.parts[0].sent_to) == ("SUCCEEDED", "USER_BANK_CARD")
    audited = "SELECT action, after ->> 'comment' FROM audit_events WHERE resource = 'refund'"
    assert await till.world.sql(audited) == [("apply-abnormal-refund", "lost")]
    again = await refusal(office.do("ApplyAbnormalRefund", **named | {"request_id": "l2"}))
    assert (again.reason, again.metadata["why"]) == (Reason.REFUND_REFUSED, "NOT_ABNORMAL")


async def test_without_a_merchant(
    till: Till, database_url: str, redis_url: str, office: Office
) -> None:
    async with traveller_server(database_url, redis_url) as bare:
        stub = type(office.stub)(bare.channel)
        call = Office(stub, office.metadata).do("ApplyAbnormalRefund", refund_id="x", **CARD)
        assert (await refusal(call)).reason == Reason.PAYMENTS_NOT_CONFIGURED
