"""The main job against a server, step by step, as a partner and a gate would do it: `deeptravel
demo`.

A caller of the API like any other: it has the generated code and the demo credentials, and asks
nothing else of the server.
"""

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc
from deeptravel.ota.v1 import ota_service_pb2, ota_service_pb2_grpc
from deeptravel.redemption.v1 import access_pb2, redemption_pb2, redemption_service_pb2_grpc
from deeptravel.tickets.v1 import ticket_pb2
from rich.console import Console
from rich.text import Text

from server.cli import development
from server.platform.errors import StartError
from server.tickets import picture

CALL_SECONDS = 15.0
SERVING = re.compile(r"gRPC on (\S+) and HTTP on")
PRODUCT_ID = 106


class StepError(Exception):
    """A step did not hold; the text says what came instead."""


@dataclass(frozen=True)
class Server:
    """Where to call, and as whom."""

    target: str
    credentials: dict[str, Any]
    root_certificates: bytes | None = None

    @classmethod
    def of(cls, target: str, credentials: Path, tls_ca: Path | None) -> Self:
        """By the files. Raises StartError if one cannot be read."""
        try:
            return cls(
                target,
                json.loads(credentials.read_text()),
                tls_ca.read_bytes() if tls_ca else None,
            )
        except (OSError, ValueError) as error:
            raise StartError(
                f"{target} answers, but its demo credentials cannot be read ({error}): load the demo data there"
                " (`deeptravel demo-data`) and name its file with --credentials"
            ) from error


def run(server: Server) -> None:
    """The whole job, told on standard output. Raises StepError, and StartError if the server does
    not answer.
    """
    with _channel(server) as channel:
        demo = _Demo(channel, server.credentials)
        try:
            demo.run()
        except grpc.RpcError as error:
            call: Any = error
            raise StepError(f"{call.code().name}: {call.details()}") from error


