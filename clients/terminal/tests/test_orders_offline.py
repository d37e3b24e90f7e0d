"""An order's QR without network: its tickets from the pack, redeemed one by one or all."""

from pathlib import Path
from typing import Any

import pytest
from deeptravel import redemption, tickets
from deeptravel_terminal.codes import Kind, Scanned
from deeptravel_terminal.offline import OF_ORDER
from deeptravel_terminal.views import reason_of

from tests.sealing import NUMBER, ORDER, T0, pack_tickets, terms
from tests.test_offline_rules import Box

JTI = bytes(range(12)) + (7).to_bytes(4)
CODES = [f"OTA-CP-20261204-{17 + n:06d}" for n in range(3)]
ORDER_CODE = "ORD-CP-20261204-000005"
SUCCESS, REJECT = redemption.REDEMPTION_RESULT_SUCCESS, redemption.REDEMPTION_RESULT_REJECT
WITHHELD = redemption.REDEMPTION_RESULT_WITHHELD


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """With an order of three, whose QRs were rotated twice in all: the second ticket's last."""
    made = Box(tmp_path)
    made.has(pack_tickets(count=3, order=(JTI, 0), seat="1A"))
    rotated = pack_tickets(first=NUMBER + 1, order=(JTI, 2))
    made.has(rotated, version=T0 + 1, is_full=False)
    return made


def order_qr(box: Box, rotations: int = 2, jti: bytes = JTI, **token: Any) -> Scanned:
    """As it is issued after so many rotations."""
    count = (int.from_bytes(jti[12:]) + rotations) % (1 << 32)
    return box.sealer.token(ORDER, jti[:12] + count.to_bytes(4), kind=2, **token)


def listed(box: Box, scanned: Scanned) -> dict[str, str]:
    """Its tickets, each with why it is refused whatever is asked."""
    found = box.offline.party(scanned)
    return {each.ticket_code: reason_of(each) for each in found.tickets}


def test_its_tickets_are_listed_without_names(box: Box) -> None:
    """By its QR, by its number, and by the QR of one of them; nothing is written."""
    by_qr = box.offline.party(order_qr(box))
    assert (by_qr.order_id, by_qr.ticket_count) == (ORDER_CODE, 3)
    assert [each.ticket_code for each in by_qr.tickets] == CODES
    first = by_qr.tickets[0].ticket_info
    assert (first.status, first.details.seat) == (tickets.TICKET_STATE_ACTIVE, "1A")
    assert [each.function_code for each in first.entitlements] == ["ferry", "tokens", "gift"]
    assert not first.HasField("customer_info")
    assert box.offline.party(Scanned(Kind.CODE, ORDER_CODE)) == by_qr
    of_one = box.offline.party(box.sealer.token(NUMBER + 2))
    assert of_one == by_qr
    asked = box.offline.decide(order_qr(box), "ferry", 1).answer
    assert asked.explanation.check == OF_ORDER
    assert box.offline.look(order_qr(box), "ferry", 1).answer.explanation.check == OF_ORDER
    assert not box.store.unsent_count()


@pytest.mark.parametrize(
    ("scanned", "reason"),
    [
        (lambda box: order_qr(box, expiry=T0), "TOKEN_EXPIRED"),
        (lambda box: order_qr(box, flags=1), "TEST_TICKET"),
        (lambda box: Scanned(Kind.CODE, "ORD-CP-20261204-000006"), "TICKET_NOT_FOUND"),
        (lambda box: Scanned(Kind.CODE, "ORD-XX-20261204-000005"), "TICKET_NOT_FOUND"),
        (lambda box: box.sealer.token(ORDER + 1, kind=2), "TICKET_NOT_FOUND"),
        (lambda box: box.sealer.token(jti=b"k" * 16), "QR_SUPERSEDED"),
        (
            lambda box: Scanned(Kind.TICKET_QR, order_qr(box).text.replace("A", "B")),
            "TOKEN_INVALID",
        ),
    ],
)
def test_what_lists_nothing(box: Box, scanned, reason: str) -> None:  # type: ignore[no-untyped-def]
    found = box.offline.party(scanned(box))
    assert (found.result, reason_of(found)) == (REJECT, reason)
    assert found.explanation.zh
    assert not found.tickets


