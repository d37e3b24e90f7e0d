"""Text messages by a signed HTTPS hook: whoever has a contract with a provider posts them on.

There is no provider of our own choice here: each wants an account, a signature and templates that
its country has approved. What is posted is JSON: `id`, `to` (E.164), `text`, `language`, `kind`;
its signature is that of Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`).
`webhook-id` is the same in each attempt: whoever sends it on drops what he has had.
"""

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from server.notifications import rules
from server.notifications.sending import ATTEMPT_SECONDS, AttemptResult, Outgoing, SendResult
from server.notifications.template_rules import fill
from server.platform.faults import fault_text
from server.webhooks import signatures

if TYPE_CHECKING:
    import aiohttp

OURS_WRONG = frozenset({401, 403, 404, 405, 410})
"""Answers that say that the hook, or its secret, is not what the settings say."""
MAX_WAIT_SECONDS = 3600


class SmsSender:
    """Posts text messages. `secret` is written as `whsec_…`; `now` gives Unix seconds."""

    channel = rules.SMS
    at_once = 16

    def __init__(self, url: str, secret: str, *, now: Callable[[], float]) -> None:
        self._url = url
        self._secret = base64.b64decode(secret.removeprefix(signatures.SECRET_PREFIX))
        self._now = now
        self._session: aiohttp.ClientSession | None = None

    async def send(self, message: Outgoing) -> SendResult:
        """One attempt."""
        import aiohttp

        body = orjson.dumps(
            {
                "id": message.message_id,
                "to": message.address,
                "text": fill(message.template.body, message.values),
                "language": message.language,
                "kind": message.kind,
            }
        )
        headers: Any = [
            *signatures.headers([self._secret], message.message_id, int(self._now()), body),
            ("Content-Type", "application/json"),
        ]
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=ATTEMPT_SECONDS),
                trust_env=self._url.startswith("https:"),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                return _result(answer.status, answer.headers.get("Retry-After", ""))
        except aiohttp.ClientConnectorError as error:
            return SendResult(AttemptResult.RETRY, "UNREACHABLE", fault_text(error)[:200])
        except (aiohttp.ClientError, TimeoutError) as error:
            return SendResult(AttemptResult.UNKNOWN, "NO_ANSWER", type(error).__name__)

    async def close(self) -> None:
        """Ends its connections."""
        if self._session is not None:
            await self._session.close()


def _result(status: int, retry_after: str) -> SendResult:
    words = f"HTTP {status}"
    if 200 <= status < 300:
        return SendResult(AttemptResult.SENT, str(status))
    if status in OURS_WRONG:
        return SendResult(AttemptResult.STOP, str(status), words)
    if status == 429 or status >= 500:
        wait = int(retry_after[:9]) if retry_after.isascii() and retry_after.isdigit() else 0
        return SendResult(AttemptResult.RETRY, str(status), words, min(wait, MAX_WAIT_SECONDS))
    return SendResult(AttemptResult.GIVE_UP, str(status), words)
