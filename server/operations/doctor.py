"""What is wrong with the surroundings of a server, and what to do about it: `deeptravel doctor`."""

import asyncio
import math
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import redis
from cryptography import x509

from server.api.tls import Certificates
from server.audit.chain_keys import ChainKeys
from server.operations import consistency, database_server, places, preparation
from server.operations.audit_chain import verify_chain
from server.operations.data_folder import FREE_BYTES_NEEDED, PRIVATE_FILES
from server.operations.findings import Finding, Verdict, ok, wrong
from server.operations.places import OpenPlaces, Places
from server.operations.schema import SchemaState, metadata, schema_state
from server.platform import ports, postgres_url
from server.platform.config import ConfigError, Settings, load_settings, unknown_settings
from server.platform.database import Database
from server.platform.errors import StartError
from server.platform.redis_url import read as read_redis_url
from server.platform.redis_url import shown as show_redis_url
from server.tickets.keys import list_keys, load_key_ring
from server.tickets.qr import KeyState

OLD_KEY = timedelta(days=365)
STALE_ROTATION = timedelta(hours=1)
EXPIRES_SOON = timedelta(days=21)
ASK_SECONDS = 3.0
CLOCK_WARNING_SECONDS = 1.0
CLOCK_WRONG_SECONDS = 5.0
OTHER_CONNECTIONS = 4
"""Of each process, beside its pools: for independent transactions, to hear of changes, and to see
whether the database answers.
"""
REDIS_SLOTS = 16_384
BROKEN_REMEDY = (
    "find out who wrote these rows (order_events, ticket_events, the log), then correct them by"
    " hand; no call of the server leaves them so"
)


def examine(open_places: OpenPlaces) -> Iterator[Finding]:
    """Looks at all surroundings, each finding as soon as it is made."""
    try:
        settings = load_settings()
    except ConfigError as error:
        yield from _settings_findings(error)
        return
    yield check_names(os.environ)
    yield from check_data_folder(settings)
    yield from check_ports(settings)
    yield from check_tls(settings)
    yield from _with_places(settings, open_places, _services_findings)


def examine_data(open_places: OpenPlaces) -> Iterator[Finding]:
    """Looks at the invariants of the data, each finding as soon as it is made."""
    try:
        settings = load_settings()
    except ConfigError as error:
        yield from _settings_findings(error)
        return
    yield from _with_places(
        settings, open_places, lambda _, found: check_invariants(found.database_url)
    )


def _settings_findings(error: ConfigError) -> Iterator[Finding]:
    for line in str(error).splitlines():
        yield Finding("settings", Verdict.WRONG, line, "correct the variable")


def _with_places(
    settings: Settings,
    open_places: OpenPlaces,
    look: Callable[[Settings, Places], Iterator[Finding]],
) -> Iterator[Finding]:
    if not settings.database_url and not (settings.data_dir / "postgres").exists():
        yield ok("database", "embedded, not made yet; `deeptravel serve` makes it")
        return
    with ExitStack() as stack:
        try:
            found = stack.enter_context(open_places(settings))
        except StartError as error:
            yield wrong("services", error)
            return
        yield from look(settings, found)


def _services_findings(settings: Settings, found: Places) -> Iterator[Finding]:
    yield from check_redis(found.redis_url)
    yield from check_database(settings, found)


def check_invariants(database_url: str) -> Iterator[Finding]:
    """Whether the tables tell one story, in one snapshot of them."""
    try:
        preparation.check_database(database_url)
    except (StartError, ConfigError) as error:
        yield wrong("database", error)
        return
    with postgres_url.connect(database_url, autocommit=True) as connection:
        schema = _schema(connection, _schema_state(database_url))
        if schema.verdict is not Verdict.OK:
            yield schema
            return
        for result in consistency.examine(connection):
            if result.holds:
                yield ok(result.invariant.name, result.invariant.meaning)
            else:
                yield Finding(result.invariant.name, Verdict.WRONG, result.text, BROKEN_REMEDY)


