"""Receipts: what they say, and that anybody verifies them with the public key alone."""

import base64
import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from deeptravel.redemption.v1 import receipts_pb2
from deeptravel.redemption.v1.redemption_service_pb2_grpc import RedemptionServiceStub
from typer.testing import CliRunner

from server.cli import receipt_commands
from server.platform import clock
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import Reason
from server.redemption import receipt_keys
from server.redemption.receipt_text import FIELDS, BadReceiptError, Receipt, chain, verify
from server.redemption.receipt_text import ReceiptEvent as Event
from tests.support.gate import FERRY_AND_GIFT, Terminal, World, a_world, verdict
from tests.support.gate_server import GateServer, gate_server
from tests.support.offline_terminal import OfflineTerminal
from tests.support.rpc_server import SECRET_KEY, refusal

MOMENT = datetime(2026, 11, 21, 3, 4, 5, 678_901, UTC)
GUIDE = Path("docs/guides/receipts.md")
OF_THE_CLIENT = Path("clients/python/deeptravel/receipts.py")
"""Alone, as whoever wants nothing else of ours takes it."""
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
EVENTS = [
    Event(
        "SUCCESS",
        "0000100000b3a001064e9b6a4dc00001",
        "OTA-CP-20261121-000001",
        *("ferry", 1, MOMENT, "M", "PIER", "T-1", "olga"),
    ),
    Event(
        "REVERSED",
        "0000100000b3a001064e9b6a52000001",
        "OTA-CP-20261121-000001",
        *("ferry", 1, MOMENT.replace(second=9), "M", "PIER", "T-2", "sam"),
        reverses="0000100000b3a001064e9b6a4dc00001",
    ),
]


def client() -> ModuleType:
    spec = importlib.util.spec_from_file_location("receipts_of_the_client", OF_THE_CLIENT)
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


CLIENT = client()


def verified_by_both(text: str, key: Ed25519PrivateKey = PRIVATE) -> Any:
    """What it says; AssertionError if server and client differ."""
    pem = receipt_keys.ReceiptKey(1, key.public_key().public_bytes_raw(), MOMENT).pem
    try:
        said = dict(verify(text, key.public_key()))
    except BadReceiptError as error:
        with pytest.raises(CLIENT.ReceiptError):
            CLIENT.verify(text.encode(), pem.encode())
        raise error from None
    assert CLIENT.verify(text.encode(), pem.encode()) == said
    return said


def the_receipt() -> str:
    """That of the guide."""
    event, reversal = EVENTS
    made = Receipt(
        event,
        chain(EVENTS)[0],
        issue_time=MOMENT.replace(minute=30),
        reversed_time=reversal.occurred_time,
        reversal_id=reversal.redemption_id,
    )
    key = receipt_keys.ReceiptKey(1, PRIVATE.public_key().public_bytes_raw(), MOMENT)
    return made.signed(key.key_id, PRIVATE)


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url) as filled:
        yield filled


