"""The server as a person starts and stops it: a process, its ports, its signals, its complaints."""

import asyncio
import base64
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx2
import psutil
import psycopg
import pytest
from deeptravel.redemption.v1 import (
    access_pb2,
    redemption_pb2,
    redemption_service_pb2_grpc,
)
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from sqlalchemy import make_url

from tests.support import runs
from tests.support.data_folders import copied
from tests.support.server_process import REAL, NotServingError, ServerProcess, run_command
from tests.support.waiting import WAIT_SECONDS

SERVICES = {
    "deeptravel.admin.v1.AdminService",
    "deeptravel.ota.v1.OtaService",
    "deeptravel.redemption.v1.RedemptionService",
    "deeptravel.ticketing.v1.TicketingService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
}
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
AT_ONCE_SECONDS = 15
"""On a busy machine; calls that are waited for take longer."""
LONG_TIMEOUTS = {"DEEPTRAVEL_LOCK_TIMEOUT_MS": "60000", "DEEPTRAVEL_STATEMENT_TIMEOUT_MS": "60000"}
"""A call that waits for a lock waits until the server ends."""


@pytest.fixture
def env(demo: tuple[str, Path], demo_url: str, redis_url: str, data_dir: Path) -> dict[str, str]:
    """Settings for a server over the tests' PostgreSQL and Valkey, with demo data, whose
    credentials are in its folder.
    """
    data_dir.mkdir()
    shutil.copy2(demo[1], data_dir)
    return {
        "DEEPTRAVEL_DATABASE_URL": demo_url,
        "DEEPTRAVEL_REDIS_URL": redis_url,
        "DEEPTRAVEL_SECRET_KEY": base64.b64encode(bytes(range(32))).decode(),
        "DEEPTRAVEL_DEMO_DATA": "true",
        "DEEPTRAVEL_DRAIN_SECONDS": "15",
        "DEEPTRAVEL_LOCK_TIMEOUT_MS": "30000",  # calls wait for what a test has locked
    }


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@contextlib.contextmanager
def locked(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """While it lasts, opening a validator session waits; recognising callers only reads."""
    plain = make_url(database_url).set(drivername="postgresql")
    with psycopg.connect(plain.render_as_string(hide_password=False)) as connection:
        connection.execute("LOCK TABLE validator_sessions IN SHARE MODE")
        yield connection


def wait_for_waiters(connection: psycopg.Connection[Any], count: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        waiting = connection.execute(
            "SELECT pid, mode FROM pg_locks"
            " WHERE NOT granted AND relation = 'validator_sessions'::regclass"
        ).fetchall()
        if len(waiting) == count:
            return
        assert time.monotonic() < deadline, f"of {count} calls there wait: {waiting}"
        time.sleep(0.02)


def open_session(server: ServerProcess) -> Any:
    return access_pb2.OpenValidatorSessionRequest(
        terminal_device_id=server.credentials["terminal_device_id"]
    )


def code_of(call: Any) -> str:
    try:
        call.result()
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def run_serve(
    data_dir: Path, env: Mapping[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """The command, which is expected to end by itself."""
    ports = {"DEEPTRAVEL_GRPC_PORT": "0", "DEEPTRAVEL_HTTP_PORT": "0"}
    return run_command(
        "serve", *arguments, env={**ports, "DEEPTRAVEL_DATA_DIR": str(data_dir), **env}
    )


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """What a failed start said: a sentence, no traceback, and nothing on standard output."""
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    return line


# -------------------------------------------------------------------------------------------
# serving


def is_described(channel: grpc.Channel, symbol: str) -> bool:
    """Whether reflection knows it, as `grpcurl describe` asks."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    (answer,) = stub.ServerReflectionInfo(iter([request]))
    return bool(answer.HasField("file_descriptor_response"))


def test_serves_health_reflection_and_pages(data_dir: Path, env: dict[str, str]) -> None:
    with ServerProcess(data_dir=data_dir, env=env) as server:
        with grpc.insecure_channel(server.target) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            for name in ("", *SERVICES):
                answer = health.Check(health_pb2.HealthCheckRequest(service=name))
                assert answer.status == SERVING, name
            database = ProtoReflectionDescriptorDatabase(channel)
            assert set(database.get_services()) == SERVICES
            for name in SERVICES:
                service = DescriptorPool(database).FindServiceByName(name)
                assert is_described(channel, name)
                for method in service.methods:
                    assert is_described(channel, f"{name}.{method.name}")
            assert not is_described(channel, "deeptravel.ota.v1.OtaService.NoSuchMethod")
        with httpx2.Client(base_url=server.url) as http:
            assert http.get("/healthz").json() == {"status": "SERVING", "degraded": []}
            assert http.get("/metrics").status_code == 404
            assert "/venue/scan" in http.get("/openapi.json").json()["paths"]
    assert server.process.returncode == 0


def http2_frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content


def http2_header(name: bytes, value: bytes) -> bytes:
    """A literal without indexing."""
    return b"".join([b"\0", bytes([len(name)]), name, bytes([len(value)]), value])


def test_metadata_that_is_no_text_fills_no_log(data_dir: Path, env: dict[str, str]) -> None:
    """Clients of gRPC send none, so the call is made of frames. Seen red: two tracebacks of
    grpcio's for each call.
    """
    headers = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/grpc.health.v1.Health/Check"),
        (b":authority", b"localhost"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        (b"x-request-id", b"\x80\x81"),
    ]
    with ServerProcess(data_dir=data_dir, env=env) as server:
        with socket.create_connection(("127.0.0.1", server.grpc_port), timeout=10) as connection:
            connection.sendall(
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                + http2_frame(4, 0, 0, b"")
                + http2_frame(1, 4, 1, b"".join(http2_header(*each) for each in headers))
                + http2_frame(0, 1, 1, bytes(5))
            )
            heard = b""
            while b"grpc-status" not in heard:
                more = connection.recv(4096)
                assert more, heard
                heard += more
        assert "Traceback" not in server.log
        assert "Invalid encoding" not in server.log


def test_second_start_keeps_data_and_credentials(begun_folder: Path, data_dir: Path) -> None:
    """Embedded; also that a second server over the same folder is refused, and a killed one is
    taken over.
    """
    credentials = json.loads((begun_folder / "demo-credentials.json").read_text())
    with ServerProcess(data_dir=copied(begun_folder, data_dir)) as server:
        assert server.credentials == credentials
        secret_key = (data_dir / "secret.key").read_bytes()
        for secret in ("secret.key", "demo-credentials.json"):
            assert stat.S_IMODE((data_dir / secret).stat().st_mode) == 0o600
        assert "is in use by another server" in complaint(run_serve(data_dir, {}))
        metadata = server.metadata()
        with grpc.insecure_channel(server.target) as channel:
            stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
            code = stub.OpenValidatorSession(open_session(server), metadata=metadata).session_code
        server.kill()
    with ServerProcess(data_dir=data_dir) as server:
        assert server.credentials == credentials
        assert (data_dir / "secret.key").read_bytes() == secret_key
        with grpc.insecure_channel(server.target) as channel:
            stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
            again = stub.OpenValidatorSession(open_session(server), metadata=metadata)
            assert again.session_code == code
    assert server.process.returncode == 0


GRPCURL = f"""\
#!/bin/sh
exec {sys.executable} -m tests.support.grpcurl "$@"
"""


def test_printed_commands_work_as_printed(
    data_dir: Path, env: dict[str, str], tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "grpcurl").write_text(GRPCURL)
    (tools / "grpcurl").chmod(0o755)
    with ServerProcess(data_dir=data_dir, env=env) as server:
        wait_until(lambda: "Ctrl-C stops the server." in server.output)
        _, curl, grpcurl = server.output.split("To paste: ")
        for printed in (curl, grpcurl):
            done = subprocess.run(
                ["bash", "-e"],
                input=printed.partition("\n")[2].replace("Ctrl-C stops the server.\n", ""),
                env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
                cwd=root,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert (done.returncode, done.stderr) == (0, "")
            results = re.findall(r'"(?:result|reason)": *"(\w+)"', done.stdout)
            assert [each.upper().rpartition("_")[2] for each in results] == [
                "SUCCESS",
                "SUCCESS",
                "REJECT",
                "REDEEMED",  # ALREADY_
            ]
            assert done.stdout.count("OTA-CP-") >= 5


# ------------------------------------------------------------------------------------------
# stopping


def test_calls_in_flight_finish_and_new_ones_are_refused(
    data_dir: Path, env: dict[str, str], demo_url: str
) -> None:
    with (
        ServerProcess(data_dir=data_dir, env=env) as server,
        grpc.insecure_channel(server.target) as channel,
        httpx2.Client(base_url=server.url, timeout=30) as http,
        ThreadPoolExecutor(1) as pool,
    ):
        operator, supervisor = server.metadata(), server.metadata("supervisor")
        stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        for caller in (operator, supervisor):  # known before the lock, which would keep them out
            stub.ListRedemptions(redemption_pb2.ListRedemptionsRequest(), metadata=caller)
        leave = threading.Event()
        silence: Any = iter(leave.wait, True)  # nothing, until it is set
        scans = stub.ScanStream(silence, metadata=operator)
        with locked(demo_url) as lock:
            in_flight = stub.OpenValidatorSession.future(open_session(server), metadata=operator)
            body = {"terminal_device_id": server.credentials["terminal_device_id"]}
            waiting = pool.submit(
                http.post, "/validators/sessions", json=body, headers=dict(supervisor)
            )
            wait_for_waiters(lock, 2)
            server.process.send_signal(signal.SIGTERM)
            assert next(watch).status == NOT_SERVING
            late = stub.OpenValidatorSession.future(open_session(server), metadata=supervisor)
            assert code_of(late) == "UNAVAILABLE"
            assert dict(late.trailing_metadata())["x-request-id"]
            wait_until(lambda: not is_open(server.http_port))
            lock.rollback()
        assert code_of(in_flight) == "OK"
        assert waiting.result(30).status_code == 200
        with pytest.raises(grpc.RpcError):
            next(scans)
        assert scans.code() is grpc.StatusCode.UNAVAILABLE
        leave.set()
        assert server.process.wait(20) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stop_under_load(data_dir: Path, env: dict[str, str], number: signal.Signals) -> None:
    """Every call that the server began is answered; those that come too late are refused as
    UNAVAILABLE.
    """
    codes: Counter[str] = Counter()
    busy = asyncio.Event()
    with ServerProcess(data_dir=data_dir, env=env) as server:
        metadata = server.metadata()
        request = redemption_pb2.ListRedemptionsRequest()

        async def call_until_refused(channel: grpc.aio.Channel) -> None:
            stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
            while True:
                try:
                    await stub.ListRedemptions(request, metadata=metadata)
                except grpc.aio.AioRpcError as error:
                    codes[error.code().name] += 1
                    return
                codes["OK"] += 1
                if codes["OK"] > 200:
                    busy.set()

        channels = [
            grpc.aio.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)])
            for _ in range(8)
        ]
        callers = [asyncio.create_task(call_until_refused(channels[i % 8])) for i in range(64)]
        await busy.wait()
        server.process.send_signal(number)
        await asyncio.gather(*callers)
        for channel in channels:
            await channel.close()
        assert await asyncio.to_thread(server.process.wait, 30) == 0
        logged = Counter(
            line["code"]
            for line in server.log_lines
            if line["event"] == "call" and line["method"].endswith("/ListRedemptions")
        )
    assert codes == {"OK": codes["OK"], "UNAVAILABLE": 64}
    assert logged["OK"] == codes["OK"]
    assert set(logged) <= {"OK", "UNAVAILABLE"}
    (stopped,) = [line for line in server.log_lines if line["event"] == "server.stopped"]
    assert stopped["calls_cut_off"] is False


def test_second_interrupt_stops_at_once(data_dir: Path, env: dict[str, str], demo_url: str) -> None:
    with (
        ServerProcess(data_dir=data_dir, env=env | LONG_TIMEOUTS) as server,
        grpc.insecure_channel(server.target) as channel,
        locked(demo_url) as lock,
    ):
        stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        call = stub.OpenValidatorSession.future(open_session(server), metadata=server.metadata())
        wait_for_waiters(lock, 1)
        server.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(1)
        began = time.monotonic()
        assert server.signal(signal.SIGINT) == 130
        assert time.monotonic() - began < AT_ONCE_SECONDS
        assert code_of(call) != "OK"


def test_drain_time_is_bounded(data_dir: Path, env: dict[str, str], demo_url: str) -> None:
    env |= LONG_TIMEOUTS | {"DEEPTRAVEL_DRAIN_SECONDS": "1"}
    with (
        ServerProcess(data_dir=data_dir, env=env) as server,
        grpc.insecure_channel(server.target) as channel,
        locked(demo_url) as lock,
    ):
        stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        call = stub.OpenValidatorSession.future(open_session(server), metadata=server.metadata())
        wait_for_waiters(lock, 1)
        began = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - began < AT_ONCE_SECONDS
        assert code_of(call) != "OK"


# -----------------------------------------------------------------------------------------
# complaints


def test_all_wrong_settings_are_listed_at_once(data_dir: Path) -> None:
    done = run_serve(
        data_dir,
        {
            "DEEPTRAVEL_GRPC_PORT": "seventy",
            "DEEPTRAVEL_TIME_ZONE": "Mars/Olympus",
            "DEEPTRAVEL_DATABASE_URL": "mysql://localhost",
        },
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert {line.split()[0] for line in lines} == {
        "DEEPTRAVEL_GRPC_PORT",
        "DEEPTRAVEL_TIME_ZONE",
        "DEEPTRAVEL_DATABASE_URL",
    }


@pytest.mark.parametrize(("name", "arguments"), [("GRPC", ()), ("HTTP", ("--workers", "2"))])
def test_busy_port(
    data_dir: Path, env: dict[str, str], name: str, arguments: tuple[str, ...]
) -> None:
    """Also when the other listener would share the port."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        env[f"DEEPTRAVEL_{name}_PORT"] = str(port)
        done = run_serve(data_dir, env, *arguments)
    assert done.returncode == 3
    assert complaint(done) == (
        f"port {port} is taken: stop the other server or set DEEPTRAVEL_{name}_PORT"
    )


def test_wrong_url(data_dir: Path, env: dict[str, str]) -> None:
    """In one sentence that names the variable and hides the password."""
    nowhere = "postgresql://somebody:hidden-word@127.0.0.1:1/tickets"
    done = run_serve(data_dir, {**env, "DEEPTRAVEL_DATABASE_URL": nowhere})
    assert done.returncode == 3
    assert "correct DEEPTRAVEL_DATABASE_URL" in complaint(done)
    assert "hidden-word" not in done.stderr


def test_secret_key_is_required(data_dir: Path, env: dict[str, str]) -> None:
    without = {name: text for name, text in env.items() if name != "DEEPTRAVEL_SECRET_KEY"}
    done = run_serve(data_dir, without)
    assert done.returncode == 2
    assert complaint(done).startswith("DEEPTRAVEL_SECRET_KEY is not set")


def test_schema_of_a_newer_release(data_dir: Path, env: dict[str, str], demo_url: str) -> None:
    plain = make_url(demo_url).set(drivername="postgresql")
    with psycopg.connect(plain.render_as_string(hide_password=False)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    done = run_serve(data_dir, env)
    assert done.returncode == 3
    assert "migrated by a newer release" in complaint(done)


def test_unwritable_data_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run_serve(tmp_path / "file" / "data", {})
    assert done.returncode == 3
    assert "DEEPTRAVEL_DATA_DIR" in complaint(done)


# ------------------------------------------------------------------------------------ several
# workers


def workers_of(server: ServerProcess) -> list[psutil.Process]:
    children = psutil.Process(server.process.pid).children()
    return [each for each in children if "server.cli.worker" in each.cmdline()]


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def call_once(server: ServerProcess, metadata: Any) -> str:
    with grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        return code_of(
            stub.ListRedemptions.future(redemption_pb2.ListRedemptionsRequest(), metadata=metadata)
        )


def wait_until(condition: Any, seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_killed_worker_is_replaced_while_others_serve(
    data_dir: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--workers` of a run of tests holds for a server that names no number, and its crash lets no
    worker end gently.

    Seen red with a `kill` of the parent alone: the workers say that they are stopped.
    """
    monkeypatch.setattr(runs, "workers", 2)
    with ServerProcess(data_dir=data_dir, env=env) as server:
        metadata = server.metadata()
        first, second = workers_of(server)
        first.kill()
        wait_until(lambda: not first.is_running())
        assert [call_once(server, metadata) for _ in range(8)] == ["OK"] * 8
        wait_until(lambda: len(workers_of(server)) == 2)
        wait_until(lambda: server.log.count('"worker.started"') == 3)
        assert second.is_running()
        (died,) = [line for line in server.log_lines if line["event"] == "worker.died"]
        assert died["exit_code"] == -signal.SIGKILL
        assert [call_once(server, metadata) for _ in range(8)] == ["OK"] * 8
        figures = httpx2.get(f"{server.operations_url}/metrics").text
        assert "deeptravel_calls_in_flight 0.0" in figures
        processes = server.processes
        assert len(processes) == 1 + 2
        assert server.kill() == -signal.SIGKILL
        assert not any(each.is_running() for each in processes)
    assert '"worker.orphaned"' not in server.log
    assert '"server.stopped"' not in server.log


def test_workers_end_with_their_parent(data_dir: Path, env: dict[str, str]) -> None:
    with ServerProcess("--workers", "2", data_dir=data_dir, env=env) as server:
        workers = workers_of(server)
        server.process.kill()
        gone, alive = psutil.wait_procs(workers, timeout=WAIT_SECONDS)
    assert (len(gone), alive) == (2, [])


def test_worker_that_cannot_start_ends_the_server(
    data_dir: Path, env: dict[str, str], tmp_path: Path
) -> None:
    saboteur = "import sys\nif sys.orig_argv[-1] == 'server.cli.worker': sys.exit('I am broken')\n"
    (tmp_path / "sitecustomize.py").write_text(saboteur)
    with (
        pytest.raises(NotServingError, match=r"(?s)exit code 3.*a worker could not start"),
        ServerProcess(
            "--workers",
            "2",
            data_dir=data_dir,
            env={**env, "PYTHONPATH": str(tmp_path)},
            command=REAL,
        ),
    ):
        pass
