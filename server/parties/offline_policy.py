"""What holds for the terminals of a venue without network. Pure."""

from datetime import timedelta
from typing import NamedTuple


class OfflinePolicy(NamedTuple):
    """What a merchant has agreed on about its terminals without network, at all of its venues or
    at one.

    A pack decides for `pack_seconds`; a clock may be off by `clock_seconds`. With `over_admission`
    who was admitted stays so though no use was left, with `bears_refunds` the merchant bears what
    was given back after the scan.
    """

    pack_seconds: int = 86_400
    clock_seconds: int = 120
    over_admission: bool = False
    bears_refunds: bool = False

    @property
    def clock_tolerance(self) -> timedelta:
        """So much a clock may be off."""
        return timedelta(seconds=self.clock_seconds)


COLUMNS = tuple(f"offline_{name}" for name in OfflinePolicy._fields)
"""Of merchants; and of venues, where one that has nothing leaves it to the merchant."""
USUAL = OfflinePolicy()
"""What holds unless something else is agreed on."""
