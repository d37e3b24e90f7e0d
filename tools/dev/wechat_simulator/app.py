"""The simulator's HTTP server: WeChat's paths, and `/simulator/…` for the person or test that
drives it.
"""

import asyncio
import base64
import hashlib
import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tools.dev.wechat_simulator import pages
from tools.dev.wechat_simulator.abnormal_refunds import AbnormalRefunds
from tools.dev.wechat_simulator.bill import sha1, write_bill
from tools.dev.wechat_simulator.merchant import Merchant
from tools.dev.wechat_simulator.messages import Messages, refusal
from tools.dev.wechat_simulator.notices import Notices
from tools.dev.wechat_simulator.orders import Orders
from tools.dev.wechat_simulator.protocol import (
    BEIJING,
    RefusedError,
    Signer,
    beijing,
    by_certificate,
    by_public_key,
    dump,
    encrypt,
    verify_request,
)
from tools.dev.wechat_simulator.store import Notice, Store
from tools.dev.wechat_simulator.switches import Operation, Switches

BILL_SECONDS = 300
BILL_DAYS = 93
LOGIN_ERRORS = {
    "invalid": (40029, "invalid code"),
    "used": (40163, "code been used"),
    "blocked": (40226, "code blocked"),
    "busy": (-1, "system error"),
}
"""Codes that WeChat refuses; every other is somebody's."""

Work = Callable[[Request, dict[str, Any]], dict[str, Any] | None]


