"""Redemption, measured beside a bare echo of the same message sizes."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import psutil
import uvloop
from deeptravel.admin.v1 import account_pb2, admin_service_pb2_grpc, allotment_pb2
from deeptravel.ota.v1 import ota_service_pb2, ota_service_pb2_grpc
from deeptravel.redemption.v1 import access_pb2, redemption_pb2, redemption_service_pb2_grpc

from tests.support.server_process import ServerProcess
from tools.bench.figures import Call, Figures, Ratio, open_loop, percentile, unary
from tools.bench.metering import Meter
from tools.dev.embedded.services import EmbeddedServices

ROOT = Path(__file__).resolve().parents[2]
IN_FLIGHT = (1, 64, 256)
STREAM_WINDOW = 256
OPEN_LOOP_RATE = 1_000
BATCH = 50_000
PRODUCT = 106
FARE_MINOR = 29_800
"""Of an adult in the demo data, in fen."""

ECHO, OWN_ECHO = "grpc.aio echo", "own transport's echo"
"""The yardsticks: Redeem that answers at once, by grpc.aio, which is what a gRPC server in Python
costs without us, and by the product's transport.
"""
RATIOS = {
    f"unary, never seen ÷ {ECHO}, 64 in flight": Ratio(
        "redeem unary, never seen, 64 in flight", f"{ECHO} unary, 64 in flight", ">=", 0.70
    ),
    f"unary, looked at ÷ {ECHO}, 64 in flight": Ratio(
        "redeem unary, looked at, 64 in flight", f"{ECHO} unary, 64 in flight", ">=", 0.90
    ),
    f"streamed, looked at ÷ {ECHO}": Ratio(
        "redeem streamed, looked at", f"{ECHO} streamed", ">=", 0.80
    ),
}
CPU_RATIOS = {
    f"{ECHO} ÷ {OWN_ECHO}, server CPU": Ratio(
        f"{ECHO} unary, 64 in flight", f"{OWN_ECHO} unary, 64 in flight", ">=", 3.5
    ),
    "DecryptQr ÷ redeem looked at, server CPU": Ratio(
        "DecryptQr unary, 64 in flight", "redeem unary, looked at, 64 in flight", "<=", 0.7
    ),
}
"""Of what a call costs the server."""
TARGETS = {
    "open loop p99": ("<=", 10),
    "open loop errors": ("<=", 0),
    "server memory after": ("<=", 200),
}


class Tickets:
    """Tokens of ACTIVE tickets, each given out once."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = iter(tokens)

    def take(self, count: int) -> list[str]:
        """The next `count` tokens."""
        taken = [token for _, token in zip(range(count), self._tokens, strict=False)]
        if len(taken) < count:
            raise RuntimeError("the benchmark made too few tickets")
        return taken


@dataclass
class Gate:
    """A terminal's connection to the product, and to the echoes by name, each with its meter."""

    redeem: "redemption_service_pb2_grpc.RedemptionServiceAsyncStub"
    meter: Meter
    echoes: Mapping[str, tuple["redemption_service_pb2_grpc.RedemptionServiceAsyncStub", Meter]]
    metadata: tuple[tuple[str, str], ...]
    terminal: str

    def scan(self, token: str, function_code: str) -> redemption_pb2.RedeemRequest:
        """A scan as a terminal sends it."""
        return redemption_pb2.RedeemRequest(
            qr_token=token,
            function_code=function_code,
            terminal_device_id=self.terminal,
            request_id=f"{function_code}-{token[3:35]}",
        )

    def redeeming(self, stub: Any) -> Call:
        """Redeem at one of them, every scan admitted."""

        async def redeem(request: Any) -> None:
            admitted(await stub.Redeem(request, metadata=self.metadata))

        return redeem


async def streamed(open_stream: Callable[[], Any], scans: Sequence[Any]) -> float:
    """Scans a second over one stream with STREAM_WINDOW in flight."""
    requests = [
        redemption_pb2.ScanStreamRequest(scan_id=str(number), scan=scan)
        for number, scan in enumerate(scans)
    ]
    room = asyncio.Semaphore(STREAM_WINDOW)
    stream = open_stream()

    async def send() -> None:
        for request in requests:
            await room.acquire()
            await stream.write(request)
        await stream.done_writing()

    began = time.perf_counter()
    sending = asyncio.create_task(send())
    answered = 0
    while (response := await stream.read()) is not grpc.aio.EOF:
        for answer in response.answers:
            admitted(answer.answer)
            answered += 1
            room.release()
    await sending
    if answered != len(requests):
        raise RuntimeError(f"{answered} answers to {len(requests)} scans")
    return answered / (time.perf_counter() - began)


