"""Text that people type, read as they mean it: names, comments, and codes (DOMAIN, Price). Pure.

A reader answers the text as it is kept, or raises ValueError with what is wrong and what to send
instead; the text itself, which may be somebody's name, stays out of that.
"""

import re
import unicodedata
from datetime import date, datetime

_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_DIRECTIONS = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""All of Unicode's Bidi_Control."""
_SELECTORS = r"\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
"""Variation selectors, which belong to the letter before them."""
_IGNORED = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\u3164\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
"""Unicode's Default_Ignorable_Code_Point but the selectors: nothing is drawn for them."""
_BLANKS = r" \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\u2800"
"""Unicode's space separators, and the blank of Braille."""

_FORBIDDEN_IN_NAME = re.compile(f"[{_CONTROLS}{_DIRECTIONS}]")
_FORBIDDEN_IN_COMMENT = re.compile(
    f"[{_CONTROLS}{_DIRECTIONS}]".replace(r"\x00-\x1f", r"\x00-\x08\x0b-\x1f")
)
_INVISIBLE = re.compile(f"[{_BLANKS}{_IGNORED}{_SELECTORS}]*")
_BLANK = re.compile(f"[{_BLANKS}{_IGNORED}]*")
_LETTER = r"!-~\u3400-\u4dbf\u4e00-\u9fff"
_AS_KEPT = re.compile(f"[{_LETTER}](?:[ {_LETTER}]*[{_LETTER}])?")
"""Names of ASCII and Chinese characters that need nothing done to them, as nearly all do: seen
in one look.
"""
_LINE_BREAKS = re.compile("\r\n?")

_SEPARATORS = re.compile(
    rf"[\s{_BLANKS}{_IGNORED}\u2043\u2212\u30fc_-]|[\u2010-\u2015\u2e3a\u2e3b]"
)
"""What stands between the parts of a code on paper, in speech or on another keyboard."""
_TICKET_CODE = re.compile(r"(?:OTA|DIR|ORD)-[A-Z0-9]{1,12}-\d{8}-\d{6,9}", re.ASCII)
_BEFORE_SEQUENCE = re.compile(r"(OTA|DIR|ORD)([A-Z0-9]{1,12})(\d{8})", re.ASCII)
_MAX_CODE_CHARS = 32
"""Without its separators; of a longer text nothing is read, so that the work is bounded."""
_OTHER_HYPHENS = 8
"""Room for separators which are such only after NFKC."""
_FIRST_YEAR, _LAST_YEAR = 2020, 2199
"""Of the days in codes, see tickets.rules."""