@contextlib.contextmanager
def own_server() -> Iterator[Server]:
    """A server on free ports over a new, temporary data folder. Raises StartError."""
    with tempfile.TemporaryDirectory(prefix="deeptravel-demo-") as folder:
        process = subprocess.Popen(
            [*development.tied_to_us(), sys.executable, "-m", "server", "serve"],
            env=_own_settings(Path(folder)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            assert process.stdout
            found = SERVING.search(process.stdout.readline())
            if not found:
                raise StartError("the demo's own server did not start; see what it said above")
            credentials = json.loads((Path(folder) / "demo-credentials.json").read_text())
            yield Server(found[1], credentials)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()


def _own_settings(folder: Path) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("DEEPTRAVEL_")}
    return kept | {
        "DEEPTRAVEL_DATA_DIR": str(folder),
        "DEEPTRAVEL_GRPC_PORT": "0",
        "DEEPTRAVEL_HTTP_PORT": "0",
        "DEEPTRAVEL_LOG_LEVEL": "ERROR",
    }


def _channel(server: Server) -> grpc.Channel:
    if server.root_certificates is None:
        return grpc.insecure_channel(server.target)
    credentials = grpc.ssl_channel_credentials(server.root_certificates)
    return grpc.secure_channel(server.target, credentials)


class _Demo:
    def __init__(self, channel: grpc.Channel, credentials: dict[str, Any]) -> None:
        self._credentials = credentials
        self._ota: Any = ota_service_pb2_grpc.OtaServiceStub(channel)
        self._redemption: Any = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        self._console = Console(highlight=False)
        self._step = 0
        self._as_partner = (("x-api-key", credentials["partner_api_key"]),)
        self._as_operator: tuple[tuple[str, str], ...] = ()

    def run(self) -> None:
        ticket_code = self._make_batch()
        token = self._issue_qr(ticket_code)
        self._refuse_before_activation(token)
        self._activate(ticket_code)
        self._look(token, ticket_code)
        self._redeem(token, "ferry", "PARTIALLY_REDEEMED")
        self._redeem(token, "gift", "USED")
        self._refuse_double_scan(token)
        self._console.print(Text("\nEvery step held.", "bold green"))

    def _make_batch(self) -> str:
        self._begin("The partner makes a batch of 3 tickets of product 106 Premium 尊享套票")
        batch = self._ota.BulkGenerateTickets(
            ota_service_pb2.BulkGenerateTicketsRequest(
                product_id=PRODUCT_ID, quantity=3, request_id=_new_id(), distributor_id="demo"
            ),
            metadata=self._as_partner,
            timeout=CALL_SECONDS,
        )
        self._expect(len(batch.tickets) == 3, f"{len(batch.tickets)} tickets")
        for ticket in batch.tickets:
            self._tell(f"{ticket.ticket_code}  {_state(ticket.status)}")
        return str(batch.tickets[0].ticket_code)

    def _issue_qr(self, ticket_code: str) -> str:
        self._begin(f"The partner prints the QR code of {ticket_code}")
        issued = self._ota.IssueQr(
            ota_service_pb2.IssueQrRequest(ticket_code=ticket_code),
            metadata=self._as_partner,
            timeout=CALL_SECONDS,
        )
        drawn = picture.to_terminal(picture.draw(issued.encrypted_data))
        self._console.print(Text.from_ansi(drawn), soft_wrap=True)
        self._tell(issued.encrypted_data)
        return str(issued.encrypted_data)

    def _refuse_before_activation(self, token: str) -> None:
        operator = self._credentials["operator"]
        device = self._credentials["terminal_device_id"]
        self._begin(f"The operator logs in at {device} and scans it before it is sold")
        tokens = self._redemption.OperatorLogin(
            access_pb2.OperatorLoginRequest(
                username=operator["username"],
                password=operator["password"],
                terminal_device_id=device,
            ),
            timeout=CALL_SECONDS,
        )
        self._as_operator = (("authorization", f"Bearer {tokens.access_token}"),)
        self._refused(self._scan(token, "ferry"), "TICKET_NOT_ACTIVE")

    def _activate(self, ticket_code: str) -> None:
        self._begin("The partner sells it: customer and proof of payment activate it")
        sold = self._ota.ActivateTicket(
            ota_service_pb2.ActivateTicketRequest(
                ticket_code=ticket_code,
                request_id=_new_id(),
                customer=ticket_pb2.CustomerInfo(name="张三", type=ticket_pb2.CUSTOMER_TYPE_ADULT),
                payment=ticket_pb2.PaymentProof(
                    reference=_new_id(), amount_minor=29_800, currency_code="CNY"
                ),
            ),
            metadata=self._as_partner,
            timeout=CALL_SECONDS,
        )
        self._expect(_state(sold.status) == "ACTIVE", _state(sold.status))
        self._tell(f"{sold.ticket_code}  {_state(sold.status)}  order {sold.order_id}")

    def _look(self, token: str, ticket_code: str) -> None:
        self._begin("The operator looks at the QR code, which consumes nothing")
        look = self._redemption.DecryptQr(
            redemption_pb2.DecryptQrRequest(encrypted_data=token),
            metadata=self._as_operator,
            timeout=CALL_SECONDS,
        )
        info = look.ticket_info
        uses = {each.function_code: each.remaining_uses for each in info.entitlements}
        self._expect(look.ticket_code == ticket_code, look.ticket_code)
        self._expect(uses == {"ferry": 1, "gift": 1}, str(uses))
        self._tell(f"{look.ticket_code}  {_state(info.status)}  {info.customer_info.name}  {uses}")

    def _redeem(self, token: str, function_code: str, state: str) -> None:
        self._begin(f"The operator redeems {function_code}")
        answer = self._scan(token, function_code)
        result = redemption_pb2.RedemptionResult.Name(answer.result)
        self._expect(result.endswith("SUCCESS"), f"{result}: {answer.explanation.en}")
        self._expect(_state(answer.ticket_status) == state, _state(answer.ticket_status))
        uses = {each.function_code: each.remaining_uses for each in answer.entitlements}
        self._tell(f"admitted  {state}  {uses}")

    def _refuse_double_scan(self, token: str) -> None:
        self._begin("Somebody shows the same QR code for the ferry once more")
        answer = self._scan(token, "ferry")
        self._refused(answer, "ALREADY_REDEEMED")
        earlier = answer.earlier
        self._tell(
            f"redeemed {earlier.redeemed_at.ToJsonString()} at {earlier.terminal_device_id},"
            f" {earlier.venue_code}"
        )
        self._expect(_state(answer.ticket_status) == "USED", _state(answer.ticket_status))

    def _scan(self, token: str, function_code: str) -> Any:
        request = redemption_pb2.RedeemRequest(
            qr_token=token, function_code=function_code, request_id=_new_id()
        )
        return self._redemption.Redeem(request, metadata=self._as_operator, timeout=CALL_SECONDS)

    def _refused(self, answer: Any, reason: str) -> None:
        got = redemption_pb2.RefusalReason.Name(answer.reason).removeprefix("REFUSAL_REASON_")
        self._expect(got == reason, f"{got}: {answer.explanation.en}")
        self._console.print(Text(f"   refused: {got}", "bold red"))
        self._tell(answer.explanation.en)
        self._tell(answer.explanation.zh)

    def _begin(self, what: str) -> None:
        self._step += 1
        self._console.print()
        self._console.print(Text(f"{self._step}. {what}", "bold cyan"))

    def _tell(self, text: str) -> None:
        self._console.print(Text(f"   {text}"), soft_wrap=True)

    def _expect(self, holds: bool, found: str) -> None:
        if not holds:
            raise StepError(f"step {self._step} did not hold: {found}")


def _state(number: Any) -> str:
    return str(ticket_pb2.TicketState.Name(number)).removeprefix("TICKET_STATE_")


def _new_id() -> str:
    return secrets.token_hex(8)
