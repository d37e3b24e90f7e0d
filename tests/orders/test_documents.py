"""Travel documents: every kind, however it is written, and what a number tells of its holder.

No number here is anybody's: they are examples of authorities (GB 11643 prints 11010519491231002X),
or made up.
"""

from datetime import UTC, date, datetime
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.orders.documents import (
    FOREIGN_PERMANENT_RESIDENT_CARD,
    HK_MACAO_PERMIT,
    HKID,
    MACAO_BIR,
    MAINLAND_TRAVEL_PERMIT,
    PASSPORT,
    RESIDENCE_PERMIT,
    RESIDENT_ID,
    TAIWAN_COMPATRIOT_PERMIT,
    TAIWAN_TRAVEL_PERMIT,
    age_on,
    birth_date,
    document_fault,
    document_number,
    identity,
    mask,
)

TODAY = date(2026, 11, 27)
KINDS = (
    RESIDENT_ID,
    PASSPORT,
    MAINLAND_TRAVEL_PERMIT,
    HK_MACAO_PERMIT,
    RESIDENCE_PERMIT,
    TAIWAN_COMPATRIOT_PERMIT,
    TAIWAN_TRAVEL_PERMIT,
    HKID,
    MACAO_BIR,
    FOREIGN_PERMANENT_RESIDENT_CARD,
)


def checked(body: str) -> str:
    """17 digits with their check character. ISO 7064: as a number to the base of 2 it is 1
    modulo 11.
    """
    rest = sum(int(c) << 17 - at for at, c in enumerate(body)) % 11
    return body + "0123456789X"[(1 - rest) % 11]


@pytest.mark.parametrize(
    ("document_type", "number", "good"),
    [
        (RESIDENT_ID, "11010519491231002X", True),
        (RESIDENT_ID, "11010519491231002x", True),
        (RESIDENT_ID, "110105 19491231 002x", True),
        (RESIDENT_ID, "１１０１０５19491231002Ｘ", True),
        (RESIDENT_ID, "440524188001010014", True),
        (RESIDENT_ID, "110105194912310021", False),
        (RESIDENT_ID, "11010519491331002X", False),
        (RESIDENT_ID, "11010519490230002X", False),
        (RESIDENT_ID, "01010519491231002X", False),
        (RESIDENT_ID, "1101054912310021", False),
        (RESIDENT_ID, checked("11010520990101001"), False),
        (RESIDENT_ID, checked("11010520261127001"), True),
        (RESIDENT_ID, checked("11010520261128001"), False),
        (RESIDENT_ID, checked("81000019940823002"), True),
        (RESIDENT_ID, "", False),
        (PASSPORT, "E12345678", True),
        (PASSPORT, "ej-1234567", True),
        (PASSPORT, "ＥＪ－１２３４５６７", True),
        (PASSPORT, "K0123456", True),
        (PASSPORT, "ABCDEFGHI", False),
        (PASSPORT, "E1234567890", False),
        (PASSPORT, "E1", False),
        (PASSPORT, "É1234567", False),
        (MAINLAND_TRAVEL_PERMIT, "H12345678", True),
        (MAINLAND_TRAVEL_PERMIT, "m1234567801", True),
        (MAINLAND_TRAVEL_PERMIT, "C12345678", False),
        (MAINLAND_TRAVEL_PERMIT, "H123456789", False),
        (HK_MACAO_PERMIT, "C12345678", True),
        (HK_MACAO_PERMIT, "CA1234567", True),
        (HK_MACAO_PERMIT, "W12345678", True),
        (HK_MACAO_PERMIT, "CI1234567", False),
        (HK_MACAO_PERMIT, "H12345678", False),
        (RESIDENCE_PERMIT, checked("81000019940823002"), True),
        (RESIDENCE_PERMIT, checked("82000020110520001"), True),
        (RESIDENCE_PERMIT, checked("83000019571230003"), True),
        (RESIDENCE_PERMIT, checked("84000019571230003"), False),
        (RESIDENCE_PERMIT, "11010519491231002X", False),
        (TAIWAN_COMPATRIOT_PERMIT, "12345678", True),
        (TAIWAN_COMPATRIOT_PERMIT, "1234567801(B)", True),
        (TAIWAN_COMPATRIOT_PERMIT, "123456789", False),
        (TAIWAN_COMPATRIOT_PERMIT, "L12345678", False),
        (TAIWAN_TRAVEL_PERMIT, "L12345678", True),
        (TAIWAN_TRAVEL_PERMIT, "T12345678", True),
        (TAIWAN_TRAVEL_PERMIT, "C12345678", False),
        (HKID, "A123456(3)", True),
        (HKID, "a123456（3）", True),
        (HKID, "A1234563", True),
        (HKID, "Ａ１２３４５６（３）", True),
        (HKID, "AB987654(3)", True),
        (HKID, "A123456(4)", False),
        (HKID, "A123456", False),
        (HKID, "1234567(8)", False),
        (MACAO_BIR, "1234567(8)", True),
        (MACAO_BIR, "5234567（8）", True),
        (MACAO_BIR, "7/234567/8", False),
        (MACAO_BIR, "2234567(8)", False),
        (FOREIGN_PERMANENT_RESIDENT_CARD, "KAZ110090123105", True),
        (FOREIGN_PERMANENT_RESIDENT_CARD, "kaz 1100 900101 0-9", False),
        (FOREIGN_PERMANENT_RESIDENT_CARD, "KAZ110090123106", False),
        (FOREIGN_PERMANENT_RESIDENT_CARD, "KAZ110090133105", False),
        (FOREIGN_PERMANENT_RESIDENT_CARD, checked("91184019810803002"), True),
        (FOREIGN_PERMANENT_RESIDENT_CARD, checked("91184020990803002"), False),
        (FOREIGN_PERMANENT_RESIDENT_CARD, checked("11184019810803002"), False),
        ("LIBRARY_CARD", "1", False),
        ("", "", False),
    ],
)
def test_documents(document_type: str, number: str, good: bool) -> None:
    fault = document_fault(document_type, number, today=TODAY)
    assert (fault is None) == good
    assert not fault or not number or document_number(number) not in fault.split()


