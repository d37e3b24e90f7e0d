"""The Java client: built by Maven out of the contract, its own tests, and its examples against a
server as `make run` starts it. Left out, with the reason, where there is no Maven, no JDK 17, or
neither a local repository that has what it needs nor a network.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import grpc
import pytest

from tests.support import signed_webhooks
from tests.support.partner_client import PartnerClient
from tests.support.receiver import a_receiver
from tests.support.server_process import ServerProcess

PROJECT = Path(__file__).parents[2] / "clients" / "java"
PROTOS = PROJECT.parents[1] / "protos"
BUILD_SECONDS = 500
ANSI = re.compile(r"\x1b\[[0-9;]*m")
"""Maven's colours, which begin the first line of what it runs."""
UNRESOLVED = re.compile(
    r"Could not (?:resolve|transfer)|Cannot access .* in offline mode|No plugin found for prefix"
)
"""What Maven says offline of what it has not fetched yet, whatever that is."""
LEFT_OUT = "-Dleft.out=com/deeptravel/admin/**"
"""Administrators' messages are two thirds of what there is to compile. The client names none of
them, and the examples of the documentation that do are compiled against their signatures.
"""
TESTS = 26
"""The least; fewer means that they were not found."""


def keep_what_is_built() -> bool:
    """Whether Maven made something of the same contract, which stays: compiling it takes a minute
    of processor time. Of another it is made anew, since Maven goes by times alone, and keeps
    classes of what is gone.
    """
    inputs = [PROJECT / "pom.xml", *sorted(PROTOS.rglob("*.proto"))]
    said = hashlib.sha256(b"".join(bytes(each) + each.read_bytes() for each in inputs)).hexdigest()
    kept = PROJECT / "target" / "made-of.sha256"
    if kept.exists() and kept.read_text() == said:
        return True
    shutil.rmtree(kept.parent, ignore_errors=True)
    kept.parent.mkdir()
    kept.write_text(said)
    return False


def maven(*arguments: str, offline: bool) -> "subprocess.CompletedProcess[str]":
    command = ["mvn", "-q", "-B", LEFT_OUT, *(["-o"] if offline else []), *arguments]
    return subprocess.run(
        command,
        cwd=PROJECT,
        env=os.environ | {"TZ": "Asia/Hong_Kong"},
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )


def run_java(*arguments: str) -> str:
    """What it prints; from the local repository if that is enough."""
    done = maven(*arguments, offline=True)
    if done.returncode and UNRESOLVED.search(done.stdout):
        done = maven(*arguments, offline=False)
        if done.returncode and UNRESOLVED.search(done.stdout):
            pytest.skip(f"Maven cannot get what it needs: {done.stdout[-300:]}")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return ANSI.sub("", done.stdout)


def need_java() -> None:
    if shutil.which("mvn") is None:
        pytest.skip("no Maven here")
    if shutil.which("javac") is None:
        pytest.skip("no JDK here")
    said = subprocess.run(["javac", "-version"], capture_output=True, text=True, check=False)
    version = re.search(r"javac (\d+)", said.stdout + said.stderr)
    if version is None or int(version[1]) < 17:
        pytest.skip(f"a JDK of 17 or later is needed, here is {said.stdout.strip()}")


async def webhooks_of(served: ServerProcess, api_key: str) -> str:
    """Webhooks of the server's, and one for libraries to sign, as WebhookLibrariesTest reads them.

    A server as `make run` starts it sends them to this machine.
    """
    async with grpc.aio.insecure_channel(served.target) as channel, a_receiver() as receiver:
        client = PartnerClient.at(channel, api_key)
        sent = await signed_webhooks.sent_by(client, receiver)
        secret = await signed_webhooks.payments_secret(client)
    own = signed_webhooks.to_be_signed(secret, "PAY-JAVA")
    return json.dumps({"webhooks": [each.as_json() for each in sent], "own": own.as_json()})


def require_all_taken(served: ServerProcess, given: Path) -> None:
    """The server takes what each library for Java signed."""
    body = signed_webhooks.SignedWebhook.body_of(json.loads(given.read_text())["own"])
    signed = json.loads(Path(f"{given}.signed").read_text())
    assert signed.keys() == {"standardwebhooks", "svix"}
    for values in signed.values():
        headers = list(zip(signed_webhooks.HEADERS, values, strict=True))
        assert asyncio.run(signed_webhooks.takes(served.url, headers, body))


@pytest.mark.timeout(2 * BUILD_SECONDS)
def test_it_is_built_tested_and_run(served: ServerProcess, tmp_path: Path) -> None:
    """Also libraries of webhooks, at Hong Kong. Seen red with the signature over the time in
    milliseconds.
    """
    need_java()
    known = served.credentials
    if not keep_what_is_built():
        run_java("test-compile")  # takes longer than webhooks are fresh
    webhooks = tmp_path / "webhooks.json"
    webhooks.write_text(asyncio.run(webhooks_of(served, known["partner_api_key"])))
    printed = run_java(
        "test",
        "exec:java",
        f"-Dexec.args={served.target} {known['partner_api_key']}",
        f"-Dwebhooks={webhooks}",  # which Surefire passes on
    )
    require_all_taken(served, webhooks)
    reports = (PROJECT / "target" / "surefire-reports").glob("*.xml")
    counted = [ET.parse(each).getroot().attrib for each in reports]  # Surefire's own
    assert sum(int(each["tests"]) for each in counted) >= TESTS
    assert (
        sum(int(each[name]) for each in counted for name in ("failures", "errors", "skipped")) == 0
    )

    qr_texts = dict(re.findall(r"^QR (\S+) (\S+)$", printed, re.MULTILINE))
    assert len(qr_texts) == 5
    assert re.search(r"^reserved [0-9a-f-]{36}$", printed, re.MULTILINE)
    assert re.findall(r"^listed (\S+)", printed, re.MULTILINE) == list(qr_texts)
    (sold,) = re.findall(r"^activated (\S+) order ORD-\S+$", printed, re.MULTILINE)
    assert re.search(r"^refused \S+ to be paid 29800$", printed, re.MULTILINE)

    operator = known["operator"]
    given = [operator["username"], operator["password"], known["terminal_device_id"]]
    redeemed = run_java(
        "exec:java",
        "-Dexec.mainClass=com.deeptravel.example.Redeem",
        f"-Dexec.args={' '.join([served.target, *given, qr_texts[sold]])}",
    )
    assert "REDEMPTION_RESULT_SUCCESS" in redeemed
