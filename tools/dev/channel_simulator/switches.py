"""What the simulator does wrong on request. Read and set at `/simulator/switches`, as JSON.

A call is named by vendor and operation (`ctrip:prices`), by the operation at all vendors (`prices`)
or by the vendor for all its operations (`ctrip`).
"""

from pydantic import BaseModel, ConfigDict, Field

VENDORS = ("ctrip", "booking_com", "expedia")
OPERATIONS = ("token", "static", "prices", "availability", "bookings", "confirm", "cancel")

Times = dict[str, int]
"""How many calls it concerns; -1 for all of them."""


class Switches(BaseModel):
    """All switches; as they are here, nothing goes wrong."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    down: Times = Field(default={}, description="calls answered 503, nothing carried out")
    limited: Times = Field(default={}, description="calls answered 429 with Retry-After")
    retry_after_seconds: int = Field(default=1, ge=0, description="what Retry-After says")
    lost_answers: Times = Field(
        default={}, description="calls carried out whose connection then breaks"
    )
    cut_answers: Times = Field(default={}, description="calls carried out, half an answer")
    failed_answers: Times = Field(default={}, description="calls carried out and answered 500")
    garbled_answers: Times = Field(default={}, description="calls carried out, no JSON answered")
    refused: Times = Field(
        default={}, description="refusals: Ctrip's a code in a 200, the others' 422"
    )
    refused_code: int = Field(default=4001, description="Ctrip's code of those")
    slow: dict[str, float] = Field(default={}, description="seconds each answer takes longer")

    token_seconds: int = Field(default=7200, ge=1, description="life of a token")
    expired_in_200: bool = Field(
        default=False, description="Ctrip says that a token is over by code 1003 in a 200"
    )
    clock_ahead_seconds: int = Field(default=0, description="the vendors' clocks against ours")
    calls_per_minute: int = Field(default=0, ge=0, description="above it 429; 0: no limit")

    doubled_bookings: bool = Field(default=False, description="each booking is listed twice")
    reordered_bookings: bool = Field(default=False, description="the newest comes first")

    def spend(self, times: Times, vendor: str, operation: str) -> bool:
        """Whether this call is one of those concerned, which are then one fewer."""
        for name in (f"{vendor}:{operation}", operation, vendor):
            left = times.get(name, 0)
            if left > 0:
                times[name] = left - 1
            if left:
                return True
        return False

    def delay(self, vendor: str, operation: str) -> float:
        """Seconds that this answer takes longer."""
        names = (f"{vendor}:{operation}", operation, vendor)
        return next((self.slow[name] for name in names if name in self.slow), 0.0)

    def described(self) -> dict[str, str]:
        """What each is for."""
        return {name: field.description or "" for name, field in type(self).model_fields.items()}
