"""Pages of lists: their size, and tokens that are bound to what was asked.

A servicer writes a method that lists something with @paged:

    @paged
    async def ListRefunds(
        self, request: ListRefundsRequest, page: Page[Admin, tuple[datetime, int]]
    ) -> ListRefundsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await refunds.page(tx, before=page.after, limit=page.size + 1)
        shown = page.cut(found, lambda last: (last.create_time, last.refund_no))
        return ListRefundsResponse(refunds=map(refund_message, shown))
"""

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Generic, Protocol, TypeVar, cast, get_args
from uuid import UUID

import orjson

from server.api.calls import Context, current
from server.platform.crypto import Signer, digest
from server.platform.errors import DomainError, Reason

DEFAULT_PAGE_SIZE = 50

Value = int | str | date | datetime | UUID
"""What a cursor is made of; a token has it as JSON."""

_READERS: Mapping[object, Callable[[str], Value]] = {
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
    UUID: UUID,
}
"""Of those that are texts in JSON."""


class PageTokens:
    """Opaque page tokens, bound to the caller and to every filter of the request (AIP-158)."""

    def __init__(self, secret_key: bytes) -> None:
        self._signer = Signer(secret_key, "deeptravel page tokens")

    def encode(self, request: Any, cursor: Sequence[Value]) -> str:
        """The token of the page after `cursor`, for requests with the filters of `request`."""
        return self._signer.token(orjson.dumps(list(cursor)), _bound_to(request))

    def decode(self, request: Any) -> list[Any] | None:
        """The cursor of the request's token; None for the first page. Raises PAGE_TOKEN_INVALID."""
        token: str = request.page_token
        if not token:
            return None
        body = self._signer.read_token(token, _bound_to(request))
        if body is None:
            raise DomainError(
                Reason.PAGE_TOKEN_INVALID,
                "page_token: is not one for these filters; ask for the first page again",
                violations=[("page_token", "is not one for these filters")],
            )
        cursor: list[Any] = orjson.loads(body)
        return cursor


def _bound_to(request: Any) -> Callable[[bytes], bytes]:
    """Of a cursor what is signed: it, the caller, the method and the filters."""
    filters = type(request)()
    filters.CopyFrom(request)
    filters.ClearField("page_token")
    filters.ClearField("page_size")
    who = current().caller
    bound = (who.key if who else "").encode() + b"\0" + type(request).DESCRIPTOR.name.encode()
    content = bound + b"\0" + filters.SerializeToString(deterministic=True) + b"\0"
    return lambda body: digest(content + body)


def page_size(request: Any) -> int:
    """The request's page size, or the default; its greatest value stands in the contract."""
    return int(request.page_size) or DEFAULT_PAGE_SIZE


class HasPages(Protocol):
    """A servicer that lists something."""

    _pages: PageTokens


class ListRequest(Protocol):
    """A request for a page."""

    page_size: int
    page_token: str


class ListResponse(Protocol):
    """A page."""

    next_page_token: str


C = TypeVar("C")
K = TypeVar("K")
T = TypeVar("T")
S = TypeVar("S", bound=HasPages)
Request = TypeVar("Request", bound=ListRequest)
Response = TypeVar("Response", bound=ListResponse)


@dataclass(slots=True)
class Page(Generic[C, K]):
    """The page that a caller C asks for.

    Its place in the list is a cursor K: a value, or a tuple of values.

    Attributes:
        after: the cursor of the last item of the page before; None for the first page.
        size: how many items it has at most.
        next_after: what the next page comes after, set by the method; None if this is the last.
    """

    caller: C
    after: K | None
    size: int
    next_after: K | None = None

    def cut(self, found: Sequence[T], cursor: Callable[[T], K]) -> Sequence[T]:
        """The items of this page; `found` has one more, up to `size` + 1, if another follows."""
        if len(found) <= self.size:
            return found
        self.next_after = cursor(found[self.size - 1])
        return found[: self.size]


def paged(
    method: Callable[[S, Request, Page[C, K]], Awaitable[Response]],
) -> Callable[[S, Request, Context[Request, Response]], Awaitable[Response]]:
    """Reads the request's token into a Page, and writes the token of the next one.

    The types of the cursor are those of the annotation of `page`.
    """
    _, kind = get_args(method.__annotations__["page"])

    @functools.wraps(method)
    async def list_page(
        self: S, request: Request, _context: Context[Request, Response], /
    ) -> Response:
        after = cast("K | None", _typed(self._pages.decode(request), kind))
        page = Page(cast("C", current().caller), after, page_size(request))
        response = await method(self, request, page)
        if page.next_after is not None:
            response.next_page_token = self._pages.encode(request, _values(page.next_after))
        return response

    return list_page


def _typed(cursor: Sequence[Any] | None, kind: object) -> object:
    """A cursor of this type: [5] is an `int`, ["2026-11-28", 5] a `tuple[date, int]`."""
    if cursor is None:
        return None
    kinds = get_args(kind)
    if Ellipsis in kinds:
        return tuple(cursor)
    values = [_value(*each) for each in zip(kinds or [kind], cursor, strict=True)]
    return tuple(values) if kinds else values[0]


def _value(kind: object, value: Any) -> Any:
    read = _READERS.get(kind)
    return read(value) if read else value


def _values(cursor: object) -> tuple[Any, ...]:
    return cursor if isinstance(cursor, tuple) else (cursor,)
