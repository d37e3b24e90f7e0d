"""The client for asyncio."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Self

import grpc.aio

from deeptravel._async_calls import AsyncCalls
from deeptravel._channel import CALL_SECONDS, EVENT_PAGE, EVENT_PAUSE_SECONDS, Target
from deeptravel._credentials import Credentials, Tokens, bearer, chosen
from deeptravel._generated import ota
from deeptravel._generated.services import (
    AsyncAdminService,
    AsyncOtaService,
    AsyncRedemptionService,
    AsyncTicketingService,
)
from deeptravel._retries import RetryPolicy


class AsyncClient:
    """A client of one caller in asyncio, used in one event loop. Every call raises CallError.

    Args:
        address: host and port of gRPC, e.g. `tickets.example.com:443`.
        api_key: of an OTA partner.
        access_token: of a traveller, operator or administrator who has logged in elsewhere.
        plaintext: without TLS, for a server on this machine.
        root_certificates: PEM of the authority to trust; those of gRPC if not given.
        timeout: seconds of a call, repeats and pauses included, where the call gives none. A stream
            has no limit but that of its own call.
        retry: how often a call is repeated.
        channel_options: of gRPC, e.g. for a proxy.

    Attributes:
        ota: what OTA partners do.
        redemption: what operators do at a terminal.
        ticketing: what travellers do.
        admin: what administrators do.
        offline_verify_key: of an operator, by which the terminal verifies what the server signs for
            it, as GetVenuePack; of all others empty.
    """

    offline_verify_key = b""

    def __init__(
        self,
        address: str,
        *,
        api_key: str | None = None,
        access_token: str | None = None,
        plaintext: bool = False,
        root_certificates: bytes | None = None,
        timeout: float = CALL_SECONDS,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 # it cannot change
        channel_options: tuple[tuple[str, Any], ...] = (),
    ) -> None:
        who = chosen(api_key, access_token)
        target = Target(address, plaintext, root_certificates, timeout, retry, channel_options)
        tls = target.credentials()
        self._channel = (
            grpc.aio.insecure_channel(address, options=target.channel_options)
            if tls is None
            else grpc.aio.secure_channel(address, tls, options=target.channel_options)
        )
        self._target = target
        self._use(who)

    def _use(self, credentials: Credentials) -> None:
        calls = AsyncCalls(self._channel, credentials, self._target.timeout, self._target.retry)
        self.ota = AsyncOtaService(calls)
        self.redemption = AsyncRedemptionService(calls)
        self.ticketing = AsyncTicketingService(calls)
        self.admin = AsyncAdminService(calls)

    def _like(self, credentials: Credentials) -> Self:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        other._use(credentials)  # of its own kind
        return other

    def with_access_token(self, token: str) -> Self:
        """A client of another caller over the same channel."""
        return self._like(Credentials(bearer(token)))

    async def logged_in_operator(
        self, username: str, password: str, terminal_device_id: str
    ) -> Self:
        """A client of an operator at a terminal, over the same channel.

        When the access token is over, the next call gets a new one by the refresh token.
        """
        answer = await self.redemption.operator_login(
            username=username,
            password=password,
            terminal_device_id=terminal_device_id,
            with_offline_key=True,
        )
        tokens = Tokens(answer.access_token, answer.refresh_token)
        mine = Credentials(
            bearer(tokens.access_token), tokens.refresh_token, renew_async=self._renew
        )
        operator = self._like(mine)
        operator.offline_verify_key = answer.offline_verify_key
        return operator

    async def _renew(self, refresh_token: str) -> Tokens:
        anyone = self._like(Credentials())
        answer = await anyone.redemption.refresh_token(refresh_token=refresh_token)
        return Tokens(answer.access_token, answer.refresh_token)

    async def follow_events(
        self,
        *,
        types: Iterable[str] = (),
        page_size: int = EVENT_PAGE,
        pause_seconds: float | None = EVENT_PAUSE_SECONDS,
        timeout: float | None = None,
    ) -> AsyncIterator[ota.Event]:
        """A partner's events in order, on from what is acknowledged.

        An event is dealt with when the next one is asked for; a page of them is acknowledged as
        soon as all are. Who breaks off, or crashes, gets those of the last page again, with the
        same `event_id`. With `types`, events of others are passed over, and acknowledged too.

        Args:
            types: only these; all if there are none.
            page_size: how many are read, and acknowledged, at once: 1 to 200.
            pause_seconds: how long it waits for more when there are none; None ends it there.
            timeout: seconds of each call.

        Raises:
            CallError: EVENTS_REMOVED if they were not read for longer than they are kept: read the
                tickets anew, acknowledge its `oldest_cursor`, and begin again.
        """
        wanted, cursor = tuple(types), None
        while True:
            page = await self.ota.list_events(
                types=wanted, after_cursor=cursor, page_size=page_size, timeout=timeout
            )
            for event in page.events:
                yield event
            if page.cursor != cursor:
                await self.ota.acknowledge_events(cursor=page.cursor, timeout=timeout)
                cursor = page.cursor
            if page.next_page_token:
                continue
            if pause_seconds is None:
                return
            await asyncio.sleep(pause_seconds)

    async def close(self) -> None:
        """Closes the channel, which ends the calls of all clients that share it."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
