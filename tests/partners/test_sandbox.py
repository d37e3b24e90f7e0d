"""Sandboxes: what a key of test mode sees and does is apart from all that is live, and no terminal
of a venue admits a test ticket.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import pytest
from deeptravel.admin.v1 import partner_pb2
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.ota.v1 import sandbox_pb2
from deeptravel.redemption.v1 import redemption_pb2
from deeptravel.redemption.v1.redemption_service_pb2_grpc import RedemptionServiceStub

from server.parties.rules import SANDBOX_BIT, is_sandbox, sandbox_codes, sandbox_id
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import Reason
from server.tickets import qr
from server.tickets.keys import load_key_ring
from server.tickets.rules import Number, is_test
from tests.support import databases, timetable, webhook_examples
from tests.support.admin_client import Headers
from tests.support.admin_rows import DEPARTURE, DEPARTURE_DAY
from tests.support.invariants import broken
from tests.support.partner_client import PartnerClient
from tests.support.rpc_server import SECRET_KEY, refusal
from tests.support.sandbox import TEST, SandboxWorld, a_sandbox_world
from tests.support.waiting import becomes
from tools.dev.embedded.services import EmbeddedServices

LIVE = partner_pb2.PARTNER_MODE_LIVE
REFUSED = redemption_pb2.REFUSAL_REASON_TEST_TICKET
REJECT = redemption_pb2.REDEMPTION_RESULT_REJECT


@pytest.fixture(scope="module")
def sandbox_url(services: EmbeddedServices, seeded: tuple[str, Headers]) -> Any:
    with databases.copied(services.database_url, seeded[0]) as url:
        yield url


@pytest.fixture(scope="module")
async def world(
    sandbox_url: str, module_redis_url: str, seeded: tuple[str, Headers]
) -> AsyncIterator[SandboxWorld]:
    async with a_sandbox_world(sandbox_url, module_redis_url, seeded[1]) as made:
        yield made


async def reason(call: Any) -> Reason:
    return (await refusal(call)).reason


def test_numbers_say_what_is_a_sandbox() -> None:
    assert not is_sandbox(SANDBOX_BIT - 1)
    assert is_sandbox(sandbox_id(1))
    assert not is_sandbox(0)
    day = datetime.now(UTC).date()
    assert not is_test(int(Number(SANDBOX_BIT - 1, day, 134_217_727)))
    assert is_test(int(Number(SANDBOX_BIT + 1, day, 0)))
    codes = list(sandbox_codes(7, "ABCDEFGHIJKL"))
    assert codes[:3] == ["TESTABCDEFGH", "TEST7", "TESTA7"]
    longest = list(sandbox_codes(SANDBOX_BIT - 1, "A" * 12))
    assert max(map(len, longest)) <= 12
    assert len(set(longest)) == len(longest)


async def test_a_key_of_test_mode_is_of_a_sandbox(world: SandboxWorld) -> None:
    """The first makes it, and gives it what the partner has; each key says which it is."""
    assert world.test.api_key.startswith("dtk_test_")
    assert not world.live.api_key.startswith("dtk_test_")
    live = (await world.admin("GetPartner", partner_code="CP")).partner
    assert (live.mode, live.sandbox_partner_code, live.live_partner_code) == (LIVE, "TESTCP", "")
    test = (await world.admin("GetPartner", partner_code="TESTCP")).partner
    assert (test.mode, test.sandbox_partner_code, test.live_partner_code) == (TEST, "", "CP")
    assert test.requests_per_minute == live.requests_per_minute
    keys = (await world.admin("ListPartnerKeys", partner_code="CP")).keys
    assert {key.mode for key in keys} == {LIVE, TEST}
    only = (await world.admin("ListPartnerKeys", partner_code="CP", mode=TEST)).keys
    assert {key.mode for key in only} == {TEST}
    asked = sandbox_pb2.GetSandboxRequest()
    sandbox = await world.test.call("GetSandbox", asked)
    assert (sandbox.partner_code, sandbox.live_partner_code) == ("TESTCP", "CP")
    assert await reason(world.live.call("GetSandbox", asked)) is Reason.TEST_MODE_ONLY


async def test_a_text_of_the_other_mode_is_no_key(world: SandboxWorld) -> None:
    """Seen red without the comparison of the key's text with its partner's mode."""
    for text in (
        world.test.api_key.replace("dtk_test_", "dtk_"),
        world.live.api_key.replace("dtk_", "dtk_test_"),
    ):
        found = await reason(PartnerClient.at(world.channel, text).batch(1))
        assert found is Reason.UNAUTHENTICATED


async def test_what_is_tried_counts_nowhere(world: SandboxWorld, sandbox_url: str) -> None:
    """Test stock is sold out; nobody else's figures move, and it is in no list but its own."""
    lacked = await lacking(sandbox_url)  # two of the seeded tickets are of no batch
    live, direct = await world.stock(world.live), await direct_stock(world)
    test = await world.key("HK", TEST)  # of a partner without stock
    assert await world.stock(test) == []
    await world.test.codes(5)
    ((total, held, sold),) = await world.stock(world.test)
    assert total == 2000
    await world.test.batch(total - held - sold)
    assert await reason(world.test.batch(1)) is Reason.SOLD_OUT
    more = await set_stock(world.test, total=total + 500)
    assert (more.total, more.available) == (total + 500, 500)
    stale = set_stock(world.test, total=total, version=more.version - 1)
    assert await reason(stale) is Reason.VERSION_MISMATCH
    await world.test.batch(1)
    assert await reason(set_stock(world.test, total=total)) is Reason.STOCK_IN_USE
    assert await world.stock(world.live) == live
    assert await direct_stock(world) == direct
    listed = (await world.admin("ListPartners")).partners
    assert {each.partner_code for each in listed} >= {"CP", "HK"}
    assert {each.mode for each in listed} == {LIVE}
    tried = (await world.admin("ListPartners", mode=TEST)).partners
    assert {each.partner_code for each in tried} >= {"TESTCP", "TESTHK"}
    assert {each.mode for each in tried} == {TEST}
    channels = {each.channel for each in (await world.admin("ListAllotments")).allotments}
    assert channels >= {"CP", "DIRECT"}
    assert not [channel for channel in channels if channel.startswith("TEST")]
    own = (await world.admin("ListAllotments", channel="TESTCP")).allotments
    assert {each.channel for each in own} == {"TESTCP"}
    assert await lacking(sandbox_url) == lacked


