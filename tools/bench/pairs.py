"""Builds side by side: the same load to each in turn, over a PostgreSQL and a world of its own.

    python -m tools.bench.pairs before=../before after=. --only look redeem-seen --rounds 5
    python -m tools.bench.pairs one=. two=.@2 --connections 8

Each build is a checkout with its environment (`make .venv/.installed`), `@2` with two workers; a
connection reaches one worker alone, so several workers need several. The client is in Go
(tools/bench/load), so that it hardly counts; without Go this cannot run, and `make bench` can. CPU
a call is of the processes and their children, from /proc. The first build is what the others are
compared with; `noise` is how far its own rounds lie apart (greatest by least server CPU), below
which a difference says nothing. `server_mib` is the memory of the server's process after the calls:
`--only redeem --rounds 4 --size 50000 --tickets 200000` shows that of 200,000 redemptions.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psutil

HERE = Path(__file__).resolve().parent
READY = re.compile("^ready$", re.MULTILINE)
ECHO_PORT = re.compile(r"^(\d+)$", re.MULTILINE)
PORTS = re.compile(r"gRPC on \S+:(\d+) and HTTP on \S+:(\d+)")
REDEMPTION = "/deeptravel.redemption.v1.RedemptionService/"
TICKETING = "/deeptravel.ticketing.v1.TicketingService/"
CREATE_ORDER = f"{TICKETING}CreateOrder"
BURST_ORDERS = 10_000
SEARCHES_A_SECOND = 200
SHOWN = (
    *("calls_per_second", "server_us", "postgres_us", "client_us"),
    *("p50_ms", "p95_ms", "p99_ms", "server_mib"),
)
STARTS_SECONDS, STOPS_SECONDS = 600, 60


@dataclass(frozen=True)
class Load:
    """What is called, a method of gRPC or a path of HTTP: the file of requests, and whether its
    tickets are looked at before.
    """

    method: str
    requests: str
    server: str = "gates"
    streamed: bool = False
    looked_at: bool = False
    again: bool = False
    """Whether the same requests may be sent again."""
    in_flight: int = 0
    """Calls that wait at once, if that is what the load is about; else as the options say."""
    rate: float = 0
    """Calls a second, likewise."""
    count: int = 0
    """Calls a sample, likewise."""
    refused: str = ""
    """The gRPC status of answers that are no errors here: SOLD_OUT, say."""


LOOK = Load(f"{REDEMPTION}DecryptQr", "look", again=True)
LOADS = {
    "look": LOOK,
    "redeem": Load(f"{REDEMPTION}Redeem", "redeem"),
    "redeem-one": Load(f"{REDEMPTION}Redeem", "redeem", in_flight=1),
    "redeem-1000": Load(f"{REDEMPTION}Redeem", "redeem", rate=1_000),
    "redeem-seen": Load(f"{REDEMPTION}Redeem", "redeem", looked_at=True),
    "scan-json": Load("/venue/scan", "scan-json"),
    "scan-json-seen": Load("/venue/scan", "scan-json", looked_at=True),
    "stream": Load(f"{REDEMPTION}ScanStream", "stream", streamed=True),
    "stream-seen": Load(f"{REDEMPTION}ScanStream", "stream", streamed=True, looked_at=True),
    "order-hot": Load(CREATE_ORDER, "order-hot", server="travellers"),
    "order-hot-256": Load(CREATE_ORDER, "order-hot", server="travellers", in_flight=256),
    "order-spread": Load(CREATE_ORDER, "order-spread", server="travellers"),
    "order-burst": Load(
        CREATE_ORDER,
        "order-burst",
        server="travellers",
        in_flight=BURST_ORDERS,
        count=BURST_ORDERS,
        refused="FailedPrecondition",
    ),
    "search-200": Load(f"{TICKETING}SearchOffers", "search", again=True, rate=SEARCHES_A_SECOND),
    "echo-200": Load(
        f"{REDEMPTION}Redeem", "redeem", server="echo", again=True, rate=SEARCHES_A_SECOND
    ),
    "echo": Load(f"{REDEMPTION}Redeem", "redeem", server="echo", again=True),
}


class Setting(NamedTuple):
    """A process's environment, and what it says when it is ready."""

    environment: dict[str, str]
    ready: re.Pattern[str]


