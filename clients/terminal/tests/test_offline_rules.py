"""Decisions by the pack: each check, in the order of the guide."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from deeptravel import redemption, tickets
from deeptravel_terminal.offline import Clock, NotDecidedError, Offline
from deeptravel_terminal.store import Store
from deeptravel_terminal.views import Tone, reason_of, redeemed

from tests.sealing import DEVICE, HOUR, NUMBER, T0, Sealer, pack_tickets, terms

ALREADY = redemption.REFUSAL_REASON_ALREADY_REDEEMED
DEPARTURE = redemption.PackDeparture(departure_id=9, departure_time=T0 + 3 * HOUR)
SHARED = redemption.PackDeparture(departure_id=9, departure_time=T0 + 3 * HOUR, is_shared=True)
CODE = "OTA-CP-20261204-000017"
BY_TRAIN = terms(boarding_minutes=120, service_number="G5711")


@dataclass
class Box:
    """A terminal's file with one pack, and its clock."""

    path: Path
    now: int = T0
    sealer: Sealer = field(default_factory=Sealer)

    def __post_init__(self) -> None:
        self.store = Store(self.path / "terminal.db", DEVICE)
        self.store.trust(self.sealer.verify_key)
        self.offline = Offline(self.store, clock=Clock(lambda: self.now, lambda: self.now))

    def has(self, made: redemption.PackTickets, **chunk: Any) -> None:
        built = self.sealer.chunk(made, **chunk)
        settled = self.store.settled_uses()
        self.store.take(self.sealer.response(built), built.pack_version, settled)

    def reason(self, function: str = "ferry", quantity: int = 1, **token: Any) -> str:
        scanned = self.sealer.token(**token)
        return reason_of(self.offline.decide(scanned, function, quantity).answer)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.mark.parametrize(
    ("made", "asked", "reason"),
    [
        ({}, {}, ""),
        ({}, {"flags": 1}, "TEST_TICKET"),
        ({}, {"expiry": T0}, "TOKEN_EXPIRED"),
        ({}, {"number": NUMBER + 1}, "TICKET_NOT_FOUND"),
        ({}, {"function": "locker"}, "FUNCTION_NOT_ALLOWED_HERE"),
        ({}, {"function": "gift"}, "FUNCTION_NOT_ALLOWED_HERE"),
        ({}, {"jti": b"k" * 16}, "QR_SUPERSEDED"),
        ({"state": tickets.TICKET_STATE_REFUNDING}, {}, "TICKET_NOT_ACTIVE"),
        ({"state": tickets.TICKET_STATE_REFUNDED}, {}, "TICKET_REFUNDED"),
        ({"state": tickets.TICKET_STATE_CHANGED}, {}, "TICKET_CHANGED"),
        ({"state": tickets.TICKET_STATE_EXPIRED}, {}, "TICKET_EXPIRED"),
        ({"state": 99}, {}, "TICKET_NOT_ACTIVE"),
        ({"state": tickets.TICKET_STATE_ACTIVE + 128}, {}, "TICKET_BLOCKED"),
        ({"redeemed": (T0 - HOUR, 0, 0)}, {}, "ALREADY_REDEEMED"),
        ({"redeemed": (0, T0 - 59_000, 0)}, {"function": "tokens"}, "ALREADY_REDEEMED"),
        ({"redeemed": (0, T0 - 60_000, 0)}, {"function": "tokens"}, ""),
        (
            {"redeemed": (0, T0 - 1, 0), "left": (1, 0, 1)},
            {"function": "tokens"},
            "NO_USES_LEFT",
        ),
        ({"valid": (T0 + 1, T0 + HOUR)}, {}, "TICKET_NOT_YET_VALID"),
        ({"valid": (T0, T0 + HOUR)}, {}, ""),
        ({"valid": (T0 - HOUR, T0)}, {}, "TICKET_EXPIRED"),
        (
            {"sold_under": terms(product_id=1)},
            {"function": "tokens", "quantity": 4},
            "NO_USES_LEFT",
        ),
        ({"sold_under": BY_TRAIN, "departure": DEPARTURE}, {}, "TICKET_NOT_YET_VALID"),
        ({"sold_under": BY_TRAIN, "departure": SHARED}, {}, ""),
    ],
)
def test_each_check(box: Box, made: dict[str, Any], asked: dict[str, Any], reason: str) -> None:
    box.has(pack_tickets(**made))
    assert box.reason(**asked) == reason


