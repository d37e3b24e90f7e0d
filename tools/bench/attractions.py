"""Ctrip's attractions channel beside an ordinary load: how soon VerifyOrder is answered.

    python -m tools.bench.attractions [--seconds 20] [--rate 50] [--redemptions 100]

The real server over its own PostgreSQL and Valkey with demo data; calls of VerifyOrder at an even
rate over HTTP, sealed and signed, while tickets are redeemed at another. To reach: p99 within
300 ms. Exits with 1 if it is not.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import httpx2
from deeptravel.ota.v1 import ota_service_pb2_grpc
from deeptravel.redemption.v1 import access_pb2, redemption_pb2, redemption_service_pb2_grpc

from tests.support.server_process import REAL, ServerProcess
from tools.bench import redemption
from tools.bench.figures import Figures, percentile
from tools.dev.channel_simulator.ttd import CtripTtd

CODE = "BENCH-TTD"
MOST_MS = 300.0
"""Of the slowest percent of verifications."""
ZONE = ZoneInfo("Asia/Hong_Kong")


def connect(server: ServerProcess, ctrip: CtripTtd) -> None:
    """A channel where the demo's package is listed, by the commands."""
    env = {"DEEPTRAVEL_DATA_DIR": str(server.data_dir), "PATH": "/usr/bin:/bin"}

    def run(*words: str, given: str = "") -> None:
        command = [sys.executable, "-m", "server", "channels", *words]
        subprocess.run(command, env=env, input=given, text=True, check=True, capture_output=True)

    by = ["--vendor", "ctrip_ttd", "--currency", "CNY", "--base-url", "http://127.0.0.1:1/ttd/api"]
    run("connect", CODE, *by, "--credentials", "-", given=json.dumps(ctrip.keys))
    product = ["--product", str(redemption.PRODUCT), "--location", "HKG", "--currency", "CNY"]
    run("list-item", CODE, "106", *product, "--days", "30")
    run("pause", CODE)  # nothing is pushed to nobody
    run("resume", CODE)


async def at_rate(rate: int, seconds: float, call: Any) -> list[float]:
    """Calls at an even rate; the seconds that each took from when it was due."""
    latencies: list[float] = []

    async def one(due: float, number: int) -> None:
        await call(number)
        latencies.append(time.perf_counter() - due)

    began, tasks = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        due = began + number / rate
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        tasks.append(asyncio.create_task(one(due, number)))
    await asyncio.gather(*tasks)
    return latencies


async def measure(server: ServerProcess, ctrip: CtripTtd, asked: argparse.Namespace) -> float:
    """The 99th percentile of verifications in ms."""
    figures, credentials = Figures(), server.credentials
    day = (datetime.now(UTC).astimezone(ZONE) + timedelta(days=3)).date().isoformat()
    item = {"PLU": "106", "useStartDate": day, "useEndDate": day, "quantity": 2}
    url = f"{server.url}/ctrip-ttd/{CODE}"
    async with (
        grpc.aio.insecure_channel(server.target) as channel,
        httpx2.AsyncClient(trust_env=False, timeout=30.0) as http,
    ):
        await redemption.allot(channel, credentials)
        key = (("x-api-key", credentials["partner_api_key"]),)
        redemption.BATCH = int(asked.redemptions * asked.seconds) + 100
        stub = ota_service_pb2_grpc.OtaServiceStub(channel)
        tickets = await redemption.make_tickets(stub, key, Figures(), redemption.BATCH)
        gate = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        terminal = credentials["terminal_device_id"]
        login = await gate.OperatorLogin(
            access_pb2.OperatorLoginRequest(**credentials["operator"], terminal_device_id=terminal)
        )
        bearer = (("authorization", f"Bearer {login.access_token}"),)
        tokens = tickets.take(redemption.BATCH)

        async def redeem(number: int) -> None:
            request = redemption_pb2.RedeemRequest(
                qr_token=tokens[number], function_code="ferry", terminal_device_id=terminal
            )
            redemption.admitted(await gate.Redeem(request, metadata=bearer))

        async def verify(_: int) -> None:
            raw = ctrip.signed("VerifyOrder", {"items": [item]})
            answer = (await http.post(url, content=raw)).raise_for_status()
            code, _content = ctrip.opened(answer.content)
            if code != "0000":
                why = json.loads(answer.content)["header"]["resultMessage"]
                raise RuntimeError(f"VerifyOrder was answered with {code}: {why}")

        await at_rate(10, 2.0, verify)
        verified, redeemed = await asyncio.gather(
            at_rate(asked.rate, asked.seconds, verify),
            at_rate(asked.redemptions, asked.seconds, redeem),
        )
    for name, latencies in (("verify", verified), ("redeem", redeemed)):
        for share in (0.5, 0.95, 0.99):
            figures.add(f"{name} p{share * 100:.0f}", percentile(latencies, share) * 1000, "ms")
    return percentile(verified, 0.99) * 1000


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=int, default=50, help="VerifyOrder a second")
    parser.add_argument("--redemptions", type=int, default=100, help="redemptions a second")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ctrip = CtripTtd(Path(folder))
        env = {"DEEPTRAVEL_CTRIP_TTD": "true"}
        with ServerProcess(data_dir=Path(folder) / "server", env=env, command=REAL) as server:
            connect(server, ctrip)
            p99 = asyncio.run(measure(server, ctrip, asked))
    sys.exit(0 if p99 <= MOST_MS else 1)


if __name__ == "__main__":
    main()
