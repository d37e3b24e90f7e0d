"""The doctor names each fault and its remedy, against real services."""

import asyncio
import base64
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import tzdata
from sqlalchemy import make_url

from server.audit.chain_keys import ChainKeys
from server.audit.chaining import take_checkpoint
from server.cli.development import open_places
from server.operations import database_server, doctor, preparation, read_only
from server.operations.findings import Finding, Verdict
from server.operations.places import Places
from server.platform import postgres_url
from server.platform.config import ConfigError, Settings, load_settings
from server.platform.database import Database
from server.platform.errors import StartError
from server.tickets import keys
from tests.support import databases
from tests.support.certificates import issue
from tools.dev.embedded.services import EmbeddedServices

SECRET_KEY = base64.b64encode(bytes(range(32))).decode()
NOBODY = "doctor_test_nobody"


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return load_settings(
        database_url=database_url, redis_url=redis_url, secret_key=SECRET_KEY, data_dir=tmp_path
    )


@pytest.fixture
def places(settings: Settings) -> Places:
    assert settings.database_url
    assert settings.redis_url
    return Places(settings.database_url, settings.redis_url)


async def _change_keys(settings: Settings, found: Places, *, back_by: timedelta) -> None:
    assert settings.secret_key
    secret, now = settings.secret_key.get_secret_value(), datetime.now(UTC) - back_by
    db = Database(settings, found.database_url)
    async with db.transaction() as tx:
        await keys.create_first_key(tx, secret, now)
        await keys.begin_rotation(tx, secret, now)
    await db.close()


def make_keys(settings: Settings, found: Places, *, back_by: timedelta) -> None:
    """An active key and a pending one, both so old."""
    asyncio.run(_change_keys(settings, found, back_by=back_by))


