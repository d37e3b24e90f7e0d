"""An administrator's client: a running AdminService, what is set up in it, and a valid request
for every method.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import uuid4

from deeptravel.admin.v1 import (
    account_pb2,
    admin_service_pb2,
    admin_service_pb2_grpc,
    audit_pb2,
    catalog_pb2,
    product_pb2,
)
from deeptravel.ticketing.v1 import refund_pb2
from deeptravel.tickets.v1 import ticket_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import insert, text

from server.aftersales import tasks as aftersales_tasks
from server.api.admin.servicer import AdminServicer
from server.app import jobs
from server.audit.job_control import JobTable
from server.audit.records import By
from server.catalog.catalogue import Catalogues
from server.catalog.cities import City, Stop, create_cities, create_stops
from server.catalog.routes import Route, create_route
from server.catalog.timetables import create_timetables
from server.channels.connecting import ChannelClients
from server.channels.drifting import DriftDetector
from server.identity.models import accounts
from server.identity.one_time_codes import STEP_SECONDS, totp_of
from server.notifications import tasks as notification_tasks
from server.platform import clock
from server.platform.change_feed import ChangeFeed
from server.platform.errors import Reason
from server.platform.task_worker import TaskKind
from server.tickets.keys import create_first_key
from server.webhooks import tasks as webhook_tasks
from tests.support import (
    cached,
    catalogue_calls,
    channel_calls,
    disruption_calls,
    notification_calls,
    timetable,
)
from tests.support.admin_rows import (
    A_JOB,
    BLOCKED_TICKET,
    BLOCKED_TRAVELLER,
    DEAD_TASK,
    DEPARTURE,
    DEPARTURE_DAY,
    INCIDENT,
    REFUND,
    TICKET,
    TRAVELLER,
    add_abnormal_refund,
    add_incident_and_dead_task,
    add_ticket,
    add_traveller,
    set_up_job,
)
from tests.support.rpc_server import SECRET_KEY, Node, Offer, Refusal, refusal, refusal_or_none

Headers = tuple[tuple[str, str], ...]

PASSWORD = "correct horse battery staple"
SERVICE = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"]
METHODS = {method.name: method for method in SERVICE.methods}
ASKING_WECHAT = {"ApplyAbnormalRefund"}
"""Tried where there is a simulator, in test_abnormal_refunds.py."""
CHANGING = [
    name
    for name, method in METHODS.items()
    if "request_id" in method.input_type.fields_by_name and name not in ASKING_WECHAT
]


def kinds(node: Node) -> dict[str, TaskKind]:
    """The queues that administrators see here: some of a server's."""
    rooms = (aftersales_tasks, notification_tasks, webhook_tasks)
    return {name: kind for room in rooms for name, kind in room.kinds(node.db).items()}


def admin_service(channels: Callable[[Node], ChannelClients]) -> Offer:
    """The service, which calls channels with these."""
    return Offer(
        SERVICE,
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server,
        lambda node: AdminServicer(
            *(node.db, node.identity, node.repeats, node.pages),
            zone=node.settings.zone,
            changes=disruption_calls.ticket_changes(node),
            jobs=JobTable({job.name: job for job in jobs(node.settings)}, kinds(node)),
            channels=channels(node),
            channel_drift=DriftDetector(
                Catalogues(ChangeFeed(node.db), node.db), node.settings.zone
            ),
            channel_peak=node.settings.channel_peak,
            secret_key=SECRET_KEY,
        ),
    )


ADMIN_SERVICE = admin_service(lambda node: channel_calls.clients(node.db, SECRET_KEY))

ADULT = product_pb2.Fare(
    customer_type=ticket_pb2.CUSTOMER_TYPE_ADULT, day_type="weekday", amount_minor=28000
)
FERRY = product_pb2.ProductEntitlement(
    function_code="ferry", display_name_en="Ferry", display_name_zh="渡轮", total_uses=1
)
TOKENS = product_pb2.ProductEntitlement(
    function_code="tokens",
    display_name_en="Tokens",
    display_name_zh="代币",
    total_uses=10,
    use_mode=product_pb2.USE_MODE_MULTI_USE,
    guard_seconds=5,
    rotating_code=product_pb2.ROTATING_CODE_OPTIONAL,
)


def request_id() -> str:
    return uuid4().hex


