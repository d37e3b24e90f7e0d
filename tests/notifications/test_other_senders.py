"""E-mail and the hook of text messages: what is sent, the same in each attempt, and what answers
mean.
"""

import asyncio
import base64
import email
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email import policy

import pytest
from standardwebhooks import Webhook

from server.notifications.email_sender import EmailSender
from server.notifications.sending import AttemptResult, Outgoing
from server.notifications.sms_sender import SmsSender
from server.notifications.template_rules import Template
from server.platform import clock

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
MESSAGE = Outgoing(
    "ntf-1-7",
    "REFUND_RESULT",
    "zh",
    "+85251234567",
    Template("退款 {order_code}", "{order_code} 已退款"),
    {"order_code": "ORD-1"},
    b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n",
)
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[int]:
    """A server that talks so; its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def sms(port: int) -> SmsSender:
    return SmsSender(f"http://127.0.0.1:{port}/sms", SECRET, now=lambda: clock.now().timestamp())


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("200 OK", AttemptResult.SENT),
        ("429 Too Many Requests\r\nRetry-After: 7", AttemptResult.RETRY),
        ("503 Busy", AttemptResult.RETRY),
        ("401 Who", AttemptResult.STOP),
        ("422 No such number", AttemptResult.GIVE_UP),
        ("", AttemptResult.UNKNOWN),
    ],
)
async def test_a_hook_gets_a_signed_message(answer: str, result: AttemptResult) -> None:
    """Signed as a public library reads it, under one id in each attempt."""
    got: list[tuple[dict[str, str], bytes]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        headers = {name.lower(): value for name, value in headers.items()}
        got.append((headers, await reader.readexactly(int(headers["content-length"]))))
        if answer:
            writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()

    async with listening(talk) as port:
        sender = sms(port)
        sent = await sender.send(MESSAGE)
        await sender.close()
    assert sent.result is result
    assert sent.wait_seconds == (7 if answer.startswith("429") else 0)
    headers, body = got[0]
    Webhook(SECRET).verify(body.decode(), headers)
    assert headers["webhook-id"] == "ntf-1-7"
    assert json.loads(body) == {
        "id": "ntf-1-7",
        "to": "+85251234567",
        "text": "ORD-1 已退款",
        "language": "zh",
        "kind": "REFUND_RESULT",
    }


async def test_a_hook_that_is_not_there_is_tried_again() -> None:
    async def talk(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        raise AssertionError

    async with listening(talk) as port:
        pass
    sender = sms(port)
    assert (await sender.send(MESSAGE)).result is AttemptResult.RETRY
    await sender.close()


@pytest.mark.parametrize(
    ("refusal", "result"),
    [
        ("", AttemptResult.SENT),
        ("RCPT 550 no such user", AttemptResult.GIVE_UP),
        ("RCPT 450 busy", AttemptResult.RETRY),
        ("MAIL 530 log in first", AttemptResult.STOP),
        ("DATA lost", AttemptResult.UNKNOWN),
    ],
)
async def test_mail_is_sent_with_its_calendar_entry(refusal: str, result: AttemptResult) -> None:
    """With one Message-ID in each attempt; what a mail server says is read by its code."""
    mails: list[bytes] = []
    refused, _, answer = refusal.partition(" ")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            verb = line[:4].decode().upper().strip()
            if verb == refused:
                if answer == "lost":
                    return
                writer.write(f"{answer}\r\n".encode())
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                mails.append(await reader.readuntil(b"\r\n.\r\n"))
                writer.write(b"250 taken\r\n")
            elif verb == "QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:
                writer.write(b"250 ok\r\n")
            await writer.drain()

    async with listening(talk) as port:
        sender = EmailSender(
            f"smtp://127.0.0.1:{port}",
            "DeepTravel <tickets@example.com>",
            now=lambda: clock.now().timestamp(),
            is_loopback=True,
        )
        sent = await sender.send(MESSAGE._replace(address="a@example.com"))
    assert sent.result is result
    if result is not AttemptResult.SENT:
        return
    mail = email.message_from_bytes(mails[0], policy=policy.default)
    assert mail["Subject"] == "退款 ORD-1"
    assert mail["Message-ID"] == "<ntf-1-7@example.com>"
    body, entry = mail.iter_parts()
    assert body.get_content().strip() == "ORD-1 已退款"
    assert entry.get_content_type() == "text/calendar"
    assert "BEGIN:VCALENDAR" in entry.get_content()
