"""The calls that README shows are calls of the contract."""

import re
import textwrap
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from deeptravel.redemption.v1 import (
    redemption_pb2,
    redemption_service_pb2,
    redemption_service_pb2_grpc,
)
from google.protobuf import json_format
from google.protobuf.descriptor import FileDescriptor

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLE = ROOT / "clients" / "java" / "src" / "main" / "java" / "com/deeptravel/example/Redeem.java"
FILES: list[FileDescriptor] = [redemption_service_pb2.DESCRIPTOR]
FILES += list(redemption_service_pb2.DESCRIPTOR.dependencies)
SERVICE = redemption_service_pb2.DESCRIPTOR.services_by_name["RedemptionService"]


def block(language: str) -> str:
    """README's one block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


class Gate(redemption_service_pb2_grpc.RedemptionServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.calls: list[tuple[redemption_pb2.RedeemRequest, str]] = []

    def Redeem(  # noqa: N802 - the contract's name
        self, request: redemption_pb2.RedeemRequest, context: grpc.ServicerContext
    ) -> redemption_pb2.RedeemResponse:
        """Admits all."""
        sent = dict(context.invocation_metadata())
        self.calls.append((request, str(sent["authorization"])))
        return redemption_pb2.RedeemResponse(result=redemption_pb2.REDEMPTION_RESULT_SUCCESS)


def test_the_python_runs_as_it_stands() -> None:
    gate = Gate()  # type: ignore[abstract]
    server = grpc.server(futures.ThreadPoolExecutor(1))
    redemption_service_pb2_grpc.add_RedemptionServiceServicer_to_server(gate, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    names: dict[str, object] = {"qr": "a-qr", "token": "a-token"}
    try:
        exec(block("python").replace("127.0.0.1:50051", f"127.0.0.1:{port}"), names)
    finally:
        server.stop(None)
    ((request, authorization),) = gate.calls
    assert (request.qr_token, request.function_code) == ("a-qr", "ferry")
    assert (authorization, request.request_id) == ("Bearer a-token", names["scan_id"])
    assert names["answer"].result == redemption_pb2.REDEMPTION_RESULT_SUCCESS  # type: ignore[attr-defined]


def test_the_bodies_of_curl_and_grpcurl_are_requests() -> None:
    bodies = re.findall(r"-d '(\{.*?\})' \\", README)
    assert len(bodies) == 2
    for body in bodies:
        read = re.sub(r"'\$\(.*?\)'", "1", body)
        request = json_format.Parse(read, redemption_pb2.RedeemRequest())
        assert request.qr_token
        assert request.request_id == "scan-1"
    assert "deeptravel.redemption.v1.RedemptionService/Redeem" in README
    assert SERVICE.methods_by_name["Redeem"].input_type is redemption_pb2.RedeemRequest.DESCRIPTOR


def test_the_java_is_a_part_of_the_example() -> None:
    """Which was compiled and run with Maven; here there is no network to do so."""
    assert textwrap.indent(block("java"), "    ") in EXAMPLE.read_text()


def test_the_java_example_names_classes_setters_and_methods_of_the_contract() -> None:
    text = EXAMPLE.read_text()
    imported = set(re.findall(r"import com\.deeptravel\.redemption\.v1\.(\w+);", text))
    messages = {
        name: message
        for file in FILES
        if file.GetOptions().java_package == "com.deeptravel.redemption.v1"
        and file.GetOptions().java_multiple_files
        for name, message in file.message_types_by_name.items()
    }
    assert imported - set(messages) == {"RedemptionServiceGrpc"}
    for request in re.findall(r"(\w+)\.newBuilder\(\)", text):
        call = text.split(f"{request}.newBuilder()")[1].split(".build()")[0]
        setters = re.findall(r"\.set(\w+)\(", call)
        fields = {field.camelcase_name for field in messages[request].fields}
        assert setters
        assert {setter[0].lower() + setter[1:] for setter in setters} <= fields, request
    stub = re.findall(r"newBlockingStub\(channel\)\s*(?:\.with.*\s*)?\.(\w+)\(", text)
    assert {name[0].upper() + name[1:] for name in stub} == {"OperatorLogin", "Redeem"}
    assert {"OperatorLogin", "Redeem"} <= set(SERVICE.methods_by_name)


@pytest.mark.parametrize("name", ["README.md", "pom.xml"])
def test_the_java_project_is_there(name: str) -> None:
    assert (ROOT / "clients" / "java" / name).is_file()
