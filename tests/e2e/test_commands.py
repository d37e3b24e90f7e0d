"""The commands beside `serve`: demo, demo-data, keys, doctor, migrate, create-administrator,
version, help.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import grpc
import pytest
from deeptravel.admin.v1 import account_pb2, admin_service_pb2_grpc
from deeptravel.ota.v1 import ota_service_pb2, ota_service_pb2_grpc
from deeptravel.redemption.v1 import redemption_pb2, redemption_service_pb2_grpc

from server.operations.data_folder import DEMO_CREDENTIALS_FILE
from tests.support.data_folders import copied
from tests.support.server_process import ServerProcess, run_command
from tests.support.waiting import WAIT_SECONDS

PASSWORD = "a long enough password"


def run(
    *arguments: str, env: Mapping[str, str] | None = None, text: str = "", real: bool = False
) -> subprocess.CompletedProcess[str]:
    return run_command(*arguments, env={"COLUMNS": "150", **(env or {})}, text=text, real=real)


def at(server: ServerProcess) -> dict[str, str]:
    """Settings of a command on the same machine as the server."""
    return {
        "DEEPTRAVEL_DATA_DIR": str(server.data_dir),
        "DEEPTRAVEL_GRPC_PORT": str(server.grpc_port),
        "DEEPTRAVEL_HTTP_PORT": str(server.http_port),
    }


def one_qr(server: ServerProcess, ticket_code: str = "") -> tuple[str, str]:
    """A ticket's code and a QR of it."""
    metadata = server.metadata("partner")
    with grpc.insecure_channel(server.target) as channel:
        stub = ota_service_pb2_grpc.OtaServiceStub(channel)
        if not ticket_code:
            batch = stub.BulkGenerateTickets(
                ota_service_pb2.BulkGenerateTicketsRequest(
                    product_id=106, quantity=1, request_id=os.urandom(8).hex()
                ),
                metadata=metadata,
            )
            ticket_code = batch.tickets[0].ticket_code
        issued = stub.IssueQr(
            ota_service_pb2.IssueQrRequest(ticket_code=ticket_code), metadata=metadata
        )
    return ticket_code, issued.encrypted_data


def look(server: ServerProcess, token: str) -> str:
    """Why the QR is no good, as the server says."""
    with grpc.insecure_channel(server.target) as channel:
        stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        answer = stub.DecryptQr(
            redemption_pb2.DecryptQrRequest(encrypted_data=token), metadata=server.metadata()
        )
    return str(redemption_pb2.RefusalReason.Name(answer.reason).removeprefix("REFUSAL_REASON_"))


def test_demo_against_a_running_server(served: ServerProcess) -> None:
    done = run("demo", env=at(served))
    assert (done.returncode, done.stderr) == (0, "")
    assert "ALREADY_REDEEMED" in done.stdout
    assert "Every step held." in done.stdout
    assert done.stdout.count("█") > 500  # the QR
    done = run(
        "demo",
        "--target",
        served.target,
        "--credentials",
        str(served.data_dir / DEMO_CREDENTIALS_FILE),
        env={"DEEPTRAVEL_DATA_DIR": str(served.data_dir / "elsewhere")},
    )
    assert done.returncode == 0


