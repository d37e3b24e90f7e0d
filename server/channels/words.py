"""A vendor's words beside ours: looked up both ways, never replaced by a default. Pure.

What seed 003 says is where each vendor's begin (`DOCUMENTED`); administrators add and change rows.
Several of our words may be one of the vendor's, but for places; several of the vendor's states and
codes may be one of ours.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from server.channels.facts import (
    BookingState,
    CancellationReason,
    FailureKind,
    MappingKind,
    UnmappedError,
)

READ_ALONE = frozenset({MappingKind.STATUS, MappingKind.ERROR_CODE})
"""Kinds in which the vendor's word says which row it is; in all others ours does."""


class WordPair(NamedTuple):
    """A word of ours and the vendor's for it."""

    kind: MappingKind
    ours: str
    theirs: str


def word_row(channel_code: str, pair: WordPair, now: datetime) -> dict[str, object]:
    """A new row of a word: the vendor's says which it is of states and codes, ours of all
    others.
    """
    is_theirs = pair.kind in READ_ALONE
    return {
        "channel_code": channel_code,
        "kind": pair.kind,
        "word": pair.theirs if is_theirs else pair.ours,
        "counterpart": pair.ours if is_theirs else pair.theirs,
        "create_time": now,
        "update_time": now,
    }


class Words:
    """The words of one vendor as they are now.

    Args:
        pairs: of several states of the vendor that are one of ours, the first is asked for.
        currency_code: of amounts whose currency the vendor does not say.
    """

    def __init__(self, pairs: Iterable[WordPair], currency_code: str) -> None:
        self.currency_code = currency_code
        self._theirs: dict[tuple[MappingKind, str], str] = {}
        self._ours: dict[tuple[MappingKind, str], str] = {}
        for pair in pairs:
            self._theirs.setdefault((pair.kind, pair.ours), pair.theirs)
            self._ours.setdefault((pair.kind, pair.theirs), pair.ours)

    def ours(self, kind: MappingKind, word: str) -> str:
        """Our word for the vendor's. Raises UnmappedError."""
        found = self._ours.get((kind, word))
        if found is None:
            raise UnmappedError(kind, word)
        return found

    def theirs(self, kind: MappingKind, word: str) -> str:
        """The vendor's word for ours. Raises UnmappedError."""
        found = self._theirs.get((kind, str(word)))
        if found is None:
            raise UnmappedError(kind, str(word))
        return found

    def failure_of(self, vendor_code: str) -> FailureKind | None:
        """What a vendor's code of a refusal means; None if nobody has said."""
        found = self._ours.get((MappingKind.ERROR_CODE, vendor_code))
        return FailureKind(found) if found else None


OUR_WORDS: dict[MappingKind, frozenset[str]] = {
    MappingKind.STATUS: frozenset(BookingState),
    MappingKind.ERROR_CODE: frozenset(FailureKind),
    MappingKind.CANCELLATION_REASON: frozenset(CancellationReason),
}
"""Kinds in which our words are a closed list."""

CATEGORIES = {
    "ECONOMY": ("Economy", "经济型"),
    "COMPACT": ("Compact", "紧凑型"),
    "MIDSIZE": ("Midsize", "中型"),
    "STANDARD": ("Standard", "标准型"),
    "FULLSIZE": ("Fullsize", "大型"),
    "PREMIUM": ("Premium", "高级型"),
    "LUXURY": ("Luxury", "豪华型"),
    "SUV": ("SUV", "SUV"),
    "VAN": ("Van", "商务车"),
}
"""Our codes of seed 003's categories, with their names in English and Chinese."""
FEATURES = {
    "gps": "GPS",
    "bluetooth": "Bluetooth",
    "sunroof": "Sunroof",
    "leather_seats": "Leather Seats",
    "backup_camera": "Backup Camera",
    "usb_charging": "USB Charging",
}
"""Our codes of its features."""


def _pairs(kind: MappingKind, words: Mapping[str, str]) -> tuple[WordPair, ...]:
    return tuple(WordPair(kind, ours, theirs) for ours, theirs in words.items())


def _categories(theirs: str) -> tuple[WordPair, ...]:
    words = dict(zip(CATEGORIES, theirs.split(), strict=True))
    return _pairs(MappingKind.CATEGORY, words)


def category_names(code: str) -> tuple[str, str]:
    """A category in English and Chinese; one that seed 003 does not name is its code in words."""
    words = code.replace("_", " ").capitalize()
    return CATEGORIES.get(code, (words, words))


def _features(theirs: Iterable[str]) -> tuple[WordPair, ...]:
    return _pairs(MappingKind.FEATURE, dict(zip(FEATURES, theirs, strict=True)))


DOCUMENTED: dict[str, tuple[WordPair, ...]] = {
    "ctrip": (
        *_categories("ECO COM MID STD FUL PRE LUX SUV VAN"),
        *_features(FEATURES.values()),
        WordPair(MappingKind.FUEL, "GASOLINE", "GASOLINE"),
        WordPair(MappingKind.STATUS, BookingState.NEW, "NEW"),
    ),
    "booking_com": (
        *_categories(
            "mini economy compact intermediate standard fullsize premium suv van",
        ),
        *_features(FEATURES.values()),
        *_pairs(
            MappingKind.CANCELLATION_REASON,
            {
                CancellationReason.CUSTOMER_REQUEST: "guest_request",
                CancellationReason.PAYMENT_ISSUE: "payment_issue",
                CancellationReason.FRAUD: "fraudulent",
                CancellationReason.NO_SHOW: "no_show",
                CancellationReason.VEHICLE_UNAVAILABLE: "property_request",
                CancellationReason.OTHER: "other",
            },
        ),
        WordPair(MappingKind.STATUS, BookingState.NEW, "new"),
    ),
    "expedia": (
        *_categories("Economy Compact Midsize Standard Fullsize Premium Luxury SUV Minivan"),
        *_features(("GPS", "Bluetooth", "Sunroof", "LeatherSeats", "RearviewCamera", "USBCharger")),
        WordPair(MappingKind.STATUS, BookingState.NEW, "Pending"),
    ),
}
"""What seed 003 says, without its defaults ("MID", "intermediate", "Standard", "Other", "other")
for words it does not know: these are mapped to nothing.
"""
