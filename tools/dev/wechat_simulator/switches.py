"""What the simulator does wrong on request. Read and set at `/simulator/switches`, as
JSON.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

OPERATIONS = (
    *("login", "prepay", "query", "close", "refund", "query_refund", "abnormal_refund"),
    *("certificates", "trade_bill", "bill_download", "token", "message"),
)
Operation = Literal[
    "login",
    "prepay",
    "query",
    "close",
    "refund",
    "query_refund",
    "abnormal_refund",
    "certificates",
    "trade_bill",
    "bill_download",
    "token",
    "message",
]
Times = dict[Operation, int]
"""How many calls of an operation it concerns; -1 for all of them."""


class Switches(BaseModel):
    """All switches; as they are here, nothing goes wrong."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    down: Times = Field(
        default={}, description='calls answered 500 SYSTEM_ERROR, e.g. {"query": 2}; -1: all'
    )
    limited: Times = Field(default={}, description="calls answered 429 FREQUENCY_LIMITED")
    lost_answers: Times = Field(
        default={}, description="calls carried out whose connection then breaks"
    )
    forged_answers: Times = Field(
        default={}, description="calls whose answer has a wrong signature"
    )
    unsigned_answers: Times = Field(default={}, description="calls whose answer has no signature")
    slow: dict[Operation, float] = Field(default={}, description="seconds each answer takes longer")

    sign_answers: Literal["as_asked", "certificate", "public_key"] = Field(
        default="as_asked",
        description="key of answers; as_asked: as the header Wechatpay-Serial says",
    )
    sign_notices: Literal["public_key", "certificate", "alternate"] = Field(
        default="public_key",
        description="key of notices; WeChat alternates while a merchant moves over",
    )
    has_certificates: bool = Field(
        default=True, description="false: as a new merchant, with WeChat Pay's public key only"
    )

    lost_notices: bool = Field(default=False, description="notices are never sent, nor sent again")
    notice_delay_seconds: float = Field(default=0, ge=0, description="before the first sending")
    notice_copies: int = Field(default=1, ge=1, le=100, description="sent at once, each time")
    hold_notices: bool = Field(
        default=False,
        description="notices are gathered; when it is turned off, the newest goes first",
    )
    forged_notices: bool = Field(
        default=False, description="signed with a key that is not WeChat's"
    )
    probe_notices: bool = Field(
        default=False, description="before each notice a probe, signed WECHATPAY/SIGNTEST/…"
    )
    notice_age_seconds: int = Field(default=0, description="how old the signature's time is")
    notice_bytes: int = Field(
        default=0, ge=0, le=16 << 20, description="notices are filled up to this size"
    )
    associated_data: Literal["kind", "empty", "null", "absent"] = Field(
        default="kind", description="of what is encrypted; kind: transaction, refund, certificate"
    )
    notice_event_type: str = Field(default="", description="instead of the event's own type")
    notice_amount_offset: int = Field(
        default=0, description="fen more than were paid or given back"
    )
    notice_currency: str = Field(default="", description="instead of CNY")
    notice_merchant_id: str = Field(default="", description="instead of the merchant's")
    notice_app_id: str = Field(default="", description="instead of the mini program's")
    notice_out_trade_no: str = Field(default="", description="instead of the order's")
    retry_scale: float = Field(
        default=1.0, gt=0, description="times WeChat's 15 s, 15 s, 30 s, 3 min, 10 min … of retries"
    )

    refund_seconds: float = Field(default=0.5, ge=0, description="a refund is PROCESSING so long")
    refund_outcome: Literal["SUCCESS", "ABNORMAL", "CLOSED", "PROCESSING"] = Field(
        default="SUCCESS", description="what becomes of refunds; PROCESSING: nothing yet"
    )
    abnormal_refund_outcome: Literal["SUCCESS", "ABNORMAL"] = Field(
        default="SUCCESS", description="what becomes of abnormal refunds sent to a bank account"
    )
    balance_short: bool = Field(default=False, description="refunds are refused: 403 NOT_ENOUGH")

    bill_creating: bool = Field(
        default=False, description="400 STATEMENT_CREATING instead of a bill"
    )
    bill_amount_offset: int = Field(
        default=0, description="fen more on each payment's line of the bill"
    )
    bill_leaves_out: list[str] = Field(
        default=[], description="out_trade_no that are not on the bill"
    )
    bill_refund_state: Literal["", "SUCCESS", "PROCESSING", "FAIL"] = Field(
        default="", description="of each refund on the bill, instead of its own"
    )
    bill_sums_wrong: bool = Field(default=False, description="the bill's sums do not fit its lines")
    bill_hash_wrong: bool = Field(default=False, description="the hash given is not the bill's")

    token_codes: dict[int, int] = Field(
        default={},
        description='errcodes of stable_token and how often, e.g. {"40125": 1}; -1: always',
    )
    message_codes: dict[int, int] = Field(
        default={}, description="errcodes of subscribe messages and how often"
    )
    token_seconds: int = Field(default=7200, ge=1, description="life of an access token")
    messages_per_minute: int = Field(default=0, ge=0, description="above it 45011; 0: no limit")
    consents: Literal["ignored", "counted"] = Field(
        default="ignored", description="counted: each message needs a consent, else 43101"
    )

    def spend_code(self, codes: dict[int, int]) -> int:
        """The errcode that this call gets, whose number becomes one fewer; 0 if none."""
        code = next((each for each, left in codes.items() if left), 0)
        if code and codes[code] > 0:
            codes[code] -= 1
        return code

    def spend(self, times: Times, operation: Operation) -> bool:
        """Whether this call is one of those concerned, which are then one fewer."""
        left = times.get(operation, 0)
        if left > 0:
            times[operation] = left - 1
        return left != 0

    def described(self) -> dict[str, str]:
        """What each is for."""
        return {name: field.description or "" for name, field in type(self).model_fields.items()}