def test_a_code_of_a_stolen_key(box: Box) -> None:
    """Refused in so many words, and written down; its ticket is admitted by its number, once, and
    under its good code no more. Seen red without the look at `compromised_key_ids`.
    """
    stolen = Sealer(packs=box.sealer.packs, key_id=7)
    chunk = box.sealer.chunk(pack_tickets())
    chunk.configuration.compromised_key_ids.append(stolen.key_id)
    box.store.take(box.sealer.response(chunk), T0, 0)
    refused = box.offline.decide(stolen.token(), "ferry", 1)
    view = redeemed(refused.answer, "ferry", 1)
    assert reason_of(refused.answer) == "QR_KEY_COMPROMISED"
    assert (view.tone, view.ticket_code) == (Tone.STOP, "")
    assert "F3" in view.todo[1]

    def by_number(code: str) -> str:
        return reason_of(box.offline.admit(code, "ferry", 1, "stolen key").answer)

    codes = CODE, CODE, f"{CODE[:-1]}8", CODE.replace("OTA-CP", "DIR-DT"), "OTA-CP-20261399-000017"
    found = [by_number(code) for code in codes]
    assert found == ["", "ALREADY_REDEEMED", *["TICKET_NOT_FOUND"] * 3]
    assert box.reason() == "ALREADY_REDEEMED"
    assert box.reason("tokens") == ""
    kept = box.store.unsent(9, by_number=True)
    assert [(each.ticket_code, each.qr_token, each.comment) for each in kept] == [
        (code, "", "stolen key") for code in codes
    ]
    assert [each.admitted for each in kept] == [1, 0, 0, 0, 0]


def test_a_departures_day_and_session(box: Box) -> None:
    box.has(pack_tickets(sold_under=BY_TRAIN, departure=DEPARTURE, seat="12F"))
    box.now = T0 + 2 * HOUR
    box.store.note_session(8)
    assert box.reason() == "WRONG_DEPARTURE"
    box.store.note_session(9)
    decided = box.offline.decide(box.sealer.token(), "ferry", 1)
    view = redeemed(decided.answer, "ferry", 1)
    assert (view.tone, view.beside, view.ticket_code) == (
        Tone.PASS,
        "12F",
        "OTA-CP-20261204-000017",
    )
    assert decided.pack_age == 2 * 3600
    assert box.offline.look(box.sealer.token(), "ferry", 1).answer.reason == ALREADY
    cancelled = box.sealer.chunk(pack_tickets(departure=DEPARTURE), T0 + 1)
    cancelled.configuration.cancelled_departure_ids.append(9)
    box.store.take(box.sealer.response(cancelled), T0 + 1, 0)
    assert box.reason("tokens") == "DEPARTURE_CANCELLED"


def test_a_blackout_date_is_the_venues(box: Box) -> None:
    box.has(pack_tickets())
    box.offline.pack_hours = 10_000
    box.now = T0 + (22 * 24 - 9) * HOUR  # 24 December 23:00 in Hong Kong
    assert box.reason("tokens") == ""
    box.now += HOUR
    assert box.reason("tokens") == "BLACKOUT_DATE"


def test_what_another_terminal_has_leased_is_refused_until_then(box: Box) -> None:
    made = pack_tickets()
    made.leases.add(
        ticket_id=NUMBER,
        function_code="ferry",
        terminal_device_id="OTHER",
        until_time=box.now + HOUR,
    )
    box.has(made)
    refused = box.offline.decide(box.sealer.token(), "ferry", 1).answer
    assert reason_of(refused) == "LEASED_ELSEWHERE"
    assert "OTHER has leased it until 2026-12-03 09:00 UTC+08:00" in refused.explanation.en
    assert box.reason("tokens") == ""
    box.now += HOUR
    assert box.reason() == ""


