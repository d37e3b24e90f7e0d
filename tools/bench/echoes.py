"""The bare echo on our transport beside that of grpc.aio, with a client that hardly counts.

    python -m tools.bench.echoes --rounds 5

Both are called in turn. What is called is `tools/bench/echo_server.py`: requests and answers of a
redemption's size, Redeem as a plain function on our transport. The client is in Go, as of
`tools.bench.pairs`.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from deeptravel.redemption.v1 import redemption_pb2

from tools.bench.pairs import REDEMPTION, build_client, run_client
from tools.bench.world import write

ROOT = Path(__file__).resolve().parents[2]
TRANSPORTS = ("aio", "core")
TOKEN_CHARACTERS = 203
SHOWN = ("calls_per_second", "server_us", "client_us", "p50_ms", "p99_ms")


@contextmanager
def echo_server(transport: str) -> Iterator[tuple[int, int]]:
    """An echo in a process of its own; its process id and port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.bench.echo_server", "--transport", transport],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout
        yield process.pid, int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def prepare(folder: Path, count: int) -> dict[str, Path]:
    """Files of requests, by the method that takes them."""
    scans = [
        redemption_pb2.RedeemRequest(
            qr_token="A" * TOKEN_CHARACTERS,
            function_code="ferry",
            terminal_device_id="TERMINAL-01",
            request_id=f"ferry-{number:032}",
        )
        for number in range(count)
    ]
    streamed = [redemption_pb2.ScanStreamRequest(scan_id="1", scan=scan) for scan in scans]
    files = {"Redeem": folder / "redeem", "ScanStream": folder / "stream"}
    write(files["Redeem"], (("Bearer x", scan.SerializeToString()) for scan in scans))
    write(files["ScanStream"], (("Bearer x", each.SerializeToString()) for each in streamed))
    return files


def main() -> None:
    """Builds the client, starts both, measures, stops them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="samples of each figure")
    parser.add_argument("--size", type=int, default=5_000, help="calls a sample")
    parser.add_argument("--in-flight", type=int, default=64, help="calls that wait at once")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        client = build_client(Path(folder))
        files = prepare(Path(folder), options.size)
        servers = {each: stack.enter_context(echo_server(each)) for each in TRANSPORTS}
        print(f"{'':<18}" + "".join(f"{name:>18}" for name in SHOWN))
        for method, file in files.items():
            samples: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for number in range(options.rounds + 1):  # the first is not counted
                for transport in TRANSPORTS[:: -1 if number % 2 else 1]:
                    pid, port = servers[transport]
                    given = {
                        "address": f"127.0.0.1:{port}",
                        "method": f"{REDEMPTION}{method}",
                        "file": file,
                        "count": options.size,
                        "in-flight": options.in_flight,
                        "stream": str(method == "ScanStream").lower(),
                        "server": pid,
                    }
                    samples[transport] += [run_client(client, given)][: number and 1]
            show(method, samples)


def show(method: str, samples: dict[str, list[dict[str, Any]]]) -> None:
    """Prints the medians, and what ours is of grpc.aio's."""
    medians = {
        transport: {name: statistics.median(each[name] for each in taken) for name in SHOWN}
        for transport, taken in samples.items()
    }
    for transport, median in medians.items():
        figures = "".join(f"{median[name]:>18,.1f}" for name in SHOWN)
        print(f"{method:<12}{transport:<6}{figures}", flush=True)
    aio, ours = (medians[each] for each in TRANSPORTS)
    rate = ours["calls_per_second"] / aio["calls_per_second"]
    cpu = aio["server_us"] / ours["server_us"]
    print(f"{method:<18}core ÷ aio: {rate:.2f} calls/s; aio ÷ core: {cpu:.2f} server CPU")


if __name__ == "__main__":
    main()
