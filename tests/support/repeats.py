"""Every call that changes something, ready to be made twice: one example a method.

An example makes what it needs at the server of its service, and says who calls with what. Which
methods there are, and which of them need an example, the contract says: see `needs_example`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar
from uuid import uuid4

import grpc
from deeptravel.admin.v1 import admin_service_pb2
from deeptravel.admin.v1 import refund_pb2 as admin_refund_pb2
from deeptravel.common.v1 import options_pb2
from deeptravel.ota.v1 import (
    distributor_pb2,
    event_pb2,
    reservation_pb2,
    sandbox_pb2,
    test_clock_pb2,
    unsold_ticket_pb2,
)
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.redemption.v1 import access_pb2, offline_pb2, redemption_pb2, redemption_service_pb2
from deeptravel.ticketing.v1 import (
    order_pb2,
    payment_pb2,
    refund_pb2,
    ticket_pb2,
    ticketing_service_pb2,
)
from google.api import httpbody_pb2
from google.protobuf import field_mask_pb2, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from server.platform.errors import Reason
from tests.support import (
    admin_client,
    gate,
    lease_examples,
    notification_examples,
    paying,
    webhook_examples,
)
from tests.support.gate_server import GateServer, gate_server
from tests.support.order_scenario import give_back, quote, quote_change, tickets
from tests.support.partner_client import (
    Market,
    PartnerClient,
    a_market,
    customer,
    payment,
    sandbox_key,
)
from tests.support.refund_client import an_admin_client
from tests.support.table_rows import nothing_due
from tests.support.traveller import party
from tests.support.waiting import WAIT_SECONDS
from tools.dev.wechat_simulator.protocol import by_public_key

SERVICES = (
    admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
    ota.DESCRIPTOR.services_by_name["OtaService"],
    redemption_service_pb2.DESCRIPTOR.services_by_name["RedemptionService"],
    ticketing_service_pb2.DESCRIPTOR.services_by_name["TicketingService"],
)
METHODS: dict[str, MethodDescriptor] = {
    f"{service.name}.{method.name}": method for service in SERVICES for method in service.methods
}
Metadata = tuple[tuple[str, str], ...]
World = TypeVar("World")


def takes_request_id(method: MethodDescriptor) -> bool:
    """Whether a repeat is recognised by its request_id."""
    return "request_id" in method.input_type.fields_by_name


def needs_example(method: MethodDescriptor) -> bool:
    """Whether the method changes something, and a repeat of it must not."""
    repeat = method.GetOptions().Extensions[options_pb2.repeat]
    return takes_request_id(method) or repeat == options_pb2.REPEAT_NO_FURTHER_EFFECT


async def _at_once() -> None:
    """Nothing is left to be done."""


@dataclass(frozen=True)
class Example:
    """A call that changes something: who calls with what, and where.

    Attributes:
        refused: why a repeat is, where the first call has ended the log-in it came with.
        other: fields for the same request_id with other content; else the first field is another.
        at_rest: returns when nothing of what earlier calls began is still to be done.
    """

    channel: grpc.aio.Channel
    metadata: Metadata
    request: Message
    other: dict[str, Any] | None = None
    at_rest: Callable[[], Awaitable[None]] = _at_once
    refused: Reason | None = None

    async def call(self, method: MethodDescriptor, request: Message) -> bytes:
        """The answer as it comes over the wire."""
        stub: Any = self.channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
        )
        answer: bytes = await stub(request, metadata=self.metadata, timeout=WAIT_SECONDS)
        return answer

    @staticmethod
    def shown(method: MethodDescriptor, answer: bytes) -> Message:
        """The answer, without how long a token still holds: that says when one asked."""
        message: Any = message_factory.GetMessageClass(method.output_type).FromString(answer)
        if "expires_in" in method.output_type.fields_by_name:
            message.ClearField("expires_in")
        shown: Message = message
        return shown

    def altered(self) -> Message:
        """Other content under the same request_id."""
        message = type(self.request)()
        message.CopyFrom(self.request)
        if self.other is not None:
            message.MergeFrom(type(message)(**self.other))
            return message
        first, value = next(
            (field, value) for field, value in message.ListFields() if field.name != "request_id"
        )
        if isinstance(value, int):
            setattr(message, first.name, value + 1)
        elif isinstance(value, bytes):
            setattr(message, first.name, value + b" ")
        elif isinstance(value, httpbody_pb2.HttpBody):
            value.data += b" "
        elif isinstance(value, str):
            setattr(message, first.name, _another_code(value))
        else:  # several codes
            value[-1] = _another_code(value[-1])
        return message


def _another_code(value: str) -> str:
    others = "QZ" if value.isalpha() and value.isupper() else "98"  # a code of letters
    return value[:-1] + others[value[-1] == others[0]]


# AdminService


async def administrators_example(client: admin_client.AdminClient, method: str) -> Example:
    """Of a method of AdminService that changes one of what `admin_client.seed` has made."""
    name = method.partition(".")[2]
    fields = await admin_client.valid(client, name)
    return Example(client.node.channel, client.headers, admin_client.message(name, **fields))


async def _abnormal(scenario: paying.PaymentScenario) -> str:
    """A refund that the traveller's account does not take."""
    order = await scenario.client.order(scenario.world.seat(), passengers=party(1))
    await scenario.pay(order)
    await scenario.paid(order)
    await scenario.wechat.switch(refund_outcome="ABNORMAL")
    refund = await give_back(scenario.client, order.order_id)
    await scenario.world.until("SELECT count(*) = 1 FROM refunds WHERE state = 'ABNORMAL'")
    return str(refund.refund_id)


