"""Pages of lists: their size, and tokens that are bound to what was asked."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

import orjson

from server.api.calls import current
from server.platform.errors import DomainError, Reason

DEFAULT_PAGE_SIZE = 50


class PageTokens:
    """Opaque page tokens, bound to the caller and to every filter of the request (AIP-158)."""

    def __init__(self, secret_key: bytes) -> None:
        self._key = hmac.digest(secret_key, b"deeptravel page tokens", "sha256")

    def encode(self, request: Any, cursor: Sequence[int | str]) -> str:
        """The token of the page behind `cursor`, for requests with the filters of `request`."""
        body = orjson.dumps(list(cursor))
        return base64.urlsafe_b64encode(self._mac(request, body) + body).decode().rstrip("=")

    def decode(self, request: Any) -> list[Any] | None:
        """The cursor of the request's token; None for the first page. Raises PAGE_TOKEN_INVALID."""
        token: str = request.page_token
        if not token:
            return None
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            raw = b""
        mac, body = raw[:16], raw[16:]
        if not hmac.compare_digest(mac, self._mac(request, body)):
            raise DomainError(
                Reason.PAGE_TOKEN_INVALID,
                "page_token: is not one for these filters; ask for the first page again",
                violations=[("page_token", "is not one for these filters")],
            )
        cursor: list[Any] = orjson.loads(body)
        return cursor

    def _mac(self, request: Any, body: bytes) -> bytes:
        filters = type(request)()
        filters.CopyFrom(request)
        filters.ClearField("page_token")
        filters.ClearField("page_size")
        who = current().caller
        bound = (who.key if who else "").encode() + b"\0" + type(request).DESCRIPTOR.name.encode()
        content = bound + b"\0" + filters.SerializeToString(deterministic=True) + b"\0" + body
        return hmac.digest(self._key, hashlib.sha256(content).digest(), "sha256")[:16]


def page_size(request: Any) -> int:
    """The request's page size, or the default; its greatest value stands in the contract."""
    return int(request.page_size) or DEFAULT_PAGE_SIZE