async def lacking(url: str) -> dict[str, str]:
    """The invariants that do not hold, and where."""
    return {each.invariant.name: each.text for each in await asyncio.to_thread(broken, url)}


def set_stock(client: PartnerClient, **fields: Any) -> Any:
    values: Any = {"product_id": 106, "request_id": uuid4().hex} | fields
    return client.call("SetSandboxStock", sandbox_pb2.SetSandboxStockRequest(**values))


async def direct_stock(world: SandboxWorld) -> list[Any]:
    return await world.sql(
        "SELECT stock_id, total, held, sold FROM stocks WHERE partner_id = 0 ORDER BY 1"
    )


async def test_stock_is_not_moved_to_or_from_a_sandbox(world: SandboxWorld) -> None:
    """Seen red without the check: ten of DIRECT's became test stock."""
    for method, fields in (
        ("MoveAllotment", {"from_channel": "DIRECT", "to_channel": "TESTCP", "quantity": 1}),
        ("AdjustAllotment", {"from_channel": "TESTCP", "to_channel": "HK", "quantity": 1}),
        ("AdjustAllotment", {"from_channel": "CP", "to_channel": "TESTCP", "quantity": 1}),
        ("CreateAllotment", {"channel": "TESTCP", "total": 1}),
        ("UpdateAllotment", {"channel": "TESTCP", "total": 1, "update_mask": "total"}),
        ("SetAllotmentTerms", {"channel": "TESTCP", "hold_seconds": 60}),
    ):
        assert await reason(world.admin(method, product_id=106, **fields)) is Reason.INVALID_FIELD


