"""How a row of AdminService's table is served: what its methods have in common, written once.

Most of what administrators keep has a unique name, a state and an audit trail (`audit.records`),
and is created, read, listed, changed and revoked the same way. Such a noun is a `Noun`: where its
records are, and how one becomes a message. Each of its methods is a row of the table in
`servicer_records.py`: a `Create`, `Get`, `List`, `Update` or `Retire`, with the method's own types,
which mypy holds against the contract, and the function of the domain that does the work.

How a noun is added: `docs/guides/adding-a-noun.md`. A method that is like no other stays a method
of a servicer.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Generic, Protocol, TypeVar, Unpack, cast

import grpc
from deeptravel.admin.v1 import admin_service_pb2_grpc
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from server.api import requests
from server.api.calls import caller
from server.api.paging import Page, PageTokens, page_size
from server.api.repeats import ChangingCall, Repeats
from server.audit.records import By, Kept, Records
from server.identity.callers import Admin
from server.platform import clock
from server.platform.database import Database

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Request_contra = TypeVar("Request_contra", bound=Message, contravariant=True)
Response_co = TypeVar("Response_co", bound=Message, covariant=True)
Record = TypeVar("Record", bound=Kept)
Record_co = TypeVar("Record_co", bound=Kept, covariant=True)
Name = TypeVar("Name")
Name_contra = TypeVar("Name_contra", contravariant=True)
New = TypeVar("New")
New_contra = TypeVar("New_contra", contravariant=True)


VERSION = "version"
"""The field of a request that says which version was read."""


class Served(Protocol[Request_contra, Response_co]):
    """A method of the servicer, as gRPC calls it."""

    def __call__(  # noqa: D102
        self, request: Request_contra, context: grpc.ServicerContext
    ) -> Awaitable[Response_co]: ...


class Creates(Protocol[New_contra, Record_co]):
    """Creates a record."""

    def __call__(  # noqa: D102
        self, tx: AsyncConnection, new: New_contra, /, **by: Unpack[By]
    ) -> Awaitable[Record_co]: ...


class Updates(Protocol[Name_contra, Record_co]):
    """Changes the given fields of the record with this name."""

    def __call__(  # noqa: D102
        self,
        tx: AsyncConnection,
        name: Name_contra,
        values: Mapping[str, object],
        /,
        **by: Unpack[By],
    ) -> Awaitable[Record_co]: ...


class Retires(Protocol[Name_contra, Record_co]):
    """Moves the record with this name into its last state."""

    def __call__(  # noqa: D102
        self, tx: AsyncConnection, name: Name_contra, /, **by: Unpack[By]
    ) -> Awaitable[Record_co]: ...


@dataclass(frozen=True, slots=True)
class Noun(Generic[Record]):
    """What administrators keep: its records, and the message of one."""

    records: Records[Record]
    message: Callable[[Record], Message]

    def name_in(self, request: Message) -> object:
        """The name of the record that the request is about."""
        return getattr(request, self.records.key.name)

    def answer(self, response: type[Response], record: Record) -> Response:
        """The response with this record."""
        return response(**{_noun_field(response.DESCRIPTOR): self.message(record)})


class AdminMethods(admin_service_pb2_grpc.AdminServiceServicer):
    """What rows and methods work with; AdminServicer sets the fields."""

    _db: Database
    _repeats: Repeats
    _pages: PageTokens

    async def change(self, row: "ChangingRow[Request, Response]", request: Request) -> Response:
        """Serves a row that changes something, in a transaction; a repeat gets the first answer."""
        actor = caller(Admin).key

        async def work(tx: AsyncConnection) -> Response:
            return await row.work(tx, request, By(actor=actor, now=clock.now()))

        return await self._repeats.once(request, row.response, work)

    async def read(self, noun: Noun[Record], request: Message) -> Record:
        """The record that the request names. Raises NOT_FOUND."""
        async with self._db.transaction() as tx:
            return await noun.records.get(tx, noun.name_in(request))

    async def page(
        self, noun: Noun[Record], request: Message, unless: Mapping[str, object] | None = None
    ) -> tuple[Sequence[Record], str]:
        """The records of a page, in the order of names, and the token of the next one; `unless`
        are filters that count unless the request has others.
        """
        records, key = noun.records, noun.records.key.name
        (after,) = self._pages.decode(request) or [None]
        page = Page[None, int | str](None, after, page_size(request))
        async with self._db.report(caller(Admin).key) as tx:
            filters = dict(unless or {})
            filters |= {name: each for name, each in requests.filters(request).items() if each}
            found = await records.page(tx, after=page.after, limit=page.size + 1, **filters)
        shown = page.cut(found, lambda last: cast("int | str", getattr(last, key)))
        if page.next_after is None:
            return shown, ""
        return shown, self._pages.encode(request, [page.next_after])


@dataclass(frozen=True, slots=True)
class MethodRow(Generic[Request, Response]):
    """A method of the servicer: what it takes and gives. As its attribute it is the method."""

    request: type[Request]
    response: type[Response]

    def __get__(self, servicer: AdminMethods, _owner: type) -> Served[Request, Response]:
        return partial(self._call, servicer)

    async def _call(
        self, servicer: AdminMethods, request: Request, _context: grpc.ServicerContext
    ) -> Response:
        return await self.serve(servicer, request)

    async def serve(self, servicer: AdminMethods, request: Request) -> Response:
        """Answers a call."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Get(MethodRow[Request, Response], Generic[Request, Response, Record]):
    """Reads the record that the request names."""

    noun: Noun[Record]

    async def serve(self, servicer: AdminMethods, request: Request) -> Response:  # noqa: D102
        return self.noun.answer(self.response, await servicer.read(self.noun, request))


