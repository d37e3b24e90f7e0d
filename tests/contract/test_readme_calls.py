"""The calls that README shows are calls of the contract."""

import os
import re
import subprocess
import sys
import textwrap
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from deeptravel.ota.v1 import ota_service_pb2, ota_service_pb2_grpc
from deeptravel.redemption.v1 import redemption_pb2, redemption_service_pb2
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


class Ota(ota_service_pb2_grpc.OtaServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.activated: list[tuple[ota_service_pb2.ActivateTicketRequest, str]] = []

    def BulkGenerateTickets(  # noqa: N802 - the contract's name
        self, request: ota_service_pb2.BulkGenerateTicketsRequest, context: grpc.ServicerContext
    ) -> ota_service_pb2.BulkGenerateTicketsResponse:
        """A batch of one."""
        ticket = ota_service_pb2.GeneratedTicket(ticket_code=f"T-{request.product_id}")
        return ota_service_pb2.BulkGenerateTicketsResponse(tickets=[ticket])

    def ActivateTicket(  # noqa: N802 - the contract's name
        self, request: ota_service_pb2.ActivateTicketRequest, context: grpc.ServicerContext
    ) -> ota_service_pb2.ActivateTicketResponse:
        """Whatever is paid."""
        sent = dict(context.invocation_metadata())
        self.activated.append((request, str(sent["x-api-key"])))
        return ota_service_pb2.ActivateTicketResponse()


def test_the_python_runs_as_it_stands() -> None:
    """In a process of its own, where `deeptravel` is the client's package."""
    ota = Ota()  # type: ignore[abstract]
    server = grpc.server(futures.ThreadPoolExecutor(1))
    ota_service_pb2_grpc.add_OtaServiceServicer_to_server(ota, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    program = 'key = "a-key"\n' + block("python").replace("127.0.0.1:50051", f"127.0.0.1:{port}")
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONPATH": str(ROOT / "clients" / "python")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        server.stop(None)
    assert (done.returncode, done.stderr) == (0, "")
    ((request, key),) = ota.activated
    assert (request.ticket_code, request.customer.name, key) == ("T-106", "张三", "a-key")
    assert request.request_id


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
    """Which tests/clients compiles and runs with Maven."""
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
    methods = set(re.findall(r"RedemptionServiceGrpc\.get(\w+)Method\(", text))
    assert methods == {"Redeem"} & set(SERVICE.methods_by_name)


@pytest.mark.parametrize("name", ["README.md", "pom.xml"])
def test_the_java_project_is_there(name: str) -> None:
    assert (ROOT / "clients" / "java" / name).is_file()