async def _administrator_at_wechat(scenario: paying.PaymentScenario, _name: str) -> Example:
    client = await an_admin_client(scenario.world, scenario.server.channel)
    request = admin_refund_pb2.ApplyAbnormalRefundRequest(
        refund_id=await _abnormal(scenario),
        request_id=uuid4().hex,
        comment="by phone",
        account=admin_refund_pb2.ABNORMAL_REFUND_ACCOUNT_USER_BANK_CARD,
        bank_type="ICBC_DEBIT",
        bank_account="6222020200012345678",
        real_name="王小明",
    )
    return Example(scenario.server.channel, client.metadata, request, at_rest=scenario.idle)


# OtaService


async def _batch(_market: Market, _client: PartnerClient) -> Message:
    return ota.BulkGenerateTicketsRequest(product_id=106, quantity=3)


async def _reserve(_market: Market, _client: PartnerClient) -> Message:
    return reservation_pb2.ReserveInventoryRequest(product_id=106, quantity=3)


async def _extension(_market: Market, client: PartnerClient) -> Message:
    made = await client.reserve(3)
    return reservation_pb2.ExtendReservationRequest(
        reservation_id=made.reservation_id, hold_seconds=100_000
    )


async def _release(_market: Market, client: PartnerClient) -> Message:
    made = await client.reserve(3)
    await client.codes(2, reservation_id=made.reservation_id)
    return reservation_pb2.ReleaseReservationRequest(reservation_id=made.reservation_id)


async def _activation(_market: Market, client: PartnerClient) -> Message:
    (code,) = await client.codes(1)
    return ota.ActivateTicketRequest(ticket_code=code, customer=customer(), payment=payment())


async def _activations(_market: Market, client: PartnerClient) -> Message:
    codes = await client.codes(2)
    sold = [
        ota.TicketActivation(ticket_code=code, customer=customer(), payment=payment())
        for code in codes
    ]
    return ota.ActivateTicketsRequest(activations=sold)


async def _partners_qr(_market: Market, client: PartnerClient) -> Message:
    (code,) = await client.codes(1)
    await client.activate(code)
    return ota.IssueQrRequest(ticket_code=code, rotate=True)


async def _partners_order_qr(_market: Market, client: PartnerClient) -> Message:
    (code,) = await client.codes(1)
    answer = await client.activate_many([(code, customer(), payment())])
    return ota.IssueOrderQrRequest(order_id=answer.verdicts[0].order_id, rotate=True)


async def _events(market: Market, client: PartnerClient) -> Message:
    await client.codes(1)
    await market.until("SELECT count(*) = 1 FROM partner_feeds")
    return event_pb2.AcknowledgeEventsRequest(cursor=1)


async def _cancellation_of_tickets(_market: Market, client: PartnerClient) -> Message:
    return unsold_ticket_pb2.CancelTicketsRequest(ticket_codes=await client.codes(2))


async def _reassignment(_market: Market, client: PartnerClient) -> Message:
    await client.distributor("SHOP", commission_basis_points=500)
    codes = await client.codes(2)
    return unsold_ticket_pb2.ReassignTicketsRequest(ticket_codes=codes, distributor_id="SHOP")


