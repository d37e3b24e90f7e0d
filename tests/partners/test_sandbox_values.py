"""Magic values: what a key of test mode asks for by its `request_id` happens, over gRPC and JSON;
to a live key it is an id like any other.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import grpc
import pytest
from deeptravel.ota.v1 import event_pb2, ota_service_pb2, reservation_pb2, sandbox_pb2, webhook_pb2
from deeptravel.redemption.v1 import redemption_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from server.api.ota.simulation import EXPIRING
from server.partners import sandbox_values
from server.partners.sandbox_values import FACTS, RETRIED, SCAN_FACTS, SCAN_REFUSALS, SandboxEffect
from server.platform.errors import Reason
from server.redemption.explanations import explain
from tests.support import databases, described
from tests.support.admin_client import Headers
from tests.support.invariants import broken
from tests.support.partner_client import PartnerClient
from tests.support.receiver import a_receiver
from tests.support.rpc_server import read_refusal, refusal
from tests.support.sandbox import PAID, SandboxWorld, a_sandbox_world
from tests.support.waiting import becomes
from tools.dev.embedded.services import EmbeddedServices

SERVICE = ota_service_pb2.DESCRIPTOR.services_by_name["OtaService"]
ERRORS = described.values("deeptravel.common.v1.ErrorReason")
REFUSALS = described.values("deeptravel.redemption.v1.RefusalReason")
ANY_CALL = {
    "INVALID_FIELD",
    "UNAUTHENTICATED",
    "ROLE_NOT_ALLOWED",
    "ADDRESS_NOT_ALLOWED",
    "RATE_LIMITED",
    "SERVER_BUSY",
    "CONFLICT",
    "DATABASE_UNAVAILABLE",
    "SHUTTING_DOWN",
    "INTERNAL",
    "DEADLINE_EXCEEDED",
    "RANGE_TOO_LARGE",
}
"""What may become of a call whatever it is."""


@pytest.fixture(scope="module")
def sandbox_url(services: EmbeddedServices, seeded: tuple[str, Headers]) -> Any:
    with databases.copied(services.database_url, seeded[0]) as url:
        yield url


@pytest.fixture(scope="module")
async def world(
    sandbox_url: str, module_redis_url: str, seeded: tuple[str, Headers]
) -> AsyncIterator[SandboxWorld]:
    private = {"webhook_allow_private": True}
    async with a_sandbox_world(sandbox_url, module_redis_url, seeded[1], **private) as made:
        yield made


def listed(method: str) -> set[str]:
    """The reasons that the contract lists for a method of OtaService."""
    full = f"{SERVICE.full_name}.{method}"
    (found,) = [each for each in described.of_kind("Method") if each.name == full]
    reasons = found.comment.partition("Reasons:")[2]
    return {name for name in re.findall(r"\b[A-Z][A-Z_]+\b", reasons) if name in ERRORS}


def test_every_reason_of_every_call_can_be_had() -> None:
    """With the metadata that the contract promises, and RetryInfo where it does."""
    of_calls = {name for method in SERVICE.methods for name in listed(method.name)}
    assert len(of_calls) > 15
    assert of_calls | ANY_CALL == FACTS.keys()
    for name, facts in FACTS.items():
        comment = ERRORS[name].comment
        promised = re.search(r"Metadata: ((?:`\w+`(?:, )?)+)", comment)
        assert set(facts) == (set(re.findall(r"`(\w+)`", promised[1])) if promised else set())
        assert ("RetryInfo" in comment) == bool(RETRIED.get(name)), name


def test_every_refusal_of_a_scan_can_be_had() -> None:
    assert SCAN_REFUSALS.keys() == REFUSALS.keys()
    for reason, check in SCAN_REFUSALS.items():
        assert all(explain(reason, check, SCAN_FACTS))


def test_the_pages_list_all_of_them() -> None:
    page = (described.ROOT / "docs" / "integrators" / "sandbox.md").read_text()
    for name in (*SandboxEffect, *FACTS):
        assert f"`{name}`" in page, name


@pytest.mark.parametrize("text", ["sandbox-", "sandbox-SOLD", "sandbox-sold_out", "sandbox-1"])
def test_a_slip_of_the_pen_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="SOLD_OUT"):
        sandbox_values.read(text, "ReserveInventory")
    assert sandbox_values.read(f"x{text}", "ReserveInventory") is None


def fill(method: MethodDescriptor, request_id: str) -> Any:
    """A request that has what the method requires, if nothing that there is."""
    values = {
        "product_id": 106,
        "quantity": 1,
        "hold_seconds": 60,
        "total": 10,
        "function_code": "ferry",
        "redemption_id": f"{7:032x}",
        "url": "https://example.com/",
        "state": webhook_pb2.WEBHOOK_ENDPOINT_STATE_ENABLED,
        "update_mask": {"paths": ["display_name"]},
        "display_name": "x",
        "until_cursor": 1,
    }
    found: dict[str, Any] = {"request_id": request_id}
    for field in method.input_type.fields:
        if field.name in values:
            found[field.name] = values[field.name]
        elif field.name.endswith(("_id", "_code")) and field.name not in {
            "request_id",
            "departure_id",
            "batch_id",
            "reservation_id",
        }:
            found[field.name] = "x"
    if method.name in {"ExtendReservation", "ReleaseReservation"}:
        found["reservation_id"] = str(uuid4())
    sale: dict[str, Any] = {
        "customer": {"type": 1, "name": "A"},
        "payment": {"reference": "P", "amount_minor": 1, "currency_code": "CNY"},
    }
    if method.name == "ActivateTicket":
        found |= sale
    if method.name == "ActivateTickets":
        found["activations"] = [sale | {"ticket_code": "x"}]
    if method.name in {"CancelTickets", "ReassignTickets"}:
        found["ticket_codes"] = ["x"]
    return GetMessageClass(method.input_type)(**found)


CHANGING = [each for each in SERVICE.methods if "request_id" in each.input_type.fields_by_name]


async def test_each_changing_call_fails_as_its_id_asks(
    world: SandboxWorld, subtests: pytest.Subtests
) -> None:
    """With every reason that its contract lists, and those of any call; nothing is done.

    What is made is counted, not the events: what another test had expire may end meanwhile.
    Seen red without the prefix being read.
    """
    count = """
        SELECT (SELECT count(*) FROM reservations), (SELECT count(*) FROM batches),
          (SELECT count(*) FROM distributors), (SELECT count(*) FROM webhook_endpoints)
    """
    before = await world.sql(count)
    for method in CHANGING:
        for name in sorted(listed(method.name) | {"RATE_LIMITED", "CONFLICT"}):
            with subtests.test(method=method.name, reason=name):
                if method.name == sandbox_values.SCANS and name in SCAN_REFUSALS:
                    continue
                request = fill(method, f"sandbox-{name}-{uuid4().hex[:20]}")
                found = await refusal(world.test.call(method.name, request))
                assert found.reason is Reason(name)
                assert found.metadata.keys() == FACTS[name].keys()
                assert (found.retry_seconds or 0) == RETRIED.get(name, 0)
    assert await world.sql(count) == before


async def test_a_live_key_is_not_affected(world: SandboxWorld) -> None:
    """Whatever it sends. Seen red with calls of all partners looked at."""
    for name in ("SOLD_OUT", "TIMEOUT_AFTER_COMMIT", "EXPIRE_NOW", "no such name"):
        once = f"sandbox-{name}-1"
        made = await world.live.reserve(1, request_id=once)
        assert made.status == reservation_pb2.RESERVATION_STATE_OPEN
        assert await world.live.reserve(1, request_id=once) == made
        assert (made.expire_time.seconds - made.create_time.seconds) > 3600


async def test_facts_are_those_of_the_request(world: SandboxWorld) -> None:
    found = await refusal(world.test.reserve(7, request_id="sandbox-SOLD_OUT-7"))
    assert found.metadata == {"product_id": "106", "requested": "7", "available": "0"}
    found = await refusal(world.test.reserve(7, request_id="sandbox-NO_SUCH_NAME"))
    assert (found.reason, found.fields) == (Reason.INVALID_FIELD, ("request_id",))


async def test_what_is_to_be_called_again_is_refused_once(world: SandboxWorld) -> None:
    """So a client that follows the RetryInfo comes through."""
    for name, status in (("RATE_LIMITED", "RESOURCE_EXHAUSTED"), ("CONFLICT", "ABORTED")):
        once = f"sandbox-{name}-once"
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await world.test.reserve(1, request_id=once)
        assert ended.value.code().name == status
        assert read_refusal(ended.value).retry_seconds == RETRIED[name]
        made = await world.test.reserve(1, request_id=once)
        assert await world.test.reserve(1, request_id=once) == made


@pytest.mark.parametrize(
    ("effect", "reason"), sandbox_values.AFTER_COMMIT.items(), ids=sandbox_values.AFTER_COMMIT
)
async def test_the_answer_is_lost_after_the_commit(
    world: SandboxWorld, effect: str, reason: str
) -> None:
    """The work is done once, and the repeat finds it. Seen red where the call failed before it was
    served: the repeat did the work.
    """
    before = await world.sql("SELECT count(*) FROM batches")
    once = f"sandbox-{effect}-{uuid4().hex[:8]}"
    found = await refusal(world.test.batch(2, request_id=once))
    assert found.reason is Reason(reason)
    made = await world.sql("SELECT count(*) FROM batches")
    assert made[0][0] == before[0][0] + 1
    again = await world.test.batch(2, request_id=once)
    assert again.quantity == 2
    assert await world.sql("SELECT count(*) FROM batches") == made


async def test_over_json_too(world: SandboxWorld) -> None:
    headers = {"x-api-key": world.test.api_key}
    body: dict[str, Any] = {"product_id": 106, "quantity": 1, "request_id": "sandbox-SOLD_OUT-j"}
    answer = await world.http.post("/ota/reservations", json=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["details"][0]["reason"] == "SOLD_OUT"
    body["request_id"] = "sandbox-TIMEOUT_AFTER_COMMIT-j"
    answer = await world.http.post("/ota/reservations", json=body, headers=headers)
    assert answer.status_code == 504
    again = await world.http.post("/ota/reservations", json=body, headers=headers)
    assert again.status_code == 200
    asked = headers | {"x-request-id": "sandbox-SERVER_BUSY-read"}
    assert (await world.http.get("/ota/reservations", headers=asked)).status_code == 429
    assert (await world.http.get("/ota/reservations", headers=asked)).status_code == 200
    live = {"x-api-key": world.live.api_key, "x-request-id": "sandbox-INTERNAL-read"}
    assert (await world.http.get("/ota/reservations", headers=live)).status_code == 200


async def test_reads_and_streams_are_asked_by_their_metadata(world: SandboxWorld) -> None:
    """They have no `request_id`."""
    asked = (("x-request-id", "sandbox-EVENTS_REMOVED-1"),)
    read = world.test.stub.ListEvents(
        event_pb2.ListEventsRequest(), metadata=(*world.test.metadata, *asked)
    )
    assert (await refusal(read)).reason is Reason.EVENTS_REMOVED
    for name, reason in (("NOT_FOUND", Reason.NOT_FOUND), ("EXPIRE_NOW", Reason.INVALID_FIELD)):
        stream = world.test.stub.StreamBatchTickets(
            ota_service_pb2.StreamBatchTicketsRequest(batch_id=str(uuid4())),
            metadata=(*world.test.metadata, ("x-request-id", f"sandbox-{name}-1")),
        )
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            _ = [each async for each in stream]
        assert read_refusal(ended.value).reason is reason


async def test_a_scan_is_refused_as_it_asks(world: SandboxWorld) -> None:
    """With each reason there is; nothing is used."""
    code, token, _ = await world.sold(world.test)
    for name in SCAN_REFUSALS:
        request = sandbox_pb2.SimulateRedemptionRequest(
            qr_token=token, function_code="ferry", request_id=f"sandbox-{name}-scan"
        )
        answer = (await world.test.call("SimulateRedemption", request)).answer
        assert redemption_pb2.RefusalReason.Name(answer.reason).endswith(name)
        assert answer.explanation.zh
    assert await world.uses(code) == [1, 10]


async def test_what_is_made_expires_now(world: SandboxWorld, sandbox_url: str) -> None:
    """A reservation, made or extended so; tickets of a batch, and those activated; a QR. The
    doctor finds nothing wrong with any of them.
    """
    test, lacked = world.test, await lacking(sandbox_url)
    made = await test.reserve(1, request_id=expiring())
    await becomes("EXPIRED", lambda: state_of(test, made.reservation_id))
    other = await test.reserve(1)
    await test.extend(other.reservation_id, 90_000, expiring())
    await becomes("EXPIRED", lambda: state_of(test, other.reservation_id))
    (code,) = await test.codes(1)
    await test.activate(code, payment=PAID, request_id=expiring())
    batch = await test.batch(2, request_id=expiring())
    (unsold, _) = [each.ticket_code for each in batch.tickets]
    await becomes(Reason.TICKET_STATE_REFUSES, lambda: why_not(test, unsold))
    left = await world.sql(
        "SELECT max(valid_until_time) <= now() FROM tickets WHERE ticket_code = ANY(%s)",
        [code, unsold],
    )
    assert left == [(True,)]
    _, _, _ = await world.sold(test)
    sold, _, _ = await world.sold(test)
    token = (await test.qr(sold, request_id=expiring())).encrypted_data
    expired = redemption_pb2.REFUSAL_REASON_TOKEN_EXPIRED
    await becomes(expired, lambda: reason_of_look(world, token))
    found = await refusal(test.cancel([code], request_id=expiring()))
    assert (found.reason, found.fields) == (Reason.INVALID_FIELD, ("request_id",))
    assert {method.name for method in CHANGING} >= EXPIRING
    assert await lacking(sandbox_url) == lacked


async def lacking(url: str) -> dict[str, str]:
    """The invariants that do not hold, and where: two of the seeded tickets are of no batch."""
    return {each.invariant.name: each.text for each in await asyncio.to_thread(broken, url)}


def expiring() -> str:
    return f"sandbox-EXPIRE_NOW-{uuid4().hex[:12]}"


async def state_of(client: PartnerClient, reservation_id: str) -> str:
    status = (await client.reservation(reservation_id)).status
    name = reservation_pb2.ReservationState.Name(status)
    return name.removeprefix("RESERVATION_STATE_")


async def why_not(client: PartnerClient, ticket_code: str) -> Reason | None:
    try:
        await client.qr(ticket_code)
    except grpc.aio.AioRpcError as error:
        return read_refusal(error).reason
    return None


async def reason_of_look(world: SandboxWorld, token: str) -> int:
    return int((await world.look(token, world.test.metadata)).reason)


async def test_a_notice_comes_twice(world: SandboxWorld) -> None:
    """Under one id, and those of other calls once. Seen red without the task that asks again."""
    async with a_receiver() as receiver:
        create = webhook_pb2.CreateWebhookEndpointRequest(
            url=receiver.url, request_id=uuid4().hex, types=["reservation.created"]
        )
        await world.test.call("CreateWebhookEndpoint", create)
        once = await world.test.reserve(1)
        twice = await world.test.reserve(1, request_id=f"sandbox-DUPLICATE_NOTICE-{uuid4().hex}")
        received = await receiver.until(3)
        last = await world.test.reserve(1)
        received = await receiver.until(4)
    of = [each.message["data"]["reservation_id"] for each in received]
    ids = {each.id for each in received}
    assert sorted(of) == sorted(
        [once.reservation_id, *[twice.reservation_id] * 2, last.reservation_id]
    )
    assert len(ids) == 3