async def test_a_sandbox_is_changed_and_revoked_with_its_partner(world: SandboxWorld) -> None:
    """Keys of a revoked partner's sandbox are none. Seen red with the partner alone revoked."""
    await world.admin("CreatePartner", partner_code="BYE", display_name="Bye")
    test = await world.key("BYE", TEST)
    await world.admin(
        "UpdatePartner",
        partner_code="BYE",
        requests_per_minute=7,
        activation_tolerance_basis_points=50,
        update_mask="requests_per_minute activation_tolerance_basis_points",
    )
    sandbox = (await world.admin("GetPartner", partner_code="TESTBYE")).partner
    assert (sandbox.requests_per_minute, sandbox.activation_tolerance_basis_points) == (7, 50)
    for method, fields in (
        ("UpdatePartner", {"display_name": "X", "update_mask": "display_name"}),
        ("RevokePartner", {}),
        ("CreatePartnerKey", {}),
        ("CreatePartnerKey", {"mode": TEST}),
    ):
        answer = world.admin(method, partner_code="TESTBYE", **fields)
        assert await reason(answer) is Reason.INVALID_FIELD
    made = world.admin("CreatePartner", partner_code="TESTX", display_name="X")
    assert await reason(made) is Reason.INVALID_FIELD
    await world.admin("RevokePartner", partner_code="BYE")
    assert await reason(test.reserve(1)) is Reason.UNAUTHENTICATED


async def test_a_code_that_is_taken_gets_another(world: SandboxWorld) -> None:
    """By a partner of before there were sandboxes."""
    await world.admin("CreatePartner", partner_code="OLD", display_name="Old")
    await world.sql(
        "INSERT INTO partners (partner_code, display_name, requests_per_minute,"
        " allowed_addresses, state, create_time, update_time)"
        " VALUES ('TESTOLD', 'T', 1, '{}', 'ACTIVE', now(), now())"
    )
    await world.key("OLD", TEST)
    made = (await world.admin("GetPartner", partner_code="OLD")).partner
    ((number,),) = await world.sql("SELECT partner_id FROM partners WHERE partner_code = 'OLD'")
    assert made.sandbox_partner_code == f"TEST{number}"
    await world.sql("DELETE FROM partners WHERE partner_code = 'TESTOLD'")


async def test_new_stock_and_terms_come_to_the_sandbox(world: SandboxWorld) -> None:
    """What the partner is allotted later, in whichever way, its sandbox has too; a total that is
    there stays.
    """
    await world.admin("CreatePartner", partner_code="LATE", display_name="Late")
    test = await world.key("LATE", TEST)
    assert await world.stock(test) == []
    await world.admin("CreateAllotment", product_id=106, channel="LATE", total=30)
    assert await world.stock(test) == [(30, 0, 0)]
    await world.admin(
        "UpdateAllotment", product_id=106, channel="LATE", total=9, update_mask="total"
    )
    assert await world.stock(test) == [(30, 0, 0)]
    of_day = {"product_id": 106, "use_date": str(DEPARTURE_DAY)}
    moved: dict[str, Any] = {"from_channel": "DIRECT", "to_channel": "LATE", "quantity": 2}
    await world.admin("AdjustAllotment", **of_day, **moved)
    assert await world.stock(test, **of_day) == [(0, 0, 0)] or await world.stock(
        test, **of_day
    ) == [(2, 0, 0)]
    await world.admin("SetAllotmentTerms", product_id=106, channel="LATE", hold_seconds=77)
    reserved = await test.reserve(1)
    seconds = reserved.expire_time.ToDatetime() - reserved.create_time.ToDatetime()
    assert seconds.total_seconds() == 77


