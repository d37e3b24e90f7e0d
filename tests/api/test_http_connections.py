"""What one HTTP connection may take, with bytes written by hand: bodies kept, headers, time and
connections bounded.

Seen red with uvicorn's own protocol and listener in the place of `server/api/http/connections.py`
and `listener.py`: all but the controls, which say what stays as it was (large headers and bodies,
connections that are kept), and those that say themselves how they were.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.api.grpc_server import age_options
from server.api.http import connections, serving
from server.api.http.connections import MAX_HEAD_BYTES, MAX_HEADERS
from server.api.http.listener import Listener
from server.api.http.serving import HttpServer
from server.platform import ports
from server.platform.config import load_settings
from tests.support.app_server import running
from tests.support.certificates import issue
from tests.support.http_server import RawClient, listening
from tests.support.waiting import WAIT_SECONDS

HEAD = b"POST /echo HTTP/1.1\r\nHost: localhost\r\n"
BODY = b"x" * 100
LENGTH = b"Content-Length: 100\r\n\r\n"
KIB = 1024


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Says how many bytes the body had, which headers there were, and at /early does so before
    it reads.
    """
    size, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    names = b",".join(name for name, _ in scope["headers"])
    body = b'{"bytes": %d, "names": "%b"}' % (size, names)
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with listening(echo, http_header_seconds=60) as found:
        yield found


@pytest.fixture
async def impatient_port() -> AsyncIterator[int]:
    """Of a server that waits for headers for a second only."""
    async with listening(echo, http_header_seconds=1) as found:
        yield found


# ---------------------------------------------------------------------------------- 1: kept bodies

H2C = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
)
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n64\r\n" + BODY + b"\r\n0\r\n"