def by_subject(findings: Iterator[Finding]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for each in findings:
        found.setdefault(each.subject, []).append(each)
        assert each.remedy or each.verdict is Verdict.OK
    return found


def verdicts(findings: dict[str, list[Finding]]) -> dict[str, Verdict]:
    assert all(len(each) == 1 for each in findings.values())
    return {subject: each[0].verdict for subject, each in findings.items()}


def test_healthy_database_and_redis(settings: Settings, places: Places) -> None:
    make_keys(settings, places, back_by=timedelta())
    found = verdicts(by_subject(doctor.check_database(settings, places)))
    assert set(found.values()) == {Verdict.OK}
    assert set(found) == {
        "database",
        "encoding",
        "letters",
        "database TLS",
        "database log",
        "time zones",
        "clock",
        "connections",
        "schema",
        "privileges",
        "QR keys",
        "audit trail",
    }
    (redis,) = doctor.check_redis(places.redis_url)
    assert redis.verdict is Verdict.OK
    assert redis.found.startswith("Valkey")


def test_keys_that_are_old_or_missing_or_sealed_otherwise(
    settings: Settings, places: Places
) -> None:
    findings = by_subject(doctor.check_database(settings, places))
    (none,) = findings["QR keys"]
    assert (none.verdict, none.found) == (Verdict.WARNING, "none is active")

    make_keys(settings, places, back_by=timedelta(days=400))
    old, pending = by_subject(doctor.check_database(settings, places))["QR keys"]
    assert (old.verdict, old.remedy) == (Verdict.WARNING, "deeptravel keys rotate")
    assert "400 days old" in old.found
    assert "cut off" in pending.found

    with psycopg.connect(places.database_url) as connection:
        connection.execute("UPDATE qr_keys SET activate_time = now(), is_recorded = false")
    unrecorded, _ = by_subject(doctor.check_database(settings, places))["QR keys"]
    assert unrecorded.verdict is Verdict.WARNING
    assert "not each of its codes is recorded" in unrecorded.found

    other = load_settings(
        database_url=settings.database_url,
        redis_url=settings.redis_url,
        secret_key=base64.b64encode(bytes(32)).decode(),
    )
    (sealed,) = by_subject(doctor.check_database(other, places))["QR keys"]
    assert sealed.verdict is Verdict.WRONG
    assert "DEEPTRAVEL_SECRET_KEY" in sealed.found


async def _take_checkpoints(settings: Settings, found: Places) -> None:
    assert settings.secret_key
    signing = ChainKeys(settings.secret_key.get_secret_value())
    db = Database(settings, found.database_url)
    for _ in range(2):
        await db.in_transaction(lambda tx: take_checkpoint(tx, signing, datetime.now(UTC)))
    await db.close()


@pytest.mark.parametrize("number", [1, 2])
def test_a_checkpoint_of_the_audit_trail_that_is_gone(
    settings: Settings, places: Places, number: int
) -> None:
    """The first of two, and the last. Seen red without `_Part.checkpoint_fault`."""
    asyncio.run(_take_checkpoints(settings, places))
    databases.execute(
        places.database_url, f"DELETE FROM audit_checkpoints WHERE checkpoint_number = {number}"
    )
    (found,) = by_subject(doctor.check_database(settings, places))["audit trail"]
    assert found.verdict is Verdict.WRONG
    assert f"checkpoint {number} is deleted from audit_checkpoints" in found.found
    assert "deeptravel audit resume" in found.remedy


def test_schema_that_is_not_ours(services: EmbeddedServices, settings: Settings) -> None:
    databases.execute(services.database_url, "CREATE DATABASE doctor_empty")
    try:
        empty = Places(databases.renamed(services.database_url, "doctor_empty"), "")
        (schema,) = by_subject(doctor.check_database(settings, empty))["schema"]
        assert (schema.verdict, schema.found) == (Verdict.WARNING, "is none")
        databases.execute(
            empty.database_url,
            "CREATE TABLE alembic_version (version_num text primary key);"
            " INSERT INTO alembic_version VALUES ('9999')",
        )
        (schema,) = by_subject(doctor.check_database(settings, empty))["schema"]
        assert schema.verdict is Verdict.WRONG
        assert "newer" in schema.found
    finally:
        databases.execute(services.database_url, "DROP DATABASE doctor_empty WITH (FORCE)")


def test_missing_privileges(services: EmbeddedServices, settings: Settings, places: Places) -> None:
    databases.execute(services.database_url, f"CREATE ROLE {NOBODY} LOGIN")
    try:
        databases.execute(places.database_url, f"GRANT SELECT ON alembic_version TO {NOBODY}")
        as_nobody = make_url(places.database_url).set(username=NOBODY).render_as_string()
        found = Places(as_nobody, places.redis_url)
        findings = doctor.check_database(settings, found)
        privileges = next(each for each in findings if each.subject == "privileges")
        assert privileges.verdict is Verdict.WRONG
        assert privileges.remedy.startswith("GRANT")
        databases.execute(
            places.database_url,
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {NOBODY}",
        )
        make_keys(settings, places, back_by=timedelta())
        found_now = by_subject(doctor.check_database(settings, found))
        assert found_now["privileges"][0].verdict is Verdict.OK
    finally:
        databases.execute(places.database_url, f"DROP OWNED BY {NOBODY}")
        databases.execute(services.database_url, f"DROP ROLE {NOBODY}")


def test_database_that_is_made_otherwise(
    services: EmbeddedServices, settings: Settings, places: Places
) -> None:
    """Letters and log of a foreign server; each with its remedy."""
    name = "doctor_foreign"
    databases.execute(
        services.database_url,
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE"
        " 'C'",
    )
    try:
        for setting in ("log_parameter_max_length_on_error = -1", "log_statement = 'all'"):
            databases.execute(services.database_url, f"ALTER DATABASE {name} SET {setting}")
        databases.execute(
            services.database_url, f"ALTER DATABASE {name} SET log_parameter_max_length = 8"
        )
        foreign = Places(databases.renamed(services.database_url, name), "")
        found = by_subject(doctor.check_database(settings, foreign))
    finally:
        databases.execute(services.database_url, f"DROP DATABASE {name} WITH (FORCE)")
    (letters,), (log,) = found["letters"], found["database log"]
    assert letters.verdict is Verdict.WARNING
    assert "upper()" in letters.found
    assert "--lc-ctype=C.UTF-8" in letters.remedy
    assert log.verdict is Verdict.WARNING
    assert log.remedy.startswith(
        "set log_parameter_max_length_on_error = 0 and log_parameter_max_length = 0"
    )


def test_database_that_does_not_take_every_name(services: EmbeddedServices) -> None:
    """Is refused, at the start too. Seen red: the start ended in a traceback of a library."""
    name = "doctor_ascii"
    databases.execute(
        services.database_url,
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc"
        " LOCALE 'C'",
    )
    try:
        with pytest.raises(StartError, match=r"encoding SQL_ASCII.*ENCODING 'UTF8'"):
            preparation.check_database(databases.renamed(services.database_url, name))
    finally:
        databases.execute(services.database_url, f"DROP DATABASE {name} WITH (FORCE)")


def test_time_zones_of_the_database(
    settings: Settings, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Are compared with ours, the versions of both named; no call uses them, so other ones are
    no fault.
    """
    ours = database_server._ours
    monkeypatch.setattr(
        database_server,
        "_ours",
        lambda name, moments: [0] if name == "Africa/Abidjan" else ours(name, moments),
    )
    (found,) = by_subject(doctor.check_database(settings, places))["time zones"]
    assert found.verdict is Verdict.OK
    assert f"tzdata {tzdata.IANA_VERSION}" in found.found
    assert "PostgreSQL 18" in found.found
    assert "give other times for Africa/Abidjan" in found.found


def test_pool_that_does_not_fit(settings: Settings, places: Places) -> None:
    make_keys(settings, places, back_by=timedelta())
    large = settings.model_copy(update={"database_pool": 200})
    (connections,) = by_subject(doctor.check_database(large, places))["connections"]
    assert connections.verdict is Verdict.WRONG
    assert "DEEPTRAVEL_DATABASE_POOL" in connections.remedy


def test_services_that_do_not_answer(settings: Settings) -> None:
    nowhere = Places("postgresql+psycopg://u:hidden-word@127.0.0.1:1/x", "redis://127.0.0.1:1")
    (database,) = doctor.check_database(settings, nowhere)
    (redis,) = doctor.check_redis(nowhere.redis_url)
    for each, variable in ((database, "DATABASE_URL"), (redis, "REDIS_URL")):
        assert each.verdict is Verdict.WRONG
        assert f"correct DEEPTRAVEL_{variable}" in each.remedy
        assert "hidden-word" not in each.found


@pytest.mark.parametrize("where", ["DATABASE {database}", "ROLE {user}"])
def test_a_database_that_takes_no_writes(
    services: EmbeddedServices, settings: Settings, places: Places, where: str
) -> None:
    """What the remedy says mends it. Seen red: it was to start PostgreSQL or correct the URL."""
    given = postgres_url.parameters(places.database_url)
    whose = where.format(database=given["dbname"], user=given["user"])
    databases.execute(services.database_url, f"ALTER {whose} SET {read_only.SETTING} = on")
    writing = databases.with_options(services.database_url, f"{read_only.SETTING}=off")
    try:
        (found,) = doctor.check_database(settings, places)
        assert found.verdict is Verdict.WRONG
        assert "takes no writes" in found.found
        databases.execute(writing, found.remedy)
        assert len(list(doctor.check_database(settings, places))) > 1
    finally:
        databases.execute(writing, f"ALTER {whose} RESET {read_only.SETTING}")


def test_old_versions_are_refused(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "LEAST_POSTGRES", 99)
    with pytest.raises(StartError, match="99 or later is needed"):
        preparation.check_database(places.database_url)
    monkeypatch.setattr(preparation, "LEAST_REDIS", 99)
    with pytest.raises(StartError, match="99 or later is needed"):
        preparation.check_redis(places.redis_url)


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://h:port/d", "postgresql+psycopg://h/d?nonsense=1"]
)
def test_urls_that_are_not_understood(url: str) -> None:
    with pytest.raises(ConfigError, match=r"DEEPTRAVEL_DATABASE_URL .*: write postgresql://"):
        preparation.check_database(url)


def test_ports(settings: Settings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        taken = settings.model_copy(update={"grpc_port": port, "http_port": 0})
        grpc_port, *others = doctor.check_ports(taken)
    assert [each.verdict for each in (grpc_port, *others)] == [Verdict.WRONG, *[Verdict.OK] * 3]
    assert [each.subject for each in others][1:] == ["operations grpc port", "operations http port"]
    assert "DEEPTRAVEL_GRPC_PORT" in grpc_port.remedy


def test_data_folder(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = settings.data_dir / "secret.key"
    secret.write_text("x")
    secret.chmod(0o644)
    folder, readable = doctor.check_data_folder(settings)
    assert (folder.verdict, readable.verdict) == (Verdict.OK, Verdict.WRONG)
    assert readable.remedy == f"chmod 600 {secret}"
    secret.chmod(0o600)
    monkeypatch.setattr(doctor, "FREE_BYTES_NEEDED", 2**62)
    (full,) = doctor.check_data_folder(settings)
    assert full.verdict is Verdict.WRONG


@pytest.mark.parametrize(
    ("days", "verdict"), [(365, Verdict.OK), (10, Verdict.WARNING), (-1, Verdict.WRONG)]
)
def test_certificate(settings: Settings, days: int, verdict: Verdict) -> None:
    pair = issue("server", issue("CA"), days=days)
    files = settings.data_dir / "server.pem", settings.data_dir / "server.key"
    files[0].write_bytes(pair.pem)
    files[1].write_bytes(pair.key_pem)
    tls = {"tls_certificate": files[0], "tls_private_key": files[1]}
    (finding,) = doctor.check_tls(settings.model_copy(update=tls))
    assert finding.verdict is verdict
    files[1].write_bytes(issue("other").key_pem)
    (finding,) = doctor.check_tls(settings.model_copy(update=tls))
    assert finding.verdict is Verdict.WRONG
    assert "DEEPTRAVEL_TLS" in finding.found


def test_misspelt_setting() -> None:
    finding = doctor.check_names({"DEEPTRAVEL_GRPC_PROT": "1", "DEEPTRAVEL_HTTP_PORT": "2"})
    assert finding.verdict is Verdict.WARNING
    assert finding.remedy == "did you mean DEEPTRAVEL_GRPC_PORT?"


def test_everything(settings: Settings, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the command does it, with the settings of the environment."""
    make_keys(settings, places, back_by=timedelta())
    for name, text in {
        "DATABASE_URL": places.database_url,
        "REDIS_URL": places.redis_url,
        "SECRET_KEY": SECRET_KEY,
        "DATA_DIR": str(settings.data_dir),
        "GRPC_PORT": "0",
        "HTTP_PORT": "0",
    }.items():
        monkeypatch.setenv(f"DEEPTRAVEL_{name}", text)
    found = by_subject(doctor.examine(open_places))
    assert {each.verdict for findings in found.values() for each in findings} == {Verdict.OK}
    monkeypatch.setenv("DEEPTRAVEL_HTTP_PORT", "many")
    (wrong,) = doctor.examine(open_places)
    assert wrong.verdict is Verdict.WRONG
    assert wrong.found.startswith("DEEPTRAVEL_HTTP_PORT")
