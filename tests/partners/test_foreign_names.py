"""What is another partner's is as what there is not: every call that names something gets the same
answer for both.
"""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import grpc
import pytest
from deeptravel.common.v1 import options_pb2
from deeptravel.ota.v1 import event_pb2, ota_service_pb2, webhook_pb2
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from server.identity.credentials import TEST_KEY_PREFIX
from server.platform.errors import Reason
from tests.support.gate_server import GateServer, gate_server
from tests.support.partner_client import (
    CP,
    HK,
    Market,
    PartnerClient,
    customer,
    payment,
    request_id,
    sandbox_key,
)
from tests.support.rpc_server import read_refusal

METHODS = ota_service_pb2.DESCRIPTOR.services_by_name["OtaService"].methods
URL = "https://127.0.0.1:1/events"
SALE: dict[str, Any] = {"customer": customer(), "payment": payment()}
OTHERS: dict[str, dict[str, Any]] = {
    "BulkGenerateTickets": {"product_id": 106, "quantity": 1},
    "ExtendReservation": {"hold_seconds": 90_000},
    "ActivateTicket": SALE,
    "UpdateDistributor": {"display_name": "x", "update_mask": {"paths": ["display_name"]}},
    "UpdateWebhookEndpoint": {"url": URL, "state": webhook_pb2.WEBHOOK_ENDPOINT_STATE_ENABLED},
    "ReplayWebhookDeliveries": {"until_cursor": 1},
    "SimulateRedemption": {"function_code": "ferry"},
}
"""What a call needs beside the name."""
CHOSEN = {("CreateDistributor", "distributor_id"), ("BulkGenerateTickets", "distributor_id")}
"""Names that a partner gives, and may give as another has."""
ANSWERED = {"SimulateRedemption"}
"""Answers what a terminal does: also that there is no such ticket."""
PUBLIC = {
    *("request_id", "departure_id", "partner_code", "currency_code", "function_code"),
    *("origin_stop_code", "destination_stop_code"),
}
"""Names that are nobody's, or everybody's."""
CHECKED_BY_FORM = {"after_ticket_code"}
"""Refused for the other partner's code in it, whether or not there is such a ticket."""