class _BrokenAnswer(Response):
    """The connection breaks before the answer is there."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"1000"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Simulator:
    """WeChat on a loopback port.

    Args:
        folder: keys and state; what is there is taken up again.
        switches: what goes wrong from the start; may be changed at any time.

    Attributes:
        url: where it is, once it is started.
        merchant: whom it takes for its merchant.
    """

    url: str

    def __init__(self, folder: Path, switches: Switches | None = None) -> None:
        self.merchant = Merchant.open(folder)
        self.switches = switches or Switches()
        self._store = Store(folder)
        self._notices = Notices(self.merchant, self._store, self.switches)
        self._orders = Orders(self.merchant, self._store, self.switches, self._notices)
        self.messages = Messages(self.merchant, self.switches)
        self._bills: dict[str, tuple[float, bytes]] = {}
        self._beginnings = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, port: int = 0) -> Self:
        """Serves on 127.0.0.1; port 0 takes a free one. Raises OSError for a port that is taken."""
        listener = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            self._application(),
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        # the listener takes connections already; they are answered as soon as the first task runs
        self._tasks = [
            asyncio.create_task(self._server.serve(sockets=[listener])),
            asyncio.create_task(self._notices.run(self._orders.settle_refunds)),
        ]
        self.merchant.announce(self.url)
        return self

    async def stop(self) -> None:
        """Ends it; what it knows stays in the folder."""
        self._server.should_exit = True
        serving, sending = self._tasks
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        await serving
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # transports close in a turn of their own
        await self._notices.close()
        self._store.close()

    async def switch(self, **values: Any) -> None:
        """Sets switches. Raises ValidationError for one there is not, or a value it cannot have."""
        fresh = Switches(**{**self.switches.model_dump(), **values})
        held = self.switches.hold_notices
        for name in values:
            setattr(self.switches, name, getattr(fresh, name))
        if held and not self.switches.hold_notices:
            await self._notices.release()
        self._notices.wake()  # refunds that stayed PROCESSING may be due

    def forget(self) -> None:
        """Forgets logins, payments, refunds and notices, and calls whose slow answers are still to
        come; keys and switches stay.
        """
        self._beginnings += 1
        self._store.forget()
        self.messages.forget()
        self._bills.clear()

    def pay(self, number: str, signed: dict[str, str] | None = None) -> str:
        """Pays an order by out_trade_no or prepay_id; returns the transaction_id. Raises
        RefusedError.
        """
        return self._orders.pay(number, signed).transaction_id

    @property
    def is_busy(self) -> bool:
        """Whether a notice is still to be sent or a refund to be settled."""
        return self._notices.is_busy

    def notices(self, state: str | None = None) -> list[Notice]:
        """Notices of a state, or all; the newest first."""
        return self._store.notices(state)

    async def send(self, notice_id: str, copies: int) -> bool:
        """Sends a notice now, so often at once; whether there is one."""
        return await self._notices.send(notice_id, copies)

    def _application(self) -> Starlette:
        orders = self._orders
        abnormal = AbnormalRefunds(self.merchant, self._store, self.switches, self._notices, orders)
        order = "/v3/pay/transactions/out-trade-no/{number}"
        routes = [
            self._route(
                "/v3/pay/transactions/jsapi", "prepay", "POST", lambda _, c: orders.prepay(c)
            ),
            self._route(
                order,
                "query",
                "GET",
                lambda r, _: orders.query(r.path_params["number"], r.query_params.get("mchid", "")),
            ),
            self._route(
                f"{order}/close",
                "close",
                "POST",
                lambda r, c: orders.close(r.path_params["number"], c),
            ),
            self._route(
                "/v3/refund/domestic/refunds", "refund", "POST", lambda _, c: orders.refund(c)
            ),
            self._route(
                "/v3/refund/domestic/refunds/{number}",
                "query_refund",
                "GET",
                lambda r, _: orders.query_refund(r.path_params["number"]),
            ),
            self._route(
                "/v3/refund/domestic/refunds/{number}/apply-abnormal-refund",
                "abnormal_refund",
                "POST",
                lambda r, c: abnormal.apply(
                    r.path_params["number"], c, r.headers.get("wechatpay-serial", "")
                ),
            ),
            self._route(
                "/v3/certificates", "certificates", "GET", lambda _r, _c: self._certificates()
            ),
            self._route(
                "/v3/bill/tradebill", "trade_bill", "GET", lambda r, _: self._trade_bill(r)
            ),
            Route("/v3/billdownload/file", self._bill_download, methods=["GET"]),
            Route("/sns/jscode2session", self._code_to_session, methods=["GET"]),
            Route("/cgi-bin/stable_token", self._stable_token, methods=["POST"]),
            Route("/cgi-bin/message/subscribe/send", self._send_message, methods=["POST"]),
            Route("/simulator/messages", self.messages.show, methods=["GET"]),
            Route("/simulator/consents", self.messages.consent, methods=["POST"]),
            Route("/simulator", self._show_orders, methods=["GET"]),
            Route("/simulator/switches", self._show_switches, methods=["GET"]),
            Route("/simulator/switches", self._set_switches, methods=["PUT"]),
            Route("/simulator/pay/{number}", self._show_order, methods=["GET"]),
            Route("/simulator/pay/{number}", self._pay, methods=["POST"]),
            Route("/simulator/notices", self._show_notices, methods=["GET"]),
            Route("/simulator/notices/{notice_id}/send", self._send_notice, methods=["POST"]),
            Route("/simulator/certificates", self._add_certificate, methods=["POST"]),
        ]
        return Starlette(routes=routes)

    def _route(self, path: str, operation: Operation, method: str, work: Work) -> Route:
        async def answer(request: Request) -> Response:
            return await self._answer(request, operation, work)

        return Route(path, answer, methods=[method])

    async def _take_time(self, operation: Operation) -> bool:
        """Has an answer take as long as it is switched to; whether nothing was forgotten
        meanwhile.
        """
        beginning = self._beginnings
        await asyncio.sleep(self.switches.slow.get(operation, 0))
        return beginning == self._beginnings

    async def _answer(self, request: Request, operation: Operation, work: Work) -> Response:
        """What WeChat Pay answers: the request verified, the work done or refused, the answer
        signed.
        """
        switches = self.switches
        body = await request.body()
        if not await self._take_time(operation):
            return Response("busy", 503)
        try:
            self._verify(request, body)
            if switches.spend(switches.down, operation):
                raise RefusedError(500, "SYSTEM_ERROR", "系统异常，请稍后重试")
            if switches.spend(switches.limited, operation):
                raise RefusedError(429, "FREQUENCY_LIMITED", "频率限制，请降低频率后重试")
            content = work(request, _json_object(body) if body else {})
            status, answer = (204, b"") if content is None else (200, dump(content))
        except RefusedError as error:
            status, answer = error.status, error.body
        if switches.spend(switches.lost_answers, operation):
            return _BrokenAnswer()
        headers = {}
        # who is not recognised gets no signature
        if status != 401 and not switches.spend(switches.unsigned_answers, operation):
            headers = self._signer(request).headers(answer)
        if switches.spend(switches.forged_answers, operation) and headers:
            headers["Wechatpay-Signature"] = base64.b64encode(secrets.token_bytes(256)).decode()
        return Response(answer, status, headers, "application/json; charset=utf-8")

    def _verify(self, request: Request, body: bytes) -> None:
        query = request.scope["query_string"].decode()
        target = request.scope["raw_path"].decode() + (f"?{query}" if query else "")
        verify_request(self.merchant, request.method, target, body, request.headers)
        if "application/json" not in request.headers.get("accept", ""):
            raise RefusedError(406, "PARAM_ERROR", "Http头Accept必须为application/json")
        if not request.headers.get("user-agent"):
            raise RefusedError(403, "PARAM_ERROR", "Http头缺少User-Agent")
        if body and not request.headers.get("content-type", "").startswith("application/json"):
            raise RefusedError(415, "PARAM_ERROR", "Http头Content-Type必须为application/json")
        serial = request.headers.get("wechatpay-serial")
        known = {self.merchant.public_key_id, *(c.serial for c in self.merchant.certificates)}
        if serial is not None and serial not in known:
            raise RefusedError(
                400, "PARAM_ERROR", "Http头Wechatpay-Serial不是有效的公钥ID或证书序列号"
            )

    def _signer(self, request: Request) -> Signer:
        asked = request.headers.get("wechatpay-serial", "")
        which = self.switches.sign_answers
        if not self.switches.has_certificates:
            which = "public_key"
        if which == "public_key" or (which == "as_asked" and asked == self.merchant.public_key_id):
            return by_public_key(self.merchant)
        return by_certificate(self.merchant)

    def _certificates(self) -> dict[str, Any]:
        if not self.switches.has_certificates:
            raise RefusedError(
                404,
                "RESOURCE_NOT_EXISTS",
                "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥。可查看指引https://pay.weixin.qq.com",
            )
        entries = [
            {
                "serial_no": each.serial,
                "effective_time": beijing(each.certificate.not_valid_before_utc.timestamp()),
                "expire_time": beijing(each.certificate.not_valid_after_utc.timestamp()),
                "encrypt_certificate": encrypt(
                    self.merchant,
                    each.pem,
                    "certificate",
                    associated=self.switches.associated_data,
                ),
            }
            for each in reversed(self.merchant.certificates)
        ]
        return {"data": entries}

    def _trade_bill(self, request: Request) -> dict[str, Any]:
        text = request.query_params.get("bill_date", "")
        today = datetime.now(BEIJING).date()
        try:
            bill_date = date.fromisoformat(text)
        except ValueError:
            raise RefusedError(400, "PARAM_ERROR", "bill_date格式错误") from None
        # WeChat has none of today; here there is one at once, so that nobody need wait for tomorrow
        if not today - timedelta(days=BILL_DAYS) <= bill_date <= today:
            raise RefusedError(400, "INVALID_REQUEST", "账单日期错误，仅支持三个月内的账单")
        if (
            request.query_params.get("bill_type", "ALL") != "ALL"
            or "tar_type" in request.query_params
        ):
            raise RefusedError(400, "PARAM_ERROR", "模拟器只支持bill_type=ALL，不压缩")
        if self.switches.bill_creating:
            raise RefusedError(400, "STATEMENT_CREATING", "账单生成中，请稍后再试")
        content = write_bill(self.merchant, self._store, self.switches, bill_date)
        if not content:
            raise RefusedError(400, "NO_STATEMENT_EXIST", "账单文件不存在")
        token, now = secrets.token_urlsafe(32), time.time()
        self._bills = {k: v for k, v in self._bills.items() if v[0] > now}
        self._bills[token] = now + BILL_SECONDS, content
        return {
            "hash_type": "SHA1",
            "hash_value": sha1(content, self.switches),
            "download_url": f"{self.url}/v3/billdownload/file?token={token}",
        }

    async def _bill_download(self, request: Request) -> Response:
        """The file, which WeChat does not sign."""
        switches = self.switches
        await asyncio.sleep(switches.slow.get("bill_download", 0))
        try:
            self._verify(request, b"")
            if switches.spend(switches.down, "bill_download"):
                raise RefusedError(500, "SYSTEM_ERROR", "系统异常，请稍后重试")
            until, content = self._bills.get(request.query_params.get("token", ""), (0.0, b""))
            if until < time.time():
                raise RefusedError(400, "PARAM_ERROR", "token无效或已过期")
        except RefusedError as error:
            return Response(error.body, error.status, media_type="application/json")
        if switches.spend(switches.lost_answers, "bill_download"):
            return _BrokenAnswer()
        return Response(content, media_type="text/plain")

    async def _code_to_session(self, request: Request) -> Response:
        """Who a code is for: always the same openid for the same code. `name#anything` works
        once, for `name`.
        """
        switches = self.switches
        await asyncio.sleep(switches.slow.get("login", 0))
        if switches.spend(switches.down, "login"):
            return Response("busy", 502)
        code = request.query_params.get("js_code", "")
        errcode, errmsg = self._login_error(request, code)
        if switches.spend(switches.lost_answers, "login"):
            return _BrokenAnswer()
        if errcode:
            return JSONResponse(
                {"errcode": errcode, "errmsg": f"{errmsg}, rid: {secrets.token_hex(8)}"}
            )
        name = code.partition("#")[0]
        return JSONResponse(
            {
                "openid": openid(self.merchant, name),
                "session_key": base64.b64encode(secrets.token_bytes(16)).decode(),
            }
        )

    def _login_error(self, request: Request, code: str) -> tuple[int, str]:
        query = request.query_params
        checks = [
            (query.get("appid") != self.merchant.app_id, (40013, "invalid appid")),
            (query.get("secret") != self.merchant.app_secret, (40125, "invalid appsecret")),
            (query.get("grant_type") != "authorization_code", (40002, "invalid grant_type")),
            (not code, (41008, "missing code")),
            (code in LOGIN_ERRORS, LOGIN_ERRORS.get(code, (0, ""))),
        ]
        found = next((error for wrong, error in checks if wrong), (0, "ok"))
        if not found[0] and "#" in code and not self._store.use_code(code):
            return LOGIN_ERRORS["used"]
        return found

    async def _stable_token(self, request: Request) -> Response:
        return await self._mini_program("token", self.messages.token, await request.body())

    async def _send_message(self, request: Request) -> Response:
        token = request.query_params.get("access_token", "")
        return await self._mini_program(
            "message", lambda content: self.messages.send(token, content), await request.body()
        )

    async def _mini_program(
        self,
        operation: Operation,
        work: Callable[[dict[str, Any]], dict[str, Any]],
        body: bytes,
    ) -> Response:
        """What the mini program's calls answer: always 200, with an errcode."""
        switches = self.switches
        if not await self._take_time(operation):
            return Response("busy", 503)
        if switches.spend(switches.down, operation):
            return Response("busy", 502)
        if switches.spend(switches.limited, operation):
            return Response("busy", 503)
        try:
            answer = work(_json_object(body))
        except RefusedError:
            answer = refusal(47001)
        if switches.spend(switches.lost_answers, operation):
            return _BrokenAnswer()
        return JSONResponse(answer)

    async def _show_orders(self, _request: Request) -> Response:
        return HTMLResponse(pages.orders_page(self._store.orders(100)))

    async def _show_switches(self, _request: Request) -> Response:
        values = self.switches.model_dump()
        return JSONResponse({"switches": values, "descriptions": self.switches.described()})

    async def _set_switches(self, request: Request) -> Response:
        try:
            await self.switch(**_json_object(await request.body()))
        except RefusedError as error:
            return JSONResponse({"message": error.message}, 400)
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            return JSONResponse({"message": "; ".join(faults)}, 400)
        return await self._show_switches(request)

    async def _show_order(self, request: Request) -> Response:
        order = self._store.order(request.path_params["number"])
        if order is None:
            return HTMLResponse(pages.page("<p>订单不存在 · there is no such order"), 404)
        return HTMLResponse(pages.order_page(order, self._store.refunds_of(order.out_trade_no)))

    async def _pay(self, request: Request) -> Response:
        """Pays from the page's form, or from JSON: `outcome` (success or fail), `payment`
        (fields of wx.requestPayment).
        """
        by_form = request.headers.get("content-type", "").startswith("application/x-www-form")
        number = request.path_params["number"]
        try:
            if by_form:
                asked: dict[str, Any] = {
                    "outcome": "fail" if b"fail" in await request.body() else "success"
                }
            else:
                asked = _json_object(await request.body() or b"{}")
            if asked.get("outcome", "success") == "success":
                number = self._orders.pay(number, asked.get("payment")).out_trade_no
                said = "支付成功 · paid"
            else:
                said = "支付失败，订单仍可支付 · the payment failed; the order may still be paid"
        except RefusedError as error:
            if not by_form:
                return Response(error.body, error.status, media_type="application/json")
            said = error.message
        order = self._store.order(number)
        if by_form and order:
            refunds = self._store.refunds_of(order.out_trade_no)
            return HTMLResponse(pages.order_page(order, refunds, said))
        if order is None:
            return JSONResponse({"code": "ORDER_NOT_EXIST", "message": "订单不存在"}, 404)
        return JSONResponse(self._orders.transaction(order))

    async def _show_notices(self, _request: Request) -> Response:
        return JSONResponse([each.__dict__ for each in self._store.notices()])

    async def _send_notice(self, request: Request) -> Response:
        asked = _json_object(await request.body() or b"{}")
        found = await self._notices.send(
            request.path_params["notice_id"], int(asked.get("copies", 1))
        )
        return Response(status_code=204 if found else 404)

    async def _add_certificate(self, _request: Request) -> Response:
        return JSONResponse({"serial_no": self.merchant.add_certificate().serial})


def openid(merchant: Merchant, name: str) -> str:
    """Who `name` is to this mini program, always the same."""
    digest = hashlib.sha256(f"{merchant.app_id}\n{name}".encode()).digest()
    return "o" + base64.urlsafe_b64encode(digest).decode()[:27]


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise RefusedError(400, "PARAM_ERROR", "请求体不是JSON对象")
    return content