@dataclass
class AdminClient:
    """An administrator who calls a server."""

    node: Node
    headers: Headers = ()

    async def call(self, method: str, request: Any) -> Any:
        """The answer; of a stream all that comes."""
        called = self.stub(method)(request, metadata=self.headers)
        if METHODS[method].server_streaming:
            return [each async for each in called]
        return await called

    def stub(self, method: str) -> Any:
        return getattr(admin_service_pb2_grpc.AdminServiceStub(self.node.channel), method)

    async def do(self, method: str, **fields: Any) -> Any:
        """Calls a method with a request of these fields, and a request_id where it takes one."""
        return await self.call(method, message(method, **fields))

    async def refused(self, method: str, **fields: Any) -> Refusal:
        return await refusal(self.do(method, **fields))

    async def reason(self, method: str, **fields: Any) -> Reason | None:
        found = await refusal_or_none(self.do(method, **fields))
        return found.reason if found else None

    def called_by(self, *headers: tuple[str, str]) -> "AdminClient":
        """The same server, called by somebody else; by nobody without headers."""
        return AdminClient(self.node, headers)

    async def log_in(self, username: str, password: str = PASSWORD) -> "AdminClient":
        """The same server, called by another administrator."""
        tokens = await self.do("AdminLogin", username=username, password=password)
        return self.called_by(("authorization", f"Bearer {tokens.access_token}"))

    async def operator(self, username: str = "olga", password: str = PASSWORD) -> "AdminClient":
        """The same server, called by an operator at terminal T-1."""
        tokens = await self.node.identity.log_in(username, password, "T-1", datetime.now(UTC))
        return self.called_by(("authorization", f"Bearer {tokens.access_token}"))

    async def partner(self, partner_code: str = "CP") -> "AdminClient":
        """The same server, called by a partner with a new key."""
        key = await self.do("CreatePartnerKey", partner_code=partner_code)
        return self.called_by(("x-api-key", key.api_key))

    async def scalar(self, query: Any) -> Any:
        async with self.node.db.transaction() as tx:
            return await tx.scalar(query)

    async def trail(self, resource: str, name: str) -> list[audit_pb2.AuditEvent]:
        found = await self.do("ListAuditEvents", resource=resource, name=name)
        return list(found.audit_events)


def message(method: str, **fields: Any) -> Any:
    descriptor = METHODS[method].input_type
    if isinstance(fields.get("update_mask"), str):
        fields["update_mask"] = FieldMask(paths=fields["update_mask"].split())
    if "request_id" in descriptor.fields_by_name:
        fields.setdefault("request_id", request_id())
    return GetMessageClass(descriptor)(**fields)


PRODUCT: dict[str, Any] = {
    "kind": product_pb2.PRODUCT_KIND_PACKAGE,
    "display_name_en": "Premium",
    "display_name_zh": "尊享套票",
    "currency_code": "HKD",
    "fares": [ADULT],
    "entitlements": [FERRY, TOKENS],
    "validity_days": 180,
    "blackout_dates": ["2026-12-25", "2026-02-17"],
}
OPERATOR: dict[str, Any] = {
    "role": account_pb2.OPERATOR_ROLE_OPERATOR,
    "merchant_code": "FERRIES",
    "display_name": "Olga",
    "password": PASSWORD,
}
DRAFT, SCHEDULED, FARES = "product-106-2", "product-106-3", "route_fares-11-2"
ROUTE_FARE = catalog_pb2.RouteFare(
    class_code="SECOND",
    origin_stop_code="IOQ",
    destination_stop_code="XJA",
    customer_type=ticket_pb2.CUSTOMER_TYPE_ADULT,
    day_type="weekday",
    amount_minor=9000,
)