def test_a_ticket_whose_own_qr_was_rotated_since_is_not_opened(box: Box) -> None:
    """By the last rotation alone, and by none of an order's QR of before its own. The count goes
    over the end of its 32 bits. Seen red without the comparison.
    """
    other = CODES[1]
    for rotations, closed in ((0, [other]), (1, [other]), (2, []), (3, [])):
        found = listed(box, order_qr(box, rotations))
        assert [code for code, reason in found.items() if reason] == closed, rotations
        assert found[other] == ("QR_SUPERSEDED" if closed else "")
    superseded = listed(box, order_qr(box, jti=b"x" * 16))
    assert set(superseded.values()) == {"QR_SUPERSEDED"}
    late = JTI[:12] + ((1 << 32) - 1).to_bytes(4)
    box.has(pack_tickets(order=(late, 1)), version=T0 + 2)
    assert listed(box, order_qr(box, 0, late)) == {CODES[0]: "QR_SUPERSEDED"}
    assert listed(box, order_qr(box, 1, late)) == {CODES[0]: ""}


def test_all_are_redeemed_or_none(box: Box) -> None:
    """With what is refused written down, and nothing of the others; then one by one."""
    early = order_qr(box, 1)
    outcome = box.offline.redeem_party(early, CODES, "ferry")
    assert not outcome.answer.all_redeemed
    results = [each.result for each in outcome.answer.results]
    assert results == [WITHHELD, REJECT, WITHHELD]
    assert reason_of(outcome.answer.results[1]) == "QR_SUPERSEDED"
    scans = box.store.unsent(9)
    assert [(each.ticket_code, each.admitted) for each in scans] == [(CODES[1], False)]
    qr = order_qr(box)
    outcome = box.offline.redeem_party(qr, CODES, "ferry")
    assert outcome.answer.all_redeemed
    assert [each.result for each in outcome.answer.results] == [SUCCESS] * 3
    left = [each.entitlements[0].remaining_uses for each in outcome.answer.results]
    assert left == [0] * 3
    scans = box.store.unsent(9)[1:]
    assert [(each.ticket_code, each.qr_token) for each in scans] == [(c, qr.text) for c in CODES]
    assert [each.previous_hash for each in scans[1:]] == [each.hash() for each in scans[:-1]]
    assert not box.store.unsent(9, by_number=True)
    own = box.offline.decide(box.sealer.token(NUMBER + 2), "ferry", 1)  # its own QR
    assert reason_of(own.answer) == "ALREADY_REDEEMED"
    of_one = box.offline.redeem_party(box.sealer.token(NUMBER), CODES[1:2], "tokens").answer
    assert reason_of(of_one.results[0]) == "TICKET_NOT_FOUND"  # by another's QR
    one = box.offline.redeem_party(qr, CODES[2:], "tokens").answer
    assert (one.all_redeemed, one.results[0].ticket_code) == (True, CODES[2])
    elsewhere = box.offline.redeem_party(qr, ["OTA-CP-20261204-000099"], "ferry").answer
    assert reason_of(elsewhere.results[0]) == "TICKET_NOT_FOUND"


def test_what_needs_a_rotating_code_is_not_opened_by_it(box: Box) -> None:
    """Whatever stands behind the order's QR."""
    made = terms()
    made.functions[0].looks_at_code = made.functions[0].needs_code = True
    made.functions[1].looks_at_code = True
    box.has(pack_tickets(order=(JTI, 0), sold_under=made, share=b"s" * 16), version=T0 + 2)
    qr, with_code = (box.sealer.token(ORDER, JTI, kind=2, code=code) for code in ("", "A" * 8))
    for each in (qr, with_code):
        answer = box.offline.redeem_party(each, CODES[:1], "ferry").answer
        assert reason_of(answer.results[0]) == "ROTATING_CODE_REQUIRED"
    assert box.offline.redeem_party(qr, CODES[:1], "tokens").answer.all_redeemed


def test_a_push_and_a_later_pack_say_otherwise(box: Box) -> None:
    """A QR that was rotated meanwhile, and a ticket that is of no order."""
    made = pack_tickets(first=NUMBER + 2, order=(JTI, 3))
    box.store.push(box.sealer.push(made, T0 + 5))
    assert listed(box, order_qr(box))[CODES[2]] == "QR_SUPERSEDED"
    box.has(pack_tickets(count=2, order=(b"n" * 16, 0)), version=T0 + 10)
    assert set(listed(box, order_qr(box)).values()) == {"QR_SUPERSEDED"}
    box.has(pack_tickets(), version=T0 + 20)
    assert reason_of(box.offline.party(order_qr(box))) == "TICKET_NOT_FOUND"