async def test_no_terminal_admits_a_test_ticket(world: SandboxWorld, sandbox_url: str) -> None:
    """By each way to redeem, whatever the ticket's state; nothing is used, and the operator reads
    why. Seen red without the rule: only the database refused it, which is a fault.
    """
    code, token, _ = await world.sold(world.test)
    before = await world.uses(code)
    stub, headers = RedemptionServiceStub(world.channel), world.terminal_headers
    answers = [await world.scan(token), await world.look(token)]
    answers.append(await world.look(token, world.admin_headers))
    items = [redemption_pb2.RedeemItem(qr_token=token, function_code="ferry")]
    many = redemption_pb2.RedeemManyRequest(
        items=items, all_or_nothing=True, request_id=uuid4().hex
    )
    answers += (await stub.RedeemMany(many, metadata=headers)).results
    scan = redemption_pb2.ScanStreamRequest(
        scan_id="1",
        scan=redemption_pb2.RedeemRequest(
            qr_token=token, function_code="ferry", request_id=uuid4().hex
        ),
    )
    stream = stub.ScanStream(iter([scan]), metadata=headers)
    answers += [each.answer async for page in stream for each in page.answers]
    (unsold,) = await world.test.codes(1)
    answers.append(await world.scan((await world.test.qr(unsold)).encrypted_data))
    found = redemption_pb2.LookupOrderRequest(encrypted_data=token)
    answers += (await stub.LookupOrder(found, metadata=headers)).tickets
    assert [each.reason for each in answers] == [REFUSED] * len(answers)
    assert {each.result for each in answers} == {REJECT}
    assert {each.explanation.check for each in answers} == {"mode"}
    assert "test ticket" in answers[0].explanation.en
    assert "测试票" in answers[0].explanation.zh
    assert await world.uses(code) == before
    looked = await world.look(token, world.test.metadata)
    assert not looked.HasField("reason")
    assert looked.ticket_code == code
    strange = await world.look(token, world.live.metadata)
    assert strange.reason == redemption_pb2.REFUSAL_REASON_TICKET_NOT_FOUND
    _, admitted, _ = await world.sold(world.live)
    assert (await world.scan(admitted)).result == redemption_pb2.REDEMPTION_RESULT_SUCCESS


async def test_over_json_a_test_ticket_is_refused_in_the_same_words(world: SandboxWorld) -> None:
    """On the seed paths of the terminals."""
    _, token, _ = await world.sold(world.test)
    headers = dict(world.terminal_headers)
    body = {"qr_token": token, "function_code": "ferry", "terminal_device_id": "T-1"}
    answer = await world.http.post("/venue/scan", json=body, headers=headers)
    assert answer.status_code == 422
    refused = answer.json()
    assert (refused["result"], refused["reason"]) == ("reject", "TEST_TICKET")
    assert "测试票" in refused["explanation"]["zh"]


async def test_an_offline_reader_tells_a_test_ticket(world: SandboxWorld, sandbox_url: str) -> None:
    """By a flag of the token, and by the number in it, whoever made the token."""
    db = Database(load_settings(), sandbox_url)
    async with db.transaction() as tx:
        ring = await load_key_ring(tx, SECRET_KEY)
    await db.close()
    for client, flags in ((world.test, qr.FLAG_TEST), (world.live, 0)):
        _, token, order_id = await world.sold(client)
        of_order = await client.call("IssueOrderQr", ota.IssueOrderQrRequest(order_id=order_id))
        batch = await client.batch(1)
        (of_batch,) = await client.streamed(batch.batch_id, with_qr=True)
        for each in (token, of_order.encrypted_data, of_batch.encrypted_data):
            opened = qr.unseal(each, ring, datetime.now(UTC))
            assert isinstance(opened, qr.Valid)
            assert opened.claims.flags == flags
            assert is_test(opened.claims.number) is bool(flags)