@dataclass(frozen=True, slots=True)
class List(MethodRow[Request, Response], Generic[Request, Response, Record]):
    """Lists records by page; the fields of the request that are not about pages are filters,
    `unless` those that count unless the request has others.
    """

    noun: Noun[Record]
    unless: Mapping[str, object] = field(default_factory=dict)

    async def serve(self, servicer: AdminMethods, request: Request) -> Response:  # noqa: D102
        shown, token = await servicer.page(self.noun, request, self.unless)
        messages = {_noun_field(self.response.DESCRIPTOR): map(self.noun.message, shown)}
        return self.response(**messages, next_page_token=token)


@dataclass(frozen=True, slots=True)
class ChangingRow(MethodRow[Request, Response]):
    """Changes something, and traces it in the audit trail."""

    async def serve(self, servicer: AdminMethods, request: Request) -> Response:  # noqa: D102
        return await servicer.change(self, request)

    async def work(self, tx: AsyncConnection, request: Request, by: By) -> Response:
        """What is done in the transaction, again after a lost race."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Create(ChangingRow[Request, Response], Generic[Request, Response, Record, New]):
    """Creates a record: `read` makes plain values of the request."""

    noun: Noun[Record]
    read: Callable[[Request], New]
    create: Creates[New, Record]

    async def work(self, tx: AsyncConnection, request: Request, by: By) -> Response:  # noqa: D102
        return self.noun.answer(self.response, await self.create(tx, self.read(request), **by))


@dataclass(frozen=True, slots=True)
class Update(ChangingRow[Request, Response], Generic[Request, Response, Record, Name]):
    """Changes what `update_mask` names; `read` makes plain values of fields that have messages,
    `names` are those fields that the domain calls otherwise, and `may_lack` those that a record may
    be without.
    """

    noun: Noun[Record]
    update: Updates[Name, Record]
    read: Mapping[str, Callable[..., object]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    may_lack: Collection[str] = ()

    async def work(self, tx: AsyncConnection, request: Request, by: By) -> Response:  # noqa: D102
        values = requests.changes(request, self.read, besides=[VERSION], may_lack=self.may_lack)
        values = {self.names.get(field, field): value for field, value in values.items()}
        name = cast("Name", self.noun.name_in(request))
        await self.noun.records.require_version(tx, name, version_in(request))
        return self.noun.answer(self.response, await self.update(tx, name, values, **by))


@dataclass(frozen=True, slots=True)
class Retire(ChangingRow[Request, Response], Generic[Request, Response, Record, Name]):
    """Revokes or archives the record that the request names, or takes it back."""

    noun: Noun[Record]
    retire: Retires[Name, Record]

    async def work(self, tx: AsyncConnection, request: Request, by: By) -> Response:  # noqa: D102
        name = cast("Name", self.noun.name_in(request))
        await self.noun.records.require_version(tx, name, version_in(request))
        return self.noun.answer(self.response, await self.retire(tx, name, **by))


def by(call: ChangingCall[Admin]) -> By:
    """Who makes a change, and when, of a method that is no row."""
    return By(actor=call.caller.key, now=call.now)


def version_in(request: Message) -> int:
    """The version that a request says was read; 0 if it says none."""
    return int(getattr(request, VERSION, 0))


@cache
def _noun_field(response: Descriptor) -> str:
    """The one field of a response that has a message or messages."""
    (found,) = (each.name for each in response.fields if each.message_type)
    return found
