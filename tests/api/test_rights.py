"""Every method × every kind of caller: exactly the table that the contract's `access` options
declare. All of it where gRPC and JSON ask alike, and of each rule all callers over both.
"""

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import httpx2
import pytest
import redis
from deeptravel.admin.v1 import account_pb2, admin_service_pb2_grpc, partner_pb2
from deeptravel.common.v1 import options_pb2
from deeptravel.redemption.v1 import access_pb2
from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import error_details_pb2, status_pb2

from server.app import DESCRIPTORS, App
from server.identity.credentials import new_partner_key
from server.identity.travellers import TravellerTokens, log_in
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from tests.support import databases
from tests.support.admin_client import OPERATOR, PASSWORD, Headers, message
from tests.support.app_server import channel_to, running
from tests.support.identity import now
from tests.support.rpc_server import DETAILS, SECRET_KEY, read_refusal
from tests.support.waiting import WAIT_SECONDS, becomes
from tools.dev.embedded.services import EmbeddedServices

METHODS = {method.full_name: method for service in DESCRIPTORS for method in service.methods}
READS = METHODS["deeptravel.ota.v1.OtaService.GetReservation"]
MALFORMED = b"\xff\xff"
"""No message: whoever may call hears so, everybody else before it is read."""
OF_ONES_OWN = {"Logout", "EnrolSecondFactor", "ConfirmSecondFactor", "RenewRecoveryCodes"}
"""What concerns nothing but the caller's own log-in."""
NOTICE = re.compile("^/webhooks/")
"""Paths whose callers sign what they send."""


def access(method: MethodDescriptor) -> options_pb2.Access:
    """What the contract says of who may call."""
    said: options_pb2.Access = method.GetOptions().Extensions[options_pb2.access]
    return said


def allowed(method: MethodDescriptor) -> set[str]:
    """The roles that may call."""
    roles = access(method).roles
    return {options_pb2.Role.Name(role).removeprefix("ROLE_") for role in roles}


def allowed_administrators(method: MethodDescriptor) -> set[str]:
    """Of administrators the roles that may call, as the callers of this test."""
    roles = access(method).admin_roles
    named = {options_pb2.AdminRole.Name(role).removeprefix("ADMIN_ROLE_") for role in roles}
    return {role.lower() for role in named} | {"administrator"}


def expected(method: MethodDescriptor, caller: str) -> Reason | None:
    """Why a caller is refused before its request is read; None if it is not. The role "" is nobody,
    or somebody whose credentials are not good.
    """
    roles, role = allowed(method), ROLES[caller]
    if role == "ADMIN" in roles and caller not in allowed_administrators(method):
        return Reason.ROLE_NOT_ALLOWED
    if roles == {"ANYONE"} or role in roles:
        is_live = role == "PARTNER" and caller != TESTER
        return Reason.TEST_MODE_ONLY if access(method).test_mode_only and is_live else None
    return Reason.ROLE_NOT_ALLOWED if role else Reason.UNAUTHENTICATED


@dataclass(frozen=True)
class Callers:
    """A server, and the headers of each kind of caller, by what to call it."""

    app: App
    channel: grpc.aio.Channel
    http: httpx2.AsyncClient
    headers: Mapping[str, Headers]


ADMIN_ROLES = options_pb2.AdminRole.keys()[1:]
TESTER = "a partner's key of test mode"
ROLES = {
    "partner": "PARTNER",
    TESTER: "PARTNER",
    "operator": "OPERATOR",
    "supervisor": "SUPERVISOR",
    **{name.removeprefix("ADMIN_ROLE_").lower(): "ADMIN" for name in ADMIN_ROLES},
    "traveller": "TRAVELLER",
    "nobody": "",
    "a revoked key": "",
}
BAD_KEYS = ("a wrong key", "a wrong secret", "a revoked key", "a key of a revoked partner")
BAD_TOKENS = ("a wrong token", "a key as token", "a forged traveller")


@pytest.fixture(scope="module")
async def callers(
    services: EmbeddedServices, module_redis_url: str, seeded: tuple[str, Headers]
) -> AsyncIterator[Callers]:
    """One of each kind, at a whole server; no call that is made here changes anything."""
    with (
        databases.copied(services.database_url, seeded[0]) as url,
        redis.Redis.from_url(module_redis_url) as client,
    ):
        client.flushall()
        async with (
            running(url, module_redis_url) as app,
            channel_to(app) as channel,
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{app.http_port}") as http,
        ):
            headers = await _headers(channel, url, seeded[1])
            made = Callers(app, channel, http, headers)
            for name in BAD_KEYS:
                await becomes(Reason.UNAUTHENTICATED, partial(reason, made, READS, name))
            yield made