def check_names(environment: Mapping[str, str]) -> Finding:
    """Whether every variable with our prefix is a setting; others are ignored, which a misspelling
    should not be.
    """
    unknown = unknown_settings(environment)
    if not unknown:
        return ok("settings", "every DEEPTRAVEL_* variable is understood")
    meant = sorted(filter(None, set(unknown.values())))
    return Finding(
        "settings",
        Verdict.WARNING,
        f"{', '.join(unknown)} is no setting and has no effect",
        f"did you mean {', '.join(meant)}?" if meant else "remove it",
    )


def check_data_folder(settings: Settings) -> Iterator[Finding]:
    """The folder of embedded services and credentials."""
    folder = settings.data_dir
    if not folder.exists():
        yield ok("data folder", f"{folder} is not made yet")
        return
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES_NEEDED:
        yield Finding(
            "data folder",
            Verdict.WRONG,
            f"{free >> 20} MB are free in {folder}, {FREE_BYTES_NEEDED >> 20} are needed",
            "free some space or set DEEPTRAVEL_DATA_DIR to another disk",
        )
    else:
        yield ok("data folder", f"{folder.resolve()}, {free >> 20} MB free")
    for name in PRIVATE_FILES:
        path = folder / name
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Finding(
                "data folder", Verdict.WRONG, f"others may read {path}", f"chmod 600 {path}"
            )


def check_ports(settings: Settings) -> Iterator[Finding]:
    """Whether the ports are free, or a server of ours has them."""
    for name, (host, port, setting) in settings.listeners.items():
        subject = name.replace("_", " ")
        try:
            ports.require_free(host, port, setting)
        except StartError as error:
            if _serves_already(settings):
                yield ok(subject, f"{port}: a server of ours has it")
            else:
                yield wrong(subject, error)
        else:
            yield ok(subject, f"{host}:{port} is free" if port else "any free one")


def _serves_already(settings: Settings) -> bool:
    scheme = "https" if settings.tls_certificate else "http"
    host = f"[{settings.http_host}]" if ":" in settings.http_host else settings.http_host
    url = f"{scheme}://{host}:{settings.http_port}/healthz"
    try:
        # whoever it is, it is asked nothing that matters
        answer = httpx2.get(url, verify=False, timeout=ASK_SECONDS)
        return bool(answer.json()["status"] in ("SERVING", "NOT_SERVING"))
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return False


def check_tls(settings: Settings) -> Iterator[Finding]:
    """Whether certificate, key and CA fit, and how long they are good."""
    try:
        if Certificates.of(settings) is None:
            yield ok("TLS", "not used")
            return
    except ConfigError as error:
        yield wrong("TLS", error)
        return
    for path in (settings.tls_certificate, settings.tls_client_ca):
        if path:
            yield _certificate_finding(path, datetime.now(UTC))


def _certificate_finding(path: Path, now: datetime) -> Finding:
    chain = x509.load_pem_x509_certificates(path.read_bytes())
    begins = max(each.not_valid_before_utc for each in chain)
    ends = min(each.not_valid_after_utc for each in chain)
    span = f"{path} is good from {begins:%Y-%m-%d} to {ends:%Y-%m-%d}"
    remedy = f"put a new one into {path}; no restart is needed"
    if not begins <= now < ends:
        return Finding("TLS", Verdict.WRONG, span, remedy)
    if ends - now < EXPIRES_SOON:
        return Finding("TLS", Verdict.WARNING, span, remedy)
    return ok("TLS", span)


def check_redis(redis_url: str) -> Iterator[Finding]:
    """Whether it answers, how fast, and of a cluster whether every node and slot is there."""
    try:
        preparation.check_redis(redis_url)
    except StartError as error:
        yield wrong("Redis", error)
        return
    url = read_redis_url(redis_url)
    states = []
    for node_url in url.node_urls:
        place = show_redis_url(node_url)
        try:
            with redis.Redis.from_url(
                node_url,
                socket_connect_timeout=places.CONNECT_SECONDS,
                socket_timeout=places.CONNECT_SECONDS,
            ) as client:
                info: Any = client.info()
                began = time.perf_counter()
                client.ping()
                milliseconds = (time.perf_counter() - began) * 1000
                if url.is_cluster:
                    states.append(_cluster_state(client.execute_command("CLUSTER INFO")))
        except redis.RedisError as error:
            remedy = "start it, or take it out of DEEPTRAVEL_REDIS_URL"
            yield Finding("Redis", Verdict.WARNING, f"{place} does not answer ({error})", remedy)
            continue
        name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
        version = info.get("valkey_version", info["redis_version"])
        where = f" at {place}" if url.is_cluster else ""
        yield ok("Redis", f"{name} {version}{where} answers in {milliseconds:.1f} ms")
    if url.is_cluster:
        yield _cluster_finding(states)


