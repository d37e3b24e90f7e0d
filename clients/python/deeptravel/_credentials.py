"""Who calls."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

Metadata: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Tokens:
    """What a log-in gave."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


@dataclass
class Credentials:
    """What each call shows; a log-in that is over can be renewed once for all calls that need it.

    Attributes:
        metadata: of each call.
        refresh_token: of a log-in; empty for all others.
        renew: makes new tokens out of a refresh token.
        renew_async: likewise, in asyncio.
    """

    metadata: Metadata = field(default=(), repr=False)
    refresh_token: str = field(default="", repr=False)
    renew: Callable[[str], Tokens] | None = None
    renew_async: Callable[[str], Awaitable[Tokens]] | None = None

    def use(self, tokens: Tokens) -> None:
        """Calls from now on with these."""
        self.metadata = bearer(tokens.access_token)
        self.refresh_token = tokens.refresh_token


def api_key(key: str) -> Metadata:
    """A partner's."""
    return (("x-api-key", key),)


def bearer(token: str) -> Metadata:
    """That of somebody who has logged in."""
    return (("authorization", f"Bearer {token}"),)


def chosen(key: str | None, token: str | None) -> Credentials:
    """Of what a caller gave, one or none. Raises ValueError."""
    if key is not None and token is not None:
        raise ValueError("give an api_key or an access_token, not both")
    if key is not None:
        return Credentials(api_key(key))
    return Credentials(bearer(token)) if token is not None else Credentials()
