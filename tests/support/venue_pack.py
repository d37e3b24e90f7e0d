"""A terminal's pack, as a terminal keeps it: verified, inflated, put together by number, and pushed
to.
"""

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from deeptravel.redemption.v1 import offline_pb2, redemption_pb2
from nacl.signing import VerifyKey

from tests.support.gate import STATE, Terminal
from tests.support.waiting import WAIT_SECONDS

PREFIX = b"deeptravel venue pack v1\x00"
PUSH_PREFIX = b"deeptravel venue push v1\x00"
ASK = redemption_pb2.ScanStreamRequest(with_pack_pushes=True)


class PackTicket(NamedTuple):
    """A ticket of a pack; `uses` are what is left and when it was used last, by function,
    `leases` terminal and time, and `order` number, jti and rotation."""

    ticket_id: int
    jti: bytes
    state: str
    is_blocked: bool
    valid_from: int
    valid_until: int
    terms: offline_pb2.PackTerms
    departure: offline_pb2.PackDeparture | None
    seat: str
    uses: dict[str, tuple[int, int]]
    leases: dict[str, tuple[str, int]]
    share: bytes
    order: tuple[int, bytes, int] | None


@dataclass
class KeptPack:
    """What a terminal has stored."""

    verify_key: bytes
    tickets: dict[int, PackTicket] = field(default_factory=dict)
    configuration: offline_pb2.PackConfiguration = field(
        default_factory=offline_pb2.PackConfiguration
    )
    cursor: str = ""
    version: int = 0
    chunks: int = 0
    size_bytes: int = 0
    coming: dict[int, PackTicket] = field(default_factory=dict)

    async def update(self, terminal: Terminal, *, most_chunks: int = 0) -> int:
        """Asks for what is new, and stores it; how many chunks came. With `most_chunks` the
        network is lost after so many.
        """
        request = offline_pb2.GetVenuePackRequest(cursor=self.cursor)
        call: Any = terminal.stub.GetVenuePack(request, metadata=terminal.metadata)
        chunks = 0
        async for response in call:
            self.store(response)
            chunks += 1
            if chunks == most_chunks:
                call.cancel()
                break
        return chunks

    def store(self, response: offline_pb2.GetVenuePackResponse) -> offline_pb2.PackChunk:
        """Stores a chunk. Raises BadSignatureError."""
        VerifyKey(self.verify_key).verify(PREFIX + response.packed_chunk, response.signature)
        self.size_bytes += len(response.packed_chunk)
        self.chunks += 1
        chunk = offline_pb2.PackChunk.FromString(zlib.decompress(response.packed_chunk))
        if chunk.pack_version != self.version:
            self.coming = {}
        into = self.coming if chunk.is_full else self.tickets
        into.update((ticket.ticket_id, ticket) for ticket in unpacked(chunk.tickets))
        if chunk.is_last:
            self.configuration = chunk.configuration
        if chunk.is_last and chunk.is_full:
            self.tickets, self.coming = self.coming, {}
        self.cursor, self.version = chunk.cursor, chunk.pack_version
        return chunk

    def push(self, push: redemption_pb2.PackPush) -> offline_pb2.PushedTickets:
        """Stores what is pushed, until the next pack. Raises BadSignatureError."""
        VerifyKey(self.verify_key).verify(PUSH_PREFIX + push.packed_tickets, push.signature)
        pushed = offline_pb2.PushedTickets.FromString(zlib.decompress(push.packed_tickets))
        if pushed.push_version >= self.version:
            self.tickets.update((ticket.ticket_id, ticket) for ticket in unpacked(pushed.tickets))
        return pushed


async def knows_policy(terminal: Terminal, pack_seconds: int) -> None:
    """Returns when the server goes by a policy of the terminal's merchant that says so."""
    async with asyncio.timeout(WAIT_SECONDS):
        while await _pack_seconds(terminal) != pack_seconds:  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


async def _pack_seconds(terminal: Terminal) -> int:
    request, found = offline_pb2.GetVenuePackRequest(), 0
    async for response in terminal.stub.GetVenuePack(request, metadata=terminal.metadata):
        chunk = offline_pb2.PackChunk.FromString(zlib.decompress(response.packed_chunk))
        found = chunk.configuration.max_pack_seconds
    return found


def unpacked(tickets: offline_pb2.PackTickets) -> Iterator[PackTicket]:
    """The tickets of a chunk, one by one."""

    def column(form: str, content: bytes) -> tuple[int, ...]:
        return struct.unpack(f">{len(content) // struct.calcsize(form)}{form}", content)

    ids, states = column("Q", tickets.ticket_ids), tickets.states
    begins, ends = column("q", tickets.valid_from), column("q", tickets.valid_until)
    terms, departures = (
        column("I", tickets.terms_indexes),
        column("I", tickets.departure_indexes),
    )
    uses = zip(
        column("I", tickets.remaining_uses), column("q", tickets.redeemed_times), strict=True
    )
    seats = tickets.seats.split("\n")
    leases: dict[int, dict[str, tuple[str, int]]] = {}
    for each in tickets.leases:
        terms_of = each.terminal_device_id, each.until_time
        leases.setdefault(each.ticket_id, {})[each.function_code] = terms_of
    shares = struct.iter_unpack("16s", tickets.code_shares)
    orders, order_ids = (
        struct.iter_unpack("12s", tickets.order_jtis),
        column("Q", tickets.order_ids),
    )
    rotations = iter(column("I", tickets.rotations))
    for n in range(tickets.count):
        of = tickets.terms[terms[n]]
        looks = any(function.looks_at_code for function in of.functions)
        departure = tickets.departures[departures[n] - 1] if departures[n] else None
        yield PackTicket(
            ids[n],
            tickets.jtis[8 * n : 8 * n + 8],
            STATE[states[n] & 127],
            states[n] > 127,
            begins[n],
            ends[n],
            of,
            departure,
            seats[n],
            {function.function_code: next(uses) for function in of.functions},
            leases.get(ids[n], {}),
            next(shares)[0] if looks else b"",
            (order_ids[n], next(orders)[0], next(rotations)) if order_ids[n] else None,
        )


class Connected:
    """A terminal with a stream, and the pack that it keeps."""

    def __init__(self, terminal: Terminal, pack: KeptPack) -> None:
        self.terminal, self.pack = terminal, pack
        self.stream: Any = terminal.stream()
        self.asked = 0
        self.pushed: list[int] = []

    async def until(self, holds: Callable[[], bool]) -> None:
        """Reads pushes until it holds."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():
                push = (await self.stream.read()).push
                self.asked += push.ask_for_pack
                if push.packed_tickets:
                    before = {**self.pack.tickets}
                    self.pack.push(push)
                    self.pushed += [n for n, t in self.pack.tickets.items() if before.get(n) != t]

    async def until_asked(self) -> None:
        """Reads until it is to ask for the pack."""
        before = self.asked
        await self.until(lambda: self.asked > before)


@asynccontextmanager
async def connected(terminal: Terminal, verify_key: bytes) -> AsyncIterator[Connected]:
    """A terminal that is pushed to, and has the pack of when that began."""
    one = Connected(terminal, KeptPack(verify_key))
    await one.stream.write(ASK)
    await one.until_asked()
    await one.pack.update(terminal)
    yield one
    one.stream.cancel()