async def _new_distributor(_market: Market, _client: PartnerClient) -> Message:
    return distributor_pb2.CreateDistributorRequest(distributor_id="SHOP", display_name="Shop")


async def _changed_distributor(_market: Market, client: PartnerClient) -> Message:
    await client.distributor("SHOP")
    return distributor_pb2.UpdateDistributorRequest(
        distributor_id="SHOP",
        display_name="Other",
        update_mask=field_mask_pb2.FieldMask(paths=["display_name"]),
    )


async def _archived_distributor(_market: Market, client: PartnerClient) -> Message:
    await client.distributor("SHOP")
    return distributor_pb2.ArchiveDistributorRequest(distributor_id="SHOP")


async def _test_stock(_market: Market, _client: PartnerClient) -> Message:
    return sandbox_pb2.SetSandboxStockRequest(product_id=106, total=7)


async def _simulated_redemption(_market: Market, client: PartnerClient) -> Any:
    (code,) = await client.codes(1)
    await client.activate(code)
    token = (await client.qr(code)).encrypted_data
    return sandbox_pb2.SimulateRedemptionRequest(qr_token=token, function_code="ferry")


async def _simulated_reversal(market: Market, client: PartnerClient) -> Message:
    scan = await _simulated_redemption(market, client)
    scan.request_id = uuid4().hex
    answer = (await client.call("SimulateRedemption", scan)).answer
    return sandbox_pb2.SimulateReversalRequest(redemption_id=answer.redemption_id)


async def _moved_clock(_market: Market, client: PartnerClient) -> Message:
    made = await client.reserve(2)
    await client.codes(1, reservation_id=made.reservation_id)
    return test_clock_pb2.AdvanceTestClockRequest(by_seconds=100_000)


PARTNERS: dict[str, Callable[[Market, PartnerClient], Awaitable[Message]]] = {
    "ReserveInventory": _reserve,
    "ExtendReservation": _extension,
    "ReleaseReservation": _release,
    "BulkGenerateTickets": _batch,
    **webhook_examples.EXAMPLES,
    "AcknowledgeEvents": _events,
    "ActivateTicket": _activation,
    "ActivateTickets": _activations,
    "IssueQr": _partners_qr,
    "IssueOrderQr": _partners_order_qr,
    "CancelTickets": _cancellation_of_tickets,
    "ReassignTickets": _reassignment,
    "CreateDistributor": _new_distributor,
    "UpdateDistributor": _changed_distributor,
    "ArchiveDistributor": _archived_distributor,
    "AdvanceTestClock": _moved_clock,
    "SetSandboxStock": _test_stock,
    "SimulateRedemption": _simulated_redemption,
    "SimulateReversal": _simulated_reversal,
}
OTHERS: dict[str, dict[str, Any]] = {
    "ActivateTickets": {
        "activations": [
            ota.TicketActivation(ticket_code="OTA-CP-1", customer=customer(), payment=payment())
        ]
    },
    "CancelTickets": {"ticket_codes": ["OTA-CP-20251103-000001"]},
    "ReassignTickets": {"ticket_codes": ["OTA-CP-20251103-000001"]},
    "CreateOrder": {"contact_phone": "+85221234567"},
    "RedeemMany": {"all_or_nothing": True},
    **lease_examples.OTHERS,
    **notification_examples.OTHERS,
}
"""What is other content where the first field is no text or number."""


@dataclass(frozen=True)
class _Called(Generic[World]):
    """A server, and what it serves."""

    database_url: str
    world: World
    server: GateServer


@asynccontextmanager
async def _partners_server(
    database_url: str, redis_url: str, _folder: Path
) -> AsyncIterator[_Called[Market]]:
    async with (
        a_market(database_url) as market,
        gate_server(database_url, redis_url, webhook_allow_private=True) as server,
    ):
        yield _Called(database_url, market, server)


async def _partner(called: _Called[Market], name: str) -> Example:
    client = PartnerClient.at(called.server.channel)
    access = METHODS[f"OtaService.{name}"].GetOptions().Extensions[options_pb2.access]
    if access.test_mode_only:
        client = PartnerClient.at(called.server.channel, await sandbox_key(called.database_url))
    request: Any = await PARTNERS[name](called.world, client)
    if takes_request_id(METHODS[f"OtaService.{name}"]):
        request.request_id = uuid4().hex
    headers: Metadata = client.metadata
    if name == "ReceivePartnerPayment":
        headers = await webhook_examples.signed(client, request.body.data)
    rest = partial(nothing_due, called.database_url)
    return Example(called.server.channel, headers, request, OTHERS.get(name), rest)


