"""What travellers are listed of the catalogue: rows of cities, products and holidays."""

from datetime import date
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo


class CatalogueCity(NamedTuple):
    """A city; `hot_rank` is its place in the hot list, None if it is not in it."""

    city_code: str
    display_name_en: str
    display_name_zh: str
    time_zone: str
    hot_rank: int | None

    @property
    def zone(self) -> ZoneInfo:
        """Its clocks and calendar."""
        return ZoneInfo(self.time_zone)


class ListedProduct(NamedTuple):
    """A product that is on sale, with what of it is stored as JSON."""

    product_id: int
    kind: str
    display_name_en: str
    display_name_zh: str
    currency_code: str
    fares: list[dict[str, Any]]
    entitlements: list[dict[str, Any]]
    tiers: list[dict[str, int]]
    policy: dict[str, Any]
    max_per_traveller: int
    city_code: str | None
    calendar_code: str
    validity_days: int
    blackout_dates: list[date]
    boarding_minutes: int
    unaccompanied_types: list[str]
    age_limits: list[dict[str, Any]]


class CatalogueHoliday(NamedTuple):
    """A day of a calendar that is not what its weekday says."""

    day_type: str
    display_name_en: str
    display_name_zh: str