@pytest.mark.parametrize(
    "rest",
    [
        LENGTH + BODY,
        H2C + LENGTH + BODY,
        H2C.upper() + LENGTH + BODY,
        b"connection: UPGRADE\r\nuPgRaDe: foo/2\r\nUpgrade: h2c, websocket\r\n" + LENGTH + BODY,
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + LENGTH + BODY,
        b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n" + CHUNKED + b"\r\n",
        b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n" + LENGTH + BODY,
        CHUNKED + b"\r\n",
        H2C + CHUNKED + b"Checksum: 1\r\nX-Api-Key: trailer\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"1;a=b\r\nx\r\n" for _ in BODY)
        + b"0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("step", [65536, 7])
async def test_no_request_is_served_without_its_body(port: int, rest: bytes, step: int) -> None:
    """At once and in pieces. An offer to upgrade is ignored, and not passed on either."""
    client = await RawClient.to(port)
    sent = HEAD + rest
    for at in range(0, len(sent), step):
        await client.send(sent[at : at + step])
        if step < len(sent):
            await asyncio.sleep(0.001)
    answer = await client.answer()
    if answer.status != 200:  # refused is right too
        assert (answer.status, b"uPgRaDe" in rest) == (400, True)
        return
    assert answer.json["bytes"] == len(BODY)
    assert not {"upgrade", "x-api-key"} & set(answer.json["names"].split(","))


async def test_the_next_requests_of_a_connection_keep_their_bodies_too(port: int) -> None:
    client = await RawClient.to(port)
    for _ in range(3):
        answer = await client.ask(HEAD + H2C + LENGTH + BODY)
        assert (answer.status, answer.json["bytes"]) == (200, 100)
    await client.send((HEAD + LENGTH + BODY) * 3)  # ahead of the answers
    for _ in range(3):
        assert (await client.answer()).json["bytes"] == 100


async def test_an_offer_sent_ahead_of_an_answer_is_never_served_without_its_body(
    port: int,
) -> None:
    client = await RawClient.to(port)
    await client.send(HEAD + LENGTH + BODY + HEAD + H2C + LENGTH + BODY)
    rest = await client.rest()
    assert b'"bytes": 0' not in rest


async def test_leave_to_send_the_body_is_given(port: int) -> None:
    client = await RawClient.to(port)
    waits = HEAD + H2C + b"Expect: 100-continue\r\n" + LENGTH
    assert (await client.ask(waits)).status == 100
    assert (await client.ask(BODY)).json["bytes"] == 100


@pytest.mark.parametrize(
    "sent",
    [
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"CONNECT /echo HTTP/1.1\r\nHost: a\r\n" + LENGTH + BODY,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        HEAD + b"Content-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 100\r\nContent-Length: 3\r\n\r\n" + BODY,
        HEAD + b"Content-Length: +100\r\n\r\n" + BODY,
        HEAD + b"Content-Length: 100 \r\n 0\r\n\r\n" + BODY,
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + BODY,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused(port: int, sent: bytes) -> None:
    """In our shape, and the connection ends."""
    client = await RawClient.to(port)
    answer = await client.ask(sent)
    assert (answer.status, answer.json["code"], answer.reasons) == (400, 3, ["INVALID_FIELD"])
    assert answer.headers["connection"] == "close"
    assert await client.rest() == b""


# -------------------------------------------------------------------------------------- 2: headers


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"A: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n",
        HEAD + b"A: " + b"a" * 4_000_000,
        HEAD + b"A: " + b" " * 4_000_000,
        HEAD + b"A: a\r\n" * (MAX_HEADERS + 1) + b"\r\n",
        HEAD + b"A: a\r\n" * 1_000_000,
        b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /" + b"a" * 4_000_000,
        HEAD + b"B" * 4_000_000,
        (HEAD + LENGTH + BODY) * 2 + HEAD + b"A: " + b"a" * 4_000_000,
    ],
    ids=["one", "endless", "space", "many", "unending", "path", "endless path", "name", "second"],
)
async def test_headers_are_bounded(port: int, sent: bytes) -> None:
    """431 to clients that first send all they have; of what is beyond the limit nothing is kept
    or looked at.
    """
    client = await RawClient.to(port)
    cpu = time.process_time()
    answer = await client.ask(sent)
    while answer.status == 200:
        answer = await client.answer()
    assert (answer.status, answer.json["code"], answer.reasons) == (431, 3, ["INVALID_FIELD"])
    assert await client.rest() == b""
    assert time.process_time() - cpu < 2


@pytest.mark.parametrize(
    "sent",
    [
        b"0\r\nA: " + b"a" * 4_000_000,
        b"0\r\n" + b"A: a\r\n" * 1_000_000,
        b"1;" + b"a" * 4_000_000,
    ],
    ids=["trailer", "trailers", "extension"],
)
async def test_what_stands_around_a_body_is_bounded(port: int, sent: bytes) -> None:
    client = await RawClient.to(port)
    answer = await client.ask(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + sent)
    assert (answer.status, answer.reasons) == (431, ["INVALID_FIELD"])


async def test_large_headers_and_bodies_are_taken(port: int) -> None:
    client = await RawClient.to(port)
    for _ in range(2):
        large = HEAD + b"A: " + b"a" * (MAX_HEAD_BYTES - KIB) + b"\r\n" + LENGTH + BODY
        assert (await client.ask(large)).json["bytes"] == 100
        many = HEAD + b"A: a\r\n" * (MAX_HEADERS - 2) + LENGTH + BODY
        assert (await client.ask(many)).json["bytes"] == 100
    chunks = b"".join(b"1\r\nx\r\n" for _ in range(200_000)) + b"0\r\n\r\n"
    answer = await client.ask(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert answer.json["bytes"] == 200_000


# ---------------------------------------------------------------------------------- 3: slow clients


@pytest.mark.parametrize("begun", [b"P", HEAD, b"\r\n", HEAD + b"A: b\r\n\r"])
async def test_headers_that_never_end_are_given_up(impatient_port: int, begun: bytes) -> None:
    client = await RawClient.to(impatient_port)
    answer = await client.ask(begun)
    assert (answer.status, answer.reasons) == (408, ["DEADLINE_EXCEEDED"])
    assert await client.rest() == b""


async def test_headers_that_come_drop_by_drop_are_given_up(impatient_port: int) -> None:
    """Also those of a later request, and sent ahead of an answer."""

    async def dripped(before: bytes) -> bytes:
        client = await RawClient.to(impatient_port)
        await client.send(before + HEAD)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 2:
                await client.send(b"A")
                await asyncio.sleep(0.05)
        return await client.rest()

    whole = HEAD + LENGTH + BODY
    for rest in await asyncio.gather(*map(dripped, (b"", whole, whole * 2))):
        assert b" 408 " in rest


async def test_a_connection_on_which_nothing_comes_is_closed(impatient_port: int) -> None:
    client = await RawClient.to(impatient_port)
    assert await client.rest() == b""


async def test_a_connection_that_has_been_answered_is_kept(impatient_port: int) -> None:
    """The time for headers begins with their first byte."""
    client = await RawClient.to(impatient_port)
    for _ in range(2):
        assert (await client.ask(HEAD + LENGTH + BODY)).status == 200
        await asyncio.sleep(1.5)  # longer than headers may take, were it counted from here


async def test_a_body_that_nobody_waits_for_is_given_up(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What answers before the body is there waits for it only so long."""
    monkeypatch.setattr(connections, "DROP_IDLE_SECONDS", 0.2)
    monkeypatch.setattr(connections, "DROP_SECONDS", 1.0)
    client = await RawClient.to(port)
    answer = await client.ask(b"POST /early HTTP/1.1\r\nHost: a\r\n" + LENGTH + BODY[1:])
    assert answer.json["bytes"] == 0
    assert await client.rest() == b""
    client = await RawClient.to(port)
    await client.send(b"POST /early HTTP/1.1\r\nHost: a\r\n" + LENGTH)
    with contextlib.suppress(ConnectionError):
        for _ in range(20):
            await client.send(b"x")
            await asyncio.sleep(0.1)
        pytest.fail("it takes a body that comes drop by drop")


# -------------------------------------------------------------------- 4: answers before the body


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_before_the_body_can_be_read_by_who_sends_all_of_it(
    port: int, chunked: bool
) -> None:
    client = await RawClient.to(port)
    early = b"POST /early HTTP/1.1\r\nHost: a\r\n"
    size = 8_000_000
    body = b"x" * size
    framed = (
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % size + body + b"\r\n0\r\n\r\n"
        if chunked
        else b"Content-Length: %d\r\n\r\n" % size + body
    )
    answer = await client.ask(early + framed)
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await client.rest() == b""


async def test_a_request_after_such_an_answer_is_not_taken_for_the_rest_of_the_body(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Java's client stops sending when it has the answer, and sends the next request on the same
    connection.
    """
    monkeypatch.setattr(connections, "EARLY_SECONDS", 0.1)
    client = await RawClient.to(port)
    begun = b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n" + BODY
    answer = await client.ask(begun)
    assert (answer.status, answer.headers["connection"]) == (200, "close")


async def test_a_short_body_on_its_way_does_not_end_the_connection(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "EARLY_SECONDS", WAIT_SECONDS)
    client = await RawClient.to(port)
    for _ in range(2):
        await client.send(b"POST /early HTTP/1.1\r\nHost: a\r\n" + LENGTH)
        await asyncio.sleep(0.05)
        answer = await client.ask(BODY)
        assert (answer.status, answer.headers.get("connection")) == (200, None)


async def test_an_answer_to_who_waits_for_leave_ends_the_connection(port: int) -> None:
    """Such a client may keep its body to itself, and its next request would be taken for that."""
    client = await RawClient.to(port)
    waits = b"POST /early HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" + LENGTH
    answer = await client.ask(waits)
    assert (answer.status, answer.headers["connection"]) == (200, "close")


# ----------------------------------------------------------------------------- 28: how many there
# are


async def test_connections_are_bounded() -> None:
    """In all, and from one address; a place is free again when one is closed."""
    async with listening(echo, http_connections=4, http_connections_per_address=3) as port:
        ours = [await RawClient.to(port) for _ in range(3)]
        for client in ours:
            assert (await client.ask(HEAD + LENGTH + BODY)).status == 200
        answer = await (await RawClient.to(port)).answer()
        assert (answer.status, answer.json["code"], answer.reasons) == (503, 8, ["SERVER_BUSY"])
        assert int(answer.headers["retry-after"]) >= 1
        other = await RawClient.to(port, local_addr=("127.0.0.2", 0))
        assert (await other.ask(HEAD + LENGTH + BODY)).status == 200
        another = await RawClient.to(port, local_addr=("127.0.0.3", 0))
        assert (await another.answer()).status == 503
        await ours[0].close()
        await _until_served(port)


async def _until_served(port: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            client = await RawClient.to(port)
            with contextlib.suppress(ConnectionError):
                if (await client.ask(HEAD + LENGTH + BODY)).status == 200:
                    return
            await asyncio.sleep(0.02)


async def test_a_trusted_proxy_has_as_many_as_there_are() -> None:
    given: dict[str, Any] = {"http_connections_per_address": 1, "trusted_proxies": "127.0.0.1"}
    async with listening(echo, **given) as port:
        for client in [await RawClient.to(port) for _ in range(5)]:
            assert (await client.ask(HEAD + LENGTH + BODY)).status == 200


async def test_handshakes_that_never_end_are_counted_and_given_up(tmp_path: Path) -> None:
    """Seen red where they had asyncio's minute, and where a connection was counted only when its
    handshake had ended.
    """
    ca = issue("CA")
    pair = issue("server", ca)
    (tmp_path / "server.pem").write_bytes(pair.pem)
    (tmp_path / "server.key").write_bytes(pair.key_pem)
    context = ssl.create_default_context(cadata=ca.pem.decode())
    given: dict[str, Any] = {
        "tls_certificate": tmp_path / "server.pem",
        "tls_private_key": tmp_path / "server.key",
        "http_header_seconds": 5,
        "http_connections": 2,
    }
    async with listening(echo, **given) as port:
        silent = [await RawClient.to(port) for _ in range(2)]
        with pytest.raises(OSError):  # noqa: PT011 - a reset or an end, as it comes
            await RawClient.to(port, ssl=context)
        for client in silent:
            assert await client.rest() == b""
        client = await RawClient.to(port, ssl=context)
        answer = await client.ask(HEAD + H2C + LENGTH + BODY)
        assert answer.json["bytes"] == 100
        await client.close()
        client = await RawClient.to(port, ssl=context)
        answer = await client.ask(HEAD + b"A: " + b"a" * 4_000_000)
        assert (answer.status, answer.reasons) == (431, ["INVALID_FIELD"])
        assert await client.rest() == b""


async def test_a_server_that_cannot_begin_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen red where nobody looked: the start went on, and nobody was answered over HTTP."""

    def no_listener(*_: object) -> None:
        raise OSError("no more threads")

    monkeypatch.setattr(Listener, "start", no_listener)
    sockets = ports.listen("127.0.0.1", 0, "")
    try:
        with pytest.raises(OSError, match="no more threads"):
            await HttpServer(echo, load_settings()).start(sockets)
    finally:
        for each in sockets:
            each.close()


async def test_a_request_that_never_ends_does_not_keep_a_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seen red where the stop waited for it: for ever."""
    monkeypatch.setattr(serving, "CUT_OFF_SECONDS", 0.1)
    begun, never = asyncio.Event(), asyncio.Event()

    async def stuck(_scope: Any, _receive: Any, _send: Any) -> None:
        begun.set()
        await never.wait()

    sockets = ports.listen("127.0.0.1", 0, "")
    server = HttpServer(stuck, load_settings())
    await server.start(sockets)
    client = await RawClient.to(sockets[0].getsockname()[1])
    await client.send(HEAD + LENGTH + BODY)
    await begun.wait()
    stop = asyncio.create_task(server.cut_off())
    await asyncio.wait({stop}, timeout=WAIT_SECONDS)
    ended = stop.done()
    never.set()
    await stop
    while RawClient.open:
        await RawClient.open.pop().close()
    assert ended


# ------------------------------------------------------------------------------------- 13: how old


async def test_old_connections_are_closed_gently(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once where nothing is under way; else after the answer, which says so, or the grace."""
    monkeypatch.setattr(connections, "AGE_JITTER", 0.0)
    events = {"/slow": asyncio.Event(), "/stuck": asyncio.Event()}

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] in events:
            await events[scope["path"]].wait()
        await echo(scope, receive, send)

    given: dict[str, Any] = {"connection_age_seconds": 3, "connection_age_grace_seconds": 3}
    async with listening(slow, **given) as port:
        # in this order: when the last is closed, the others are old already
        busy, stuck, idle = [await RawClient.to(port) for _ in range(3)]
        await busy.send(HEAD.replace(b"/echo", b"/slow") + LENGTH + BODY)
        await stuck.send(HEAD.replace(b"/echo", b"/stuck") + LENGTH + BODY)
        assert (await idle.ask(HEAD + LENGTH + BODY)).status == 200
        assert await idle.rest() == b""
        events["/slow"].set()
        answer = await busy.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await busy.rest() == b""
        assert await stuck.rest() == b""
        events["/stuck"].set()
    assert age_options(load_settings()) == []


async def test_old_grpc_connections_are_closed_gently(database_url: str, redis_url: str) -> None:
    """By gRPC itself, which says GOAWAY first. Seen red without `age_options`."""
    given: dict[str, Any] = {"connection_age_seconds": 1, "connection_age_grace_seconds": 1}
    async with running(database_url, redis_url, **given) as app:
        reader, writer = await asyncio.open_connection("127.0.0.1", app.grpc_port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0")
        kinds = set()
        async with asyncio.timeout(WAIT_SECONDS):
            while head := await reader.read(9):
                kinds.add(head[3])
                await reader.readexactly(int.from_bytes(head[:3], "big"))
        writer.close()
        go_away = 7
        assert go_away in kinds
