"""Who calls: what a credential says about its owner, as every use case sees it.

Each has a `role` of the contract and a `key`, which tells callers apart in the log and in repeats.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from server.parties.clock_rules import SandboxTime
from server.parties.offline_policy import USUAL, OfflinePolicy
from server.parties.rules import is_sandbox
from server.platform import clock


@dataclass(frozen=True, slots=True)
class Partner:
    """An OTA partner, by API key; `time` is what its test clock shows, if it is a sandbox."""

    partner_id: int
    partner_code: str
    requests_per_minute: int
    activation_tolerance_basis_points: int = 0
    time: SandboxTime | None = None

    @property
    def is_test(self) -> bool:
        """Whether the key is one of test mode: the partner is a sandbox."""
        return is_sandbox(self.partner_id)

    def now(self) -> datetime:
        """What time it is for the partner: for a sandbox what its test clock shows."""
        now = clock.now()
        return self.time.at(now) if self.time else now

    @property
    def role(self) -> Literal["PARTNER"]:
        """The contract's role."""
        return "PARTNER"

    @property
    def key(self) -> str:
        """E.g. `partner:CP`."""
        return f"partner:{self.partner_code}"


@dataclass(frozen=True, slots=True)
class Operator:
    """A merchant's operator or supervisor, logged in at a terminal.

    `function_codes` are what may be redeemed here: the merchant's, narrowed by the venue's;
    `offline` is the merchant's policy.
    `departure` is the one that the open session is for, by number and service; None if all. One at
    the simulated terminal of a sandbox, `sandbox_id`, redeems its test tickets and nothing else.
    """

    role: Literal["OPERATOR", "SUPERVISOR"]
    login_id: UUID
    username: str
    merchant_code: str
    venue_code: str
    terminal_device_id: str
    venue_time_zone: str
    function_codes: frozenset[str]
    reversal_window_seconds: int
    departure: tuple[int, str] | None = None
    sandbox_id: int = 0
    offline: OfflinePolicy = USUAL

    @property
    def key(self) -> str:
        """E.g. `terminal:TERMINAL-CP-001`: a repeat comes from the same terminal, whoever stands
        at it.
        """
        return f"terminal:{self.terminal_device_id}"


@dataclass(frozen=True, slots=True)
class Admin:
    """A platform administrator, logged in; `admin_roles` say what the account may call, if it
    is not one that `must_enrol` a second factor first.
    """

    login_id: UUID
    username: str
    admin_roles: frozenset[str]
    must_enrol: bool = False

    @property
    def role(self) -> Literal["ADMIN"]:
        """The contract's role."""
        return "ADMIN"

    @property
    def key(self) -> str:
        """E.g. `admin:root`."""
        return f"admin:{self.username}"


@dataclass(frozen=True, slots=True)
class Traveller:
    """A traveller, logged in by the mini-program."""

    traveller_id: int

    @property
    def role(self) -> Literal["TRAVELLER"]:
        """The contract's role."""
        return "TRAVELLER"

    @property
    def key(self) -> str:
        """E.g. `traveller:867530912345678`."""
        return f"traveller:{self.traveller_id}"


Person = Operator | Admin
"""Whoever has logged in by password."""

Caller = Partner | Operator | Admin | Traveller
"""Whoever a credential names."""
