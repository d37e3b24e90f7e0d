"""`make bench`: what the product does a second, measured beside a bare echo, in one run on one machine.

Everything is included: client, server, PostgreSQL with fsync on. Prints a table and writes build/bench.json; with
`--readme` the table in README.md too. Figures of one kind are measured in turn, `--rounds` times, and the median is
told: shared machines are noisy, so the ratios are what counts.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
import uvloop
from deeptravel.admin.v1 import account_pb2, admin_service_pb2_grpc, allotment_pb2
from deeptravel.ota.v1 import ota_service_pb2, ota_service_pb2_grpc
from deeptravel.redemption.v1 import access_pb2, redemption_pb2, redemption_service_pb2_grpc

from server.embedded.services import EmbeddedServices
from tests.support.server_process import ServerProcess

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "build" / "bench.json"
README = ROOT / "README.md"
MARKS = "<!-- bench -->", "<!-- /bench -->"

IN_FLIGHT = (1, 16, 64, 256)
STREAM_WINDOW = 256
OPEN_LOOP_RATE = 1_000
BATCH = 50_000
PRODUCT = 106
MEMORY_REDEMPTIONS = 200_000
TARGETS = {
    "unary never seen / echo, 64 in flight": 0.50,
    "unary looked at / echo, 64 in flight": 0.65,
    "streamed never seen / echo": 0.35,
    "streamed looked at / echo": 0.60,
}

Call = Callable[[Any], Awaitable[Any]]


@dataclass
class Figures:
    """What was measured: samples by name, each with its unit."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: float, unit: str) -> None:
        """Adds a sample and says so."""
        self.samples.setdefault(name, []).append(value)
        self.units[name] = unit
        print(f"  {name:<52} {value:>10,.2f} {unit}", flush=True)

    def median(self, name: str) -> float:
        """The median of a figure."""
        return statistics.median(self.samples[name])


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
    """A terminal's connection to the product, and the same calls to the two echoes."""

    redeem: "redemption_service_pb2_grpc.RedemptionServiceAsyncStub"
    bare: "redemption_service_pb2_grpc.RedemptionServiceAsyncStub"
    intercepted: "redemption_service_pb2_grpc.RedemptionServiceAsyncStub"
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


async def unary(call: Call, requests: Sequence[Any], in_flight: int) -> float:
    """Calls a second with `in_flight` callers, each waiting for its answer."""
    queue = iter(requests)

    async def caller() -> None:
        for request in queue:
            admitted(await call(request))

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return len(requests) / (time.perf_counter() - began)


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
    """Raises RuntimeError unless the scan was admitted: a benchmark of refusals is worth nothing."""
    if isinstance(answer, redemption_pb2.RedeemResponse) and answer.result != 1:
        raise RuntimeError(f"not admitted: {answer}")


async def open_loop(call: Call, requests: Sequence[Any], rate: int) -> tuple[list[float], int]:
    """Milliseconds from when each call was due, at `rate` a second whether or not answers come; and errors."""
    latencies: list[float] = []
    errors = 0
    start = time.perf_counter() + 0.2

    async def one(due: float, request: Any) -> None:
        nonlocal errors
        try:
            admitted(await call(request))
        except (grpc.aio.AioRpcError, RuntimeError):
            errors += 1
        latencies.append((time.perf_counter() - due) * 1000)

    calls = set()
    for number, request in enumerate(requests):
        due = start + number / rate
        delay = due - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        calls.add(asyncio.create_task(one(due, request)))
    await asyncio.gather(*calls)
    return latencies, errors


