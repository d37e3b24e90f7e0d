"""Talks to WeChat: the codec's requests sent, what is safe to repeat repeated, every answer's
signature verified.

What WeChat refuses is a WechatError with WeChat's code. When it cannot be reached, or answers what
is not proven to be its own, the outcome is unknown: PAYMENT_PROVIDER_UNAVAILABLE, and the caller
asks again later under the same number.
"""

import asyncio
import functools
import random
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from server.platform.config import ConfigError, Settings
from server.platform.errors import DomainError, Reason
from server.platform.faults import fault_text
from server.wechat import codec
from server.wechat.bill import Bill, parse_bill
from server.wechat.codec import (
    BankAccount,
    Notice,
    PaySign,
    Request,
    Session,
    Transaction,
    WechatError,
    WechatRefund,
)
from server.wechat.signatures import (
    PUBLIC_KEY_PREFIX,
    ContentInvalidError,
    PlatformKey,
    PlatformKeys,
    SignatureInvalidError,
    UnknownSerialError,
    WechatMerchant,
    load_private_key,
    load_public_key,
    parse_certificates,
)

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 6.0
ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.2
"""Before the second attempt; twice as long before the third; up to as much again is added by
chance.
"""
RETRY_SECONDS = 5.0
"""When a caller is asked to come again."""
REFRESH_SECONDS = 60.0
"""Between two fetches of certificates, however many unknown serials come in; less after one that
failed.
"""
FAILED_REFRESH_SECONDS = 5.0
NOTICE_PATH = "/webhooks/wechatpay/notices"
"""Where the contract takes notices of payments and refunds."""
PASSING = (
    *("SYSTEM_ERROR", "FREQUENCY_LIMITED", "RATELIMIT_EXCEEDED", "BIZ_ERR_NEED_RETRY"),
    *("BANK_ERROR", "SIGN_ERROR"),
)
"""Codes that say nothing about the order: another time the same may work."""
LOGIN_REFUSED = ("40029", "40163", "40226")
"""A code that is invalid, was used before, or is of an account that WeChat holds back."""
KEEP_SECONDS = 5.0
"""A connection that was not used for so long is closed, before WeChat does it under a request."""

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class WechatClient:
    """WeChat Pay and the mini program's log-in, for one merchant.

    Every method raises DomainError PAYMENT_PROVIDER_UNAVAILABLE when the outcome is not known, and,
    but for the log-in, WechatError for what WeChat refuses.

    Args:
        merchant: who we are.
        keys: WeChat's public key, if the merchant has one; platform certificates are fetched
            when they are met.
        app_secret: of the mini program.
        pay_url: where WeChat Pay is.
        login_url: where code2Session is.
        notify_url: under which our gateway is reached from outside; may be set later, before
            the first order.
        answer_seconds: how long WeChat has for one answer.
        clock: aware; for tests.

    Attributes:
        notify_url: as given.
    """

    def __init__(
        self,
        merchant: WechatMerchant,
        keys: PlatformKeys,
        *,
        app_secret: str,
        pay_url: str,
        login_url: str,
        notify_url: str,
        answer_seconds: float = ANSWER_SECONDS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.notify_url = notify_url
        self._merchant = merchant
        self._keys = keys
        self._app_secret = app_secret
        self._clock = clock
        self._refreshing = asyncio.Lock()
        self._refresh_after = float("-inf")
        self._background: set[asyncio.Task[None]] = set()
        self._pay, self._login = (_Host(url, answer_seconds) for url in (pay_url, login_url))

    @classmethod
    def of(
        cls, settings: Settings, *, answer_seconds: float = ANSWER_SECONDS
    ) -> "WechatClient | None":
        """The client of the settings; None if they name no merchant. Raises ConfigError for
        files that hold no key.
        """
        if not (
            settings.wechat_app_id
            and settings.wechat_app_secret
            and settings.wechat_merchant_id
            and settings.wechat_merchant_serial
            and settings.wechat_merchant_key
            and settings.wechat_api_v3_key
        ):
            return None
        public_keys = []
        if settings.wechat_public_key and settings.wechat_public_key_id:
            public_key = _load("WECHAT_PUBLIC_KEY", settings.wechat_public_key, load_public_key)
            public_keys.append(PlatformKey(settings.wechat_public_key_id, public_key))
        merchant = WechatMerchant(
            app_id=settings.wechat_app_id,
            merchant_id=settings.wechat_merchant_id,
            serial=settings.wechat_merchant_serial,
            private_key=_load(
                "WECHAT_MERCHANT_KEY", settings.wechat_merchant_key, load_private_key
            ),
            api_v3_key=settings.wechat_api_v3_key.get_secret_value().encode(),
            answer_serial=settings.wechat_public_key_id or "",
        )
        return cls(
            merchant,
            PlatformKeys(public_keys),
            app_secret=settings.wechat_app_secret.get_secret_value(),
            pay_url=settings.wechat_pay_url,
            login_url=settings.wechat_login_url,
            notify_url=settings.wechat_notify_url or "",
            answer_seconds=answer_seconds,
        )

    @property
    def app_id(self) -> str:
        """Of the mini program, for which every payment must be."""
        return self._merchant.app_id

    @property
    def merchant_id(self) -> str:
        """Ours, to whom every payment must be."""
        return self._merchant.merchant_id

    def start(self) -> None:
        """Fetches the platform certificates in the background, so that the first notice finds
        them; raises nothing.
        """
        self._refresh_in_background()

    async def aclose(self) -> None:
        """Ends all connections."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._pay.close()
        await self._login.close()

    async def code_to_session(self, code: str) -> Session:
        """Who the mini program's `wx.login` code is for. Raises LOGIN_FAILED for a code WeChat
        refuses.

        A code works once, so the request is not repeated when its answer is lost; the traveller
        gets a new code.
        """
        target = codec.session_target(self._merchant.app_id, self._app_secret, code)
        answer = await _exchange(
            self._login,
            lambda: _Sent("GET", target, b"", {}),
            operation="code_to_session",
            repeat=False,
        )
        if answer.status != 200:
            raise _unavailable("code_to_session", f"HTTP {answer.status}")
        try:
            return codec.parse_session(answer.body)
        except WechatError as error:
            if error.says(*LOGIN_REFUSED):
                raise DomainError(
                    Reason.LOGIN_FAILED,
                    "code: WeChat refuses it; call wx.login for a new one, each works once",
                ) from error
            raise _unavailable("code_to_session", str(error)) from error
        except ContentInvalidError as error:
            raise _unavailable("code_to_session", str(error)) from error

    async def prepay(
        self,
        *,
        out_trade_no: str,
        description: str,
        amount_minor: int,
        currency_code: str,
        openid: str,
        expire_time: datetime,
    ) -> str:
        """Registers an order that may be paid until `expire_time`; returns its prepay_id, good for
        two hours.

        The same arguments give the same order however often it is called.
        """
        request = codec.prepay_request(
            self._merchant,
            out_trade_no=out_trade_no,
            description=description,
            amount_minor=amount_minor,
            currency_code=currency_code,
            openid=openid,
            expire_time=expire_time,
            notify_url=self.notify_url.rstrip("/") + NOTICE_PATH,
        )
        answer = await self._ask(request, "prepay")
        return _parsed(codec.parse_prepay, answer, "prepay")

    def pay_sign(self, prepay_id: str, now: datetime) -> PaySign:
        """What wx.requestPayment takes for this order; made anew each time, at no cost."""
        nonce = secrets.token_hex(16)
        return codec.pay_sign(self._merchant, prepay_id, now=now, nonce=nonce)

    async def query(self, out_trade_no: str) -> Transaction | None:
        """What became of an order; None if WeChat has none of this number."""
        try:
            answer = await self._ask(codec.query_request(self._merchant, out_trade_no), "query")
        except WechatError as error:
            if error.status == 404 and error.says("ORDER_NOT_EXIST", "RESOURCE_NOT_EXISTS"):
                return None
            raise
        return _parsed(codec.parse_transaction, answer, "query")

    async def close(self, out_trade_no: str) -> None:
        """Makes an order unpayable; nothing happens if it is already, or if WeChat has none of this
        number.

        Raises WechatError ORDERPAID for one that is paid; USERPAYING while the traveller is at it.
        """
        request = codec.close_request(self._merchant, out_trade_no)
        try:
            await self._ask(request, "close", expected=204)
        except WechatError as error:
            if not error.says("ORDER_CLOSED", "ORDER_NOT_EXIST"):
                raise

    async def refund(
        self,
        *,
        out_trade_no: str,
        out_refund_no: str,
        refund_minor: int,
        total_minor: int,
        currency_code: str,
        reason: str,
    ) -> WechatRefund:
        """Asks for money back to the traveller, in most cases PROCESSING at first; once for each
        `out_refund_no`.

        A lost answer is read back, never asked for again blindly. Raises WechatError NOT_ENOUGH
        while the merchant's balance does not suffice.
        """
        request = codec.refund_request(
            out_trade_no=out_trade_no,
            out_refund_no=out_refund_no,
            refund_minor=refund_minor,
            total_minor=total_minor,
            currency_code=currency_code,
            reason=reason,
            notify_url=self.notify_url.rstrip("/") + NOTICE_PATH,
        )
        try:
            answer = await self._ask(request, "refund", repeat=False)
            return _parsed(codec.parse_refund, answer, "refund")
        except DomainError:
            found = await self.query_refund(out_refund_no)
            if found is None:
                raise
            return found

    async def abnormal_refund(
        self, refund_id: str, *, out_refund_no: str, account: BankAccount | None
    ) -> WechatRefund:
        """Sends an ABNORMAL refund to the traveller's card, or to the merchant's own account if
        `account` is None.

        `refund_id` is WeChat's number of it. Safe to repeat: it is given back once. Raises
        WechatError INVALID_REQUEST for one that is not ABNORMAL, PARAM_ERROR for an account that
        cannot be.
        """
        key = await self._encryption_key() if account else None
        request = codec.abnormal_refund_request(
            refund_id, out_refund_no=out_refund_no, account=account, key=key
        )
        answer = await self._ask(request, "abnormal_refund")
        return _parsed(codec.parse_refund, answer, "abnormal_refund")

    async def _encryption_key(self) -> PlatformKey:
        if self._keys.for_encryption(self._clock()) is None:
            await self._refresh()
        key = self._keys.for_encryption(self._clock())
        if key is None:
            raise _unavailable("abnormal_refund", "there is no key of WeChat's to encrypt with")
        return key

    async def query_refund(self, out_refund_no: str) -> WechatRefund | None:
        """What became of a refund; None if WeChat has none of this number."""
        try:
            answer = await self._ask(codec.query_refund_request(out_refund_no), "query_refund")
        except WechatError as error:
            if error.status == 404 and error.says("RESOURCE_NOT_EXISTS"):
                return None
            raise
        return _parsed(codec.parse_refund, answer, "query_refund")

    async def trade_bill(self, bill_date: date) -> Bill:
        """The bill of a day in Beijing; an empty one if nothing happened on it.

        Raises WechatError STATEMENT_CREATING before it is made, which may be until ten o'clock of
        the next day; ContentInvalidError for a bill that cannot be read or does not add up.
        """
        try:
            answer = await self._ask(codec.bill_request(bill_date), "trade_bill")
        except WechatError as error:
            if error.says("NO_STATEMENT_EXIST"):
                return Bill(bill_date)
            raise
        file = _parsed(codec.parse_bill_file, answer, "trade_bill")
        # WeChat does not sign the file itself: its hash came in a signed answer
        download = await self._send(Request("GET", file.target), "bill_download", repeat=True)
        if download.status != 200:
            raise _unavailable("bill_download", str(codec.parse_error(download.status, b"")))
        return parse_bill(download.body, bill_date=bill_date, sha1=file.sha1)

    def verify_notice(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Notice:
        """Reads a notice as it came to us.

        After an unknown serial the certificates are fetched in the background; WeChat sends the
        notice again soon.

        Raises:
            SignatureInvalidError: it is not proven to be WeChat's; UnknownSerialError is one.
            ContentInvalidError: too large, or not to be understood.
        """
        try:
            return codec.parse_notice(self._merchant, self._keys, headers, body, now=now)
        except UnknownSerialError as error:
            if not error.serial.startswith(PUBLIC_KEY_PREFIX):
                self._refresh_in_background()
            raise

    def open_notice(self, body: bytes) -> Notice:
        """Reads a notice again that was verified when it came. Raises ContentInvalidError."""
        return codec.open_notice(self._merchant, body)

    def _refresh_in_background(self) -> None:
        if not self._background:
            task = asyncio.create_task(self._refresh())
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def _ask(
        self, request: Request, operation: str, *, expected: int = 200, repeat: bool = True
    ) -> _Answer:
        """The answer, proven to be WeChat's and of the expected status."""
        answer = await self._send(request, operation, repeat=repeat)
        await self._verify(answer, operation)
        if answer.status == expected:
            return answer
        error = codec.parse_error(answer.status, answer.body)
        if answer.status >= 500 or not error.code or error.says(*PASSING):
            raise _unavailable(operation, str(error))
        raise error

    async def _send(self, request: Request, operation: str, *, repeat: bool) -> _Answer:
        def signed() -> _Sent:
            nonce = secrets.token_hex(16)
            headers = request.headers(self._merchant, now=self._clock(), nonce=nonce)
            return _Sent(request.method, request.target, request.body, headers)

        return await _exchange(self._pay, signed, operation=operation, repeat=repeat)

    async def _verify(self, answer: _Answer, operation: str) -> None:
        # WeChat signs what it did; a failure it may leave unsigned, when it does not know who asks
        if answer.status >= 300 and "wechatpay-signature" not in answer.headers:
            return
        try:
            try:
                self._keys.verify(answer.headers, answer.body, self._clock())
            except UnknownSerialError as error:
                if error.serial.startswith(PUBLIC_KEY_PREFIX):
                    raise
                await self._refresh()
                self._keys.verify(answer.headers, answer.body, self._clock())
        except SignatureInvalidError as error:
            log.error("wechat.answer_not_proven", operation=operation, cause=str(error))
            raise _unavailable(operation, str(error)) from error

    async def _refresh(self) -> None:
        """Fetches the platform certificates, if that was not tried just now; what cannot be
        proven changes nothing.
        """
        async with self._refreshing:
            if time.monotonic() < self._refresh_after:
                return
            self._refresh_after = time.monotonic() + FAILED_REFRESH_SECONDS
            try:
                request = codec.certificates_request()
                answer = await self._send(request, "certificates", repeat=True)
                if answer.status != 200:
                    raise codec.parse_error(answer.status, answer.body)
                fetched = parse_certificates(self._merchant.api_v3_key, answer.body)
                # signed by one of those in it, which only who has our API v3 key can have put there
                keys = self._keys.joined(fetched, self._clock())
                keys.verify(answer.headers, answer.body, self._clock())
            except (DomainError, WechatError, ContentInvalidError, SignatureInvalidError) as error:
                log.warning("wechat.certificates_not_fetched", cause=str(error))
                return
            self._keys = keys
            self._refresh_after = time.monotonic() + REFRESH_SECONDS
            log.info("wechat.certificates_fetched", keys=len(keys))


async def _exchange(
    host: "_Host", make: Callable[[], "_Sent"], *, operation: str, repeat: bool
) -> _Answer:
    """The first answer that is not a passing failure; with `repeat` also a request that may have
    arrived is repeated. Each attempt sends a request of its own.
    """
    cause = ""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            answer = await host.send(make())
        except _NoAnswerError as error:
            cause, again = str(error), repeat or not error.was_sent
        else:
            if answer.status < 500 and answer.status != 429:
                return answer
            cause, again = f"HTTP {answer.status}", repeat
        if not again or attempt == ATTEMPTS:
            break
        jitter = random.random()  # noqa: S311
        await asyncio.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * (1 + jitter))
    raise _unavailable(operation, cause)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request as it is sent."""

    method: str
    target: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


class _NoAnswerError(Exception):
    """There was no whole answer; `was_sent` says whether WeChat may have the request."""

    def __init__(self, why: str, *, was_sent: bool) -> None:
        super().__init__(why)
        self.was_sent = was_sent


class _Host:
    """A host of WeChat's, and connections to it that are kept between requests.

    Args:
        url: scheme and host.
        answer_seconds: between two pieces of an answer at the most.
    """

    def __init__(self, url: str, answer_seconds: float) -> None:
        self._url = url.rstrip("/")
        self._answer_seconds = answer_seconds
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: _Sent) -> _Answer:
        """Sends a request once, and follows nobody elsewhere. Raises _NoAnswerError."""
        if self._session is None:
            await asyncio.to_thread(import_module, "aiohttp")  # takes 0.1 s, others are served
        import aiohttp
        from yarl import URL

        session = self._session = self._session or self._open()
        try:
            async with session.request(
                request.method,
                URL(self._url + request.target, encoded=True),  # as it is signed
                data=request.body or None,
                headers=request.headers,
                allow_redirects=False,
            ) as answer:
                return _Answer(answer.status, answer.headers, await answer.read())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _NoAnswerError(fault_text(error), was_sent=False) from None
        # the texts of others may have the target, and with it a secret
        except (aiohttp.ClientError, OSError) as error:
            raise _NoAnswerError(type(error).__name__, was_sent=True) from None

    async def close(self) -> None:
        """Ends its connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> "aiohttp.ClientSession":
        import aiohttp

        is_secret = self._url.startswith("https:")
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=_authorities(needed=is_secret), keepalive_timeout=KEEP_SECONDS
            ),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_SECONDS, sock_read=self._answer_seconds
            ),
            # a simulator beside us, which has no TLS, is not behind the proxy of the environment
            trust_env=is_secret,
            cookie_jar=aiohttp.DummyCookieJar(),
        )


@functools.cache
def _authorities(*, needed: bool) -> ssl.SSLContext:
    """Those whose certificates are believed: the machine's, whose reading takes a while, or none
    for who has no TLS.
    """
    return ssl.create_default_context() if needed else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _load(setting: str, path: Path, load: Callable[[bytes], T]) -> T:
    try:
        return load(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"DEEPTRAVEL_{setting} names {path}, which {error}") from None


def _parsed(parse: Callable[[bytes], T], answer: _Answer, operation: str) -> T:
    try:
        return parse(answer.body)
    except ContentInvalidError as error:
        raise _unavailable(operation, str(error)) from error


def _unavailable(operation: str, cause: str) -> DomainError:
    log.warning("wechat.unavailable", operation=operation, cause=cause)
    return DomainError(
        Reason.PAYMENT_PROVIDER_UNAVAILABLE,
        "WeChat did not answer as it should; try again, nothing is done twice",
        retry_seconds=RETRY_SECONDS,
    )
