"""Whose address a call has behind proxies: the table of who says what, and who is believed."""

import pytest

from server.platform.proxies import FORWARDED, X_FORWARDED_FOR, Proxies, networks

OURS = networks("10.0.0.0/8, 2001:db8:1::/48,127.0.0.1")


@pytest.mark.parametrize(
    ("peer", "values", "caller"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # nobody trusts it
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),  # the caller invented the first
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),  # in two headers
        ("10.0.0.1", ["198.51.100.1, 10.2.3.4"], "198.51.100.1"),  # two proxies of ours
        ("10.0.0.1", ["10.9.9.9,10.2.3.4"], "10.9.9.9"),  # all of them ours
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8:1::5", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, garbage, 10.2.3.4"], "10.2.3.4"),
        ("10.0.0.1", ["", " , "], "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6," * 100_000 + "198.51.100.1"], "198.51.100.1"),
        ("no address", ["198.51.100.1"], "no address"),
    ],
)
def test_x_forwarded_for(peer: str, values: list[str], caller: str) -> None:
    assert Proxies(OURS, X_FORWARDED_FOR).caller(peer, values) == caller


@pytest.mark.parametrize(
    ("values", "caller"),
    [
        (["for=198.51.100.1"], "198.51.100.1"),
        (["for=6.6.6.6, for=198.51.100.1;proto=https;by=10.0.0.1"], "198.51.100.1"),
        (['proto=https; For="[2001:db8::7]:4711"'], "2001:db8::7"),
        (['for="198.51.100.1:4711"'], "198.51.100.1"),
        (["for=198.51.100.1, for=_hidden"], "10.0.0.1"),
        (["for=198.51.100.1, proto=https"], "10.0.0.1"),
        (["198.51.100.1"], "10.0.0.1"),
    ],
)
def test_forwarded(values: list[str], caller: str) -> None:
    assert Proxies(OURS, FORWARDED).caller("10.0.0.1", values) == caller


def test_nobody_is_trusted_unless_named() -> None:
    assert Proxies().caller("127.0.0.1", ["198.51.100.1"]) == "127.0.0.1"
    assert not Proxies().trusts("127.0.0.1")
    assert Proxies(OURS).trusts("::ffff:10.1.2.3")
    assert not Proxies(OURS).trusts("no address")


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "proxy.example", "", "10.0.0.1,"])
def test_what_is_no_network_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no address or network"):
        networks(text)
