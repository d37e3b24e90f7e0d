"""The HTTP of webhooks, against a server that answers byte for byte what a test wants."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from server.webhooks import connections, sending
from server.webhooks.connections import Connections, HttpAnswer, NoHttpAnswerError
from tests.support.certificates import issue
from tests.support.waiting import until

HEADERS = [("webhook-id", "evt_1")]
BUSY = b"HTTP/1.1 503 X\r\nRetry-After: 7\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Scripted:
    """Gives each request on a connection its next answer; None closes without one."""

    answers: list[bytes | None]
    closes: Callable[[bytes | None], bool] = lambda answer: not answer
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0)
                if answer:
                    writer.write(answer)
                    await writer.drain()
                if self.closes(answer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(
    *answers: bytes | None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Scripted]:
    script = Scripted(list(answers))
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0, ssl=tls)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()


@pytest.fixture
async def client() -> AsyncIterator[Connections]:
    made = Connections(allow_private=True)
    yield made
    await made.close()


async def post(client: Connections, script: Scripted, body: bytes = b"{}") -> HttpAnswer:
    async with asyncio.timeout(30):
        return await client.post(f"http://127.0.0.1:{script.port}/x?y=1", HEADERS, body)


async def test_a_request_is_as_http_wants_it_and_connections_are_kept(client: Connections) -> None:
    async with scripted(OK, OK) as script:
        for body in (b'{"a": 1}', "票".encode()):
            assert await post(client, script, body) == (200, b"ok", "")
        assert script.connections == 1
        for request, body in zip(script.requests, (b'{"a": 1}', "票".encode()), strict=True):
            head, _, sent = request.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            assert first == "POST /x?y=1 HTTP/1.1"
            assert sorted(line.lower() for line in lines) == [
                f"content-length: {len(body)}",
                "content-type: application/json",
                f"host: 127.0.0.1:{script.port}",
                "user-agent: deeptravel-webhooks/1.0",
                "webhook-id: evt_1",
            ]
            assert sent == body


async def test_nothing_of_a_url_is_changed(client: Connections) -> None:
    """A partner may tell endpoints apart by it. Seen red: yarl wrote `/a~b/?c=é` its own way."""
    async with scripted(OK, OK) as script:
        for where in ("/a%7Eb/../%2f/?c=%c3%a9+&d=;", "?only=a-query"):
            await client.post(f"http://127.0.0.1:{script.port}{where}", HEADERS, b"{}")
        assert [each.split(b" ")[1] for each in script.requests] == [
            b"/a%7Eb/../%2f/?c=%c3%a9+&d=;",
            b"/?only=a-query",
        ]


async def test_cookies_proxies_and_compression_are_not_for_webhooks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    bomb = gzip.compress(bytes(100_000))
    answer = (
        b"HTTP/1.1 200 OK\r\nset-cookie: a=b; path=/\r\ncontent-encoding: gzip\r\n"
        b"content-length: %d\r\n\r\n%b"
    )
    client = Connections(allow_private=True)
    async with scripted(answer % (len(bomb), bomb), OK) as script:
        assert (await post(client, script)).kept == bomb[:500]
        await post(client, script)
        assert b"cookie" not in script.requests[1].lower()
        assert b"accept" not in script.requests[1].lower()
    await client.close()


@pytest.mark.parametrize(
    ("answer", "expected", "is_kept"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"", ""), True),
        (b"HTTP/1.1 302 F\r\nLocation: /z\r\ncontent-length: 0\r\n\r\n", (302, b"", ""), True),
        (
            BUSY + b"Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n1\r\n!\r\n0\r\n\r\n",
            (503, b"no!", "7"),
            True,
        ),
        (b"HTTP/1.1 103 Early\r\nRetry-After: 9\r\n\r\n" + OK, (200, b"ok", ""), True),
        (
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na",
            (200, b"a", ""),
            False,
        ),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", (200, b"a", ""), False),
        (OK + OK, (200, b"ok", ""), False),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n" + b"a" * 80_000,
            (200, b"a" * 500, ""),
            False,
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n" + b"a" * 999_999,
            (200, b"a" * 500, ""),
            False,
        ),
    ],
)
async def test_answers_of_all_forms(
    client: Connections, answer: bytes, expected: tuple[int, bytes, str], is_kept: bool
) -> None:
    async with scripted(answer, OK) as script:
        assert await post(client, script) == expected
        await asyncio.sleep(0.05)  # what comes after the answer is there by now
        assert await post(client, script) == (200, b"ok", "")
        assert script.connections == (1 if is_kept else 2)


async def test_an_answer_that_ends_with_the_connection(client: Connections) -> None:
    async with scripted(b"HTTP/1.1 200 OK\r\n\r\nabc") as script:
        script.closes = lambda _: True
        assert await post(client, script) == (200, b"abc", "")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", "closed within the answer"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", "closed within"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 80_000, "headers are too long"),
        (None, "without an answer"),
    ],
)
async def test_what_is_no_answer(client: Connections, answer: bytes | None, why: str) -> None:
    async with scripted(answer) as script:
        script.closes = lambda _: True
        with pytest.raises(NoHttpAnswerError, match=why):
            await post(client, script)
        assert script.connections == 1


async def test_no_more_is_taken_than_the_limit(
    client: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is that comes, here an answer like any other. Seen red with aiohttp's own
    reader, which takes it.
    """
    monkeypatch.setattr(connections, "MOST_BYTES", 1_000)
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n" + bytes(2_000)
    async with scripted(answer) as script:
        with pytest.raises(NoHttpAnswerError, match="closed within the answer"):
            await post(client, script)