async def test_two_who_make_a_sandbox_at_once_make_one(world: SandboxWorld) -> None:
    """Each gets a key of it. Seen red without the lock on the partner's row, and with it but
    without reading again after it: the second met the first's row, and failed.
    """
    for round_ in range(4):
        code = f"R{round_}"
        await world.admin("CreatePartner", partner_code=code, display_name=code)
        await world.admin("CreateAllotment", product_id=106, channel=code, total=5)
        clients = await asyncio.gather(*(world.key(code, TEST) for _ in range(6)))
        for client in clients:
            assert await world.stock(client) == [(5, 0, 0)]
        made = await world.sql(
            "SELECT count(*) FROM partners s JOIN partners p ON p.partner_id = s.sandbox_of"
            " WHERE p.partner_code = %s",
            code,
        )
        assert made == [(1,)]


async def test_test_stock_of_a_departure_and_a_day(world: SandboxWorld) -> None:
    """Of what the partner has stock of the product; without it there is none to try. The figures of
    all others stay. Seen red with the key of our own stock.
    """
    of_class: dict[str, Any] = {
        "product_id": timetable.TRAIN,
        "departure_id": DEPARTURE,
        "fare_class": "SECOND",
    }
    assert await reason(set_stock(world.test, **of_class, total=5)) is Reason.PRODUCT_NOT_ON_SALE
    moved: dict[str, Any] = {"from_channel": "DIRECT", "to_channel": "CP", "quantity": 2}
    await world.admin("AdjustAllotment", **of_class, **moved)
    others = await stock_of_others(world)
    assert (await set_stock(world.test, **of_class, total=5)).available == 5
    reserved = await world.test.reserve(3, **of_class)
    assert reserved.departure_id == DEPARTURE
    assert await world.stock(world.test, departure_id=DEPARTURE) == [(5, 3, 0)]
    unknown = of_class | {"fare_class": "FIRST"}
    assert await reason(set_stock(world.test, **unknown, total=5)) is Reason.NOT_FOUND
    of_day: dict[str, Any] = {"product_id": 106, "use_date": str(DEPARTURE_DAY)}
    assert (await set_stock(world.test, **of_day, total=4)).available == 4
    assert (await world.test.reserve(4, **of_day)).use_date == str(DEPARTURE_DAY)
    over: dict[str, Any] = {"product_id": 106, "use_date": "2026-01-01"}
    assert await reason(set_stock(world.test, **over, total=1)) is Reason.INVALID_FIELD
    assert await stock_of_others(world) == others


async def stock_of_others(world: SandboxWorld) -> list[Any]:
    return await world.sql(
        "SELECT stock_id, total, held, sold FROM stocks WHERE partner_id < %s ORDER BY 1",
        SANDBOX_BIT,
    )


async def test_a_sandbox_has_a_payment_webhook_of_its_own(world: SandboxWorld) -> None:
    """Signed with its own secret it activates test tickets; to its partner that is no signature.
    Seen red where the partner's code was read without what follows TEST.
    """
    (code,) = await world.test.codes(1)
    (live_code,) = await world.live.codes(1)
    data = {
        "payment_reference": "PAY-T",
        "amount_minor": 28_000,
        "currency_code": "HKD",
        "customer": {"type": "ADULT", "name": "A"},
        "ticket_codes": [code],
    }
    said = {"type": "payment.succeeded", "timestamp": datetime.now(UTC).isoformat(), "data": data}
    body = orjson.dumps(said)
    headers = dict(await webhook_examples.signed(world.test, body))
    headers["content-type"] = "application/json"
    refused = await world.http.post("/webhooks/partners/CP/payments", content=body, headers=headers)
    assert refused.status_code == 401
    taken = await world.http.post(
        "/webhooks/partners/TESTCP/payments", content=body, headers=headers
    )
    assert taken.status_code == 200, taken.text
    states = "SELECT state FROM tickets WHERE ticket_code = ANY(%s) ORDER BY ticket_code DESC"

    async def now() -> list[str]:
        return [row[0] for row in await world.sql(states, [code, live_code])]

    await becomes(["ACTIVE", "PRE_GENERATED"], now)
