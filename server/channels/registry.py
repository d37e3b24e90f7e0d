"""The vendors there are, a row each: a new one is added here (docs/guides/adding-a-channel.md)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from server.channels import booking_com, ctrip, ctrip_ttd, expedia, ttd_wire
from server.channels.booking_com import BookingComCodec
from server.channels.cadence_rules import PricePace
from server.channels.ctrip import CtripCodec
from server.channels.ctrip_ttd import CtripTtdCodec
from server.channels.expedia import ExpediaCodec
from server.channels.facts import Capability
from server.channels.wire import Codec, VendorWords
from server.channels.words import DOCUMENTED, WordPair


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor that we can be connected to.

    Attributes:
        codec: makes its codec of credentials and words; None if it fetches a feed of ours.
        credentials: names of what it gives us to prove who we are.
        words: what its document says of words.
        batch: most entries of a push in one request.
        one_item_a_push: whether a request is of one item's entries alone.
        calls_per_minute: as long as nobody has agreed on another limit.
        price_pace: of a new listing, unless it says otherwise.
    """

    vendor_code: str
    display_name_en: str
    display_name_zh: str
    codec: Callable[[Mapping[str, str], VendorWords], Codec] | None
    capabilities: frozenset[Capability]
    base_url: str = ""
    credentials: tuple[str, ...] = ()
    words: tuple[WordPair, ...] = field(default=(), repr=False)
    batch: int = 500
    one_item_a_push: bool = False
    calls_per_minute: int = 60
    price_pace: PricePace = PricePace.HOURLY


_FEED = frozenset({Capability.FEED})
FEED_KEY = "feed_key_secret"
"""What we give to a vendor that fetches, instead of being given something."""
FEED_PATH = "/channel-feed/v1/"
"""Where it fetches, with the channel's code behind."""

VENDORS: dict[str, Vendor] = {
    each.vendor_code: each
    for each in (
        Vendor(
            "ctrip",
            "Ctrip",
            "携程",
            CtripCodec,
            CtripCodec.capabilities,
            base_url=ctrip.BASE_URL,
            credentials=ctrip.CREDENTIALS,
            words=DOCUMENTED["ctrip"],
            price_pace=PricePace.DAILY,
        ),
        Vendor(
            "booking_com",
            "Booking.com",
            "Booking.com 缤客",
            BookingComCodec,
            BookingComCodec.capabilities,
            base_url=booking_com.BASE_URL,
            credentials=booking_com.CREDENTIALS,
            words=DOCUMENTED["booking_com"],
        ),
        Vendor(
            "expedia",
            "Expedia",
            "Expedia 亿客行",
            ExpediaCodec,
            ExpediaCodec.capabilities,
            base_url=expedia.BASE_URL,
            credentials=expedia.CREDENTIALS,
            words=DOCUMENTED["expedia"],
            price_pace=PricePace.FOUR_HOURLY,
        ),
        Vendor(
            "ctrip_ttd",
            "Ctrip attractions",
            "携程玩乐",
            CtripTtdCodec,
            CtripTtdCodec.capabilities,
            base_url=ctrip_ttd.BASE_URL,
            credentials=ttd_wire.CREDENTIALS,
            batch=ctrip_ttd.MOST_DAYS,
            one_item_a_push=True,
            price_pace=PricePace.DAILY,
        ),
        Vendor("kayak", "Kayak", "Kayak 客涯", None, _FEED, credentials=(FEED_KEY,)),
        Vendor("zuzuche", "Zuzuche", "租租车", None, _FEED, credentials=(FEED_KEY,)),
    )
}
