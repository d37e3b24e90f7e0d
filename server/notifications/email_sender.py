"""E-mail by SMTP (aiosmtplib). The Message-ID is the same in each attempt, so that mail servers and
readers that know it show a message once.
"""

import asyncio
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr
from urllib.parse import unquote, urlsplit

from server.notifications import rules
from server.notifications.calendar_entries import UID_DOMAIN
from server.notifications.sending import ATTEMPT_SECONDS, AttemptResult, Outgoing, SendResult
from server.notifications.template_rules import fill
from server.platform.faults import fault_text

PERMANENT = 500
"""From this code on a mail server will say the same again (RFC 5321, 4.2.1)."""
DEFAULT_PORTS = {"smtp": 587, "smtps": 465}
_RECIPIENTS = frozenset({550, 551, 553})
"""What is said of an address that does not exist, or is not served."""


class EmailSender:
    """Sends by a mail server: `smtp://user:password@host:port` (STARTTLS, but on the loopback where
    the server has none), or `smtps://…`.
    """

    channel = rules.EMAIL
    at_once = 4

    def __init__(
        self, url: str, sender: str, *, now: Callable[[], float], is_loopback: bool
    ) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or DEFAULT_PORTS[parts.scheme]
        self._username = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._is_tls = parts.scheme == "smtps"
        self._start_tls = None if is_loopback or self._is_tls else True
        self._sender = sender
        self._now = now

    async def send(self, message: Outgoing) -> SendResult:
        """One attempt, over a connection of its own."""
        import aiosmtplib

        handed_over = False
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=self._username,
            password=self._password,
            use_tls=self._is_tls,
            start_tls=self._start_tls,
            timeout=ATTEMPT_SECONDS,
        )
        try:
            mail = self.mail(message)
            async with asyncio.timeout(ATTEMPT_SECONDS), client:
                handed_over = True
                await client.send_message(mail)
        except aiosmtplib.SMTPAuthenticationError as error:
            return SendResult(AttemptResult.STOP, str(error.code), str(error.message)[:200])
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused = error.recipients[0]
            return _refusal(refused.code, str(refused.message))
        except aiosmtplib.SMTPResponseException as error:
            return _refusal(error.code, str(error.message))
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            result = AttemptResult.UNKNOWN if handed_over else AttemptResult.RETRY
            return SendResult(result, "NO_ANSWER", fault_text(error)[:200])
        except ValueError as error:  # an address or text that no mail can have
            return SendResult(AttemptResult.GIVE_UP, "MAIL_INVALID", fault_text(error)[:200])
        return SendResult(AttemptResult.SENT)

    def mail(self, message: Outgoing) -> EmailMessage:
        """The mail as it is sent. Raises ValueError for an address that no mail can have."""
        mail = EmailMessage(policy=SMTP)
        mail["From"] = self._sender
        mail["To"] = message.address
        mail["Subject"] = fill(message.template.title, message.values)
        mail["Date"] = formatdate(self._now())
        domain = parseaddr(self._sender)[1].rpartition("@")[2] or UID_DOMAIN
        mail["Message-ID"] = f"<{message.message_id}@{domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["Content-Language"] = message.language
        mail.set_content(fill(message.template.body, message.values))
        if message.calendar:
            mail.add_attachment(
                message.calendar,
                maintype="text",
                subtype="calendar",
                filename="ticket.ics",
                params={"method": "PUBLISH", "charset": "utf-8"},
            )
        return mail

    async def close(self) -> None:
        """Nothing is kept open."""


def _refusal(code: int, words: str) -> SendResult:
    """What the mail server's code means: the address is wrong, the server will not have us, or
    another time.
    """
    if code in _RECIPIENTS:
        return SendResult(AttemptResult.GIVE_UP, str(code), words[:200])
    result = AttemptResult.STOP if code in (530, 534, 535) else AttemptResult.RETRY
    if code >= PERMANENT and result is AttemptResult.RETRY:
        result = AttemptResult.GIVE_UP
    return SendResult(result, str(code), words[:200])