MAX_SCANNED_CHARS = 1024
"""Of a QR's text with what a scanner adds; of a longer one nothing is taken away, so that the
work is bounded.
"""
_AS_SEALED = re.compile(r"[A-Z2-7:-]*")
_AIM_IDENTIFIER = re.compile(r"\]Q[0-9]")
# Not `str.upper`: that makes letters of ours of others, as I of a dotless i.
_FOLDED = {form: form - 0xFEE0 for form in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_FOLDED |= {form: code - 32 for form, code in _FOLDED.items() if 97 <= code <= 122}
_FOLDED |= {code: code - 32 for code in range(97, 123)}


def clock_time(moment: datetime, timespec: str = "minutes") -> str:
    """A moment as the clocks of its zone show it, e.g. `2026-12-04 07:00 UTC+08:00`; `timespec` as
    `isoformat` has it.

    With the offset, not the zone's letters: CST is the name of clocks 14 hours apart.
    """
    local = moment.replace(tzinfo=None).isoformat(" ", timespec)
    offset = moment.strftime("%z")
    return f"{local} UTC{offset[:3]}:{offset[3:5]}"


def read_name(text: str) -> str:
    """A name for people to read: NFKC-normalised and trimmed.

    Raises ValueError if nothing visible is left, or for control characters and those that change
    the direction of writing, with which a name looks like another on a screen.
    """
    if _AS_KEPT.fullmatch(text):
        return text
    _refuse(_FORBIDDEN_IN_NAME, text, "send the name in one line, without it")
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return _visible(text, "send a name of letters, digits or signs")


def read_comment(text: str) -> str:
    """Words of an operator or administrator, trimmed; they may have several lines.

    Raises ValueError as `read_name` does, but for line feeds and tabs.
    """
    text = _LINE_BREAKS.sub("\n", text)
    _refuse(_FORBIDDEN_IN_COMMENT, text, "send the text without it")
    return _visible(text.strip(), "say something")


def read_code(text: str) -> str:
    """A code that somebody typed, e.g. a promotion's: NFKC, without spaces and hyphens, in upper
    case.
    """
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", text)).upper()


def read_ticket_code(text: str) -> str:
    """The code of a ticket or order, e.g. `OTA-CP-20251103-000001`, however it was typed.

    Spaces and hyphens may be missing, too many, or of another kind, letters small or full-width.
    What cannot be read as one code, and no other, is answered as it came: there is no such ticket.
    """
    if _TICKET_CODE.fullmatch(text):
        return text
    if len(_SEPARATORS.sub("", text)) > _MAX_CODE_CHARS + _OTHER_HYPHENS:
        return text
    typed = unicodedata.normalize("NFKC", text).upper()
    if len(typed) > len(text) + _MAX_CODE_CHARS:  # of one character NFKC may make eighteen
        return text
    parts = [part for part in _SEPARATORS.split(typed) if part]
    found = _ticket_codes("".join(parts))
    as_parted = "-".join(parts)
    if as_parted in found:
        return as_parted
    return found.pop() if len(found) == 1 else text


def read_scanned(text: str) -> str:
    """The text of a QR code without what its scanner added or turned into other forms (DOMAIN, QR
    token).

    White space and control characters at both ends, an AIM symbology identifier of QR codes
    (`]Q1`), full-width forms, which a Chinese keyboard gives for colons too, small ASCII letters.
    Never raises.
    """
    if _AS_SEALED.fullmatch(text) or len(text) > MAX_SCANNED_CHARS:
        return text
    folded = _without_ends(text.translate(_FOLDED))
    identifier = _AIM_IDENTIFIER.match(folded)
    return _without_ends(folded[identifier.end() :]) if identifier else folded


def _without_ends(text: str) -> str:
    first, end = 0, len(text)
    while first < end and _is_added(text[first]):
        first += 1
    while end > first and _is_added(text[end - 1]):
        end -= 1
    return text[first:end]


def _is_added(character: str) -> bool:
    # Cc and Cf: control characters, and such that are not seen, as a byte order mark
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")


def _ticket_codes(compact: str) -> set[str]:
    """Every code that has these letters and digits."""
    codes = set()
    for length in range(6, 10):  # of the sequence at the end
        sequence = compact[-length:]
        match = _BEFORE_SEQUENCE.fullmatch(compact[:-length])
        if match is None or not (sequence.isascii() and sequence.isdigit()):
            continue
        if length > 6 and sequence.startswith("0"):
            continue  # not as we write it
        prefix, partner, day = match.groups()
        if _is_day(day):
            codes.add(f"{prefix}-{partner}-{day}-{sequence}")
    return codes


def _is_day(digits: str) -> bool:
    try:
        year = date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).year
    except ValueError:
        return False
    return _FIRST_YEAR <= year <= _LAST_YEAR


def _refuse(forbidden: re.Pattern[str], text: str, remedy: str) -> None:
    found = forbidden.search(text)
    if found:
        code = f"U+{ord(found[0]):04X}"
        what = (
            "changes the direction of writing"
            if _is_direction(found[0])
            else "is a control character"
        )
        if found[0] in "\n\r\u2028\u2029\x85":
            what = "breaks the line"
        raise ValueError(f"holds {code} at position {found.start()}, which {what}; {remedy}")


def _is_direction(character: str) -> bool:
    return re.match(f"[{_DIRECTIONS}]", character) is not None


def _visible(text: str, remedy: str) -> str:
    # the end as the beginning of the reverse: a search for it takes the square of a run of blanks
    trimmed = _without_beginning(_without_beginning(text)[::-1])[::-1]
    if not trimmed or _INVISIBLE.fullmatch(trimmed):
        raise ValueError(f"shows nothing but blanks; {remedy}")
    return trimmed


def _without_beginning(text: str) -> str:
    blank = _BLANK.match(text)
    return text[blank.end() :] if blank else text