VALID: dict[str, dict[str, Any]] = {
    "CreatePartner": {"partner_code": "NEW", "display_name": "New"},
    "UpdatePartner": {"partner_code": "CP", "display_name": "C", "update_mask": "display_name"},
    "RevokePartner": {"partner_code": "CP"},
    "ArchivePartner": {"partner_code": "CP"},
    "UnarchivePartner": {"partner_code": "CP"},
    "CreatePartnerKey": {"partner_code": "CP"},
    "RevokePartnerKey": {"partner_code": "CP", "key_id": "<key of CP>"},
    "CreateMerchant": {
        "merchant_code": "NEW",
        "display_name": "New",
        "function_codes": ["ferry"],
    },
    "UpdateMerchant": {
        "merchant_code": "FERRIES",
        "display_name": "F",
        "update_mask": "display_name",
    },
    "RevokeMerchant": {"merchant_code": "FERRIES"},
    "ArchiveMerchant": {"merchant_code": "FERRIES"},
    "UnarchiveMerchant": {"merchant_code": "FERRIES"},
    "CreateVenue": {
        "venue_code": "NEW",
        "merchant_code": "FERRIES",
        "display_name": "New",
        "time_zone": "Asia/Macau",
    },
    "UpdateVenue": {"venue_code": "PIER", "display_name": "P", "update_mask": "display_name"},
    "RevokeVenue": {"venue_code": "PIER"},
    "ArchiveVenue": {"venue_code": "PIER"},
    "UnarchiveVenue": {"venue_code": "PIER"},
    "CreateTerminal": {"terminal_device_id": "T-9", "venue_code": "PIER", "display_name": "New"},
    "UpdateTerminal": {
        "terminal_device_id": "T-1",
        "display_name": "T",
        "update_mask": "display_name",
    },
    "RevokeTerminal": {"terminal_device_id": "T-1"},
    "ArchiveTerminal": {"terminal_device_id": "T-1"},
    "UnarchiveTerminal": {"terminal_device_id": "T-1"},
    "CreateOperator": {"username": "new", **OPERATOR},
    "UpdateOperator": {"username": "olga", "display_name": "O", "update_mask": "display_name"},
    "RevokeOperator": {"username": "olga"},
    "ArchiveOperator": {"username": "olga"},
    "UnarchiveOperator": {"username": "olga"},
    "CreateAdministrator": {"username": "new", "display_name": "New", "password": PASSWORD},
    "UpdateAdministrator": {
        "username": "second",
        "display_name": "S",
        "update_mask": "display_name",
    },
    "RevokeAdministrator": {"username": "second"},
    "EnrolSecondFactor": {},
    "ConfirmSecondFactor": {"code": "<code of the caller>"},
    "RenewRecoveryCodes": {"code": "<code of the caller>"},
    "ResetSecondFactor": {"username": "second", "comment": "telephone lost"},
    "CreateProduct": {"product_id": 999, **PRODUCT},
    "UpdateProduct": {"product_id": 106, "validity_days": 30, "update_mask": "validity_days"},
    "ArchiveProduct": {"product_id": 106},
    "CreateAllotment": {"product_id": 106, "channel": "HK", "total": 5},
    "UpdateAllotment": {
        "product_id": 106,
        "channel": "CP",
        "total": 1500,
        "update_mask": "total",
    },
    "ArchiveAllotment": {"product_id": 106, "channel": "CP"},
    "UnarchiveAllotment": {"product_id": 106, "channel": "CP"},
    "MoveAllotment": {
        "product_id": 106,
        "from_channel": "CP",
        "to_channel": "DIRECT",
        "quantity": 10,
    },
    "AdjustAllotment": {
        "product_id": 106,
        "from_channel": "CP",
        "to_channel": "HK",
        "quantity": 10,
    },
    "GetPartnerStatement": {"partner_code": "CP", "month": "2026-11"},
    "DownloadPartnerStatement": {"partner_code": "CP", "month": "2026-11", "format": 2},
    "SetAllotmentTerms": {"product_id": 106, "channel": "CP", "hold_seconds": 900},
    "BlockTicket": {"ticket_code": TICKET, "comment": "stolen"},
    "UnblockTicket": {"ticket_code": BLOCKED_TICKET, "comment": "found again"},
    "BlockTraveller": {"traveller_id": TRAVELLER, "comment": "fraud"},
    "UnblockTraveller": {"traveller_id": BLOCKED_TRAVELLER, "comment": "cleared up"},
    "RetryRefund": {"refund_id": REFUND},
    "SettleRefund": {
        "refund_id": REFUND,
        "state": refund_pb2.REFUND_STATE_SUCCEEDED,
        "comment": "by bank transfer",
    },
    "ResolvePaymentIncident": {"incident_id": INCIDENT, "comment": "seen to"},
    "ReplayTask": {"task_id": DEAD_TASK},
    **notification_calls.VALID,
    "RunJob": {"job_code": A_JOB},
    "CompromiseQrKey": {"qr_key_id": 0, "comment": "a laptop was stolen"},
    "PauseJob": {"job_code": A_JOB, "comment": "the disk is being changed"},
    "ResumeJob": {"job_code": A_JOB},
    "SetRouteFares": {"route_id": 11, "fares": [ROUTE_FARE]},
    "CreateConfigDraft": {"object_type": 1, "object_id": 106, "comment": "winter"},
    "UpdateConfigDraft": {"version_id": DRAFT, "comment": "spring"},
    "DiscardConfigDraft": {"version_id": DRAFT},
    "GetConfigVersion": {"version_id": DRAFT},
    "PublishConfigVersion": {"version_id": DRAFT},
    "CancelScheduledVersion": {"version_id": SCHEDULED},
    "RollBackConfig": {"version_id": "product-106-1", "comment": "a slip"},
    "PreviewConfigVersion": {"version_id": DRAFT},
    "PublishChangeSet": {"version_ids": [DRAFT]},
    "PreviewChangeSet": {"version_ids": [DRAFT, FARES]},
    "RollBackChangeSet": {"change_set_id": f"set-{FARES}", "comment": "a slip"},
    "SetProductExamples": {"product_id": 106, "content": ""},
    "GetProductExamples": {"product_id": 106},
    "SetDepartureState": {
        "departure_id": DEPARTURE,
        "state": catalog_pb2.DEPARTURE_STATE_CANCELLED,
    },
    "MoveDeparture": {
        "departure_id": DEPARTURE,
        "departure_time": datetime.combine(DEPARTURE_DAY, time(9, 30), UTC),
        "comment": "fog",
    },
    "CancelDeparture": {"departure_id": DEPARTURE, "comment": "typhoon"},
    "GetDeparture": {"departure_id": DEPARTURE},
    "GetRefund": {"refund_id": REFUND},
    "GetOrder": {"order_code": REFUND.removesuffix("-R1")},
    "GetTicket": {"ticket_code": TICKET},
    "SetDepartureStock": {"departure_id": DEPARTURE, "class_code": "SECOND", "total": 5},
    "GetPartner": {"partner_code": "CP"},
    "ListPartnerKeys": {"partner_code": "CP"},
    "GetMerchant": {"merchant_code": "FERRIES"},
    "GetVenue": {"venue_code": "PIER"},
    "GetTerminal": {"terminal_device_id": "T-1"},
    "GetOperator": {"username": "olga"},
    "GetAdministrator": {"username": "second"},
    "GetPartnerKey": {"partner_code": "CP", "key_id": "<key of CP>"},
    "GetQrKey": {"qr_key_id": 0},
    "GetProduct": {"product_id": 106},
    "GetAllotment": {"product_id": 106, "channel": "CP"},
    "ExportAuditEvents": {"format": 1},
    "AdminLogin": {"username": "root", "password": PASSWORD},
    **catalogue_calls.VALID,
    **channel_calls.VALID,
    **disruption_calls.calls(DEPARTURE),
}
"""A request that succeeds on a seeded server, for every method whose empty request does not."""


