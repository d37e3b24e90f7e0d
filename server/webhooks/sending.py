"""Sending one webhook: signed, to an address that was checked, within a time limit."""

import asyncio
import ssl
import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

from server.platform.faults import fault_text
from server.webhooks import signatures
from server.webhooks.connections import KEPT_BYTES, Connections, NoHttpAnswerError
from server.webhooks.rules import ATTEMPT_SECONDS


class EndpointAnswer(NamedTuple):
    """What became of an attempt; `http_status` is 0, and `error` says why, if none came."""

    http_status: int
    duration_ms: int
    error: str
    text: str
    retry_after_seconds: int = 0

    @property
    def is_delivered(self) -> bool:
        """Whether the endpoint has taken the event."""
        return 200 <= self.http_status < 300


class Sender:
    """Sends to all endpoints; see Connections."""

    def __init__(self, *, allow_private: bool, tls: ssl.SSLContext | Literal[True] = True) -> None:
        self._connections = Connections(allow_private=allow_private, tls=tls)

    async def send(
        self, url: str, secrets: Sequence[bytes], message_id: str, seconds: int, body: bytes
    ) -> EndpointAnswer:
        """One attempt; never raises but when it is cancelled. `seconds` is the time of the attempt,
        in whole Unix seconds.
        """
        began = time.monotonic()
        signed = signatures.headers(secrets, message_id, seconds, body)
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                status, kept, retry_after = await self._connections.post(url, signed, body)
        except TimeoutError:
            return EndpointAnswer(0, _since(began), f"no answer within {ATTEMPT_SECONDS:.0f} s", "")
        except NoHttpAnswerError as error:
            return EndpointAnswer(0, _since(began), str(error)[:KEPT_BYTES], "")
        # whatever an endpoint answers is a failed attempt
        except Exception as error:  # noqa: BLE001
            return EndpointAnswer(0, _since(began), fault_text(error)[:KEPT_BYTES], "")
        error_text = "" if 200 <= status < 300 else f"HTTP {status}"
        text = kept.decode(errors="replace").replace("\0", "")
        wait = int(retry_after[:9]) if retry_after.isascii() and retry_after.isdigit() else 0
        return EndpointAnswer(status, _since(began), error_text, text, wait)

    async def close(self) -> None:
        """Closes its connections."""
        await self._connections.close()


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
