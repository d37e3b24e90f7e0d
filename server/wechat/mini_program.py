"""The mini program's calls as bytes: the access token, subscribe messages, and what WeChat says to
them. No I/O, no clock.

Sources: developers.weixin.qq.com, "getStableAccessToken" (doc/service/en/api/base/
api_getstableaccesstoken.html) and "subscribeMessage.send" with its table of parameter values
(minigame/dev/api-backend/open-api/subscribe-message/subscribeMessage.send.html), its global return
codes, and tencentcloud.com/document/product/1219/67648, which has the codes of subscribe messages
that the former leaves out (40038, 43107, 43108, 45168).

WeChat has no number of ours for a message, and cannot be asked what it has sent: what is sent twice
is shown twice, but for the consent that each message uses up.
"""

import json
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

from server.wechat.signatures import ContentInvalidError

TOKEN_PATH = "/cgi-bin/stable_token"  # noqa: S105 - a path
SEND_PATH = "/cgi-bin/message/subscribe/send"
LONGEST_WORDS = 200
"""Characters of WeChat's words that are kept."""
MINUTE_SECONDS = 60.0


class Handling(StrEnum):
    """What is to be done about a code of WeChat's."""

    SENT = "SENT"
    RETRY = "RETRY"
    REFRESH_TOKEN = "REFRESH_TOKEN"  # noqa: S105
    GIVE_UP = "GIVE_UP"
    NO_CONSENT = "NO_CONSENT"
    """It is given up, and what we believed of the traveller's consents was wrong."""
    STOP_TEMPLATE = "STOP_TEMPLATE"
    """Nothing of this template will go out until somebody mends it."""
    STOP = "STOP"
    """Nothing at all will."""


HANDLING: Mapping[int, Handling] = MappingProxyType(
    {
        0: Handling.SENT,
        # the system is busy; wait and ask again
        -1: Handling.RETRY,
        # two messages to one user at the same moment
        43108: Handling.RETRY,
        # the quota of the minute
        45011: Handling.RETRY,
        # the access token is invalid, not ours, over, or missing
        40001: Handling.REFRESH_TOKEN,
        40014: Handling.REFRESH_TOKEN,
        42001: Handling.REFRESH_TOKEN,
        41001: Handling.REFRESH_TOKEN,
        # the openid is none of this mini program's
        40003: Handling.GIVE_UP,
        # of one who took a long-term subscription: five a day
        40038: Handling.GIVE_UP,
        # words that WeChat does not carry
        45168: Handling.GIVE_UP,
        # a value is missing, or not of its keyword's kind
        47003: Handling.GIVE_UP,
        # the user did not agree, or no longer does
        43101: Handling.NO_CONSENT,
        # the template is unknown, its page is in no published version, or it was banned
        40037: Handling.STOP_TEMPLATE,
        41030: Handling.STOP_TEMPLATE,
        43107: Handling.STOP_TEMPLATE,
        # who we are is wrong
        40002: Handling.STOP,
        40013: Handling.STOP,
        40125: Handling.STOP,
        40164: Handling.STOP,
        40243: Handling.STOP,
        41002: Handling.STOP,
        41004: Handling.STOP,
        # what we may is over: the quota of the day, the right to the call, the account
        45009: Handling.STOP,
        48001: Handling.STOP,
        48004: Handling.STOP,
        50002: Handling.STOP,
    }
)
"""Every documented code; one that is not here is tried again, and a dead letter in the end."""


class WechatAnswer(NamedTuple):
    """What WeChat said to a message."""

    code: int
    words: str

    @property
    def handling(self) -> Handling:
        """What is to be done about it."""
        return HANDLING.get(self.code, Handling.RETRY)

    @property
    def wait_seconds(self) -> float:
        """How long to wait at least before the next attempt."""
        return MINUTE_SECONDS if self.code == 45011 else 0.0


class MiniProgramToken(NamedTuple):
    """An access token, and for how many seconds it is good."""

    token: str
    expires_in_seconds: int


class MiniProgramError(Exception):
    """WeChat gives no token: what it said."""

    def __init__(self, verdict: WechatAnswer) -> None:
        super().__init__(f"{verdict.code} {verdict.words}")
        self.verdict = verdict

    @property
    def handling(self) -> Handling:
        """What is to be done about it: where a token is asked for, 40001 is a wrong AppSecret."""
        found = self.verdict.handling
        return Handling.STOP if found is Handling.REFRESH_TOKEN else found


def token_body(app_id: str, app_secret: str, *, force_refresh: bool) -> bytes:
    """What is posted for a token. Without `force_refresh` WeChat gives the one that is good, and
    the next one near its end; with it, another at once. It holds the secret: keep it out of logs.
    """
    asked: dict[str, Any] = {
        "grant_type": "client_credential",
        "appid": app_id,
        "secret": app_secret,
    }
    if force_refresh:
        asked["force_refresh"] = True
    return json.dumps(asked).encode()


def parse_token(body: bytes) -> MiniProgramToken:
    """The token. Raises MiniProgramError for what WeChat refuses, ContentInvalidError."""
    content = _load(body)
    verdict = _verdict(content)
    if verdict.code:
        raise MiniProgramError(verdict)
    token, expires_in = content.get("access_token"), content.get("expires_in")
    if not isinstance(token, str) or not token or not isinstance(expires_in, int):
        raise ContentInvalidError("no access_token and expires_in")
    return MiniProgramToken(token, expires_in)