def _cluster_state(answer: Any) -> dict[str, str]:
    """CLUSTER INFO by name; redis-py reads it or leaves it to us, by its version."""
    if isinstance(answer, dict):
        return {str(name): str(value) for name, value in answer.items()}
    text = answer.decode() if isinstance(answer, bytes) else str(answer)
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return dict(pairs)


def _cluster_finding(states: list[dict[str, str]]) -> Finding:
    """Whether each node that answered sees every slot served."""
    served = min((int(state.get("cluster_slots_ok", 0)) for state in states), default=0)
    whole = all(state.get("cluster_state") == "ok" for state in states)
    found = f"{served} of {REDIS_SLOTS} slots are served"
    if whole and served == REDIS_SLOTS:
        return ok("Redis cluster", found)
    return Finding(
        "Redis cluster",
        Verdict.WRONG,
        f"{found}, its state is {'ok' if whole else 'fail'}: limits and caches of the others are"
        " off",
        "start the nodes that are away, or see redis-cli --cluster check",
    )


def check_database(settings: Settings, found: Places) -> Iterator[Finding]:
    """Everything that can be asked of PostgreSQL."""
    try:
        preparation.check_database(found.database_url)
    except (StartError, ConfigError) as error:
        yield wrong("database", error)
        return
    with postgres_url.connect(found.database_url, autocommit=True) as connection:
        version = connection.info.parameter_status("server_version")
        yield ok("database", f"PostgreSQL {version} {_where(found)}")
        yield from database_server.check(connection, found)
        yield _clock(connection)
        yield _connections(connection, settings)
        state = _schema_state(found.database_url)
        yield _schema(connection, state)
        if state is not SchemaState.CURRENT:
            return
        yield _privileges(connection)
        yield _audit_chain(connection, settings, found)
    yield from _keys(settings, found)


def _where(found: Places) -> str:
    return "embedded" if found.embedded else f"at {preparation.shown(found.database_url)}"


def _schema_state(database_url: str) -> SchemaState:
    engine = postgres_url.engine(database_url)
    try:
        with engine.connect() as connection:
            return schema_state(connection)
    finally:
        engine.dispose()


def _schema(connection: psycopg.Connection[Any], state: SchemaState) -> Finding:
    if state is SchemaState.CURRENT:
        return ok("schema", "is this release's")
    if state is SchemaState.NEWER:
        remedy = "run the newer release, or name another database"
        return Finding("schema", Verdict.WRONG, f"is {state.value}", remedy)
    (may_create,) = connection.execute(
        "SELECT has_schema_privilege(current_schema(), 'CREATE')"
    ).fetchone() or (False,)
    if may_create:
        remedy = "deeptravel migrate, or start the server, which does it"
        return Finding("schema", Verdict.WARNING, f"is {state.value}", remedy)
    user = connection.info.user
    remedy = f'GRANT CREATE ON SCHEMA public TO "{user}", or migrate as the owner'
    return Finding(
        "schema", Verdict.WRONG, f"is {state.value}, and {user} may not create tables", remedy
    )


def _privileges(connection: psycopg.Connection[Any]) -> Finding:
    names = [f"{table.name}" for table in metadata.sorted_tables]
    refused = connection.execute(
        "SELECT name || ' ' || privilege FROM unnest(%s::text[]) name,"
        " unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) privilege"
        " WHERE NOT has_table_privilege(name, privilege) ORDER BY 1",
        [names],
    ).fetchall()
    if not refused:
        return ok(
            "privileges", f"{connection.info.user} may read and write all {len(names)} tables"
        )
    shown = ", ".join(name for (name,) in refused[:5])
    return Finding(
        "privileges",
        Verdict.WRONG,
        f"{connection.info.user} lacks {shown}{' and more' if len(refused) > 5 else ''}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
        f' TO "{connection.info.user}"',
    )