def admitted(answer: Any) -> None:
    """Raises RuntimeError unless the scan was admitted: a benchmark of refusals is worth
    nothing.
    """
    if isinstance(answer, redemption_pb2.RedeemResponse) and answer.result != 1:
        raise RuntimeError(f"not admitted: {answer}")


async def compare(gate: Gate, tickets: Tickets, figures: Figures, *, size: int) -> None:
    """One round: echo, redeem never seen and looked at, in turn, unary at every level and
    streamed.
    """
    redeem = gate.redeeming(gate.redeem)

    def look(request: Any) -> Any:
        return gate.redeem.DecryptQr(
            redemption_pb2.DecryptQrRequest(encrypted_data=request.qr_token), metadata=gate.metadata
        )

    async def sample(name: str, call: Call, scans: Sequence[Any], level: int, meter: Meter) -> None:
        at = f"{name}, {level} in flight"
        with meter.of(figures, at, len(scans)):
            rate = await unary(call, scans, level)
        figures.add(at, rate, "calls/s")

    for level in IN_FLIGHT:
        count = size if level > 1 else size // 4
        never = [gate.scan(token, "ferry") for token in tickets.take(count)]
        seen = [gate.scan(token, "ferry") for token in tickets.take(count)]
        for name, (stub, meter) in gate.echoes.items():
            await sample(f"{name} unary", gate.redeeming(stub), never, level, meter)
        await sample("redeem unary, never seen", redeem, never, level, gate.meter)
        await sample("DecryptQr unary", look, seen, level, gate.meter)
        await sample("redeem unary, looked at", redeem, seen, level, gate.meter)

    async def stream(name: str, stub: Any, scans: Sequence[Any], meter: Meter) -> None:
        with meter.of(figures, name, len(scans)):
            rate = await streamed(lambda: stub.ScanStream(metadata=gate.metadata), scans)
        figures.add(name, rate, "scans/s")

    never = [gate.scan(token, "ferry") for token in tickets.take(size)]
    seen = [gate.scan(token, "ferry") for token in tickets.take(size)]
    for name, (stub, meter) in gate.echoes.items():
        await stream(f"{name} streamed", stub, never, meter)
    await stream("redeem streamed, never seen", gate.redeem, never, gate.meter)
    await unary(look, seen, 64)
    await stream("redeem streamed, looked at", gate.redeem, seen, gate.meter)


async def make_tickets(
    ota: Any, key: tuple[tuple[str, str], ...], figures: Figures, count: int
) -> Tickets:
    """Generates ACTIVE tickets in batches of BATCH, which is a figure of its own, and reads
    their tokens.
    """
    tokens: list[str] = []
    for number in range(-(-count // BATCH)):
        quantity = min(BATCH, count - number * BATCH)
        request = ota_service_pb2.BulkGenerateTicketsRequest(
            product_id=PRODUCT, quantity=quantity, request_id=f"bench-{number}"
        )
        request.activation.customer.name = "Bench"
        request.activation.payment.reference = f"bench-{number}"
        request.activation.payment.amount_minor = quantity * FARE_MINOR
        request.activation.payment.currency_code = "CNY"
        began = time.perf_counter()
        batch = await ota.BulkGenerateTickets(request, metadata=key)
        figures.add("batch generation", quantity / (time.perf_counter() - began), "tickets/s")
        stream = ota.StreamBatchTickets(
            ota_service_pb2.StreamBatchTicketsRequest(batch_id=batch.batch_id, with_qr=True),
            metadata=key,
        )
        tokens += [ticket.encrypted_data async for ticket in stream]
    return Tickets(tokens)


class EchoProcess(NamedTuple):
    """A running yardstick."""

    pid: int
    target: str


async def run(
    server: ServerProcess,
    echoes: Mapping[str, EchoProcess],
    figures: Figures,
    options: Any,
    postgres: int,
) -> None:
    """All of it, against running servers."""
    credentials = server.credentials
    stub = redemption_service_pb2_grpc.RedemptionServiceStub
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.target))
        bare = {
            name: (
                stub(await stack.enter_async_context(grpc.aio.insecure_channel(echo.target))),
                Meter(echo.pid, 0),
            )
            for name, echo in echoes.items()
        }
        await allot(channel, credentials)
        ota = ota_service_pb2_grpc.OtaServiceStub(channel)
        key = (("x-api-key", credentials["partner_api_key"]),)
        rounds, size, seconds = options.rounds, options.size, options.seconds
        cells = rounds * size * (2 * 3 + 2 * 2) + size * 2
        needed = cells + OPEN_LOOP_RATE * seconds + options.memory
        tickets = await make_tickets(ota, key, figures, needed)
        login = await stub(channel).OperatorLogin(
            access_pb2.OperatorLoginRequest(
                username=credentials["operator"]["username"],
                password=credentials["operator"]["password"],
                terminal_device_id=credentials["terminal_device_id"],
            )
        )
        gate = Gate(
            stub(channel),
            Meter(server.process.pid, postgres),
            bare,
            (("authorization", f"Bearer {login.access_token}"),),
            credentials["terminal_device_id"],
        )
        print("warm-up", flush=True)
        warm = [gate.scan(token, "ferry") for token in tickets.take(size)]
        await unary(gate.redeeming(gate.redeem), warm, 64)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", flush=True)
            await compare(gate, tickets, figures, size=size)
        await steady(gate, tickets, figures, seconds)
        await memory(server, gate, tickets, figures, options.memory)