async def test_a_kept_connection_that_is_closed_meanwhile_is_replaced(client: Connections) -> None:
    """A server closes what is idle, at the moment a request is on its way: the event need not wait
    for its next attempt. Seen red without the second try.
    """
    async with scripted(OK, None, OK) as script:
        await post(client, script)
        assert await post(client, script) == (200, b"ok", "")
        assert script.connections == 2
        assert len(script.requests) == 3


async def test_one_that_is_idle_for_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.001)
    client = Connections(allow_private=True)
    async with scripted(OK, OK) as script:
        for _ in range(2):
            await post(client, script)
            await asyncio.sleep(0.01)
        assert script.connections == 2
    await client.close()


async def test_one_endpoint_takes_no_connections_of_another(client: Connections) -> None:
    """However many hang. Seen red with aiohttp's usual limit, 100 for all."""
    async with scripted(*[b""] * 150) as hanging, scripted(OK, OK) as healthy:
        hanging.closes = lambda _: False
        waiting = [asyncio.create_task(post(client, hanging)) for _ in range(150)]
        await until(lambda: len(hanging.requests) == 150)
        for _ in range(2):
            assert (await post(client, healthy)).status == 200
        assert healthy.connections == 1
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_certificates_are_checked(tmp_path: Path) -> None:
    ca = issue("ca")
    pair = issue("server", ca)
    (tmp_path / "server.pem").write_bytes(pair.pem + pair.key_pem)
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(tmp_path / "server.pem")
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    async with scripted(OK, OK, OK, tls=served) as script:
        cases: list[tuple[str, ssl.SSLContext | Literal[True], bool]] = [
            ("127.0.0.1", trusting, True),
            ("localhost", trusting, False),  # the certificate is of another name
            ("127.0.0.1", True, False),  # as the server is: by what the machine trusts
        ]
        for name, context, is_good in cases:
            client = Connections(allow_private=True, tls=context)
            url = f"https://{name}:{script.port}/"
            if is_good:
                assert (await client.post(url, HEADERS, b"{}")).status == 200
            else:
                with pytest.raises(NoHttpAnswerError, match="CERTIFICATE_VERIFY_FAILED"):
                    await client.post(url, HEADERS, b"{}")
            await client.close()
        assert len(script.requests) == 1


async def test_an_attempt_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the endpoint does: here its answer never ends."""
    monkeypatch.setattr(sending, "ATTEMPT_SECONDS", 0.2)
    async with scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\na") as script:
        script.closes = lambda _: False
        sender = sending.Sender(allow_private=True)
        url = f"http://127.0.0.1:{script.port}/"
        answer = await sender.send(url, [b"s" * 32], "evt_1", 1, b"{}")
        assert (answer.http_status, answer.is_delivered) == (0, False)
        assert "no answer within" in answer.error
        await sender.close()


async def test_a_port_that_nobody_listens_at_says_so(client: Connections) -> None:
    async with scripted() as script:
        port = script.port
    with pytest.raises(NoHttpAnswerError, match="cannot be connected to"):
        await client.post(f"http://127.0.0.1:{port}/", HEADERS, b"{}")
