import pytest
from deeptravel_terminal.codes import Kind, chosen, read

from tests.samples import BOARDING, FULL_WIDTH, IDENTITY, OTHER_OF_OURS, OURS, PAYMENT

KINDS = {
    PAYMENT: Kind.PAYMENT,
    "281234567890123456": Kind.PAYMENT,
    "6212345678901234567": Kind.PAYMENT,
    "wxp://f2f0abcdefgh": Kind.PAYMENT,
    "https://qr.alipay.com/fkx1234": Kind.PAYMENT,
    "00020101021126330012hk.com.hkicl01": Kind.PAYMENT,
    "hQVDUFYwMWETTwegAAA": Kind.PAYMENT,
    BOARDING: Kind.BOARDING_PASS,
    "#UT01008000100012345": Kind.RAIL_TICKET,
    "06DUGN0ABCDEFGHIJKLMN": Kind.RAIL_TICKET,
    "1" * 144: Kind.RAIL_TICKET,
    IDENTITY: Kind.ID_CARD,
    "https://example.com/a?b=c": Kind.URL,
    "weixin.example://x": Kind.URL,
    "6901234567892": Kind.PRODUCT,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln": Kind.OTHER_TICKET,
    '{"ticket": 1}': Kind.OTHER_TICKET,
    "0b06cb5f-1f7a-4d1b-8f0e-1b2c3d4e5f60": Kind.OTHER_TICKET,
    "kc3jnhxpemhwgvhc7cvbhvqnkhxqrnpu": Kind.OTHER_TICKET,
    "hello": Kind.OTHER,
    "x" * 5000: Kind.OTHER,
    "": Kind.OTHER,
    OURS[:120]: Kind.DAMAGED,
    OURS + OURS: Kind.DAMAGED,
    OURS[1:]: Kind.DAMAGED,
}


@pytest.mark.parametrize(("text", "kind"), KINDS.items(), ids=lambda each: str(each)[:30])
def test_a_code_of_others_is_named_and_not_kept(text: str, kind: Kind) -> None:
    found = read(text)
    assert (found.kind, found.text) == (kind, "")
    assert not found.kind.is_ours


@pytest.mark.parametrize(
    "added",
    [
        OURS,
        f"]Q1{OURS}",
        f"]d2{OURS}",
        f"\x02 ]z0{OURS}\x03\r\n",
        f"\ufeff{OURS}",
        OURS.lower(),
        OURS.translate(FULL_WIDTH),
        f"]q1{OURS.lower()}".translate(FULL_WIDTH),
    ],
)
def test_what_a_scanner_adds_is_no_part_of_it(added: str) -> None:
    found = read(added)
    assert (found.kind, found.text) == (Kind.TICKET_QR, OURS)


@pytest.mark.parametrize(
    "typed", ["ORD-DT-20261204-000017", "ordDT20261204000017", "]C1ORD DT 20261204 000017"]
)
def test_a_printed_number(typed: str) -> None:
    found = read(typed)
    assert (found.kind, found.text) == (Kind.CODE, "ORD-DT-20261204-000017")


def test_a_dotless_i_is_no_letter_of_ours() -> None:
    assert not read(OURS.replace("A", "\u0131")).kind.is_ours


def test_of_several_in_view_ours_is_taken() -> None:
    for texts in ([PAYMENT, OURS], [OURS, PAYMENT], [BOARDING, PAYMENT, OURS, OTHER_OF_OURS]):
        found = chosen(texts)
        assert found is not None
        assert found.text == OURS
    only = chosen([PAYMENT])
    assert only is not None
    assert only.kind is Kind.PAYMENT
    assert chosen([]) is None
    assert "134567" not in repr(chosen([PAYMENT]))
    assert OURS not in repr(chosen([OURS]))