def _clock(connection: psycopg.Connection[Any]) -> Finding:
    began = datetime.now(UTC)
    (theirs,) = connection.execute("SELECT clock_timestamp()").fetchone() or (began,)
    middle = began + (datetime.now(UTC) - began) / 2
    seconds = abs((theirs - middle).total_seconds())
    found = f"differs from the database's by {seconds:.3f} s"
    remedy = "synchronise both machines' clocks (NTP)"
    if seconds > CLOCK_WRONG_SECONDS:
        return Finding("clock", Verdict.WRONG, found, remedy)
    if seconds > CLOCK_WARNING_SECONDS:
        return Finding("clock", Verdict.WARNING, found, remedy)
    return ok("clock", found)


def _connections(connection: psycopg.Connection[Any], settings: Settings) -> Finding:
    (free,) = connection.execute(
        "SELECT current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int"
        " - (SELECT count(*) FROM pg_stat_activity"
        "    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())"
    ).fetchone() or (0,)
    pools = settings.database_pool + settings.pipeline_connections + settings.report_pool
    needed = pools + OTHER_CONNECTIONS
    found = f"{free} are free, each server process takes up to {needed}"
    if free < needed:
        remedy = "lower DEEPTRAVEL_DATABASE_POOL or raise max_connections of the database"
        return Finding("connections", Verdict.WRONG, found, remedy)
    return ok("connections", f"{found}: enough for {math.floor(free / needed)} more processes")


def _audit_chain(connection: psycopg.Connection[Any], settings: Settings, found: Places) -> Finding:
    """Whether the audit trail is whole since the last checkpoint."""
    try:
        settings = preparation.with_secret_key(settings, found)
    except ConfigError as error:
        return wrong("audit trail", error)
    assert settings.secret_key is not None
    keys = ChainKeys(settings.secret_key.get_secret_value())
    verified = verify_chain(connection, keys, since_checkpoint=True)
    if verified.fault:
        remedy = (
            "deeptravel audit verify, find out who has written to the database past us, then"
            " deeptravel audit resume --reason …"
        )
        return Finding("audit trail", Verdict.WRONG, str(verified.fault), remedy)
    if verified.waiting:
        text = f"{verified.waiting} events wait for their place in the chain"
        return Finding("audit trail", Verdict.WARNING, text, "start the server, or see its log")
    text = f"{verified.events} events since the last checkpoint are whole"
    if breaks := len(verified.stored.segments):
        text += f"; the chain was resumed after a break, {breaks} in all: see audit verify"
    return ok("audit trail", text)


def _keys(settings: Settings, found: Places) -> Iterator[Finding]:
    try:
        settings = preparation.with_secret_key(settings, found)
        yield from asyncio.run(_look_at_keys(settings, found, datetime.now(UTC)))
    except ConfigError as error:
        yield wrong("QR keys", error)


async def _look_at_keys(settings: Settings, found: Places, now: datetime) -> list[Finding]:
    assert settings.secret_key is not None
    db = Database(settings, found.database_url)
    try:
        async with db.transaction() as tx:
            await load_key_ring(tx, settings.secret_key.get_secret_value())
            keys = await list_keys(tx)
    finally:
        await db.close()
    findings = []
    active = next((key for key in keys if key.state is KeyState.ACTIVE), None)
    if active is None:
        remedy = "start the server, which makes the first, or deeptravel keys rotate"
        findings.append(Finding("QR keys", Verdict.WARNING, "none is active", remedy))
    else:
        age = now - (active.activate_time or active.create_time)
        text = f"key {active.key_id} is active, {age.days} days old, and opens with the secret key"
        if age > OLD_KEY:
            findings.append(Finding("QR keys", Verdict.WARNING, text, "deeptravel keys rotate"))
        elif not active.is_recorded:
            text += "; forged codes of it are not found, as not each of its codes is recorded"
            remedy = "deeptravel keys rotate, once no server of an older release runs"
            findings.append(Finding("QR keys", Verdict.WARNING, text, remedy))
        else:
            findings.append(ok("QR keys", text))
    findings += [
        Finding(
            "QR keys",
            Verdict.WARNING,
            f"the rotation to key {key.key_id} was cut off",
            "deeptravel keys rotate, which completes it",
        )
        for key in keys
        if key.state is KeyState.PENDING and now - key.create_time > STALE_ROTATION
    ]
    return findings