def bearer(token: str) -> Headers:
    return (("authorization", f"Bearer {token}"),)


async def _headers(channel: grpc.aio.Channel, url: str, admin: Headers) -> dict[str, Headers]:
    stub = admin_service_pb2_grpc.AdminServiceStub(channel)

    async def do(method: str, **fields: Any) -> Any:
        return await getattr(stub, method)(message(method, **fields), metadata=admin)

    await do("CreatePartner", partner_code="GONE", display_name="Gone")
    await do(
        "UpdatePartner",
        partner_code="CP",
        requests_per_minute=1_000_000,
        update_mask="requests_per_minute",
    )
    keys = {
        name: await do("CreatePartnerKey", partner_code=code)
        for name, code in (("good", "CP"), ("revoked", "CP"), ("gone", "GONE"))
    }
    test = partner_pb2.PARTNER_MODE_TEST
    keys["test"] = await do("CreatePartnerKey", partner_code="CP", mode=test)
    await do("RevokePartnerKey", partner_code="CP", key_id=keys["revoked"].key.key_id)
    await do("RevokePartner", partner_code="GONE")
    supervisor: Any = OPERATOR | {"role": account_pb2.OPERATOR_ROLE_SUPERVISOR}
    await do("CreateOperator", username="sue", **supervisor)
    administrators = {"administrator": admin}
    for role in ADMIN_ROLES[1:]:
        name = role.removeprefix("ADMIN_ROLE_").lower()
        fields: Any = {"username": name, "display_name": name, "password": PASSWORD}
        await do("CreateAdministrator", roles=[role], **fields)
        login = account_pb2.AdminLoginRequest(username=name, password=PASSWORD)
        administrators[name] = bearer((await stub.AdminLogin(login)).access_token)
    db = Database(load_settings(), url)
    traveller = await db.in_transaction(
        lambda tx: log_in(tx, app_id="wx1", openid="o-1", unionid=None, now=now())
    )
    await db.close()
    issued = TravellerTokens(SECRET_KEY, life_seconds=7200).issue(traveller, now())
    forged = TravellerTokens(bytes(32), life_seconds=7200).issue(traveller, now())
    good = keys["good"].api_key

    return {
        "partner": (("x-api-key", good),),
        TESTER: (("x-api-key", keys["test"].api_key),),
        "operator": bearer(await _logged_in(channel, "olga")),
        "supervisor": bearer(await _logged_in(channel, "sue")),
        **administrators,
        "traveller": bearer(issued.access_token),
        "nobody": (),
        "a wrong key": (("x-api-key", new_partner_key().api_key),),
        "a wrong secret": (("x-api-key", good[:-4] + ("aaaa" if good[-4:] != "aaaa" else "bbbb")),),
        "a revoked key": (("x-api-key", keys["revoked"].api_key),),
        "a key of a revoked partner": (("x-api-key", keys["gone"].api_key),),
        "a wrong token": bearer("dta_0_0"),
        "a key as token": bearer(good),
        "a forged traveller": bearer(forged.access_token),
    }


