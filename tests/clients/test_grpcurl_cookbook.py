"""The lines of docs/integrators/grpcurl.md, run as they are printed by the real grpcurl, and what
it says of exit codes. Left out where there is no grpcurl: `go install` brings it.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.described import ROOT
from tests.support.server_process import ServerProcess

GUIDE = (ROOT / "docs" / "integrators" / "grpcurl.md").read_text()
OTA = "deeptravel.ota.v1.OtaService"
LINES = [
    line
    for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    for line in re.findall(r"^grpcurl(?:.*\\\n)*.*$", block, re.MULTILINE)
]
REFUSED = {
    f'-H "x-api-key: $API_KEY" -d \'{{"quantity": 0}}\' $AT {OTA}/BulkGenerateTickets': 67,
    f'-H "x-api-key: $API_KEY" -d \'{{"batch_id": "none"}}\' $AT {OTA}/GetBatch': 69,
    f'-H "x-api-key: $API_KEY" -d \'{{"product_id": 106, "quantity": 3, "request_id": "a"}}\' $AT'
    f" {OTA}/BulkGenerateTickets": 70,  # after the guide's own line, which has this id
    '-H "x-api-key: $API_KEY" $AT deeptravel.admin.v1.AdminService/ListPartners': 71,
    f'-H "x-api-key: $API_KEY" -d \'{{"product_id": 106, "quantity": 50000, "request_id": "b"}}\''
    f" $AT {OTA}/BulkGenerateTickets": 73,
    f"$AT {OTA}/GetInventory": 80,
    f"$AT {OTA}/Nothing": 1,
    f"-d '{{x' $AT {OTA}/GetInventory": 1,
    f"-d '{{\"nothing\": 1}}' $AT {OTA}/GetInventory": 1,
    "-connect-timeout 1 127.0.0.1:1 list": 1,
    "": 2,
}
"""Arguments, and grpcurl's exit code."""


@pytest.fixture(scope="module")
def grpcurl() -> Path:
    found = shutil.which("grpcurl") or shutil.which("grpcurl", path=str(Path.home() / "go" / "bin"))
    if found is None:
        pytest.skip("no grpcurl here")
    return Path(found)


def run(grpcurl: Path, line: str, served: ServerProcess, folder: Path, token: str = "") -> "Done":
    known = {
        "PATH": f"{grpcurl.parent}:{os.environ['PATH']}",
        "API_KEY": served.credentials["partner_test_api_key"],
        "TOKEN": token,
        "AT": served.target,
    }
    return subprocess.run(
        ["bash", "-c", line.replace("127.0.0.1:50051", served.target)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | known,
        timeout=60,
        check=False,
    )


Done = subprocess.CompletedProcess[str]


def test_every_line_is_answered(grpcurl: Path, served: ServerProcess, tmp_path: Path) -> None:
    login = served.credentials["operator"] | {
        "terminal_device_id": served.credentials["terminal_device_id"]
    }
    (tmp_path / "login.json").write_text(json.dumps(login))
    line = "grpcurl -plaintext -d @ $AT deeptravel.redemption.v1.RedemptionService/OperatorLogin"
    answer = json.loads(run(grpcurl, f"{line} < login.json", served, tmp_path).stdout)
    token = next(text for name, text in answer.items() if name.startswith("access"))
    (tmp_path / "scan.json").write_text('{"qr_token": "A:B:C:D", "function_code": "ferry"}')
    assert len(LINES) >= 6
    for each in LINES:
        done = run(grpcurl, each, served, tmp_path, token)
        assert (done.returncode, done.stderr) == (0, ""), each
        assert done.stdout, each


def test_exit_codes(grpcurl: Path, served: ServerProcess, tmp_path: Path) -> None:
    first = next(each for each in LINES if "BulkGenerateTickets" in each and "-d" in each)
    run(grpcurl, first, served, tmp_path)
    for arguments, code in REFUSED.items():
        done = run(grpcurl, f"grpcurl -plaintext {arguments}", served, tmp_path)
        assert done.returncode == code, (arguments, done.stderr)
        assert re.search(rf"\b{code}\b", GUIDE), code
        assert ("ERROR:\n  Code: " in done.stderr) == (code > 64)
