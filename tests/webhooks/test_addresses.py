"""Which addresses and URLs webhooks are sent to, and when what failed is sent again."""

import pytest

from server.webhooks import addresses, rules
from server.webhooks.addresses import fault_of_url, is_public

PUBLIC = (
    *("8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "192.167.1.1", "223.255.255.254"),
    *("2606:4700::1111", "2a00::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"),
)
NOT_PUBLIC = (
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.0.1", "169.254.169.254"),
    *("172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.168.1.1", "198.18.0.1"),
    *("198.51.100.7", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
    *("64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1"),
    *("fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1"),
    *("2001::1", "3fff::1", "100::1", "2002:c0a8:101::1"),
)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com/", "ftp://example.com/", "https:///path", "https://", "example.com"),
        *("https://user:password@example.com/", "https://example.com/#part", "https://[::1]/"),
        *("https://127.0.0.1/", "https://[::ffff:10.0.0.1]/", "https://localhost:8443/x"),
        *(
            "https://exa mple.com/",
            "https://example.com:99999/",
            "https://例子.com/",
            "https://a:0/",
        ),
        *("https://[fe80::1%25eth0]/", "https://169.254.169.254/latest/meta-data"),
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    assert fault_of_url(url, plain_and_private=False)


def test_urls_that_are_taken() -> None:
    for url in ("https://example.com", "https://hooks.example.com:8443/a?b=c", "https://8.8.8.8/"):
        assert fault_of_url(url, plain_and_private=False) is None
    assert fault_of_url("http://127.0.0.1:8000/hook", plain_and_private=True) is None


def test_three_days_of_attempts() -> None:
    """Whatever the chance, the last attempt is two to three days after the first."""
    for chance, least, most in ((0.0, 70, 73), (1.0, 56, 58)):
        waits = [
            rules.retry_seconds(attempt, chance) or 0.0 for attempt in range(1, rules.MAX_ATTEMPTS)
        ]
        assert least * 3600 < sum(waits) < most * 3600
        assert waits == sorted(waits)
    assert rules.retry_seconds(rules.MAX_ATTEMPTS, 0.5) is None
    assert rules.retry_seconds(1, 0.0, retry_after_seconds=60) == 60
    assert rules.retry_seconds(1, 0.0, retry_after_seconds=10**9) == rules.MAX_RETRY_AFTER_SECONDS
    assert addresses.MAX_PORT == 65_535