@pytest.fixture(scope="module")
async def server(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with gate_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
async def terminal(world: World, server: GateServer) -> Terminal:
    return await world.log_in(server.channel)


async def receipt_of(terminal: Terminal, redemption_id: str) -> str:
    asked = receipts_pb2.GetRedemptionReceiptRequest(redemption_id=redemption_id)
    found: receipts_pb2.GetRedemptionReceiptResponse = await terminal.call(
        "GetRedemptionReceipt", asked
    )
    return found.receipt


async def keys_of(channel: grpc.aio.Channel) -> dict[str, str]:
    """As anybody gets them, without logging in."""
    found = await RedemptionServiceStub(channel).GetReceiptKeys(
        receipts_pb2.GetReceiptKeysRequest()
    )
    return {key.key_id: key.public_key_pem for key in found.keys}


async def verified(channel: grpc.aio.Channel, text: str) -> dict[str, str]:
    keys = await keys_of(channel)
    (key_id,) = re.findall("^key_id: (.*)$", text, re.M)
    public_key = load_pem_public_key(keys[key_id].encode())
    return dict(verify(text, public_key))  # type: ignore[arg-type]


async def test_it_says_who_what_when_where_and_its_place(
    world: World, server: GateServer, terminal: Terminal
) -> None:
    ticket = await world.ticket()
    answer = await terminal.redeem(ticket.qr, "ferry")
    said = await verified(server.channel, await receipt_of(terminal, answer.redemption_id))
    ((occurred,),) = await world.sql(
        "SELECT occurred_time FROM redemption_events WHERE ticket_id = %s", ticket.ticket_id
    )
    assert said["result"] == "SUCCESS"
    assert said["redemption_id"] == answer.redemption_id
    assert (said["ticket_code"], said["function_code"]) == (ticket.code, "ferry")
    assert datetime.fromisoformat(said["occurred_time"]) == occurred
    place = "merchant_code", "venue_code", "terminal_device_id", "operator"
    assert [said[name] for name in place] == ["M", "PIER", "T-1", "olga"]
    assert (said["chain_position"], said["chain_hash_before"]) == ("1", "0" * 64)
    assert (said["reversed_time"], said["reversal_id"]) == ("-", "-")
    assert "张三" not in str(said), "it does not say whose ticket it is"


async def test_a_reversal_is_in_the_receipt_and_has_one_of_its_own(
    world: World, server: GateServer, terminal: Terminal
) -> None:
    """And all of a ticket are one chain, in which the refused scan between them is none."""
    supervisor = await world.log_in(server.channel, "sam", "T-2")
    ticket = await world.ticket()
    first = await terminal.redeem(ticket.qr, "ferry")
    before = await receipt_of(terminal, first.redemption_id)
    refused = await terminal.redeem(ticket.qr, "ferry")
    back = await supervisor.reverse(first.redemption_id)
    again = await terminal.redeem(ticket.qr, "ferry")
    ids = first.redemption_id, back.redemption_id, again.redemption_id
    said = [await verified(server.channel, await receipt_of(terminal, each)) for each in ids]
    assert [each["result"] for each in said] == ["SUCCESS", "REVERSED", "SUCCESS"]
    assert [each["chain_position"] for each in said] == ["1", "2", "3"]
    hashes = [(each["chain_hash_before"], each["chain_hash"]) for each in said]
    assert [hash_before for hash_before, _ in hashes[1:]] == [after for _, after in hashes[:-1]]
    assert said[0]["reversal_id"] == back.redemption_id
    assert said[0]["reversed_time"] == said[1]["occurred_time"]
    assert said[1]["reverses"] == first.redemption_id
    assert (said[1]["operator"], said[1]["terminal_device_id"]) == ("sam", "T-2")
    assert said[2]["reversed_time"] == "-"
    # what was said before it was taken back stays true of its time, and of its place
    earlier = await verified(server.channel, before)
    assert (earlier["reversed_time"], earlier["chain_hash"]) == ("-", said[0]["chain_hash"])
    assert earlier["issue_time"] < said[0]["issue_time"]
    failed = await refusal(receipt_of(terminal, refused.redemption_id))
    assert failed.reason == Reason.RECEIPT_REFUSED
    assert failed.metadata["refusal"] == "ALREADY_REDEEMED"


async def test_a_scan_that_is_uploaded_late_comes_last(
    world: World, server: GateServer, terminal: Terminal
) -> None:
    """It was made before, and a receipt that somebody has must not be contradicted. Seen red with
    ids made of the time of the scan, as they were.
    """
    gate = OfflineTerminal(terminal)
    ticket = await world.ticket(FERRY_AND_GIFT)
    online = await terminal.redeem(ticket.qr, "ferry")
    before = await verified(server.channel, await receipt_of(terminal, online.redemption_id))
    gate.scan(ticket.qr, "gift", at=datetime.now(UTC) - timedelta(hours=1))
    assert await gate.verdicts() == ["ACCEPTED"]
    after = await verified(server.channel, await receipt_of(terminal, online.redemption_id))
    assert after["chain_hash"] == before["chain_hash"]


@pytest.mark.parametrize("field", [*FIELDS, "signature"])
def test_one_bit_of_any_field_is_noticed(field: str) -> None:
    text = the_receipt().encode()
    assert verified_by_both(text.decode())
    begin = text.index(f"\n{field}: ".encode()) + len(field) + 3
    end = text.index(b"\n", begin)
    for place in range(begin, end):
        for bit in range(7):  # the eighth makes no UTF-8 of it
            flipped = bytearray(text)
            flipped[place] ^= 1 << bit
            with pytest.raises(BadReceiptError):
                verified_by_both(flipped.decode())


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text.removesuffix("\n"),
        lambda text: text + "\n",
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.partition("\n")[2],
        lambda text: text.replace("signature: ", "signature:  "),
        lambda text: text + text,
        lambda text: "x" * 5_000 + text,
        lambda text: re.sub("(?m)^quantity.*\n", "", text),
    ],
)
def test_no_other_text_passes_for_it(change) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadReceiptError):
        verified_by_both(change(the_receipt()))


def test_a_signature_of_what_is_no_receipt_is_not_enough() -> None:
    """As one with a line more, or a chain that is not its own, would be."""
    unsigned = the_receipt().rpartition("signature: ")[0]
    for other in (
        unsigned.replace("quantity: 1", "quantity: 2"),
        unsigned + "more: 1\n",
        unsigned.replace("receipt-1", "receipt-2"),
    ):
        signature = base64.b64encode(PRIVATE.sign(other.encode())).decode()
        with pytest.raises(BadReceiptError):
            verified_by_both(f"{other}signature: {signature}\n")
    with pytest.raises(BadReceiptError):
        verified_by_both(the_receipt(), Ed25519PrivateKey.generate())