def send_target(token: str) -> str:
    """Path and query of a message; they carry the token: keep them out of logs."""
    return f"{SEND_PATH}?access_token={quote(token, safe='')}"


def send_body(
    *, openid: str, template_id: str, page: str, language: str, data: Mapping[str, str]
) -> bytes:
    """A subscribe message. `language` is zh or en, that of WeChat's own words on the card."""
    message: dict[str, Any] = {
        "touser": openid,
        "template_id": template_id,
        "data": {keyword: {"value": value} for keyword, value in data.items()},
        "miniprogram_state": "formal",
        "lang": "en_US" if language == "en" else "zh_CN",
    }
    if page:
        message["page"] = page
    return json.dumps(message, ensure_ascii=False).encode()


def parse_answer(body: bytes) -> WechatAnswer:
    """What WeChat said to a message. Raises ContentInvalidError."""
    content = _load(body)
    if "errcode" not in content:
        raise ContentInvalidError("no errcode")
    return _verdict(content)


def _load(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError as error:
        raise ContentInvalidError("not JSON") from error
    if not isinstance(content, dict):
        raise ContentInvalidError("no JSON object")
    return content


def _verdict(content: Mapping[str, Any]) -> WechatAnswer:
    code, words = content.get("errcode", 0), content.get("errmsg", "")
    if not isinstance(code, int) or not isinstance(words, str):
        raise ContentInvalidError("errcode is no number")
    kept = words.replace("\0", "").encode(errors="replace").decode()
    return WechatAnswer(code, kept[:LONGEST_WORDS])


class ValueRefusedError(Exception):
    """A value that WeChat would refuse (47003), and that cannot be cut: the text says why."""


_KEYWORD = re.compile(r"([a-z_]+?)[0-9]{1,3}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_TIME = r"([01]?[0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?"
_DAY = r"([0-9]{4}年)?[0-9]{1,2}月([0-9]{1,2}日)?|[0-9]{4}年[0-9]{1,2}月|[0-9]{4}([-/.][0-9]{1,2}){1,2}"
_MOMENT = rf"({_DAY})( {_TIME})?|{_TIME}"
_MOMENTS = re.compile(rf"({_MOMENT})(~({_MOMENT}))?")
_DATES = re.compile(rf"({_DAY})( {_TIME})?(~({_DAY})( {_TIME})?)?")
_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_PATTERNS = {
    "number": re.compile(r"-?[0-9]{1,32}(\.[0-9]{1,31})?"),
    "letter": re.compile(r"[A-Za-z]{1,32}"),
    "symbol": re.compile(rf"[^\w\s{_HAN}]{{1,5}}"),
    "character_string": re.compile(rf"[^{_HAN}]{{1,32}}"),
    "time": _MOMENTS,
    "date": _DATES,
    "amount": re.compile(r"[¥￥$€£]?[0-9]{1,10}(\.[0-9]{1,2})?元?"),
    "phone_number": re.compile(r"[0-9+\-() ]{1,17}"),
    "car_number": re.compile(rf"[{_HAN}A-Z0-9][A-Z0-9]{{1,6}}[{_HAN}A-Z0-9]?"),
    "phrase": re.compile(rf"[{_HAN}]{{1,5}}"),
    "const": re.compile(r".{1,20}"),
    "enum": re.compile(r".{1,20}"),
}
THING_CHARACTERS, NAME_HAN, NAME_LATIN = 20, 10, 20


def keyword_kind(keyword: str) -> str:
    """The kind of a template's keyword: `thing` of `thing1`; empty for what is none."""
    match = _KEYWORD.fullmatch(keyword)
    kind = match[1] if match else ""
    return kind if kind in _PATTERNS or kind in _CUT else ""


def fit(keyword: str, value: str) -> str:
    """A value as its keyword takes it: what is words is cut, what is a code, a number or a time is
    refused rather than changed. Raises ValueRefusedError.
    """
    kind = keyword_kind(keyword)
    if not kind:
        raise ValueRefusedError(f"{keyword}: is no keyword of WeChat's")
    text = _CONTROL.sub(" ", value).strip()
    if not text:
        raise ValueRefusedError(f"{keyword}: is empty")
    if kind in _CUT:
        return _CUT[kind](text)
    if kind == "amount":
        text = re.sub(r"^[A-Z]{3} ", "", text)  # it has room for a symbol, not for a code
    if not _PATTERNS[kind].fullmatch(text):
        raise ValueRefusedError(f"{keyword}: is not a value of the kind {kind}")
    if kind in ("number", "amount") and len(text) > 32:
        raise ValueRefusedError(f"{keyword}: has more than 32 characters")
    return text


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _thing(text: str) -> str:
    return _cut(text, THING_CHARACTERS)


def _name(text: str) -> str:
    has_han = re.search(f"[{_HAN}]", text)
    return text[: NAME_HAN if has_han else NAME_LATIN].rstrip()


_CUT: Mapping[str, Callable[[str], str]] = MappingProxyType({"thing": _thing, "name": _name})
