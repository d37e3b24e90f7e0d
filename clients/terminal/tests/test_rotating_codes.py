"""Rotating codes without network: verified by the pack, its share and the token's jti."""

import json
import os
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest
from deeptravel import redemption
from deeptravel_terminal import codes, packs
from deeptravel_terminal.codes import Kind
from deeptravel_terminal.packs import PackError, PackTicket
from deeptravel_terminal.rotating_codes import STEP_MS, code_at, is_current
from deeptravel_terminal.store import Store

from tests.samples import OURS
from tests.sealing import DEVICE, HOUR, T0, pack_tickets, terms
from tests.test_offline_rules import Box

EXAMPLES = Path(
    os.environ.get("DEEPTRAVEL_TEST_EXAMPLES") or Path(__file__).parents[3] / "docs/examples"
)
SHARE, JTI = b"s" * 16, b"j" * 16
EXPIRED, MISSING = "ROTATING_CODE_EXPIRED", "ROTATING_CODE_REQUIRED"


def asking(*, needs_code: bool) -> redemption.PackTerms:
    made = terms()
    made.functions[0].looks_at_code, made.functions[0].needs_code = True, needs_code
    return made


def test_the_examples_of_the_server() -> None:
    """Seen red with a step more."""
    for each in json.loads((EXAMPLES / "rotating_codes.json").read_text()):
        at = int(datetime.fromisoformat(each["time"]).timestamp() * 1000)
        assert code_at(bytes.fromhex(each["share"]), UUID(each["jti"]).bytes, at) == each["code"]


@pytest.mark.parametrize(
    ("needs_code", "steps", "expected"),
    [
        (True, None, MISSING),
        (False, None, ""),
        *[(needs, steps, EXPIRED) for needs in (True, False) for steps in (-120, -2, 2)],
        *[(needs, steps, "") for needs in (True, False) for steps in (-1, 0, 1)],
    ],
)
def test_a_screenshot_two_steps_old_is_refused(
    tmp_path: Path, needs_code: bool, steps: int | None, expected: str
) -> None:
    """Seen red without `_code` among the checks."""
    box = Box(tmp_path)
    box.has(pack_tickets(sold_under=asking(needs_code=needs_code), share=SHARE, seat="3A"))
    code = "" if steps is None else code_at(SHARE, JTI, T0 + steps * STEP_MS)
    assert box.reason(code=code) == expected
    assert box.store.unsent(1)[0].qr_token.endswith(code)
    assert box.reason("tokens", code=code) == ""  # which asks for none


def test_the_terminals_clock_is_corrected_by_the_servers(tmp_path: Path) -> None:
    box = Box(tmp_path, now=T0 - HOUR)
    box.store.trust(box.sealer.verify_key)
    made = pack_tickets(sold_under=asking(needs_code=True), share=SHARE)
    box.store.take(box.sealer.response(box.sealer.chunk(made)), box.now, 0)
    assert box.reason(code=code_at(SHARE, JTI, T0)) == ""
    assert box.reason(code=code_at(SHARE, JTI, T0 - HOUR)) == "ALREADY_REDEEMED"


def test_another_tickets_code_is_none(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.has(pack_tickets(sold_under=asking(needs_code=False), share=SHARE))
    assert box.reason(code=code_at(b"t" * 16, JTI, T0)) == EXPIRED
    assert box.reason(code=code_at(SHARE, b"k" * 16, T0)) == EXPIRED
    assert not is_current("", SHARE, JTI, T0)


@pytest.mark.parametrize("share", [b"", SHARE])
@pytest.mark.parametrize("is_blocked", [False, True])
def test_it_is_kept_with_the_ticket(share: bytes, is_blocked: bool) -> None:
    uses = (packs.FunctionUses(1, 0),)
    kept = PackTicket(5, b"j" * 8, 2, is_blocked, T0, T0 + HOUR, "3A", uses, share=share)
    assert PackTicket.unpacked(5, kept.packed()) == kept


def test_a_pack_without_the_shares_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(PackError):
        Box(tmp_path).has(pack_tickets(sold_under=asking(needs_code=True)))


def test_a_file_of_an_earlier_version_asks_for_the_whole_pack(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.has(pack_tickets())
    assert box.store.cursor
    with box.store._transaction():
        box.store._put("packed_form", 1)
    box.store.close()
    again = Store(tmp_path / "terminal.db", DEVICE)
    assert again.cursor == ""
    assert again.pack() is not None  # and decides by what it has until then


def test_the_text_is_read_as_one_of_ours() -> None:
    found = codes.read(f"]Q1{OURS.lower()}-a2b3c4d5\r\n")
    assert (found.kind, found.text) == (Kind.TICKET_QR, f"{OURS}-A2B3C4D5")
    assert codes.read(f"{OURS}-A2B3").kind is Kind.DAMAGED