async def test_each_reads_its_own(world: World, server: GateServer, terminal: Terminal) -> None:
    ticket = await world.ticket()
    answer = await terminal.redeem(ticket.qr, "ferry")
    stranger = await world.log_in(server.channel, "nick", "T-N")
    for other, redemption_id in (
        (stranger, answer.redemption_id),
        (terminal, "0" * 32),
        (terminal, "f" * 32),
        (terminal, answer.redemption_id[:16] + "0" * 16),
    ):
        failed = await refusal(receipt_of(other, redemption_id))
        assert failed.reason == Reason.NOT_FOUND
    stray = await stranger.redeem("AAAA")
    assert verdict(stray) == "TOKEN_INVALID"
    assert (await refusal(receipt_of(terminal, stray.redemption_id))).reason == Reason.NOT_FOUND
    assert (
        await refusal(receipt_of(stranger, stray.redemption_id))
    ).reason == Reason.RECEIPT_REFUSED


async def test_a_former_key_still_verifies(
    world: World, server: GateServer, terminal: Terminal, module_database_url: str
) -> None:
    answer = await terminal.redeem((await world.ticket()).qr, "ferry")
    before = await receipt_of(terminal, answer.redemption_id)
    db = Database(load_settings(), module_database_url)
    try:
        async with db.transaction() as tx:
            added = await receipt_keys.rotate(tx, SECRET_KEY, actor="cli:test", now=clock.now())
    finally:
        await db.close()
    after = await receipt_of(terminal, answer.redemption_id)
    assert (await verified(server.channel, after))["key_id"] == added
    assert (await verified(server.channel, before))["key_id"] != added
    assert next(iter(await keys_of(server.channel))) == added
    audited = await world.sql("SELECT action, name FROM audit_events WHERE name = %s", added)
    assert audited == [("rotate", added)]


def test_the_guides_example_is_one(tmp_path: Path) -> None:
    """What a third party without anything of ours does with it, as the guide prints it."""
    blocks = re.findall(r"```(\w+)\n(.*?)```", GUIDE.read_text(), re.S)
    printed = [content for kind, content in blocks if kind == "text"]
    assert the_receipt() in printed
    (tmp_path / "receipt.txt").write_text(the_receipt())
    (pem,) = [content for kind, content in blocks if kind == "pem"]
    (tmp_path / "key.pem").write_text(pem)
    script = OF_THE_CLIENT.absolute(), "receipt.txt", "key.pem"
    done = subprocess.run(
        [sys.executable, *script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done
    *_, last = the_receipt().partition("\n")
    assert done.stdout == last.rpartition("signature: ")[0]
    (shell,) = [content for kind, content in blocks if kind == "sh" and "openssl" in content]
    if shutil.which("openssl"):
        done = subprocess.run(
            ["sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert "Verified Successfully" in done.stdout, done


def test_the_command_verifies(tmp_path: Path) -> None:
    file, key = tmp_path / "receipt.txt", tmp_path / "key.pem"
    file.write_text(the_receipt())
    raw = PRIVATE.public_key().public_bytes_raw()
    key.write_text(receipt_keys.ReceiptKey(1, raw, MOMENT).pem)
    command = typer.Typer()
    command.add_typer(receipt_commands.app(load_settings, _no_database, str), name="receipts")
    arguments = ["receipts", "verify", str(file), "--key", str(key)]
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0
    assert "redemption_id: 0000100000b3a001064e9b6a4dc00001\n" in done.output
    file.write_text(the_receipt().replace("olga", "olgb"))
    assert CliRunner().invoke(command, arguments).exit_code == 1
    file.write_text(the_receipt())
    key.write_text("no key")
    assert CliRunner().invoke(command, arguments).exit_code == 2


def _no_database(*_: object) -> None:
    raise AssertionError("a receipt is verified without")


def test_the_clients_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    receipt, key = tmp_path / "receipt.txt", tmp_path / "key.pem"
    receipt.write_text(the_receipt())
    raw = PRIVATE.public_key().public_bytes_raw()
    key.write_text(receipt_keys.ReceiptKey(1, raw, MOMENT).pem)
    assert CLIENT.main([str(receipt), str(key)]) == 0
    assert "operator: olga\n" in capsys.readouterr().out
    receipt.write_text(the_receipt().replace("olga", "olgb"))
    assert CLIENT.main([str(receipt), str(key)]) == 1
    assert "not genuine: the signature" in capsys.readouterr().err
    for wrong in ([], [str(receipt)], [str(receipt), str(receipt)], [str(tmp_path), str(key)]):
        assert CLIENT.main(wrong) == 2
        assert capsys.readouterr().err


def test_the_chain_is_as_the_guide_says() -> None:
    """Made again from the words of the guide."""
    hash_before = bytes(32)
    for position, (event, place) in enumerate(zip(EVENTS, chain(EVENTS), strict=True), 1):
        fields = event._asdict() | {"occurred_time": event.occurred_time.isoformat()[:-6] + "Z"}
        lines = "".join(f"{name}: {value or '-'}\n" for name, value in fields.items())
        content = hashlib.sha256(lines.encode()).digest()
        framed = b"deeptravel redemption chain 1\0" + hash_before + position.to_bytes(8) + content
        hash_before = hashlib.sha256(framed).digest()
        assert place.hash == hash_before
