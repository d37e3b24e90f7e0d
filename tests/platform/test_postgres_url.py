"""URLs of PostgreSQL are handed to the driver as they are, and shown without secrets.

Seen red: SQLAlchemy's own reader refused several hosts ("invalid literal for int() with base 10:
'5432,h2:5432'").
"""

import pytest

from server.platform import postgres_url
from server.platform.config import ConfigError, load_settings


@pytest.mark.parametrize(
    ("url", "given", "shown"),
    [
        (
            "postgresql://u:p@h1:5432,h2:5433/db?target_session_attrs=any",
            {"host": "h1,h2", "port": "5432,5433", "target_session_attrs": "any", "password": "p"},
            "postgresql://u@h1:5432,h2:5433/db",
        ),
        (
            "postgres://h1,h2/db",
            {"host": "h1,h2", "port": ",", "target_session_attrs": "read-write"},
            "postgresql://h1,h2/db",
        ),
        ("postgresql://h1:5432,h2/db", {"port": "5432,"}, "postgresql://h1:5432,h2/db"),
        (
            "postgresql+psycopg://u:a%40b%2Fc%3A%25@[::1]:5432,[2001:db8::1]/db",
            {"host": "::1,2001:db8::1", "port": "5432,", "password": "a@b/c:%"},
            "postgresql://u@[::1]:5432,[2001:db8::1]/db",
        ),
        (
            "postgresql:///db?host=/var/run&user=u",
            {"host": "/var/run"},
            "postgresql://u@/var/run/db",
        ),
        ("postgresql://%2Fvar%2Frun/db", {"host": "/var/run"}, "postgresql:///var/run/db"),
        ("postgresql://@/db?host=%40abstract", {"host": "@abstract"}, "postgresql://@abstract/db"),
        (
            "postgresql://h/db?password=secret&connect_timeout=9",
            {"password": "secret", "connect_timeout": "9", "tcp_user_timeout": "10000"},
            "postgresql://h/db",
        ),
    ],
)
def test_what_the_driver_is_given_and_people_are_shown(
    url: str, given: dict[str, str], shown: str
) -> None:
    found = postgres_url.parameters(url)
    assert {name: found.get(name) for name in given} == given
    assert postgres_url.shown(url) == shown
    settings = load_settings(database_url=url, redis_url="redis://h", secret_key=None)
    assert settings.database_url
    assert postgres_url.parameters(settings.database_url) == found


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:secret@h/db",
        "postgresql://u:secret@h:port/db",
        "postgresql://u:secret@h:0/db",
        "postgresql://u:sec@secret@h/db",
        "postgresql://u:secret%zz@h/db",
        "postgresql://u:secret@[::1/db",
        "postgresql://u:secret@h/db?nonsense=1",
    ],
)
def test_what_cannot_be_read_is_refused_with_the_remedy_and_without_the_password(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings(database_url=url, redis_url="redis://h")
    assert str(refused.value).startswith("DEEPTRAVEL_DATABASE_URL ")
    assert "postgresql://" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "secret" not in postgres_url.shown(url)


def test_the_host_that_was_found_is_tried_first() -> None:
    given = postgres_url.parameters("postgresql://h1,h2:5433,[::1]:5434/db")
    found = postgres_url.preferring(given, ("h2", "5433"))
    assert (found["host"], found["port"]) == ("h2,h1,::1", "5433,5432,5434")
    assert found | {"host": "", "port": ""} == given | {"host": "", "port": ""}
    assert postgres_url.preferring(given, ("h2", "5432")) == given
    assert postgres_url.preferring(given, ("", "")) == given
    one_port = postgres_url.parameters("postgresql:///db?host=/a,/b&port=99")
    assert postgres_url.preferring(one_port, ("/b", "99"))["host"] == "/b,/a"
    shuffled = given | {"load_balance_hosts": "random"}
    assert postgres_url.preferring(shuffled, ("h2", "5433")) == shuffled