async def _logged_in(channel: grpc.aio.Channel, username: str) -> str:
    call: Any = channel.unary_unary(
        "/deeptravel.redemption.v1.RedemptionService/OperatorLogin",
        request_serializer=access_pb2.OperatorLoginRequest.SerializeToString,
        response_deserializer=access_pb2.OperatorLoginResponse.FromString,
    )
    request = access_pb2.OperatorLoginRequest(
        username=username, password=PASSWORD, terminal_device_id="T-1"
    )
    return str((await call(request)).access_token)


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def http_verb(method: MethodDescriptor) -> str:
    """In small letters; none if there is no path."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    return str(rule.WhichOneof("pattern") or "")


async def error_of(callers: Callers, method: MethodDescriptor, caller: str) -> Any:
    """How a call of a method ends whose message is none."""
    # of a stream's own writes grpc.aio makes a fault where the refusal comes before them
    call: Any = callers.channel.unary_stream(path_of(method))
    stream = call(MALFORMED, metadata=callers.headers[caller], timeout=WAIT_SECONDS)
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        async for _ in stream:
            pass
    return ended.value


async def reason(callers: Callers, method: MethodDescriptor, caller: str) -> Reason:
    return read_refusal(await error_of(callers, method, caller)).reason


def samples(methods: Iterable[MethodDescriptor]) -> Iterator[tuple[MethodDescriptor, str]]:
    """Of each rule one method with all callers, of each other a caller for each of its answers."""
    tried: set[bytes] = set()
    for method in methods:
        rights = access(method).SerializeToString(deterministic=True)
        one_of_each = {expected(method, caller): caller for caller in ROLES}.values()
        for caller in one_of_each if rights in tried else ROLES:
            yield method, caller
        tried.add(rights)


async def admission(callers: Callers, method: MethodDescriptor, caller: str) -> Reason | None:
    """Why a caller may not call a method; None if it may."""
    admit = callers.app._interceptor.admit
    try:
        await admit(path_of(method), dict(callers.headers[caller]), "127.0.0.1")
    except DomainError as error:
        return error.reason
    return None


async def test_every_method_takes_the_callers_that_the_contract_says(callers: Callers) -> None:
    """Asked as the gateway asks, in the one step that all calls pass.

    Seen red with a role left out of what the server checks, and with one added to it.
    """
    assert {role for method in METHODS.values() for role in allowed(method)} == {
        *ROLES.values(),
        "ANYONE",
    } - {""}
    wrong = {
        (name, caller): found
        for name, method in METHODS.items()
        for caller in ROLES
        if (found := await admission(callers, method, caller)) != expected(method, caller)
    }
    assert wrong == {}


async def test_every_method_refuses_over_grpc(callers: Callers) -> None:
    """Before it reads what it is called with. Seen red with calls that nobody is asked for."""
    wrong = {
        (method.full_name, caller): found
        for method, caller in samples(METHODS.values())
        if (found := await reason(callers, method, caller))
        != (expected(method, caller) or Reason.INVALID_FIELD)
    }
    assert wrong == {}


def test_auditors_read_everything_and_change_nothing() -> None:
    """What the contract says of each method that administrators may call. Seen red with a read that
    leaves auditors out, and with a change that lets them.
    """
    for name, method in METHODS.items():
        if "ADMIN" not in allowed(method) or method.name in OF_ONES_OWN:
            continue
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        reads = method.GetOptions().Extensions[options_pb2.repeat] == options_pb2.REPEAT_READS
        assert ("auditor" in allowed_administrators(method)) == bool(reads or rule.get), name


async def test_a_refusal_names_the_roles_that_may(callers: Callers) -> None:
    method = METHODS["deeptravel.admin.v1.AdminService.SettleRefund"]
    refused = read_refusal(await error_of(callers, method, "support"))
    assert refused.metadata == {
        "role": "SUPPORT",
        "allowed": "ADMINISTRATOR,FINANCE",
    }


async def test_every_path_takes_the_callers_that_the_contract_says(callers: Callers) -> None:
    """The same over JSON, whose calls pass the same step."""
    wrong = {}
    for method, caller in samples(filter(http_verb, METHODS.values())):
        verb = http_verb(method)
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        path = re.sub(r"\{[^}]*\}", "1", getattr(rule, verb))
        sent: Any = {"params" if verb == "get" else "json": {"no_such_field": 1}}
        headers = dict(callers.headers[caller])
        answer = await callers.http.request(verb.upper(), path, headers=headers, **sent)
        if wanted := expected(method, caller):
            is_right = reason_in(answer.json()) == wanted
        else:
            is_right = answer.status_code in ({400, 401} if NOTICE.search(path) else {400})
        if not is_right:
            wrong[method.full_name, caller] = answer.text
    assert wrong == {}


def reason_in(answer: Any) -> Reason:
    (info,) = [each for each in answer["details"] if "reason" in each]
    return Reason(info["reason"])


async def test_credentials_that_are_not_good_all_get_the_same_answer(callers: Callers) -> None:
    """What is wrong with them, and whether anybody has or had such a key, is not said."""
    for bad in (BAD_KEYS, BAD_TOKENS):
        answers = {}
        for caller in bad:
            error = await error_of(callers, READS, caller)
            assert read_refusal(error).reason is Reason.UNAUTHENTICATED
            answers[caller] = error.details(), _without_request_id(error)
        assert len(set(answers.values())) == 1, answers


def _without_request_id(error: grpc.aio.AioRpcError) -> bytes:
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())[DETAILS])
    kept = [
        detail
        for detail in status.details
        if not detail.Is(error_details_pb2.RequestInfo.DESCRIPTOR)
    ]
    del status.details[:]
    status.details.extend(kept)
    return bytes(status.SerializeToString(deterministic=True))
