"""What must be right before the server can start: database, Redis, schema, secret key, QR key."""

import base64
import secrets
from datetime import UTC, datetime

import psycopg
from pydantic import SecretBytes
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from server.catalog.holiday_tables import load_shipped
from server.operations import read_only
from server.operations.data_folder import SECRET_KEY_FILE, write_privately
from server.operations.places import CONNECT_SECONDS, Places
from server.operations.schema import SchemaState, migrate, schema_state
from server.platform import postgres_url
from server.platform.config import SECRET_KEY_BYTES, ConfigError, Settings
from server.platform.database import Database
from server.platform.errors import StartError
from server.platform.faults import fault_text
from server.platform.redis_client import info_of
from server.platform.redis_url import read as read_redis_url
from server.platform.redis_url import shown as show_redis_url
from server.tickets.keys import create_first_key, load_key_ring

LEAST_POSTGRES = 15
LEAST_REDIS = 7


def with_secret_key(settings: Settings, found: Places) -> Settings:
    """The settings with a secret key; that of an embedded database lies, or is made, in the data
    folder.

    Raises ConfigError.
    """
    if settings.secret_key is not None:
        return settings
    if not found.embedded:
        raise ConfigError(
            "DEEPTRAVEL_SECRET_KEY is not set, and DEEPTRAVEL_DATABASE_URL is: make one with"
            " `head -c 32 /dev/urandom | base64`, keep it safe, since it opens the QR keys in the"
            " database, and give the same to every server of this database"
        )
    path = settings.data_dir / SECRET_KEY_FILE
    if not path.exists():
        key = base64.b64encode(secrets.token_bytes(SECRET_KEY_BYTES)).decode()
        write_privately(path, f"{key}\n")
    try:
        key_bytes = base64.b64decode(path.read_text().strip(), validate=True)
    except ValueError:
        key_bytes = b""
    if len(key_bytes) != SECRET_KEY_BYTES:
        raise ConfigError(f"{path} holds no secret key: bring it back from a backup")
    return settings.model_copy(update={"secret_key": SecretBytes(key_bytes)})


def prepare_database(database_url: str, *, embedded: bool = False) -> None:
    """Checks the database and brings it to this release's schema. Raises StartError,
    ConfigError.
    """
    check_database(database_url)
    try:
        engine = postgres_url.engine(database_url)
        try:
            with engine.connect() as connection:
                state = schema_state(connection)
        finally:
            engine.dispose()
        if state is SchemaState.NEWER:
            raise StartError(
                f"the database {shown(database_url)} was migrated by a newer release (or another"
                f" program): run that release, or {_another_database(embedded=embedded)}"
            )
        if state is not SchemaState.CURRENT:
            migrate(database_url)
    except DBAPIError as error:
        raise StartError(
            f"the database {shown(database_url)} cannot be migrated:"
            f" {fault_text(error.orig or error)}; its user must own it or have CREATE on its"
            " schema public"
        ) from error


def require_schema(database_url: str) -> None:
    """Whether the database has this release's schema, for those who only read: nothing is changed.
    Raises StartError, ConfigError.
    """
    check_database(database_url)
    engine = postgres_url.engine(database_url)
    try:
        with engine.connect() as connection:
            state = schema_state(connection)
    except DBAPIError as error:
        raise StartError(
            f"the database {shown(database_url)} cannot be read: {fault_text(error.orig or error)}"
        ) from error
    finally:
        engine.dispose()
    if state is not SchemaState.CURRENT:
        raise StartError(
            f"the schema of the database {shown(database_url)} is {state.value}, and this command"
            " only reads: run `deeptravel migrate` first, or the release that it is of"
        )