# RedemptionService


async def _scan(world: gate.World, _terminal: gate.Terminal) -> Message:
    ticket = await world.ticket()
    return redemption_pb2.RedeemRequest(qr_token=ticket.qr, function_code="ferry")


async def _scans(world: gate.World, _terminal: gate.Terminal) -> Message:
    items = [
        redemption_pb2.RedeemItem(qr_token=ticket.qr, function_code="ferry")
        for ticket in await world.tickets(2)
    ]
    return redemption_pb2.RedeemManyRequest(items=items)


async def _scan_by_code(world: gate.World, _terminal: gate.Terminal) -> Message:
    ticket = await world.ticket()
    return redemption_pb2.RedeemByCodeRequest(
        ticket_code=ticket.code, function_code="ferry", comment="torn"
    )


async def _reversal(world: gate.World, terminal: gate.Terminal) -> Message:
    answer = await terminal.redeem((await world.ticket()).qr)
    return redemption_pb2.ReverseRedemptionRequest(
        redemption_id=answer.redemption_id, comment="a mistake"
    )


async def _upload(world: gate.World, _terminal: gate.Terminal) -> Message:
    ticket = await world.ticket()
    scan = offline_pb2.OfflineScan(
        scan_id="1", qr_token=ticket.qr, function_code="ferry", counter=1, admitted=True
    )
    scan.scanned_time.GetCurrentTime()
    return offline_pb2.UploadScansRequest(scans=[scan])


async def _open_session(_world: gate.World, terminal: gate.Terminal) -> Message:
    return access_pb2.OpenValidatorSessionRequest(terminal_device_id=terminal.device)


async def _close_session(_world: gate.World, terminal: gate.Terminal) -> Message:
    return access_pb2.CloseValidatorSessionRequest(session_code=await terminal.open_session())


async def _log_out(_world: gate.World, _terminal: gate.Terminal) -> Message:
    return access_pb2.LogoutRequest()


async def _refresh(_world: gate.World, terminal: gate.Terminal) -> Message:
    log_in = access_pb2.OperatorLoginRequest(
        username="sam", password=gate.PASSWORD, terminal_device_id=terminal.device
    )
    tokens = await terminal.stub.OperatorLogin(log_in)
    return access_pb2.RefreshTokenRequest(refresh_token=tokens.refresh_token)


TERMINALS: dict[str, Callable[[gate.World, gate.Terminal], Awaitable[Message]]] = {
    "Redeem": _scan,
    "RedeemMany": _scans,
    "RedeemByCode": _scan_by_code,
    **lease_examples.EXAMPLES,
    "ReverseRedemption": _reversal,
    "OpenValidatorSession": _open_session,
    "CloseValidatorSession": _close_session,
    "Logout": _log_out,
    "RefreshToken": _refresh,
    "UploadScans": _upload,
}


@asynccontextmanager
async def _terminals_server(
    database_url: str, redis_url: str, _folder: Path
) -> AsyncIterator[_Called[gate.World]]:
    async with (
        gate.a_world(database_url) as world,
        gate_server(database_url, redis_url) as server,
    ):
        yield _Called(database_url, world, server)


async def _supervisor(called: _Called[gate.World], name: str) -> Example:
    terminal = await called.world.log_in(called.server.channel, "sam")
    request: Any = await TERMINALS[name](called.world, terminal)
    if takes_request_id(METHODS[f"RedemptionService.{name}"]):
        request.request_id = uuid4().hex
    rest = partial(nothing_due, called.database_url)
    refused = Reason.UNAUTHENTICATED if name == "Logout" else None
    headers = terminal.metadata
    return Example(called.server.channel, headers, request, OTHERS.get(name), rest, refused)


# TicketingService


async def _sold(scenario: paying.PaymentScenario) -> Any:
    """A paid order of one seat."""
    order = await scenario.client.order(scenario.world.seat(), passengers=party(1))
    await scenario.pay(order)
    await scenario.paid(order)
    return order


async def _order(scenario: paying.PaymentScenario) -> Message:
    items = [order_pb2.OrderItem(offer_id=scenario.world.seat())]
    return order_pb2.CreateOrderRequest(items=items, passengers=party(1))


async def _cancellation(scenario: paying.PaymentScenario) -> Message:
    order = await scenario.client.order(scenario.world.seat())
    return order_pb2.CancelOrderRequest(order_id=order.order_id)