async def compare(gate: Gate, tickets: Tickets, figures: Figures, *, size: int) -> None:
    """One round: echo, redeem never seen and looked at, in turn, unary at every level and streamed."""
    bare, intercepted = (
        lambda request, stub=stub: stub.Redeem(request, metadata=gate.metadata)
        for stub in (gate.bare, gate.intercepted)
    )

    def redeem(request: Any) -> Any:
        return gate.redeem.Redeem(request, metadata=gate.metadata)

    def look(request: Any) -> Any:
        return gate.redeem.DecryptQr(
            redemption_pb2.DecryptQrRequest(encrypted_data=request.qr_token), metadata=gate.metadata
        )

    for level in IN_FLIGHT:
        count = size if level > 1 else size // 4
        never = [gate.scan(token, "ferry") for token in tickets.take(count)]
        seen = [gate.scan(token, "ferry") for token in tickets.take(count)]
        at = f", {level} in flight"
        figures.add(f"bare echo unary{at}", await unary(bare, never, level), "calls/s")
        figures.add(
            f"echo with interceptors unary{at}", await unary(intercepted, never, level), "calls/s"
        )
        figures.add(f"redeem unary, never seen{at}", await unary(redeem, never, level), "calls/s")
        figures.add(f"DecryptQr unary{at}", await unary(look, seen, level), "calls/s")
        figures.add(f"redeem unary, looked at{at}", await unary(redeem, seen, level), "calls/s")

    def stream(stub: Any) -> Callable[[], Any]:
        return lambda: stub.ScanStream(metadata=gate.metadata)

    never = [gate.scan(token, "ferry") for token in tickets.take(size)]
    seen = [gate.scan(token, "ferry") for token in tickets.take(size)]
    figures.add("bare echo streamed", await streamed(stream(gate.bare), never), "scans/s")
    figures.add(
        "echo with interceptors streamed",
        await streamed(stream(gate.intercepted), never),
        "scans/s",
    )
    figures.add(
        "redeem streamed, never seen", await streamed(stream(gate.redeem), never), "scans/s"
    )
    await unary(look, seen, 64)
    figures.add("redeem streamed, looked at", await streamed(stream(gate.redeem), seen), "scans/s")


async def make_tickets(
    ota: Any, key: tuple[tuple[str, str], ...], figures: Figures, count: int
) -> Tickets:
    """Generates ACTIVE tickets in batches of BATCH, which is a figure of its own, and reads their tokens."""
    tokens: list[str] = []
    for number in range(-(-count // BATCH)):
        request = ota_service_pb2.BulkGenerateTicketsRequest(
            product_id=PRODUCT, quantity=BATCH, request_id=f"bench-{number}"
        )
        request.activation.customer.name = "Bench"
        request.activation.payment.reference = f"bench-{number}"
        request.activation.payment.currency_code = "HKD"
        began = time.perf_counter()
        batch = await ota.BulkGenerateTickets(request, metadata=key)
        figures.add("batch generation", BATCH / (time.perf_counter() - began), "tickets/s")
        stream = ota.StreamBatchTickets(
            ota_service_pb2.StreamBatchTicketsRequest(batch_id=batch.batch_id, with_qr=True),
            metadata=key,
        )
        tokens += [ticket.encrypted_data async for ticket in stream]
    return Tickets(tokens)


async def run(server: ServerProcess, bare_port: int, echo_port: int, options: Any) -> Figures:
    """The whole benchmark against running servers."""
    figures = Figures()
    credentials = server.credentials
    address = f"127.0.0.1:{server.grpc_port}"
    async with (
        grpc.aio.insecure_channel(address) as channel,
        grpc.aio.insecure_channel(f"127.0.0.1:{bare_port}") as bare,
        grpc.aio.insecure_channel(f"127.0.0.1:{echo_port}") as echo,
    ):
        await allot(channel, credentials)
        ota = ota_service_pb2_grpc.OtaServiceStub(channel)
        key = (("x-api-key", credentials["partner_api_key"]),)
        rounds, size, seconds = options.rounds, options.size, options.seconds
        cells = rounds * size * (2 * 3 + 2 * 2) + size * 2
        needed = cells + OPEN_LOOP_RATE * seconds + options.memory
        tickets = await make_tickets(ota, key, figures, needed)
        stub = redemption_service_pb2_grpc.RedemptionServiceStub
        login = await stub(channel).OperatorLogin(
            access_pb2.OperatorLoginRequest(
                username=credentials["operator"]["username"],
                password=credentials["operator"]["password"],
                terminal_device_id=credentials["terminal_device_id"],
            )
        )
        gate = Gate(
            stub(channel),
            stub(bare),
            stub(echo),
            (("authorization", f"Bearer {login.access_token}"),),
            credentials["terminal_device_id"],
        )
        print("warm-up", flush=True)
        warm = [gate.scan(token, "ferry") for token in tickets.take(size)]
        await unary(lambda r: gate.redeem.Redeem(r, metadata=gate.metadata), warm, 64)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", flush=True)
            await compare(gate, tickets, figures, size=size)
        await steady(gate, tickets, figures, seconds)
        await memory(server, gate, tickets, figures, options.memory)
    return figures


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
    latencies, errors = await open_loop(
        lambda r: gate.redeem.Redeem(r, metadata=gate.metadata), scans, OPEN_LOOP_RATE
    )
    latencies.sort()
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)):
        figures.add(f"open loop {name}", latencies[int(len(latencies) * share)], "ms")
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