def check_database(database_url: str) -> None:
    """Whether a PostgreSQL that is new enough answers, and its database takes every name. Raises
    StartError, ConfigError.
    """
    try:
        with postgres_url.connect(database_url) as connection:
            version = connection.info.server_version // 10_000
            encoding = connection.info.parameter_status("server_encoding")
    except (ValueError, psycopg.ProgrammingError) as error:
        raise ConfigError(f"DEEPTRAVEL_DATABASE_URL {first_line(error)}") from error
    except psycopg.OperationalError as error:
        if remedy := read_only.remedy(database_url):
            raise StartError(
                f"PostgreSQL at {shown(database_url)} takes no writes: {remedy}"
            ) from error
        raise StartError(
            f"PostgreSQL at {shown(database_url)} cannot be used ({first_line(error)}): start it"
            " or correct DEEPTRAVEL_DATABASE_URL"
        ) from error
    if version < LEAST_POSTGRES:
        raise StartError(
            f"PostgreSQL at {shown(database_url)} is version {version}: {LEAST_POSTGRES} or later"
            " is needed"
        )
    if encoding != "UTF8":
        raise StartError(
            f"the database {shown(database_url)} has the encoding {encoding}, in which not every"
            " name can be written: make one with ENCODING 'UTF8' TEMPLATE template0 and name it"
            " in DEEPTRAVEL_DATABASE_URL"
        )


def _another_database(*, embedded: bool) -> str:
    if embedded:
        return "set DEEPTRAVEL_DATA_DIR to another folder"
    return "name another database in DEEPTRAVEL_DATABASE_URL"


def check_redis(redis_url: str) -> None:
    """Whether a Redis that is new enough answers, of a cluster one node at least. Raises
    StartError.
    """
    url = read_redis_url(redis_url)
    place = show_redis_url(redis_url)
    answers = [info_of(each, CONNECT_SECONDS) for each in url.node_urls]
    found = [info for info in answers if not isinstance(info, Exception)]
    for info in found:
        version = str(info["redis_version"])
        if int(version.partition(".")[0]) < LEAST_REDIS:
            raise StartError(
                f"Redis at {place} is version {version}: {LEAST_REDIS} or later is needed"
            )
        is_cluster = bool(int(info.get("cluster_enabled", 0)))
        if is_cluster and not url.is_cluster:
            raise StartError(
                f"Redis at {place} is a node of a cluster, and refuses every key of the other"
                " nodes: set DEEPTRAVEL_REDIS_URL to redis+cluster://host:port,host:port,… (with"
                " TLS rediss+cluster://)"
            )
        if url.is_cluster and not is_cluster:
            raise StartError(
                f"Redis at {place} is one server and no cluster: set DEEPTRAVEL_REDIS_URL to"
                " redis://host:port/0 (with TLS rediss://)"
            )
    if not found:
        reason, remedy = first_line(answers[0]), "start it or correct DEEPTRAVEL_REDIS_URL"
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            remedy = (
                "name its certificate authority's file in DEEPTRAVEL_REDIS_URL: ?ssl_ca_certs=…"
            )
        raise StartError(f"Redis at {place} cannot be used ({reason}): {remedy}")


async def make_first_key(db: Database, settings: Settings) -> None:
    """Makes the first QR key if there is none. Raises ConfigError for another secret key than the
    database's.
    """
    assert settings.secret_key is not None
    secret_key = settings.secret_key.get_secret_value()
    async with db.transaction() as tx:
        await load_key_ring(tx, secret_key)
        await create_first_key(tx, secret_key, datetime.now(UTC))


async def load_holiday_tables(db: Database) -> None:
    """Brings the years of holidays that this release ships and the database has not yet."""
    async with db.transaction() as tx:
        await load_shipped(tx)


def shown(url: str) -> str:
    """The URL without its password."""
    if url.startswith("postgres"):
        return postgres_url.shown(url)
    try:
        found = make_url(url)
        return found.set(drivername=found.get_backend_name(), query={}).render_as_string()
    except (ArgumentError, ValueError):
        return "(not understood)"


def first_line(error: object) -> str:
    """What went wrong, on one line."""
    return str(error).strip().partition("\n")[0].strip().rstrip(".") or repr(error)
