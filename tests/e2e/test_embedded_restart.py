"""What runs embedded and dies is started again with its data, and health says what is away
meanwhile.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import psutil
import pytest
from deeptravel.redemption.v1 import access_pb2, redemption_service_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.data_folders import copied
from tests.support.server_process import ServerProcess
from tools.dev.embedded.services import EmbeddedServices

SECONDS = 60
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
GATE = "deeptravel.redemption.v1.RedemptionService"


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def service(server: ServerProcess, name: str) -> psutil.Process:
    """The embedded service's process, a child of the server that the test started."""
    children = psutil.Process(server.process.pid).children()
    (found,) = [each for each in children if each.name().startswith(name)]
    return found


def simulator(server: ServerProcess) -> psutil.Process:
    """The WeChat simulator's process."""
    children = psutil.Process(server.process.pid).children()
    (found,) = [each for each in children if "tools.dev.wechat_simulator" in each.cmdline()]
    return found


def logs_in(server: ServerProcess) -> bool:
    """Whether WeChat says who a traveller is."""
    login = {"code": "anybody"}
    answer = httpx2.post(f"{server.url}/travellers/login", json=login, timeout=SECONDS)
    assert answer.status_code in {200, 503}, answer.text
    return answer.status_code == 200


def health_of(server: ServerProcess) -> tuple[int, dict[str, Any]]:
    answer = httpx2.get(f"{server.url}/healthz", timeout=SECONDS)
    return answer.status_code, answer.json()


@contextlib.contextmanager
def watched(channel: grpc.Channel, name: str) -> Iterator[Iterator[int]]:
    """The states of a service as gRPC health tells them."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=3 * SECONDS)
    yield (answer.status for answer in watch)
    watch.cancel()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_embedded_services_that_die_come_back_with_their_data(
    begun_folder: Path, tmp_path: Path, workers: str
) -> None:
    """And so does the WeChat simulator. Seen red: all stayed dead, and health said SERVING."""
    folder = copied(begun_folder, tmp_path / "data")
    with (
        ServerProcess("--workers", workers, data_dir=folder) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        metadata = server.metadata()
        stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        opening = access_pb2.OpenValidatorSessionRequest(
            terminal_device_id=server.credentials["terminal_device_id"]
        )
        code = stub.OpenValidatorSession(opening, metadata=metadata).session_code
        postgres, valkey = service(server, "postgres"), service(server, "valkey")
        with watched(channel, GATE) as ours, watched(channel, "") as whole:
            states = [next(ours), next(whole)]
            postgres.kill()
            states += [next(ours), next(whole), next(ours), next(whole)]
        assert states == [SERVING, SERVING, NOT_SERVING, NOT_SERVING, SERVING, SERVING]
        until(lambda: health_of(server) == (200, {"status": "SERVING", "degraded": []}))
        # as a client does it: again while the server says that it is not available
        again = repeated(lambda: stub.OpenValidatorSession(opening, metadata=metadata))
        assert again.session_code == code
        assert service(server, "postgres").pid != postgres.pid

        valkey.kill()
        until(lambda: '"embedded.restarted"' in server.log and valkey_is_back(server, valkey))
        assert health_of(server)[0] == 200
        restarted = [each for each in server.log_lines if each["event"] == "embedded.restarted"]
        assert {each["service"] for each in restarted} == {"PostgreSQL", "Valkey"}

        assert logs_in(server)
        simulator(server).kill()
        until(lambda: '"service":"WeChat simulator","seconds"' in server.log and logs_in(server))
        processes = [service(server, "postgres"), service(server, "valkey"), simulator(server)]
    assert server.process.returncode == 0
    assert not any(each.is_running() for each in processes)


def repeated(call: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            # repeated, not expected
            assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017
            assert time.monotonic() < deadline
        time.sleep(0.1)


def valkey_is_back(server: ServerProcess, former: psutil.Process) -> bool:
    try:
        return service(server, "valkey").pid != former.pid and server.log.count("restarted") >= 2
    except (ValueError, psutil.NoSuchProcess):  # it is just ending
        return False


def test_health_says_what_is_away_when_services_are_elsewhere(
    begun_folder: Path, tmp_path: Path
) -> None:
    """Of a server that is one process, and of one with two workers."""
    services = EmbeddedServices.start(copied(begun_folder, tmp_path / "services"), durable=False)
    running = {child.name: psutil.Process(child.process.pid) for child in services.children}
    env = {
        "DEEPTRAVEL_DATABASE_URL": services.database_url,
        "DEEPTRAVEL_REDIS_URL": services.redis_url,
        "DEEPTRAVEL_SECRET_KEY": (tmp_path / "services" / "secret.key").read_text().strip(),
    }
    with contextlib.ExitStack() as stack:
        stack.callback(services.stop)
        servers = [
            stack.enter_context(
                ServerProcess("--workers", str(n), data_dir=tmp_path / str(n), env=env)
            )
            for n in (1, 2)
        ]
        channels = [stack.enter_context(grpc.insecure_channel(each.target)) for each in servers]

        def are(status: int, health: dict[str, Any]) -> bool:
            return all(health_of(each) == (status, health) for each in servers)

        def say(expected: int, *names: str) -> bool:
            return all(
                health_status(channel, name) == expected for channel in channels for name in names
            )

        with frozen(running["Valkey"]):
            until(lambda: are(200, {"status": "SERVING", "degraded": ["redis"]}))
            until(lambda: say(SERVING, "", GATE))
        with frozen(running["PostgreSQL"]):
            until(lambda: are(503, {"status": "NOT_SERVING", "degraded": ["database"]}))
            until(lambda: say(NOT_SERVING, "", GATE))
            assert say(SERVING, "grpc.health.v1.Health")
        until(lambda: all(are(200, {"status": "SERVING", "degraded": []}) for _ in range(4)))
        until(lambda: say(SERVING, "", GATE))
        with frozen(running["PostgreSQL"]):
            until(lambda: are(503, {"status": "NOT_SERVING", "degraded": ["database"]}))
            for workers, server in enumerate(servers, 1):
                assert server.terminate() == 0  # nobody waits for what does not answer
                assert "worker.killed" not in server.log
                assert server.log.count('"server.stopped"') == workers


def health_status(channel: grpc.Channel, name: str) -> int:
    health: Any = health_pb2_grpc.HealthStub(channel)
    return int(health.Check(health_pb2.HealthCheckRequest(service=name), timeout=SECONDS).status)


@contextlib.contextmanager
def frozen(process: psutil.Process) -> Iterator[None]:
    """Stands still with all its children, as the machine it runs on would."""
    family = [process, *process.children(recursive=True)]
    try:
        for each in family:
            each.suspend()
        yield
    finally:
        for each in family:
            each.resume()