def test_demo_starts_a_server_if_none_runs(tmp_path: Path) -> None:
    env = {"DEEPTRAVEL_DATA_DIR": str(tmp_path), "DEEPTRAVEL_GRPC_PORT": "1"}
    done = run("demo", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Every step held." in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_demo_tells_the_step_that_did_not_hold(served: ServerProcess, tmp_path: Path) -> None:
    credentials = tmp_path / DEMO_CREDENTIALS_FILE
    text = (served.data_dir / DEMO_CREDENTIALS_FILE).read_text()
    operator = served.credentials["operator"]["password"]
    credentials.write_text(text.replace(operator, "wrong"))
    done = run("demo", "--target", served.target, "--credentials", str(credentials))
    assert done.returncode == 1
    assert done.stderr.startswith("OperatorLogin UNAUTHENTICATED LOGIN_FAILED")
    assert "Every step held." not in done.stdout


def test_demo_without_credentials(served: ServerProcess, tmp_path: Path) -> None:
    done = run("demo", "--target", served.target, env={"DEEPTRAVEL_DATA_DIR": str(tmp_path)})
    assert done.returncode == 3
    assert "--credentials" in done.stderr
    assert "Traceback" not in done.stderr


def test_keys_are_rotated_and_revoked_while_the_server_serves(
    begun_folder: Path, tmp_path: Path
) -> None:
    with ServerProcess(data_dir=copied(begun_folder, tmp_path / "data")) as server:
        env = at(server)
        assert "ACTIVE" in run("keys", "list", env=env).stdout
        ticket, former = one_qr(server)
        assert look(server, former) == "TICKET_NOT_ACTIVE"

        done = run("keys", "rotate", env=env)
        assert (done.returncode, done.stdout) == (0, "QR key 1 is the active one now\n")
        assert look(server, former) == "TICKET_NOT_ACTIVE"
        _, new = one_qr(server, ticket)

        done = run("keys", "revoke", "1", env=env)
        assert done.returncode == 1
        assert "rotate first" in done.stderr
        assert run("keys", "revoke", "0", env=env).returncode == 0
        known_by = time.monotonic() + WAIT_SECONDS  # within a second of the change
        while look(server, former) != "TOKEN_INVALID":
            assert time.monotonic() < known_by
            time.sleep(0.1)
        assert look(server, new) == "TICKET_NOT_ACTIVE"
        assert {"ACTIVE", "REVOKED"} <= set(run("keys", "list", env=env).stdout.split())

        assert run("doctor", env=env).returncode == 0
        shutil.copy(server.data_dir / "secret.key", tmp_path)
        (server.data_dir / "secret.key").chmod(0o644)
        done = run("doctor", env=env)
        assert done.returncode == 1
        assert "chmod 600" in done.stdout
    assert server.process.returncode == 0


def test_commands_without_a_server(tmp_path: Path) -> None:
    """They run the embedded services for as long as they need them."""
    env = {"DEEPTRAVEL_DATA_DIR": str(tmp_path), "DEEPTRAVEL_GRPC_PORT": "0"}
    env["DEEPTRAVEL_HTTP_PORT"] = "0"
    done = run("doctor", env=env)
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []
    assert "has the schema" in run("migrate", env=env).stdout
    assert run("demo-data", env=env).returncode == 0
    before = (tmp_path / DEMO_CREDENTIALS_FILE).read_text()
    assert run("demo-data", env=env).returncode == 0
    assert (tmp_path / DEMO_CREDENTIALS_FILE).read_text() == before

    done = run("create-administrator", "root", env=env, text="short\nshort\n")
    assert done.returncode == 1
    assert "password" in done.stderr
    assert "Traceback" not in done.stderr
    done = run("create-administrator", "root", env=env, text=f"{PASSWORD}\n{PASSWORD}\n")
    assert done.returncode == 0
    with (
        ServerProcess(data_dir=tmp_path) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        tokens = stub.AdminLogin(account_pb2.AdminLoginRequest(username="root", password=PASSWORD))
        assert tokens.access_token


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("serve", "--help"), ("keys", "--help"), ("demo", "--help"), ("version",)],
)
def test_help_and_version(arguments: tuple[str, ...]) -> None:
    for_real = arguments == ("--help",)
    done = run(*arguments, env={"DEEPTRAVEL_GRPC_PORT": "not even read"}, real=for_real)
    assert (done.returncode, done.stderr) == (0, "")
    if arguments == ("--help",):
        names = "serve", "migrate", "demo-data", "demo", "keys", "doctor", "version"
        assert all(f" {name} " in done.stdout for name in names)
        assert "worker " not in done.stdout