@dataclass
class Server:
    """A running server of a build."""

    pid: int
    grpc_port: int
    http_port: int


@dataclass
class Build:
    """A checkout, its world, and its servers: one for gates, one for travellers."""

    name: str
    checkout: Path
    folder: Path
    workers: int = 1
    postgres: int = 0
    servers: dict[str, Server] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.checkout / ".venv" / "bin" / "python"

    def take(self, requests: str, count: int) -> int:
        """How many requests of a file are used up; `count` more are from now on."""
        # tickets are named by the requests of each of these files
        tickets = "tickets" if requests in ("redeem", "stream", "scan-json") else requests
        used = self.used[tickets]
        self.used[tickets] += count
        return used


@contextmanager
def running(build: Build, options: Any) -> Iterator[None]:
    """Its world and its servers. Raises SystemExit with what they said if they do not start."""
    code = {"PYTHONPATH": f"{build.checkout}:{build.checkout / 'generated'}"}
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DEEPTRAVEL_")} | code
    with ExitStack() as stack:
        world: list[str | Path] = [build.python, HERE / "world.py", build.folder]
        bursts = options.rounds if "order-burst" in (options.only or LOADS) else 0
        world += [str(options.tickets), str(options.orders), str(bursts)]
        _start(stack, world, build, "world", Setting(clean, READY))
        made = json.loads((build.folder / "world.json").read_text())
        build.postgres = made["postgres"]
        for kind in ("gates", "travellers"):
            data = build.folder / f"data-{kind}"
            data.mkdir()
            settings = {
                **made[kind],
                "DEEPTRAVEL_DATA_DIR": str(data),
                "DEEPTRAVEL_GRPC_PORT": "0",
                "DEEPTRAVEL_HTTP_PORT": "0",
                "DEEPTRAVEL_OPERATIONS_GRPC_PORT": "0",
                "DEEPTRAVEL_OPERATIONS_HTTP_PORT": "0",
            }
            serve: list[str | Path] = [build.python, "-m", "server", "serve"]
            serve += ["--workers", str(build.workers)] if build.workers > 1 else []
            pid, said = _start(stack, serve, build, kind, Setting(clean | settings, PORTS))
            build.servers[kind] = Server(pid, int(said[1]), int(said[2]))
        # of this checkout, and by grpc.aio, whatever the build: the yardstick
        echo: list[str | Path] = [sys.executable, "-m", "tools.bench.echo_server"]
        ours = Build("echo", HERE.parents[1], build.folder)
        pid, said = _start(stack, echo, ours, "echo", Setting({**os.environ}, ECHO_PORT))
        build.servers["echo"] = Server(pid, int(said[1]), 0)
        yield


def _start(
    stack: ExitStack, command: Sequence[str | Path], build: Build, name: str, setting: Setting
) -> tuple[int, re.Match[str]]:
    """Starts a process that ends with the stack; its id, and what it says when it is ready."""
    said = build.folder / f"{name}.out"
    with said.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=build.checkout,
            env=setting.environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    stack.callback(_stop, process)
    end = time.monotonic() + STARTS_SECONDS
    while not (found := setting.ready.search(said.read_text())):
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"{build.name}: {name} did not start:\n{said.read_text()[-4000:]}")
        time.sleep(0.1)
    return process.pid, found


