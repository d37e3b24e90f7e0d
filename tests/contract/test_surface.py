"""What a running server shows of the contract, and what it must not show of what is sent to it."""

import base64
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tests.support import described
from tests.support.data_folders import copied
from tests.support.server_process import ServerProcess

Json = dict[str, Any]

CUSTOMER = "欧阳测试"
LEAST_SECRET = 12
"""Characters; what is shorter could stand in a log by chance."""


@pytest.fixture(scope="module")
def served(begun_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = copied(begun_folder, tmp_path_factory.mktemp("served") / "data")
    with ServerProcess(data_dir=folder, env={"DEEPTRAVEL_LOG_LEVEL": "DEBUG"}) as server:
        yield server


# ----------------------------------------------------------------------------------------
# reflection


def test_reflection_gives_the_contract_to_the_letter(served: ServerProcess) -> None:
    with grpc.insecure_channel(served.target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        for file in described.files():
            given: FileDescriptorProto = database.FindFileByName(file.name)
            assert given == _as_compiled(file), file.name


def _as_compiled(file: FileDescriptorProto) -> FileDescriptorProto:
    """The file as the generated code carries it, without comments, and names that follow from
    others.
    """
    plain = FileDescriptorProto()
    plain.CopyFrom(file)
    plain.ClearField("source_code_info")
    waiting: list[Any] = [*plain.message_type, plain]
    while waiting:
        owner = waiting.pop()
        for field in (*getattr(owner, "field", ()), *owner.extension):
            field.ClearField("json_name")
        waiting += getattr(owner, "nested_type", ())
    return plain


def test_reflection_is_enough_to_call_everything(served: ServerProcess) -> None:
    with grpc.insecure_channel(served.target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        pool = DescriptorPool(database)
        for service in described.of_kind("Service"):
            assert service.name in services
            methods = pool.FindServiceByName(service.name).methods_by_name
            assert set(methods) == {method.name for method in service.proto.method}
        for name in described.messages():
            assert pool.FindMessageTypeByName(name).full_name == name
        for enum in described.of_kind("Enum"):
            assert pool.FindEnumTypeByName(enum.name).full_name == enum.name
        for extension in described.of_kind("Field"):
            if extension.proto.extendee:
                assert pool.FindExtensionByName(extension.name).full_name == extension.name


def test_the_openapi_document_is_the_generated_one(served: ServerProcess) -> None:
    document = described.ROOT / "generated/deeptravel/openapi.json"
    answer = httpx2.get(f"{served.url}/openapi.json")
    assert answer.status_code == 200
    assert answer.content == document.read_bytes()


# -----------------------------------------------------------------------------------------------
# logs


class Talk:
    """Calls whose secrets, sent and received, are noted."""

    def __init__(self, server: ServerProcess, http: httpx2.Client) -> None:
        self._server = server
        self._http = http
        self.secrets: set[str] = {CUSTOMER}
        self.statuses: list[int] = []

    def say(self, path: str, body: Any, **headers: str) -> Json:
        """A POST; the answer, whatever its status."""
        content = body if isinstance(body, bytes) else None
        response = self._http.post(
            path,
            content=content,
            json=None if content else body,
            headers={"Content-Type": "application/json", **headers},
        )
        self.statuses.append(response.status_code)
        found: Json = response.json()
        self._note(found)
        if not content:
            self._note(body)
        return found

    def _note(self, value: Any) -> None:
        for name, inner in value.items():
            if isinstance(inner, dict):
                self._note(inner)
            elif described.SECRET.fullmatch(name) and isinstance(inner, str):
                self.secrets.add(inner)


def _drive(talk: Talk, credentials: Json) -> None:
    """The main job, what administrators do with secrets, and every kind of failure."""
    terminal = {"terminal_device_id": credentials["terminal_device_id"]}
    partner = {"X-Api-Key": credentials["partner_api_key"]}
    talk.secrets |= {credentials["partner_api_key"], credentials["other_partner_api_key"]}
    payment = {"reference": "PAY-1", "amount_minor": 29800, "currency_code": "CNY"}
    request = {
        "product_id": 106,
        "quantity": 1,
        "request_id": uuid.uuid4().hex,
        "activation": {"customer": {"name": CUSTOMER}, "payment": payment},
    }
    batch = talk.say("/ota/tickets/bulk-generate", request, **partner)
    code = batch["tickets"][0]["ticket_code"]
    qr = talk.say(f"/qr/{code}", {}, **partner)["encrypted_data"]
    tokens = talk.say("/operators/login", credentials["operator"] | terminal)
    operator = {"Authorization": f"Bearer {tokens['access_token']}"}
    talk.say("/qr/decrypt", {"encrypted_data": qr}, **operator)
    scan = {"qr_token": qr, "function_code": "ferry", "request_id": "scan-1"}
    for body in (scan, scan, scan | {"function_code": "gift"}, scan | {"request_id": ""}):
        talk.say("/venue/scan", body, **operator)
    refreshed = talk.say("/operators/refresh", {"refresh_token": tokens["refresh_token"]})
    talk.say("/operators/refresh", {"refresh_token": tokens["refresh_token"]})

    admin = talk.say("/admin/login", credentials["admin"])["access_token"]
    administrator = {"Authorization": f"Bearer {admin}"}
    new = {
        "username": f"o{uuid.uuid4().hex[:8]}",
        "role": "OPERATOR",
        "merchant_code": "HARBOUR",
        "display_name": "New",
        "password": "a password nobody has",
        "request_id": uuid.uuid4().hex,
    }
    talk.say("/admin/operators", new, **administrator)
    talk.say("/admin/operators", new | {"request_id": "again"}, **administrator)
    talk.say("/admin/partners/CP/keys", {"request_id": uuid.uuid4().hex}, **administrator)

    talk.say(
        "/operators/login", credentials["operator"] | terminal | {"password": "wrong-password"}
    )
    mistaken = {"username": "my-password-by-mistake", "password": "another-wrong-password"}
    talk.say("/operators/login", mistaken | terminal)
    talk.say("/operators/login", mistaken | terminal | {"password": "too-long-a-password" * 20})
    talk.secrets |= {"my-password-by-mistake", "dtk_unknown_key_of_somebody", "dta_unknown-token"}
    talk.say("/ota/tickets/bulk-generate", request, **{"X-Api-Key": "dtk_unknown_key_of_somebody"})
    talk.say("/qr/decrypt", {"encrypted_data": qr}, Authorization="Bearer dta_unknown-token")
    talk.say("/qr/decrypt", {"encrypted_data": f"{qr}X"}, **operator)
    talk.say("/qr/decrypt", {"encrypted_data": f"{qr}:" * 30}, **operator)
    talk.say("/venue/scan", f'{{"qr_token": "{qr}", '.encode(), **operator)
    talk.say("/venue/scan", scan | {"qr_tokn": qr}, **operator)
    talk.say("/venue/scan", scan | {"quantity": refreshed["access_token"]}, **operator)
    activation = {"customer": {"name": CUSTOMER}, "payment": payment, "request_id": "1"}
    talk.say(f"/ota/tickets/{code}/activate", activation, **partner)
    talk.say(f"/ota/tickets/{code}/activate", activation | {"customer": {"name": 7}}, **partner)


def test_logs_hold_no_secrets(served: ServerProcess) -> None:
    credentials = served.credentials
    with httpx2.Client(base_url=served.url, timeout=30) as http:
        talk = Talk(served, http)
        _drive(talk, credentials)
    assert sorted(set(talk.statuses)) == [200, 400, 401, 409, 422]
    secrets = {part for secret in talk.secrets for part in _parts(secret)}
    key = base64.b64decode((served.data_dir / "secret.key").read_text())
    secrets |= {base64.b64encode(key).decode(), key.hex()}
    assert len(talk.secrets) > 15

    wanted = {
        *("OtaService/BulkGenerateTickets", "OtaService/IssueQr", "OtaService/ActivateTicket"),
        *("RedemptionService/OperatorLogin", "RedemptionService/Redeem"),
        *("AdminService/CreateOperator", "AdminService/CreatePartnerKey"),
    }
    until = time.monotonic() + 10  # lines are written together, a little later
    while not wanted <= _called(served) and time.monotonic() < until:
        time.sleep(0.02)
    assert wanted <= _called(served)
    logs = {path.name: path.read_text(errors="replace") for path in _logs(served.data_dir)}
    assert logs.keys() >= {"server.log", "postgres.log", "valkey.log"}
    found = {(name, secret) for name, text in logs.items() for secret in secrets if secret in text}
    assert found == set()


def _called(served: ServerProcess) -> set[str]:
    return {line["method"] for line in served.log_lines if line["event"] == "call"}


def _logs(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.endswith((".log", ".log.1"))]


def _parts(secret: str) -> Iterator[str]:
    """A secret as a log could hold it: whole, escaped, and its parts that are secret by
    themselves.
    """
    yield secret
    yield secret.encode("unicode_escape").decode()
    key = re.fullmatch(r"dt[kar]_[0-9a-f]+_(\w+)", secret)
    if key:  # the middle is the id, which is no secret
        yield key[1]
    elif ":" in secret:
        yield from (part for part in secret.split(":") if len(part) >= LEAST_SECRET)