async def seed(node: Node) -> AdminClient:
    """Sets up one of each, by AdminService's own means but for the first administrator, tickets
    and travellers.
    """
    async with node.db.transaction() as tx:
        now = datetime.now(UTC)
        await tx.execute(
            insert(accounts).values(
                username="root",
                role="ADMIN",
                admin_roles=["ADMINISTRATOR"],
                venue_codes=[],
                display_name="Root",
                password_hash=cached.password_hash(PASSWORD),
                state="ACTIVE",
                create_time=now,
                update_time=now,
            )
        )
    admin_client = await AdminClient(node).log_in("root")
    await admin_client.do("CreatePartner", partner_code="CP", display_name="Central Pier Travel")
    await admin_client.do("CreatePartner", partner_code="HK", display_name="Harbour Kiosks")
    for merchant in ("FERRIES", "SHOPS"):
        await admin_client.do(
            "CreateMerchant",
            merchant_code=merchant,
            display_name=merchant,
            function_codes=["ferry", "gift"],
        )
    for venue, merchant in (("PIER", "FERRIES"), ("QUAY", "FERRIES"), ("SHOP", "SHOPS")):
        await admin_client.do(
            "CreateVenue",
            venue_code=venue,
            merchant_code=merchant,
            display_name=venue,
            time_zone="Asia/Hong_Kong",
        )
    await admin_client.do(
        "CreateTerminal", terminal_device_id="T-1", venue_code="PIER", display_name="Gate 1"
    )
    await admin_client.do("CreateOperator", username="olga", **OPERATOR)
    await admin_client.do(
        "CreateAdministrator", username="second", display_name="Second", password=PASSWORD
    )
    await admin_client.do("CreateProduct", product_id=106, **PRODUCT)
    await admin_client.do("CreateAllotment", product_id=106, channel="CP", total=2000)
    await admin_client.do("CreateAllotment", product_id=106, channel="DIRECT", total=100)
    for version_id in (DRAFT, SCHEDULED):
        draft = await admin_client.do("CreateConfigDraft", **VALID["CreateConfigDraft"])
        assert draft.config_version.version_id == version_id
    at = datetime.now(UTC) + timedelta(days=700)
    await admin_client.do("PublishConfigVersion", version_id=SCHEDULED, effective_time=at)
    await add_departure(node, admin_client)
    await admin_client.do("CreateConfigDraft", object_type=2, object_id=11, comment="the same")
    await admin_client.do("PublishChangeSet", version_ids=[FARES])
    for sequence in (1, 2):
        await add_ticket(node, "CP", sequence)
    for traveller_id in (TRAVELLER, BLOCKED_TRAVELLER):
        await add_traveller(node, traveller_id)
    await add_abnormal_refund(node)
    await add_incident_and_dead_task(node)
    await admin_client.do("BlockTicket", ticket_code=BLOCKED_TICKET, comment="reported stolen")
    await admin_client.do("BlockTraveller", traveller_id=BLOCKED_TRAVELLER, comment="fraud")
    return admin_client