async def allot(channel: grpc.aio.Channel, credentials: dict[str, Any]) -> None:
    """Gives the demo partner enough stock for the run."""
    admin = admin_service_pb2_grpc.AdminServiceStub(channel)
    login = await admin.AdminLogin(account_pb2.AdminLoginRequest(**credentials["admin"]))
    request = allotment_pb2.UpdateAllotmentRequest(
        product_id=PRODUCT, channel="CP", total=100_000_000, request_id="bench"
    )
    request.update_mask.paths.append("total")
    await admin.UpdateAllotment(
        request, metadata=(("authorization", f"Bearer {login.access_token}"),)
    )


async def steady(gate: Gate, tickets: Tickets, figures: Figures, seconds: int) -> None:
    """OPEN_LOOP_RATE redemptions a second, never seen, for `seconds`."""
    scans = [gate.scan(token, "ferry") for token in tickets.take(OPEN_LOOP_RATE * seconds)]
    print(f"open loop, {OPEN_LOOP_RATE} redemptions/s for {seconds} s", flush=True)
    latencies, errors = await open_loop(gate.redeeming(gate.redeem), scans, OPEN_LOOP_RATE)
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)):
        figures.add(f"open loop {name}", percentile(latencies, share), "ms")
    figures.add("open loop errors", errors, "calls")


async def memory(
    server: ServerProcess, gate: Gate, tickets: Tickets, figures: Figures, count: int
) -> None:
    """The server's resident memory before, in the middle of and after `count` redemptions."""
    process = psutil.Process(server.process.pid)
    figures.add("server memory before", process.memory_info().rss / 2**20, "MiB")
    for part in ("half-way", "after"):
        scans = [gate.scan(token, "ferry") for token in tickets.take(count // 2)]
        await streamed(lambda: gate.redeem.ScanStream(metadata=gate.metadata), scans)
        figures.add(f"server memory {part}", process.memory_info().rss / 2**20, "MiB")


@contextlib.contextmanager
def echo_server(environment: dict[str, str], *arguments: str) -> Iterator[EchoProcess]:
    """A yardstick that runs meanwhile."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.bench.echo_server", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout
        yield EchoProcess(process.pid, f"127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.terminate()
        process.wait()


def measure(services: EmbeddedServices, figures: Figures, options: Any) -> None:
    """Starts a server with demo data and the echoes, and measures them."""
    environment = {
        "DEEPTRAVEL_DATABASE_URL": services.database_url,
        "DEEPTRAVEL_REDIS_URL": services.redis_url,
        "DEEPTRAVEL_MAX_CALLS_PER_ADDRESS": "0",  # all callers have one
        "DEEPTRAVEL_SECRET_KEY": b64encode(os.urandom(32)).decode(),
        "DEEPTRAVEL_DEMO_DATA": "true",
        "DEEPTRAVEL_ACCESS_TOKEN_SECONDS": "36000",
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        ServerProcess(data_dir=Path(folder), env=environment) as server,
        echo_server(environment) as bare,
        echo_server(environment, "--transport", "core") as own,
        echo_server(environment, "--transport", "core", "--interceptors") as intercepted,
    ):
        echoes = {ECHO: bare, OWN_ECHO: own, f"{OWN_ECHO} with the interceptor": intercepted}
        uvloop.run(run(server, echoes, figures, options, options.postgres))
