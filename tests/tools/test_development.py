"""What `serve` lets those do who try it without services of their own."""

import pytest

from server.cli import development
from server.operations.places import Places
from server.platform.config import load_settings

EMBEDDED, THEIRS = [Places("database", "redis", embedded=embedded) for embedded in (True, False)]


@pytest.mark.parametrize(
    ("settings", "places", "allowed"),
    [
        ({}, EMBEDDED, True),
        ({}, THEIRS, False),
        ({"http_host": "0.0.0.0", "allow_plaintext": True}, EMBEDDED, False),
        ({"grpc_host": "192.168.1.7", "allow_plaintext": True}, EMBEDDED, False),
        ({"webhook_allow_private": False}, EMBEDDED, False),
        ({"webhook_allow_private": True}, THEIRS, True),
    ],
)
def test_webhooks_go_to_this_machine_where_only_it_can_call(
    settings: dict[str, object], places: Places, allowed: bool
) -> None:
    """Who can call from elsewhere must not make the server call its own network."""
    loaded = load_settings(**settings)
    found = development.with_webhooks_to_this_machine(loaded, places)
    assert found.webhook_allow_private is allowed