# In 2021 Hangzhou founded Linping and Qiantang (330113, 330114) and drew Shangcheng (330102) anew;
# who moves there gets a card with the number of old, and a child whose birth is registered late one
# of the new district.
@pytest.mark.parametrize("district", ["330113", "330114", "330102", "810000", "820000", "830000"])
@pytest.mark.parametrize("year", [1950, 1980, 2000, 2022])
def test_the_district_is_never_a_reason(district: str, year: int) -> None:
    number = checked(f"{district}{year}0704002")
    assert document_fault(RESIDENT_ID, number, today=TODAY) is None
    assert document_fault(RESIDENT_ID, number.lower(), today=TODAY) is None
    assert birth_date(RESIDENT_ID, number) == date(year, 7, 4)


@given(st.integers(0, 999_999), st.dates(date(1880, 1, 1), TODAY), st.integers(0, 999))
def test_any_district_there_may_ever_be(district: int, day: date, order: int) -> None:
    number = checked(f"{district:06}{day:%Y%m%d}{order:03}")
    assert document_fault(RESIDENT_ID, number, today=TODAY) is None


@given(
    st.dates(datetime(1900, 1, 1, tzinfo=UTC).date(), TODAY),
    st.integers(100_000, 999_999),
    st.integers(0, 999),
)
def test_one_wrong_digit_of_a_resident_id_is_noticed(day: Any, region: int, order: int) -> None:
    body = f"{region}{day:%Y%m%d}{order:03d}"
    right = checked(body)
    good = [
        c
        for c in "0123456789X"
        if document_fault(RESIDENT_ID, body + c, today=TODAY) is None
    ]  # fmt: skip
    assert good == [right[-1]]
    for at in range(17):
        for other in set("0123456789") - {body[at]}:
            wrong = body[:at] + other + right[at + 1 :]
            assert document_fault(RESIDENT_ID, wrong, today=TODAY) is not None


@pytest.mark.parametrize(
    ("document_type", "number", "born"),
    [
        (RESIDENT_ID, "11010519491231002x", date(1949, 12, 31)),
        (RESIDENT_ID, checked("83000020110520001"), date(2011, 5, 20)),
        (RESIDENCE_PERMIT, checked("82000020110520001"), date(2011, 5, 20)),
        (FOREIGN_PERMANENT_RESIDENT_CARD, checked("91184019810803002"), date(1981, 8, 3)),
        (FOREIGN_PERMANENT_RESIDENT_CARD, "KAZ110090123105", None),
        (PASSPORT, "E12345678", None),
        (HKID, "A123456(3)", None),
        ("", "", None),
    ],
)
def test_which_documents_tell_the_date_of_birth(
    document_type: str, number: str, born: date | None
) -> None:
    assert birth_date(document_type, number) == born