@pytest.fixture(scope="module")
async def server(
    market: Market, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    allowed = {"webhook_allow_private": True}
    async with gate_server(module_database_url, module_redis_url, **allowed) as running:
        yield running


async def names_of(client: PartnerClient, market: Market) -> dict[str, str]:
    """One of each that a partner has, by the fields that name it."""
    distributor = f"D-{uuid4().hex[:8]}"
    await client.distributor(distributor)
    reserved = await client.reserve(3)
    batch = await client.batch(
        2, reservation_id=reserved.reservation_id, distributor_id=distributor
    )
    unsold, sold = [ticket.ticket_code for ticket in batch.tickets]
    reference = f"PAY-{uuid4().hex}"
    order = await client.activate(sold, payment=payment(reference))
    create = webhook_pb2.CreateWebhookEndpointRequest(url=URL, request_id=request_id())
    endpoint = (await client.call("CreateWebhookEndpoint", create)).endpoint
    await market.until("SELECT count(*) = 0 FROM partner_events WHERE sequence IS NULL")
    first = event_pb2.ListEventsRequest(after_cursor=0)
    return {
        "reservation_id": reserved.reservation_id,
        "batch_id": batch.batch_id,
        "ticket_code": unsold,
        "ticket_codes": unsold,
        "after_ticket_code": unsold,
        "order_id": order.order_id,
        "payment_reference": reference,
        "distributor_id": distributor,
        "parent_distributor_id": distributor,
        "endpoint_id": endpoint.endpoint_id,
        "event_id": (await client.call("ListEvents", first)).events[0].event_id,
        "redemption_id": f"{await ticket_id(market, sold):016x}{1:016x}",
    }


async def ticket_id(market: Market, ticket_code: str) -> int:
    query = "SELECT ticket_id FROM tickets WHERE ticket_code = %s"
    return int(await market.value(query, ticket_code))


UNKNOWN = {
    "reservation_id": str(uuid4()),
    "batch_id": str(uuid4()),
    "ticket_code": "OTA-HK-20260101-000009",
    "ticket_codes": "OTA-HK-20260101-000009",
    "after_ticket_code": "OTA-HK-20260101-000009",
    "order_id": "ORD-HK-20260101-000009",
    "payment_reference": "PAY-of-nobody",
    "distributor_id": "D-of-nobody",
    "parent_distributor_id": "D-of-nobody",
    "endpoint_id": str(uuid4()),
    "event_id": f"evt_{uuid4().hex}",
    "redemption_id": f"{7:016x}{7:016x}",
}
NAMING = [
    (method, field)
    for method in METHODS
    for field in method.input_type.fields
    if field.name in UNKNOWN and (method.name, field.name) not in CHOSEN
]


def test_every_name_is_tried() -> None:
    """A new field that names something is to be added above."""
    ids = {
        field.name
        for method in METHODS
        for field in method.input_type.fields
        if field.type == field.TYPE_STRING
        and field.name.endswith(("_id", "_code", "_codes"))
        and field.name not in PUBLIC
    }
    assert ids <= UNKNOWN.keys()
    assert {field.name for _, field in NAMING} == UNKNOWN.keys()


@pytest.mark.parametrize("pair", ["CP HK", "CP TESTCP", "TESTCP CP", "TESTCP TESTHK"])
async def test_another_partners_are_as_unknown_ones(
    market: Market,
    server: GateServer,
    module_database_url: str,
    subtests: pytest.Subtests,
    pair: str,
) -> None:
    """Nor does a live key learn what its sandbox has, or the other way round.

    Seen red where a reservation was looked up without its partner.
    """
    client, other = [
        PartnerClient.at(server.channel, await key_of(code, module_database_url))
        for code in pair.split()
    ]
    foreign = await names_of(other, market)
    own = await names_of(client, market)
    for method, field in NAMING:
        access = method.GetOptions().Extensions[options_pb2.access]
        if access.test_mode_only and not client.api_key.startswith(TEST_KEY_PREFIX):
            continue
        with subtests.test(method=method.name, field=field.name):
            asked = [
                await outcome(client, method, field, names[field.name], own)
                for names in (foreign, UNKNOWN)
            ]
            assert asked[0] == asked[1]
    for names in (foreign, UNKNOWN):
        activation = ota_service_pb2.TicketActivation(ticket_code=names["ticket_code"], **SALE)
        request = ota_service_pb2.ActivateTicketsRequest(
            request_id=request_id(), activations=[activation]
        )
        (verdict,) = (await client.call("ActivateTickets", request)).verdicts
        assert (verdict.reason, verdict.HasField("status")) == ("NOT_FOUND", False)


async def key_of(code: str, database_url: str) -> str:
    keys = {"CP": CP.api_key, "HK": HK.api_key}
    return keys.get(code) or await sandbox_key(database_url, code.removeprefix("TEST"))


async def outcome(
    client: PartnerClient,
    method: MethodDescriptor,
    field: FieldDescriptor,
    name: str,
    own: dict[str, str],
) -> tuple[Any, ...]:
    """What a call answers that names this, with the name left out."""
    values = dict(OTHERS.get(method.name, {}))
    match method.name, field.name:
        case "ReassignTickets", "distributor_id":
            values["ticket_codes"] = [own["ticket_code"]]
        case "ReplayWebhookDelivery", other:
            beside = {"event_id": "endpoint_id", "endpoint_id": "event_id"}[other]
            values[beside] = own[beside]
        case "StreamBatchTickets", "after_ticket_code":
            values["batch_id"] = own["batch_id"]
        case "UpdateDistributor", "parent_distributor_id":
            values["distributor_id"] = own["distributor_id"]
            values["update_mask"] = {"paths": ["parent_distributor_id"]}
        case "CreateDistributor", _:
            values |= {"distributor_id": "D-new", "display_name": "x"}
    values[field.name] = [name] if field.is_repeated else name
    if "request_id" in method.input_type.fields_by_name:
        values["request_id"] = request_id()
    try:
        call = client.call(method.name, GetMessageClass(method.input_type)(**values))
        answers = [each async for each in call] if method.server_streaming else [await call]
    except grpc.aio.AioRpcError as error:
        refused = read_refusal(error)
        if field.name not in CHECKED_BY_FORM:
            assert refused.reason is Reason.NOT_FOUND
        metadata = {key: value.replace(name, "") for key, value in refused.metadata.items()}
        return refused.reason, (error.details() or "").replace(name, ""), metadata
    for answer in answers if method.name in ANSWERED else ():
        answer.answer.redemption_id = ""  # of what is recorded of the refusal
    return tuple(text_format.MessageToString(each).replace(name, "") for each in answers)
