"""Names, comments and codes as people type them (DOMAIN, Price)."""

import sys
import time
import unicodedata
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.platform.texts import clock_time, read_code, read_comment, read_name, read_ticket_code
from server.tickets.rules import DAY_BITS, EPOCH, SEQUENCE_BITS, Number


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("张三", "张三"),
        ("  Wang  Wei ", "Wang  Wei"),
        ("　王小明　", "王小明"),
        ("Ｗａｎｇ Ｗｅｉ", "Wang Wei"),
        ("\u200b王\ufeff", "王"),
        ("\u00a0José\u00a0", "José"),
        ("Jose\u0301", "José"),
        ("欧阳·娜娜", "欧阳·娜娜"),
        ("葛\U000e0100城", "葛\U000e0100城"),  # which of its shapes a family writes
        ("می\u200cخواهم", "می\u200cخواهم"),  # Persian needs the non-joiner
        ("O'Brien-Smith, Jr.", "O'Brien-Smith, Jr."),
        ("7", "7"),
    ],
)
def test_names(typed: str, kept: str) -> None:
    assert read_name(typed) == kept
    assert read_name(kept) == kept


def test_blanks_within_a_text_cost_little() -> None:
    """Seen red: the search for blanks at the end began anew at each of a run, two seconds for
    this one.
    """
    within = "a" + " " * 25_000 + "b"
    begin = time.process_time()
    assert read_comment(within) == read_name(within) == within
    assert time.process_time() - begin < 0.5


@pytest.mark.parametrize(
    "blank",
    [
        *(" ", "\u3000", "\u200b", " \u200b\u3000\u00ad", "\u2800", "\u3164", "\uffa0"),
        *("\u2060\ufeff", "\ufe0f", "\U000e0100", "\U000e0041", "\u00a0", "\u180e"),
        "\u115f\u1160",
    ],
)
def test_nothing_visible_is_no_name(blank: str) -> None:
    for read in (read_name, read_comment):
        with pytest.raises(ValueError, match="shows nothing but blanks"):
            read(blank)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("张\n三", "U\\+000A at position 1, which breaks the line"),
        ("张三\n", "U\\+000A"),
        ("\t张三", "U\\+0009"),
        ("a\x00", "U\\+0000"),
        ("a\x7fb", "U\\+007F"),
        ("a\x85b", "U\\+0085"),
        ("a\u2028b", "U\\+2028"),
        ("a\u2029b", "U\\+2029"),
        ("Wang\u202egnaW", "U\\+202E at position 4, which changes the direction"),
        *((f"a{mark}b", f"U\\+{ord(mark):04X}") for mark in "\u202a\u202b\u202c\u202d"),
        *((f"a{mark}b", f"U\\+{ord(mark):04X}") for mark in "\u2066\u2067\u2068\u2069"),
        *((f"a{mark}b", f"U\\+{ord(mark):04X}") for mark in "\u061c\u200e\u200f"),
    ],
)
def test_controls_and_directions_are_refused(name: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        read_name(name)
    assert "send the name in one line" in str(refused.value)
    assert "张三" not in str(refused.value)


@given(st.text())
def test_what_is_kept_can_be_read(text: str) -> None:
    try:
        kept = read_name(text)
    except ValueError:
        return
    assert kept == unicodedata.normalize("NFKC", kept)
    assert kept.strip() == kept != ""
    assert not any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in kept)
    assert not any(unicodedata.bidirectional(c) in DIRECTIONS for c in kept)
    assert read_name(kept) == kept


DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def test_every_control_and_direction_of_unicode_is_refused() -> None:
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        if (
            unicodedata.category(character) in ("Cc", "Zl", "Zp")
            or unicodedata.bidirectional(character) in DIRECTIONS
        ):
            with pytest.raises(ValueError, match="holds U"):
                read_name(f"a{character}b")


def test_every_blank_of_unicode_is_trimmed() -> None:
    for number in range(sys.maxunicode + 1):
        if unicodedata.category(chr(number)) == "Zs":
            assert read_name(f"{chr(number)}a{chr(number)}") == "a", hex(number)