def test_uses_are_taken_off_at_once(box: Box) -> None:
    box.has(pack_tickets())
    assert [box.reason() for _ in range(2)] == ["", "ALREADY_REDEEMED"]
    assert box.reason("tokens", 2) == ""
    box.now += 61_000
    assert box.reason("tokens", 2) == "NO_USES_LEFT"
    assert box.reason("tokens", 1) == ""


def test_what_was_redeemed_online_is_not_admitted_again(box: Box) -> None:
    """Until the pack has it. Seen red without the note: it was admitted."""
    box.has(pack_tickets())
    online = redemption.RedeemResponse(result=redemption.REDEMPTION_RESULT_SUCCESS)
    box.offline.note_online(box.sealer.token(), "ferry", 1, online)
    assert box.reason() == "ALREADY_REDEEMED"
    box.has(pack_tickets(left=(0, 3, 1), redeemed=(T0, 0, 0)), version=T0 + 1, is_full=False)
    assert box.reason() == "ALREADY_REDEEMED"
    box.has(pack_tickets(), version=T0 + 2, is_full=False)  # taken back meanwhile
    assert box.reason() == ""


def test_a_forged_token_and_one_of_another_key(box: Box) -> None:
    box.has(pack_tickets())
    forger = Sealer(aes_key=box.sealer.aes_key)  # what a stolen terminal has
    forged = box.offline.decide(forger.token(), "ferry", 1)
    assert reason_of(forged.answer) == "TOKEN_INVALID"
    with pytest.raises(NotDecidedError, match="KEY_UNKNOWN"):
        box.offline.decide(Sealer(key_id=4).token(), "ferry", 1)
    assert [each.admitted for each in box.store.unsent(9)] == [False]


def test_in_doubt_nobody_is_admitted(box: Box) -> None:
    with pytest.raises(NotDecidedError, match="PACK_MISSING"):
        box.reason()
    box.has(pack_tickets())
    box.now = T0 + 25 * HOUR
    with pytest.raises(NotDecidedError, match="PACK_TOO_OLD"):
        box.reason()
    box.now = T0 - 3 * 60_000
    with pytest.raises(NotDecidedError, match="CLOCK_WRONG"):
        box.reason()
    box.now = T0
    box.store.bar(barred=True)
    with pytest.raises(NotDecidedError, match="UNAUTHENTICATED"):
        box.reason()
    box.store.bar(barred=False)
    assert box.reason() == ""
    assert len(box.store.unsent(9)) == 1


def test_a_wrong_clock_is_corrected_and_setting_it_changes_nothing(box: Box) -> None:
    """The pack came when the terminal's clock was a day ahead."""
    built = box.sealer.chunk(pack_tickets(valid=(T0, T0 + 2 * HOUR)))
    box.store.take(box.sealer.response(built), T0 + 24 * HOUR, 0)
    box.now = T0 + 25 * HOUR
    assert box.reason() == ""
    (scan,) = box.store.unsent(9)
    assert scan.scanned_at == T0 + 25 * HOUR  # as it is: the server sees by it that it is wrong
    known = box.store.known(NUMBER)
    assert known is not None
    assert known.local[0].at == T0 + HOUR
    steady = T0
    clock = Clock(lambda: box.now, lambda: steady)
    clock.synced(T0)
    box.now = 0
    assert clock.now(0) == T0


def test_the_merchants_policy_is_obeyed(box: Box) -> None:
    """Of the terminal's own setting and the pack's the shorter age counts; the clock may be off by
    what the pack says.
    """
    agreed = box.sealer.chunk(pack_tickets())
    agreed.configuration.max_pack_seconds = 3_600
    agreed.configuration.clock_tolerance_seconds = 10
    box.store.take(box.sealer.response(agreed), T0, 0)
    box.now = T0 + HOUR
    assert box.reason() == ""
    box.now += 1_000
    with pytest.raises(NotDecidedError, match="PACK_TOO_OLD"):
        box.reason("tokens")
    box.now = T0 + HOUR - 11_000
    with pytest.raises(NotDecidedError, match="CLOCK_WRONG"):
        box.reason("tokens")
    box.now = T0 + HOUR - 9_000
    assert box.reason("tokens") == ""
