"""What is another partner's answers just as what is not there: every method of partners that names
a thing, over gRPC and JSON, asked for the thing of another and for one that nobody has.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
import httpx2
import pytest
from deeptravel.ota.v1 import ota_service_pb2, webhook_pb2
from google.api import annotations_pb2
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import status_pb2

from server.webhooks import events
from tests.support.gate_server import GateServer, gate_server
from tests.support.partner_client import HK, Market, PartnerClient, customer, payment
from tests.support.rpc_server import DETAILS

METHODS: Mapping[str, MethodDescriptor] = ota_service_pb2.DESCRIPTOR.services_by_name[
    "OtaService"
].methods_by_name
NAMES = {
    *("reservation_id", "batch_id", "ticket_code", "ticket_codes", "after_ticket_code", "order_id"),
    *("distributor_id", "parent_distributor_id", "endpoint_id", "event_id", "payment_reference"),
    *("activations", "qr_token", "redemption_id"),
}
"""Fields that name a thing."""
ELSEWHERE = {
    "BulkGenerateTickets": "a distributor that is not there is free text, see distributor tests",
    "SimulateRedemption": "with keys of test mode alone, see tests of sandboxes",
    "SimulateReversal": "likewise",
}
CHANGES_NOTHING = re.compile(r"request-\d+|[0-9a-f]{16}")
"""Ids of requests in answers."""
CUSTOMER = json_format.MessageToDict(customer(), preserving_proto_field_name=True)
PAYMENT = json_format.MessageToDict(payment(), preserving_proto_field_name=True)

# by method: its fields; $ and the kind stands for the thing's id
ASKED: dict[str, list[dict[str, Any]]] = {
    "GetReservation": [{"reservation_id": "$reservation"}],
    "ExtendReservation": [{"reservation_id": "$reservation", "hold_seconds": 100_000}],
    "ReleaseReservation": [{"reservation_id": "$reservation"}],
    "ListBatches": [{"distributor_id": "$distributor"}],
    "GetBatch": [{"batch_id": "$batch"}],
    "ListBatchTickets": [{"batch_id": "$batch"}],
    "StreamBatchTickets": [
        {"batch_id": "$batch"},
        {"batch_id": "$batch", "after_ticket_code": "$ticket"},
    ],
    "ActivateTicket": [{"ticket_code": "$ticket", "customer": CUSTOMER, "payment": PAYMENT}],
    "ActivateTickets": [
        {"activations": [{"ticket_code": "$ticket", "customer": CUSTOMER, "payment": PAYMENT}]}
    ],
    "ListTickets": [
        {"batch_id": "$batch"},
        {"distributor_id": "$distributor"},
        {"order_id": "$order"},
        {"payment_reference": "$reference"},
    ],
    "ExportTickets": [
        {"batch_id": "$batch"},
        {"distributor_id": "$distributor"},
        {"after_ticket_code": "$ticket"},
    ],
    "IssueQr": [{"ticket_code": "$ticket"}],
    "IssueOrderQr": [{"order_id": "$order"}],
    "CancelTickets": [{"ticket_codes": ["$ticket"]}, {"batch_id": "$batch"}],
    "ReassignTickets": [
        {"ticket_codes": ["$ticket"], "distributor_id": "OURS"},
        {"batch_id": "$batch", "distributor_id": "OURS"},
        {"batch_id": "$batch", "distributor_id": "$distributor"},
    ],
    "CreateDistributor": [
        {"distributor_id": "NEW", "display_name": "n", "parent_distributor_id": "$distributor"}
    ],
    "GetDistributor": [{"distributor_id": "$distributor"}],
    "ListDistributors": [{"parent_distributor_id": "$distributor"}],
    "UpdateDistributor": [
        {"distributor_id": "$distributor", "display_name": "n", "update_mask": "displayName"},
        {
            "distributor_id": "OURS",
            "parent_distributor_id": "$distributor",
            "update_mask": "parentDistributorId",
        },
    ],
    "ArchiveDistributor": [{"distributor_id": "$distributor"}],
    "GetWebhookEndpoint": [{"endpoint_id": "$endpoint"}],
    "UpdateWebhookEndpoint": [
        {
            "endpoint_id": "$endpoint",
            "url": "http://127.0.0.1:9/",
            "state": "WEBHOOK_ENDPOINT_STATE_ENABLED",
        }
    ],
    "DeleteWebhookEndpoint": [{"endpoint_id": "$endpoint"}],
    "RotateWebhookSecret": [{"endpoint_id": "$endpoint"}],
    "SendTestEvent": [{"endpoint_id": "$endpoint"}],
    "ListWebhookDeliveries": [{"endpoint_id": "$endpoint"}],
    "ReplayWebhookDelivery": [{"endpoint_id": "$endpoint", "event_id": "$event"}],
    "ReplayWebhookDeliveries": [{"endpoint_id": "$endpoint", "until_cursor": 1}],
}
CASES = [(name, fields) for name, asked in ASKED.items() for fields in asked]


def test_every_method_that_names_a_thing_is_asked() -> None:
    naming = {name for name, each in METHODS.items() if NAMES & {*each.input_type.fields_by_name}}
    assert naming == {*ASKED, *ELSEWHERE}


@dataclass(frozen=True)
class Things:
    """Ids by kind, of partner CP's things or of nothing."""

    ids: Mapping[str, str]

    def fill(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self.fill(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.fill(each) for each in value]
        is_kind = isinstance(value, str) and value.startswith("$")
        return self.ids[value[1:]] if is_kind else value

    def hide(self, text: str) -> str:
        """The text without the ids, so that answers can be compared."""
        for kind, found in sorted(self.ids.items(), key=lambda each: -len(each[1])):
            text = text.replace(found, f"${kind}")
        return CHANGES_NOTHING.sub("", text)


@pytest.fixture(scope="module")
async def server(
    market: Market, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with gate_server(
        module_database_url, module_redis_url, webhook_allow_private=True
    ) as running:
        yield running


async def things_of(market: Market, client: PartnerClient) -> Things:
    """One of each of partner CP's."""
    await client.distributor("THEIRS")
    reservation = await client.reserve(3)
    batch = await client.batch(3, distributor_id="THEIRS")
    sold, code = (ticket.ticket_code for ticket in batch.tickets[:2])
    answer = await client.activate_many([(sold, customer(), payment("PAY-THEIRS"))])
    endpoint = await client.call(
        "CreateWebhookEndpoint",
        webhook_pb2.CreateWebhookEndpointRequest(url="http://127.0.0.1:9/", request_id=uuid4().hex),
    )
    endpoint_id = endpoint.endpoint.endpoint_id
    request = webhook_pb2.SendTestEventRequest(endpoint_id=endpoint_id, request_id=uuid4().hex)
    sent = await client.call("SendTestEvent", request)
    await market.until("SELECT count(*) = 0 FROM partner_events WHERE sequence IS NULL")
    return Things(
        {
            "reservation": reservation.reservation_id,
            "batch": batch.batch_id,
            "ticket": code,
            "order": answer.verdicts[0].order_id,
            "reference": "PAY-THEIRS",
            "distributor": "THEIRS",
            "endpoint": endpoint_id,
            "event": sent.event_id,
        }
    )


def nothing_like(things: Things) -> Things:
    """Ids of the same form that nobody has."""
    ids = things.ids
    return Things(
        {
            **{kind: str(uuid4()) for kind in ("reservation", "batch", "endpoint")},
            "ticket": ids["ticket"][:-6] + "999999",
            "order": ids["order"][:-6] + "999999",
            "reference": "PAY-NOBODY",
            "distributor": "NOBODY",
            "event": events.PUBLIC_PREFIX + uuid4().hex,
        }
    )


async def over_grpc(channel: grpc.aio.Channel, method: MethodDescriptor, fields: Any) -> str:
    request = message_factory.GetMessageClass(method.input_type)()
    json_format.ParseDict(fields, request)
    answer_type = message_factory.GetMessageClass(method.output_type)
    call: Any = channel.unary_stream(
        f"/{METHODS[method.name].containing_service.full_name}/{method.name}",
        request_serializer=lambda each: each.SerializeToString(),
        response_deserializer=answer_type.FromString,
    )
    try:
        found = [
            json_format.MessageToJson(each)
            async for each in call(request, metadata=(("x-api-key", HK.api_key),))
        ]
    except grpc.aio.AioRpcError as error:
        status = status_pb2.Status.FromString(dict(error.trailing_metadata())[DETAILS])
        return f"{error.code()} {json_format.MessageToJson(status)}"
    return "\n".join(found)


async def over_json(http: httpx2.AsyncClient, method: MethodDescriptor, fields: Any) -> str:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    left = dict(fields)
    path = re.sub(r"\{([^}]*)\}", lambda found: str(left.pop(found[1])), getattr(rule, verb))
    sent: Any = {"json": left} if rule.body else {"params": left}
    answer = await http.request(verb.upper(), path, headers={"X-Api-Key": HK.api_key}, **sent)
    return f"{answer.status_code} {answer.headers.get('content-type')} {answer.text}"


async def test_another_partners_answers_as_what_is_not_there(
    market: Market, server: GateServer, subtests: pytest.Subtests
) -> None:
    """Seen red without the partner in the condition by which a webhook endpoint is found."""
    theirs = await things_of(market, PartnerClient.at(server.channel))
    nothing = nothing_like(theirs)
    await PartnerClient.at(server.channel, HK.api_key).distributor("OURS")
    base = f"http://127.0.0.1:{server.app.http_port}"
    async with httpx2.AsyncClient(base_url=base, trust_env=False) as http:
        for name, asked in CASES:
            method = METHODS[name]
            for way in ("gRPC", "JSON"):
                answers = []
                for things in (theirs, nothing):
                    fields = things.fill(asked)
                    if "request_id" in method.input_type.fields_by_name:
                        fields["request_id"] = f"request-{uuid4().int}"
                    calling = (
                        over_grpc(server.channel, method, fields)
                        if way == "gRPC"
                        else over_json(http, method, fields)
                    )
                    async with asyncio.timeout(30):
                        answers.append(things.hide(await calling))
                with subtests.test(method=name, way=way, asked=json.dumps(asked)[:60]):
                    assert answers[0] == answers[1]
    assert await market.contradictions() == []