def _stop(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin
    process.stdin.close()  # which ends the world
    process.terminate()
    process.wait(STOPS_SECONDS)


def measure(client: Path, build: Build, load: Load, options: Any) -> dict[str, Any]:
    """One sample of one build."""
    skip = 0 if load.again else build.take(load.requests, load.count or options.size)
    if load.looked_at:
        _send(client, build, LOOK, skip, options)
    return _send(client, build, load, skip, options)


def _send(client: Path, build: Build, load: Load, skip: int, options: Any) -> dict[str, Any]:
    server = build.servers[load.server]
    over_http = not load.method.startswith("/deeptravel.")
    given = {
        "address": f"127.0.0.1:{server.http_port if over_http else server.grpc_port}",
        "path" if over_http else "method": load.method,
        "file": build.folder / f"{load.requests}.requests",
        "skip": skip,
        "count": load.count or options.size,
        "connections": options.connections,
        "in-flight": load.in_flight or options.in_flight,
        "rate": load.rate or options.rate,
        "stream": str(load.streamed).lower(),
        "server": server.pid,
        "postgres": "" if load.server == "echo" else build.postgres,
    }
    result = run_client(client, given)
    process = psutil.Process(server.pid)
    of_all = [process, *process.children(recursive=True)]
    result["server_mib"] = sum(each.memory_info().rss for each in of_all) / 2**20
    result["refused"] = result["codes"].get(load.refused, 0)
    if result["errors"] > result["refused"]:
        print(f"{build.name}: {result['errors']} errors: {result.get('first_error')}")
    return result


def build_client(folder: Path) -> Path:
    """The client in a folder. Raises SystemExit where Go is not installed."""
    go = shutil.which("go")
    if go is None:
        sys.exit("the client is built with Go, which is not installed; `make bench` needs none")
    client = folder / "load"
    subprocess.run([go, "build", "-o", client, "."], cwd=HERE / "load", check=True)
    return client


def run_client(client: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """What it measured with these options. Raises SystemExit with what it said if it failed."""
    command: list[str | Path] = [client, *(f"-{name}={value}" for name, value in options.items())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def compare(client: Path, builds: Sequence[Build], options: Any) -> None:
    """Every load to every build, in turn and in turned order; prints the medians."""
    print(f"{'':<32}" + "".join(f"{name:>18}" for name in SHOWN))
    for name in options.only or LOADS:
        samples: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for number in range(options.rounds):
            for build in builds[:: -1 if number % 2 else 1]:
                samples[build.name].append(measure(client, build, LOADS[name], options))
        medians = {
            build.name: {
                figure: statistics.median(sample[figure] for sample in samples[build.name])
                for figure in SHOWN
            }
            for build in builds
        }
        first = builds[0].name
        of_first = [sample["server_us"] for sample in samples[first]]
        for build in builds:
            median = medians[build.name]
            figures = "".join(f"{median[figure]:>18,.1f}" for figure in SHOWN)
            ratio = medians[first]["server_us"] / median["server_us"]
            rate = median["calls_per_second"] / medians[first]["calls_per_second"]
            said = f"{first} ÷ this: {ratio:.2f}; calls/s, this ÷ {first}: {rate:.2f}"
            if build is builds[0]:
                said = f"noise: {max(of_first) / min(of_first):.2f}"
            mib = [round(sample["server_mib"]) for sample in samples[build.name]]
            said += f"; memory {mib[0]} → {mib[-1]} MiB"
            if LOADS[name].refused:
                said += f"; refused: {[sample['refused'] for sample in samples[build.name]]}"
            print(f"{name:<16}{build.name:<16}{figures}  {said}", flush=True)


def main() -> None:
    """Builds the client, starts every build, measures, stops everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("builds", nargs="+", metavar="NAME=CHECKOUT", help="what is compared")
    parser.add_argument("--only", nargs="+", choices=LOADS, help="these loads alone")
    parser.add_argument("--rounds", type=int, default=5, help="samples of each figure")
    parser.add_argument("--size", type=int, default=2_000, help="calls a sample")
    parser.add_argument("--connections", type=int, default=1, help="that calls are spread over")
    parser.add_argument("--in-flight", type=int, default=64, help="calls that wait at once")
    parser.add_argument("--rate", type=float, default=0, help="calls a second, not as answers come")
    parser.add_argument("--tickets", type=int, default=100_000, help="of the world")
    parser.add_argument("--orders", type=int, default=30_000, help="to be, of each kind")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        client = build_client(Path(folder))
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user where we are root
        builds = []
        for given in options.builds:
            name, _, place = given.rpartition("=")
            checkout, _, workers = place.partition("@")
            data = Path(folder) / (name or "build")
            data.mkdir()
            path = Path(checkout).resolve()
            builds.append(Build(name or "build", path, data, int(workers or 1)))
            stack.enter_context(running(builds[-1], options))
        compare(client, builds, options)


if __name__ == "__main__":
    main()
