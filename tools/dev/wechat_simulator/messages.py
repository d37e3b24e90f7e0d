"""The mini program's access token and subscribe messages, as WeChat has them.

A message goes to an openid by a template; what was sent is kept, and shown at
`/simulator/messages`. With the switch `consents` on "counted" each message needs a consent, given
at `/simulator/consents`, as the traveller's tap in the mini program does.
"""

import re
import secrets
import time
from collections import Counter, deque
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tools.dev.wechat_simulator.merchant import Merchant
from tools.dev.wechat_simulator.switches import Switches

TOKEN_SECONDS = 7200
RENEWED_SECONDS = 300
"""Before its end a token gives way to the next, and both are good."""
FORCED_SECONDS = 30.0
KEPT = 20_000
WORDS = {
    -1: "system error",
    40001: "invalid credential, access_token is invalid or not latest",
    40002: "invalid grant_type",
    40003: "invalid openid",
    40013: "invalid appid",
    40014: "invalid access_token",
    40037: "invalid template_id",
    40038: "the number of message push exceeds the threshold",
    40125: "invalid appsecret",
    40164: "invalid ip, not in whitelist",
    40243: "AppSecret is frozen",
    41001: "access_token missing",
    41002: "appid missing",
    41004: "appsecret missing",
    41030: "invalid page",
    42001: "access_token expired",
    43101: "user refuse to accept the msg",
    43107: "subscription message capability banned",
    43108: "Cannot make concurrent calls to the same OpenID, please try again",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    45168: "hit illegal words",
    47001: "data format error",
    47003: "argument invalid!",
    48001: "api unauthorized",
    48004: "api forbidden for irregularities",
    50002: "user limited",
}
_KEYWORD = re.compile(r"([a-z_]+?)[0-9]+")
_LONGEST = {
    "thing": 20,
    "number": 32,
    "letter": 32,
    "symbol": 5,
    "character_string": 32,
    "phone_number": 17,
    "car_number": 8,
    "name": 20,
    "phrase": 5,
}


class Messages:
    """Tokens and messages of one mini program; what it knows is forgotten at its end."""

    def __init__(self, merchant: Merchant, switches: Switches) -> None:
        self._merchant = merchant
        self._switches = switches
        self._tokens: dict[str, float] = {}
        self._latest = ""
        self._forced_at = float("-inf")
        self._times: deque[float] = deque()
        self.sent: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.consents: Counter[tuple[str, str]] = Counter()
        self.token_calls = 0
        self.calls = 0

    def forget(self) -> None:
        """Forgets messages, consents and tokens."""
        self.sent.clear()
        self.consents.clear()
        self._tokens.clear()
        self._times.clear()
        self._latest, self._forced_at = "", float("-inf")
        self.token_calls = self.calls = 0

    def revoke_tokens(self) -> None:
        """Makes the tokens invalid, as somebody else's forced refresh does."""
        self._tokens.clear()
        self._latest = ""

    def token(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What stable_token answers."""
        self.token_calls += 1
        code = self._switches.spend_code(self._switches.token_codes)
        wrong = (
            (code, code != 0),
            (40002, asked.get("grant_type") != "client_credential"),
            (41002, not asked.get("appid")),
            (41004, not asked.get("secret")),
            (40013, asked.get("appid") != self._merchant.app_id),
            (40125, asked.get("secret") != self._merchant.app_secret),
        )
        if found := next((number for number, is_wrong in wrong if is_wrong), 0):
            return refusal(found)
        now = time.monotonic()
        if asked.get("force_refresh") and now - self._forced_at >= FORCED_SECONDS:
            self._forced_at = now
            self.revoke_tokens()
        left = self._tokens.get(self._latest, 0.0) - now
        if left < RENEWED_SECONDS:
            self._latest = secrets.token_urlsafe(96)
            self._tokens[self._latest] = now + self._switches.token_seconds
            left = self._switches.token_seconds
        return {"access_token": self._latest, "expires_in": int(left)}

    def send(self, token: str, message: dict[str, Any]) -> dict[str, Any]:
        """What message/subscribe/send answers."""
        self.calls += 1
        openid, template = message.get("touser"), message.get("template_id")
        code = self._why_not(token, openid, template)
        if code:
            return refusal(code)
        if fault := _fault(message.get("data")):
            return refusal(47003, f" {fault}")
        if self._switches.consents == "counted":
            if not self.consents[str(openid), str(template)]:
                return refusal(43101)
            self.consents[str(openid), str(template)] -= 1
        self.sent.append(message | {"time": time.time()})
        return {"errcode": 0, "errmsg": "ok"}

    def _why_not(self, token: str, openid: object, template: object) -> int:
        """The errcode of a message that is refused whatever it says; 0 if none."""
        now = time.monotonic()
        until = self._tokens.get(token)
        wrong = (
            (self._switches.spend_code(self._switches.message_codes), True),
            (41001, not token),
            (40001, until is None),
            (42001, until is not None and until <= now),
            (self._over_limit(now), True),
            (40003, not isinstance(openid, str) or not openid),
            (40037, not isinstance(template, str) or not template),
        )
        return next((code for code, is_wrong in wrong if is_wrong and code), 0)

    def _over_limit(self, now: float) -> int:
        limit = self._switches.messages_per_minute
        while self._times and self._times[0] < now - 60:
            self._times.popleft()
        if limit and len(self._times) >= limit:
            return 45011
        self._times.append(now)
        return 0

    async def show(self, _request: Request) -> Response:
        """What was sent, the latest last."""
        return JSONResponse(list(self.sent))

    async def consent(self, request: Request) -> Response:
        """The traveller agrees: `openid`, `template_id`, `count`."""
        asked = await request.json()
        self.consents[asked["openid"], asked["template_id"]] += int(asked.get("count", 1))
        return Response(status_code=204)


def refusal(code: int, more: str = "") -> dict[str, Any]:
    """What WeChat says with a code."""
    words = WORDS.get(code, "unknown")
    return {"errcode": code, "errmsg": f"{words}{more} rid: {secrets.token_hex(8)}"}


def _fault(data: object) -> str:
    if not isinstance(data, dict) or not data:
        return "data is empty"
    for keyword, given in data.items():
        value = given.get("value") if isinstance(given, dict) else None
        match = _KEYWORD.fullmatch(str(keyword))
        if not isinstance(value, str) or not value:
            return f"data.{keyword}.value is emtpy"  # as WeChat spells it
        longest = _LONGEST.get(match[1], 64) if match else 0
        if len(value) > longest or any(character < " " for character in value):
            return f"data.{keyword}.value invalid"
    return ""
