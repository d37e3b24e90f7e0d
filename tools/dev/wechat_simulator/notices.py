"""Notices of payments and refunds: signed, encrypted, sent, sent again as WeChat does, and
spoilt as the switches say.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric import rsa

from tools.dev.wechat_simulator.merchant import Merchant
from tools.dev.wechat_simulator.protocol import (
    Signer,
    beijing,
    by_certificate,
    by_public_key,
    dump,
    encrypt,
)
from tools.dev.wechat_simulator.store import Notice, Store
from tools.dev.wechat_simulator.switches import Switches

RETRY_SECONDS = (
    *(15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600),
    *(10800, 10800, 10800, 21600, 21600),
)
"""After each attempt that was not taken, WeChat waits so long."""
ANSWER_SECONDS = 5.0
"""WeChat waits so long for an answer."""
MOST_AT_ONCE = 64
SUMMARIES = {
    "TRANSACTION.SUCCESS": "支付成功",
    "REFUND.SUCCESS": "退款成功",
    "REFUND.ABNORMAL": "退款异常",
    "REFUND.CLOSED": "退款关闭",
}
PROBE = "WECHATPAY/SIGNTEST/"


class Notices:
    """Queues notices and sends them from a task of its own."""

    def __init__(self, merchant: Merchant, store: Store, switches: Switches) -> None:
        self._merchant = merchant
        self._store = store
        self._switches = switches
        self._wake = asyncio.Event()
        self._free = asyncio.Semaphore(MOST_AT_ONCE)
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._sent = 0
        # a gateway on this machine may have a certificate nobody vouches for
        self._http = httpx2.AsyncClient(timeout=ANSWER_SECONDS, verify=False, trust_env=False)

    def add(self, event_type: str, resource: dict[str, Any], notify_url: str) -> None:
        """Queues a notice, in the caller's transaction; it goes after the commit."""
        state = "LOST" if self._switches.lost_notices else "WAITING"
        if state == "WAITING" and self._switches.hold_notices:
            state = "HELD"
        due_at = time.time() + self._switches.notice_delay_seconds
        self._store.add_notice(event_type, resource, notify_url, state=state, due_at=due_at)
        self._wake.set()

    @property
    def is_busy(self) -> bool:
        """Whether a notice is to be sent or waits for its answer, or a refund is to be settled."""
        return bool(self._sending) or self._next_due() is not None

    def _next_due(self) -> float | None:
        """When there is something to do next; refunds that are to stay PROCESSING are never due."""
        return self._store.next_due(refunds=self._switches.refund_outcome != "PROCESSING")

    def wake(self) -> None:
        """Something became due."""
        self._wake.set()

    async def run(self, settle_refunds: Callable[[float], None]) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            now = time.time()
            settle_refunds(now)
            for notice in self._store.notices_due(now):
                if notice.notice_id not in self._sending:
                    task = asyncio.create_task(self._deliver(notice))
                    self._sending[notice.notice_id] = task
            due = self._next_due()
            waiting = 1.0 if due is None else min(1.0, max(0.01, due - time.time()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(waiting):
                    await self._wake.wait()

    async def release(self) -> None:
        """Sends what was held, the newest first, each after the one before was answered."""
        for notice in self._store.notices("HELD"):
            await self._deliver(notice)

    async def send(self, notice_id: str, copies: int) -> bool:
        """Sends a notice now, whatever became of it; whether there is one."""
        notice = self._store.notice(notice_id)
        if notice is None:
            return False
        await asyncio.gather(*(self._post(notice) for _ in range(copies)))
        return True

    async def close(self) -> None:
        for task in self._sending.values():
            task.cancel()
        await asyncio.gather(*self._sending.values(), return_exceptions=True)
        await self._http.aclose()

    async def _deliver(self, notice: Notice) -> None:
        try:
            async with self._free:
                copies = self._switches.notice_copies
                answers = await asyncio.gather(*(self._post(notice) for _ in range(copies)))
            taken = any(answer in ("200", "204") for answer in answers)
            attempts = notice.attempts + 1
            over = attempts > len(RETRY_SECONDS)
            pause = 0 if over else RETRY_SECONDS[attempts - 1] * self._switches.retry_scale
            state = "TAKEN" if taken else "GIVEN_UP" if over else "WAITING"
            if self._switches.lost_notices and not taken:
                state = "LOST"
            self._store.update_notice(
                notice.notice_id,
                state=state,
                attempts=attempts,
                due_at=time.time() + pause,
                last_answer=answers[-1],
            )
        finally:
            self._sending.pop(notice.notice_id, None)
            self._wake.set()

    async def _post(self, notice: Notice) -> str:
        body = self._body(notice)
        headers = self._signer().headers(body, age_seconds=self._switches.notice_age_seconds)
        headers |= {"Content-Type": "application/json", "User-Agent": "Mozilla/4.0"}
        try:
            if self._switches.probe_notices:
                probe = {**headers, "Wechatpay-Signature": PROBE + secrets.token_urlsafe(200)}
                await self._http.post(notice.notify_url, content=body, headers=probe)
            response = await self._http.post(notice.notify_url, content=body, headers=headers)
        except httpx2.HTTPError as error:
            return repr(error)
        return str(response.status_code)

    def _signer(self) -> Signer:
        which = self._switches.sign_notices
        self._sent += 1
        if which == "certificate" or (which == "alternate" and self._sent % 2):
            signer = by_certificate(self._merchant)
        else:
            signer = by_public_key(self._merchant)
        return Signer(signer.serial, self._stranger) if self._switches.forged_notices else signer

    @cached_property
    def _stranger(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048)

    def _body(self, notice: Notice) -> bytes:
        event_type = self._switches.notice_event_type or notice.event_type
        kind = "refund" if notice.event_type.startswith("REFUND.") else "transaction"
        content = {
            "id": notice.notice_id,
            "create_time": beijing(notice.created_at),
            "resource_type": "encrypt-resource",
            "event_type": event_type,
            "summary": SUMMARIES[notice.event_type],
            "resource": {
                "original_type": kind,
                **encrypt(
                    self._merchant,
                    dump(self._spoilt(notice.resource)),
                    kind,
                    associated=self._switches.associated_data,
                ),
            },
        }
        missing = self._switches.notice_bytes - len(dump(content))
        if missing > 0:
            content["summary"] = str(content["summary"]) + "." * missing
        return dump(content)

    def _spoilt(self, resource: dict[str, Any]) -> dict[str, Any]:
        switches = self._switches
        amount = dict(resource["amount"])
        changed = "refund" if "refund" in amount else "total"
        amount[changed] += switches.notice_amount_offset
        if switches.notice_currency:
            amount["currency"] = switches.notice_currency
        instead = {
            "mchid": switches.notice_merchant_id,
            "appid": switches.notice_app_id,
            "out_trade_no": switches.notice_out_trade_no,
        }
        return {**resource, "amount": amount, **{k: v for k, v in instead.items() if v}}
