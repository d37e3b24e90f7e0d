"""A webhook goes to an address that was checked, whatever its name says a moment later."""

import asyncio
import socket
from typing import Any

import pytest

from server.platform.errors import DomainError, Reason
from server.webhooks.endpoints import EndpointSettings, check
from server.webhooks.sending import Sender
from tests.support.receiver import a_receiver

SECRET = [b"s" * 32]


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Every name has these addresses."""

    async def getaddrinfo(host: Any, port: Any, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


async def test_a_name_that_means_a_private_address_by_now_is_not_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its text is fine, and it was public when the endpoint was made. Seen red with httpcore's own
    backend: the receiver at 127.0.0.1 got the event.
    """
    async with a_receiver() as receiver:
        for addresses in (["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"]):
            resolve(monkeypatch, *addresses)
            one = Sender(allow_private=False)
            url = f"http://hooks.example.com:{receiver.port}/"
            answer = await one.send(url, SECRET, "evt_1", 1, b"{}")
            assert answer.http_status == 0
            assert "not public" in answer.error
            await one.close()
        assert receiver.received == []


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]"),
        *("127.1", "2130706433", "0177.0.0.1", "localhost"),
    ],
)
async def test_an_address_in_the_url_itself_is_not_called_either(host: str) -> None:
    """aiohttp resolves none that is an address. Seen red without its socket being checked: the
    receiver got the event.
    """
    called: list[asyncio.StreamWriter] = []
    listening = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    server = await asyncio.start_server(lambda _, writer: called.append(writer), sock=listening)
    one = Sender(allow_private=False)
    url = f"http://{host}:{listening.getsockname()[1]}/"
    answer = await one.send(url, SECRET, "evt_1", 1, b"{}")
    await one.close()
    server.close()
    assert (answer.http_status, called) == (0, [])
    assert "not public" in answer.error or "no host that could be called" in answer.error


async def test_the_connection_is_made_to_the_address_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name is resolved once for it, and stands in the Host header all the same."""
    asked = 0
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def getaddrinfo(host: Any, port: Any, **options: Any) -> Any:
        nonlocal asked
        if host == "hooks.example.com":
            asked += 1
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        return await real(host, port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    async with a_receiver() as receiver:
        one = Sender(allow_private=True)
        url = f"http://hooks.example.com:{receiver.port}/x"
        for _ in range(3):
            assert (await one.send(url, SECRET, "evt_1", 1, b"{}")).is_delivered
        assert asked == 1
        assert receiver.received[0].headers["host"] == f"hooks.example.com:{receiver.port}"
        await one.close()


async def test_an_endpoint_with_a_private_address_is_refused_with_the_fields_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve(monkeypatch, "10.0.0.8")
    for url in ("https://hooks.example.com/", "https://0x7f000001/", "https://127.0.0.1/"):
        with pytest.raises(DomainError) as refused:
            await check(EndpointSettings(url, [], ""), plain_and_private=False)
        assert refused.value.reason is Reason.INVALID_FIELD
        assert refused.value.violations[0][0] == "url"
    resolve(monkeypatch, "8.8.8.8")
    await check(EndpointSettings("https://hooks.example.com/", [], ""), plain_and_private=False)