@pytest.mark.parametrize(
    ("day", "born", "age"),
    [
        (date(2026, 11, 27), date(2012, 11, 27), 14),
        (date(2026, 11, 26), date(2012, 11, 27), 13),
        (date(2026, 2, 28), date(2012, 2, 29), 13),
        (date(2026, 3, 1), date(2012, 2, 29), 14),
        (date(2026, 1, 1), date(2026, 1, 2), -1),
    ],
)
def test_ages(day: date, born: date, age: int) -> None:
    assert age_on(day, born) == age


ANYTHING = st.text(max_size=40) | st.text(
    "0123456789XxABCHMWLT()（）- ０１２Ｘ−‐\u3000\u200b", max_size=40
)


@given(st.sampled_from([*KINDS, "", "LIBRARY_CARD"]) | st.text(max_size=10), ANYTHING, st.dates())
def test_nothing_that_is_typed_raises(document_type: str, number: str, today: date) -> None:
    """Whatever it is, there is a fault in words or none; and what has none is read the same once
    more.
    """
    fault = document_fault(document_type, number, today=today)
    assert fault is None or fault
    birth_date(document_type, number)
    identity(document_type, number)
    again = document_number(number)
    if fault is None:
        assert again.isascii()
        assert again.isalnum()
        assert document_number(again) == again
        assert document_fault(document_type, again, today=today) is None
        assert identity(document_type, again) == identity(document_type, number)


@given(st.from_regex(r"[0-9]{17}[0-9X]", fullmatch=True), st.dates())
def test_nothing_of_the_length_of_a_resident_id_raises(number: str, today: date) -> None:
    for document_type in KINDS:
        document_fault(document_type, number, today=today)
        birth_date(document_type, number)


@given(st.from_regex(r"[A-Z]{3}[0-9]{12}|[A-Z]{1,2}[0-9]{6}[0-9A]", fullmatch=True))
def test_nothing_of_the_form_of_other_numbers_raises(number: str) -> None:
    for document_type in KINDS:
        document_fault(document_type, number, today=TODAY)


def test_one_wrong_character_of_an_hkid_is_noticed() -> None:
    """11 is a prime and every weight is below it."""
    for at, other in product(range(8), "0123456789A"):
        wrong = "A1234563"[:at] + other + "A1234563"[at + 1 :]
        fault = document_fault(HKID, wrong, today=TODAY)
        assert (fault is None) == (wrong == "A1234563")


def test_a_document_named_twice_is_found_however_it_is_written() -> None:
    resident = checked("81000019940823002")
    documents = [
        (PASSPORT, "E12345678"),
        (PASSPORT, "E87654321"),
        (PASSPORT, "e 1234-5678"),
        (HK_MACAO_PERMIT, "E12345678"),
        (PASSPORT, "E12345678"),
        (RESIDENT_ID, resident),
        (RESIDENCE_PERMIT, resident.lower()),
        (MAINLAND_TRAVEL_PERMIT, "H1234567801"),
        (MAINLAND_TRAVEL_PERMIT, "H12345678"),
        (TAIWAN_COMPATRIOT_PERMIT, "12345678"),
        (TAIWAN_COMPATRIOT_PERMIT, "1234567802"),
        (HKID, "A123456(3)"),
        (HKID, "Ａ123456（３）"),
    ]
    known = [identity(*document) for document in documents]
    assert [at for at, each in enumerate(known) if each in known[:at]] == [2, 4, 6, 8, 10, 12]


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("11010519491231002X", "11*************02X"),
        ("H123456789", "H1*****789"),
        ("E12345678", "E******78"),
        ("E12345", "E***45"),
        ("E1234", "*****"),
        ("", ""),
    ],
)
def test_a_masked_number_shows_its_ends(number: str, masked: str) -> None:
    assert mask(number) == masked


@given(st.text(max_size=40))
def test_a_masked_number_keeps_its_length_and_hides_half(number: str) -> None:
    masked = mask(number)
    assert len(masked) == len(number)
    assert 2 * masked.count("*") >= len(number)