def test_comments() -> None:
    assert read_comment("  torn print,\r\n\tsee the counter \n") == "torn print,\n\tsee the counter"
    assert read_comment("Ｓ ①") == "Ｓ ①"
    for text in ("a\x00b", "a\x1bb", "a\u202eb", "a\u2066b"):
        with pytest.raises(ValueError, match="at position 1"):
            read_comment(text)


@pytest.mark.parametrize(
    "typed",
    [
        "AUTUMN10",
        "autumn10",
        " Autumn-10 ",
        "ＡＵＴＵＭＮ１０",
        "autumn　10",
        "AUTUMN–10",
        "AU\u200bTUMN10",
    ],
)
def test_typed_codes(typed: str) -> None:
    assert read_code(typed) == "AUTUMN10"


CODE = "ORD-DT-20261121-000001"


@pytest.mark.parametrize(
    "typed",
    [
        CODE,
        "ord-dt-20261121-000001",
        " ORD-DT-20261121-000001 ",
        "ORD DT 20261121 000001",
        "ORDDT20261121000001",
        "ORD - DT - 2026 1121 - 000 001",
        "ＯＲＤ－ＤＴ－２０２６１１２１－０００００１",
        "ORD–DT—20261121−000001",
        "ORD‐DT‑20261121-000001",
        "ORD_DT_20261121_000001",
        "ORD-DT-20261121-000001\r\n",
        "\u200bORD-DT-20261121-000001\ufeff",
        "ord-dt-20261121000001",
    ],
)
def test_codes_of_tickets_and_orders(typed: str) -> None:
    assert read_ticket_code(typed) == CODE


@pytest.mark.parametrize(
    "text",
    [
        *("", "nonsense", "ORD-DT-20261321-000001", "XXX-DT-20261121-000001"),
        *("ORD-DT-20261121-0001", "ORD-DT-20261121-000001X", "OTA--20261121-000001"),
        "ORD-DT-２０２６",
    ],
)
def test_what_is_no_code_stays_as_it_is(text: str) -> None:
    assert read_ticket_code(text) == text


_PARTNER = st.from_regex(r"[A-Z0-9]{1,12}", fullmatch=True)
_NUMBERS = st.builds(
    lambda days, sequence: Number(1, EPOCH + timedelta(days=days), sequence),
    st.integers(0, (1 << DAY_BITS) - 1),
    st.integers(0, (1 << SEQUENCE_BITS) - 1),
)


@given(st.sampled_from(["OTA", "DIR", "ORD"]), _PARTNER, _NUMBERS)
def test_every_code_we_write_is_read(prefix: str, partner_code: str, number: Number) -> None:
    """As it stands, with its parts divided otherwise, and without: then itself, or nothing
    else.
    """
    code = number.code(prefix, partner_code)
    assert read_ticket_code(code) == code
    assert read_ticket_code(f" {code.lower().replace('-', '  ')} ") == code
    compact = code.replace("-", "")
    assert read_ticket_code(compact) in (code, compact)


@given(st.text())
def test_nothing_breaks_the_reading_of_codes(text: str) -> None:
    assert read_ticket_code(text)[:0] == read_code(text)[:0] == ""


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Asia/Shanghai", "2026-12-04 07:00 UTC+08:00"),
        ("America/St_Johns", "2026-12-03 19:30 UTC-03:30"),
        ("UTC", "2026-12-03 23:00 UTC+00:00"),
    ],
)
def test_a_moment_is_written_as_the_clocks_of_its_zone_show_it(zone: str, shown: str) -> None:
    moment = datetime(2026, 12, 3, 23, tzinfo=UTC).astimezone(ZoneInfo(zone))
    assert clock_time(moment) == shown
    assert clock_time(moment, "seconds") == shown.replace(":00 ", ":00:00 ").replace(
        ":30 ", ":30:00 "
    )
