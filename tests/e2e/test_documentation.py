"""The documentation of a server that `make run` starts: whoever reads it can try calls at once,
with a key that can do no harm.
"""

import json
import os
import re
import subprocess
import sys

import httpx2
import pytest

from server.cli import development
from server.operations.places import Places
from server.platform.config import ConfigError, load_settings
from tests.support.described import ROOT
from tests.support.server_process import ServerProcess
from tools.dev.demo_data import Account, DemoCredentials

NOBODY = Account("nobody", "nothing")
CREDENTIALS = DemoCredentials("dtk_live", "dtk_test_key", "dtk_other", NOBODY, NOBODY, NOBODY, "T")


def test_the_sandbox_key_of_the_demo_is_offered(served: ServerProcess) -> None:
    known = served.credentials
    with httpx2.Client(base_url=served.url) as client:
        page = client.get("/docs/partner").text
        (offered,) = re.findall(r"<input id='secret'.* value='([^']*)'>", page)
        assert offered == known["partner_test_api_key"]
        assert not [key for key in known.values() if key != offered and str(key) in page]
        stock = client.get("/ota/inventory", headers={"X-Api-Key": offered}).json()
        assert {each["product_id"] for each in stock["inventory"]} >= {106}
        for reader in ("traveller", "terminal", "administrator"):
            assert offered not in client.get(f"/docs/{reader}").text


@pytest.mark.parametrize(
    ("embedded", "host", "given", "expected"),
    [
        (True, "127.0.0.1", None, "dtk_test_key"),
        (True, "127.0.0.1", "dtk_test_own", "dtk_test_own"),
        (True, "0.0.0.0", None, None),
        (False, "127.0.0.1", None, None),
    ],
)
def test_it_is_offered_where_nobody_else_can_call(
    embedded: bool, host: str, given: str | None, expected: str | None
) -> None:
    settings = load_settings(http_host=host, allow_plaintext=True, documentation_key=given)
    found = Places("postgresql://", "redis://", embedded=embedded)
    key = development.with_documentation_key(settings, found, CREDENTIALS).documentation_key
    assert (key and key.get_secret_value()) == expected


def test_a_live_key_is_never_offered() -> None:
    with pytest.raises(ConfigError, match="no key of test mode"):
        load_settings(documentation_key="dtk_0123456789ab_secret")


def test_the_first_call_as_it_is_printed(served: ServerProcess) -> None:
    """Its curl gives the same batch to a repeat, as it says; its Python prints codes and QRs."""
    guide = (ROOT / "docs" / "integrators" / "first-call.md").read_text()
    guide = guide.replace("http://127.0.0.1:8080", served.url)
    guide = guide.replace("127.0.0.1:50051", served.target)
    environment = os.environ | {
        "API_KEY": served.credentials["partner_test_api_key"],
        "PYTHONPATH": str(ROOT / "clients" / "python"),
    }

    def run(*command: str) -> str:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=60, env=environment
        ).stdout

    first, second = re.findall(r"^curl (?:.*\\\n)*.*$", guide, re.MULTILINE)
    assert "inventory" in json.loads(run("bash", "-c", first))
    answers = [json.loads(run("bash", "-c", second)) for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0]["quantity"] == 2
    (program,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    printed = [line.split() for line in run(sys.executable, "-c", program).splitlines()]
    assert [(len(each), len(each[1].split(":"))) for each in printed] == [(2, 4)] * 2


def test_the_octo_calls_as_they_are_printed(served: ServerProcess) -> None:
    guide = (ROOT / "docs" / "integrators" / "octo.md").read_text()
    (block,) = re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)
    done = subprocess.run(
        ["bash", "-e"],
        input=block.replace("http://127.0.0.1:8080", served.url),
        env=os.environ | {"API_KEY": served.credentials["partner_test_api_key"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    statuses = re.findall(r'"testMode":true.*?"status":"(\w+)"', done.stdout)
    assert statuses == ["ON_HOLD", "CONFIRMED", "CONFIRMED", "CANCELLED"]
    assert "deliveryValue" in done.stdout