async def add_departure(node: Node, admin_client: AdminClient) -> None:
    """DEPARTURE, the only one of its timetable."""
    transport_product = PRODUCT | {"kind": product_pb2.PRODUCT_KIND_TRANSPORT}
    await admin_client.do("CreateProduct", product_id=timetable.TRAIN, **transport_product)
    by = By(actor="admin:root", now=datetime.now(UTC))
    calls = [timetable.call("IOQ", 0, 0), timetable.call("XJA", 20, 20)]
    classes = [timetable.fare_class("SECOND", 0)]
    runs = timetable.timetable(timetable.EARLY, 11, "08:00", {"SECOND": 10})
    async with node.db.transaction() as tx:
        cities = [City(code, code, code, "Asia/Hong_Kong") for code in ("SZX", "HKG")]
        await create_cities(tx, cities, **by)
        stops = [("IOQ", "SZX"), ("XJA", "HKG")]
        await create_stops(
            tx,
            [Stop(code, city, code, code, 22_300_000, 114_000_000) for code, city in stops],
            **by,
        )
        route = Route(11, timetable.TRAIN, "TRAIN", calls, classes, [])
        await create_route(tx, route, **by)
        once = replace(runs, first_date=DEPARTURE_DAY, last_date=DEPARTURE_DAY)
        await create_timetables(tx, [once], **by)
        await catalogue_calls.seed_catalogue(tx, **by)
        await channel_calls.seed_channels(tx, SECRET_KEY, by)
        await tx.execute(text(notification_calls.PAUSE))
        await create_first_key(tx, SECRET_KEY, by["now"])


async def valid(admin_client: AdminClient, method: str, *, refused: bool = False) -> dict[str, Any]:
    """The method's valid request on the seeded server. Where the call is `refused` whatever it
    says, nothing is archived or enrolled for it: others after it would meet that.
    """
    fields = dict(VALID.get(method, {}))
    if fields.get("key_id"):
        fields["key_id"] = (await admin_client.do("CreatePartnerKey", partner_code="CP")).key.key_id
    if method in ("RunJob", "PauseJob", "ResumeJob"):
        await set_up_job(admin_client.node, is_paused=method == "ResumeJob")
    archived = method.startswith("Unarchive") and method not in catalogue_calls.VALID
    if archived and not refused:
        await admin_client.do(method.replace("Unarchive", "Archive"), **fields)
    if method in ("ConfirmSecondFactor", "RenewRecoveryCodes") and refused:
        fields["code"] = "000000"
    elif method in ("ConfirmSecondFactor", "RenewRecoveryCodes"):
        secret = (await admin_client.do("EnrolSecondFactor")).secret
        fields["code"] = code_of(secret)
        if method == "RenewRecoveryCodes":
            await admin_client.do("ConfirmSecondFactor", code=code_of(secret, -1))
    return fields


def code_of(secret: str, steps: int = 0) -> str:
    """What an authenticator shows, so many steps from now."""
    moment = int(clock.now().timestamp()) + steps * STEP_SECONDS
    return totp_of(base64.b32decode(secret)).generate(moment).decode()


def renamed(method: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The request about something else, which there is not."""
    name = METHODS[method].input_type.fields[0].name
    named = fields[name]
    if isinstance(named, int):
        return fields | {name: named + 1}
    others = "QZ" if named.isalpha() and named.isupper() else "98"
    other_name = named[:-1] + others[named[-1] == others[0]]
    return fields | {name: other_name}