def report(figures: Figures, options: Any) -> dict[str, Any]:
    """The medians, the ratios and the machine, as written to build/bench.json."""
    medians = {name: round(figures.median(name), 2) for name in figures.samples}
    at = ", 64 in flight"
    ratios = {
        "unary never seen / echo, 64 in flight": (
            "redeem unary, never seen" + at,
            "bare echo unary" + at,
        ),
        "unary looked at / echo, 64 in flight": (
            "redeem unary, looked at" + at,
            "bare echo unary" + at,
        ),
        "streamed never seen / echo": ("redeem streamed, never seen", "bare echo streamed"),
        "streamed looked at / echo": ("redeem streamed, looked at", "bare echo streamed"),
    }
    return {
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "options": vars(options) | {"readme": None},
        "medians": {name: [value, figures.units[name]] for name, value in medians.items()},
        "ratios": {name: round(medians[a] / medians[b], 2) for name, (a, b) in ratios.items()},
        "samples": figures.samples,
    }


def table(result: dict[str, Any]) -> str:
    """The report as a Markdown table."""
    lines = ["| ratio | measured | to reach |", "|---|---|---|"]
    lines += [
        f"| {name} | {value:.2f} | {TARGETS[name]:.2f} |"
        for name, value in result["ratios"].items()
    ]
    lines += ["", "| figure | median | |", "|---|---:|---|"]
    lines += [
        f"| {name} | {value:,.2f} | {unit} |" for name, (value, unit) in result["medians"].items()
    ]
    options = result["options"]
    lines += [
        "",
        f"{result['machine']}; medians of {options['rounds']} rounds; client, server and database together.",
    ]
    return "\n".join(lines)


@contextlib.contextmanager
def echo_server(environment: dict[str, str], *arguments: str) -> Iterator[int]:
    """A running yardstick; gives its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.bench_echo", *arguments],
        cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Starts everything, measures, reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="how often each figure is measured")
    parser.add_argument("--size", type=int, default=1_500, help="calls a sample")
    parser.add_argument("--seconds", type=int, default=30, help="length of the open loop")
    parser.add_argument(
        "--memory", type=int, default=MEMORY_REDEMPTIONS, help="redemptions of the memory test"
    )
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        services = EmbeddedServices.start(Path(folder) / "services")
        try:
            environment = {
                "DEEPTRAVEL_DATABASE_URL": services.database_url,
                "DEEPTRAVEL_REDIS_URL": services.redis_url,
                "DEEPTRAVEL_SECRET_KEY": b64encode(os.urandom(32)).decode(),
                "DEEPTRAVEL_DEMO_DATA": "true",
                "DEEPTRAVEL_ACCESS_TOKEN_SECONDS": "36000",
            }
            with (
                ServerProcess(data_dir=Path(folder) / "server", env=environment) as server,
                echo_server(environment) as bare_port,
                echo_server(environment, "--interceptors") as echo_port,
            ):
                figures = uvloop.run(run(server, bare_port, echo_port, options))
        finally:
            services.stop()
    result = report(figures, options)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2))
    print("\n" + table(result) + f"\n\nwritten to {RESULT.relative_to(ROOT)}")
    if options.readme:
        text = README.read_text()
        begin, end = MARKS
        fresh = f"{begin}\n{table(result)}\n{end}"
        README.write_text(re.sub(f"{begin}.*{end}", lambda _: fresh, text, flags=re.DOTALL))


if __name__ == "__main__":
    main()