async def _payment(scenario: paying.PaymentScenario) -> Message:
    order = await scenario.client.order(scenario.world.seat())
    return payment_pb2.CreatePaymentRequest(order_id=order.order_id)


async def _travellers_qr(scenario: paying.PaymentScenario) -> Message:
    order = await _sold(scenario)
    (ticket,) = await tickets(scenario.client, order_id=order.order_id)
    return ticket_pb2.IssueTicketQrRequest(ticket_code=ticket.ticket_code, rotate=True)


async def _travellers_order_qr(scenario: paying.PaymentScenario) -> Message:
    return ticket_pb2.IssueOrderQrRequest(order_id=(await _sold(scenario)).order_id, rotate=True)


async def _refund(scenario: paying.PaymentScenario) -> Message:
    order = await _sold(scenario)
    quoted = await quote(scenario.client, order.order_id)
    return refund_pb2.RequestRefundRequest(
        order_id=order.order_id, refund_quote=quoted.refund_quote
    )


async def _change(scenario: paying.PaymentScenario) -> Message:
    order = await _sold(scenario)
    (ticket,) = await tickets(scenario.client, order_id=order.order_id)
    quoted = await quote_change(scenario.client, ticket.ticket_code, scenario.world.seat(2))
    return refund_pb2.ChangeTicketRequest(
        ticket_code=ticket.ticket_code, change_quote=quoted.change_quote
    )


async def _notice(scenario: paying.PaymentScenario) -> Message:
    order = await scenario.client.order(scenario.world.seat())
    number = (await scenario.create(order)).payment.out_trade_no
    body = paying.envelope(scenario, paying.transaction(scenario, number))
    return payment_pb2.ReceiveWechatPayNoticeRequest(
        body=httpbody_pb2.HttpBody(content_type="application/json", data=body)
    )


TRAVELLERS: dict[str, Callable[[paying.PaymentScenario], Awaitable[Message]]] = {
    "CreateOrder": _order,
    "CancelOrder": _cancellation,
    "CreatePayment": _payment,
    "IssueTicketQr": _travellers_qr,
    "IssueOrderQr": _travellers_order_qr,
    "RequestRefund": _refund,
    "ChangeTicket": _change,
    "ReceiveWechatPayNotice": _notice,
    **notification_examples.EXAMPLES,
}


async def _traveller(scenario: paying.PaymentScenario, name: str) -> Example:
    request: Any = await TRAVELLERS[name](scenario)
    headers = scenario.client.metadata
    if takes_request_id(METHODS[f"TicketingService.{name}"]):
        request.request_id = uuid4().hex
    elif name == "ReceiveWechatPayNotice":  # WeChat's
        signed = by_public_key(scenario.wechat.merchant).headers(request.body.data)
        headers = tuple((key.lower(), value) for key, value in signed.items())
    channel = scenario.server.channel
    return Example(channel, headers, request, OTHERS.get(name), at_rest=scenario.idle)


def has_one_of_each(method: str) -> bool:
    """Whether the method's example is in a database that `admin_client.seed` has filled, and not
    in an empty one.
    """
    service, _, name = method.partition(".")
    return service == "AdminService" and name not in admin_client.ASKING_WECHAT


SERVERS: dict[str, Callable[[str, str, Path], AbstractAsyncContextManager[Any]]] = {
    "AdminService": paying.a_scenario,
    "OtaService": _partners_server,
    "RedemptionService": _terminals_server,
    "TicketingService": partial(paying.a_scenario, departures=2),
}
"""By service, a server over an empty database for the examples that are not `has_one_of_each`."""
_EXAMPLES: dict[str, Callable[[Any, str], Awaitable[Example]]] = {
    "AdminService": _administrator_at_wechat,
    "OtaService": _partner,
    "RedemptionService": _supervisor,
    "TicketingService": _traveller,
}


async def example(method: str, called: Any) -> Example:
    """The example of a method that is not `has_one_of_each`, at its service's of SERVERS."""
    service, _, name = method.partition(".")
    return await _EXAMPLES[service](called, name)


def with_example() -> set[str]:
    """The methods that have one."""
    examples = {
        "AdminService": {*admin_client.CHANGING, *admin_client.ASKING_WECHAT},
        "OtaService": set(PARTNERS),
        "RedemptionService": set(TERMINALS),
        "TicketingService": set(TRAVELLERS),
    }
    return {f"{service}.{name}" for service, names in examples.items() for name in names}
