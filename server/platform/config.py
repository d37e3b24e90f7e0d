"""The settings: one frozen object, read once at start from `DEEPTRAVEL_*`; all faults are
reported together.
"""

import base64
import binascii
import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    Field,
    SecretBytes,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from server.platform import postgres_url
from server.platform.notification_settings import NotificationSettings
from server.platform.proxies import (
    FORWARDED,
    X_FORWARDED_FOR,
    Proxies,
    is_loopback,
    networks,
)
from server.platform.redis_url import read as read_redis_url
from server.platform.wechat_settings import WechatSettings

SECRET_KEY_BYTES = 32
PIPELINE_CONNECTIONS_BESIDE = 8
"""Of each process, beside those that redeem and order: for notices, readers and tasks."""
MAX_PORT = 65535
OPERATIONS_PORTS_ABOVE = 1000
"""So far above the public ports are those for operations, if they are not set."""
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?")
"""As browsers write it: in small letters, without a path."""

# For plug-ins pydantic would read the metadata of every installed package, at each start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


RENAMED = {
    "HOT_LOCK_TIMEOUT_MS": "BATCH_LOCK_TIMEOUT_MS",
    "REDEEM_LANES": "REDEEM_WORKERS",
    "ORDER_LANES": "ORDER_WORKERS",
}
"""Former names of settings, which go on working (docs/operations.md, "Renamed settings")."""


class ConfigError(Exception):
    """The settings are wrong; the text lists every fault with the variable's name and the
    remedy.
    """


class Settings(WechatSettings, NotificationSettings):
    """Every setting, with its default. The variable is the name in upper case after
    `DEEPTRAVEL_`.
    """

    model_config = SettingsConfigDict(env_prefix="DEEPTRAVEL_", frozen=True, env_ignore_empty=True)

    database_url: str | None = Field(
        None,
        description="PostgreSQL 15+, as libpq writes it, several hosts too; embedded if not set",
    )
    redis_url: str | None = Field(
        None,
        description=(
            "Redis 7+, one server or a cluster (redis+cluster://h1,h2,h3); embedded if not set"
        ),
    )
    data_dir: Path = Field(Path(".deeptravel"), description="folder of the embedded services")
    secret_key: Annotated[SecretBytes | None, NoDecode] = Field(
        None,
        description=(
            "32 bytes in Base64; encrypts keys and stored secrets at rest; needed with the URLs"
        ),
    )
    grpc_host: str = Field("127.0.0.1", description="address of the gRPC port")
    grpc_port: int = Field(50051, ge=0, le=65535, description="gRPC port; 0 takes a free one")
    http_host: str = Field("127.0.0.1", description="address of the HTTP port")
    http_port: int = Field(8080, ge=0, le=65535, description="HTTP port; 0 takes a free one")
    operations_grpc_host: str = Field("127.0.0.1", description="address of channelz")
    operations_grpc_port: int | None = Field(
        None, ge=0, le=65535, description="gRPC port of channelz; GRPC_PORT + 1000 if not set"
    )
    operations_http_host: str = Field("127.0.0.1", description="address of `/metrics`")
    operations_http_port: int | None = Field(
        None, ge=0, le=65535, description="HTTP port of `/metrics`; HTTP_PORT + 1000 if not set"
    )
    tls_certificate: Path | None = Field(None, description="server certificate chain, PEM")
    tls_private_key: Path | None = Field(None, description="server private key, PEM")
    tls_client_ca: Path | None = Field(None, description="clients must have a certificate of it")
    allow_plaintext: bool = Field(False, description="plaintext on other than loopback addresses")
    demo_data: bool = Field(False, description="load the demo data into an empty database")
    time_zone: str = Field("Asia/Hong_Kong", description="whose days count in codes and calendars")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
    log_format: str = Field("auto", description="json, text, or auto: text on a terminal")
    otlp_endpoint: str | None = Field(None, description="OpenTelemetry collector for traces, gRPC")
    transport: Literal["core", "aio"] = Field(
        "core",
        description=(
            "what serves gRPC: core, on grpcio's core in C, or aio, grpcio's own asyncio server,"
            " which takes several times the CPU; aio serves too where grpcio's core is another"
            " than the one this server knows"
        ),
    )
    max_calls_in_flight: int = Field(16_384, ge=1, description="calls above it: RESOURCE_EXHAUSTED")
    max_calls_per_address: int = Field(
        4096,
        ge=0,
        description="calls in flight from one address that is no trusted proxy; 0: no limit",
    )
    # by 4 another partner waits 2.2 times as long beside one that hammers, by 2 1.6 times
    partner_calls: int = Field(
        2,
        ge=1,
        description="calls of one partner that a process works on at once; others wait their turn",
    )
    partner_calls_in_all: int = Field(
        7,
        ge=1,
        description="the same of all partners together; less than DATABASE_POOL, for the others",
    )
    partner_calls_waiting: int = Field(
        256, ge=1, description="calls of one partner that wait in a process; more: SERVER_BUSY"
    )
    max_connections: int = Field(8192, ge=1, description="gRPC connections of each process")
    first_message_seconds: float = Field(
        20, gt=0, description="a call whose request does not come within it is ended"
    )
    max_message_bytes: int = Field(1 << 20, ge=1024, description="greatest gRPC message taken")
    max_body_bytes: int = Field(1 << 20, ge=1024, description="greatest HTTP body taken")
    http_header_seconds: int = Field(
        15,
        ge=1,
        le=60,
        description="the headers of an HTTP request, and a TLS handshake, have this long to arrive",
    )
    http_connections: int = Field(
        4096, ge=1, description="open HTTP connections of each process; more are refused"
    )
    http_connections_per_address: int = Field(
        512,
        ge=0,
        description="of them from one address, trusted proxies excepted; 0 for no limit",
    )
    connection_age_seconds: int = Field(
        0,
        ge=0,
        description=(
            "after this a connection of either port takes no more calls and is closed; 0 for never"
        ),
    )
    connection_age_grace_seconds: int = Field(
        600, ge=1, description="calls and streams under way then get this long"
    )
    trusted_proxies: str | None = Field(
        None,
        description="addresses and networks of proxies that may say who calls, with commas between",
    )
    trusted_proxy_header: str = Field(
        X_FORWARDED_FOR, description="in which header they say it: x-forwarded-for or forwarded"
    )
    cors_origins: str | None = Field(
        None,
        description="origins whose pages may call from a browser, with commas between, or *",
    )
    database_pool: int = Field(
        10, ge=2, le=200, description="connections of each process for ordinary calls"
    )
    report_pool: int = Field(
        3, ge=1, le=50, description="more of them, for lists and reports, which take no others"
    )
    statement_timeout_ms: int = Field(10_000, ge=100, description="of each statement")
    report_timeout_ms: int = Field(
        5_000, ge=100, description="of each statement of a list or report, if that is shorter"
    )
    lock_timeout_ms: int = Field(
        1_500,
        ge=100,
        description="waiting for a row that another call holds; four times, then CONFLICT",
    )
    batch_lock_timeout_ms: int = Field(
        100,
        ge=10,
        description=(
            "the same, of scans, orders, payment notices and refunds; once: a call whose row is"
            " still held is tried again without waiting for a quarter of a second, then it is"
            " CONFLICT"
        ),
    )
    redeem_batch: int = Field(128, ge=1, le=1000, description="scans in one shared transaction")
    redeem_workers: int = Field(2, ge=1, le=8, description="shared transactions of scans at once")
    order_batch: int = Field(128, ge=1, le=1000, description="orders in one shared transaction")
    order_workers: int = Field(2, ge=1, le=8, description="shared transactions of orders at once")
    hold_seconds: int = Field(
        600,
        ge=1,
        le=86_400,
        description="how long an order holds its stock, if its stock says nothing",
    )
    reservation_seconds: int = Field(
        86_400,
        ge=1,
        le=2_592_000,
        description="how long a partner's reservation lasts, if its stock says nothing",
    )
    reservation_max_seconds: int = Field(
        259_200,
        ge=1,
        le=2_592_000,
        description="the same with all its extensions, if its stock says nothing",
    )
    reservation_warning_seconds: int = Field(
        3_600,
        ge=1,
        description=(
            "so long before a reservation expires its partner is warned, but not before half of it"
            " is over"
        ),
    )
    ticket_reminder_seconds: int = Field(
        259_200,
        ge=60,
        le=2_592_000,
        description="so long before a ticket that it has sold expires its partner is reminded",
    )
    quote_seconds: int = Field(
        300, ge=30, le=3600, description="how long a quote of a refund or change is good"
    )
    # a look is followed by its redemption within 50 s also where 1,000 come a second
    token_cache: int = Field(50_000, ge=0, description="verified QR tokens remembered")
    access_token_seconds: int = Field(900, ge=30, description="life of an access token")
    refresh_token_seconds: int = Field(12 * 3600, ge=60, description="life of a refresh token")
    traveller_token_seconds: int = Field(7200, ge=30, description="life of a traveller's token")
    traveller_requests_per_minute: int = Field(
        600, ge=0, description="of one traveller, in each process; 0 for no limit"
    )
    login_failures: int = Field(
        5,
        ge=1,
        description="failed log-ins of a name from one terminal and address before the lock-out",
    )
    login_failures_per_address: int = Field(
        50, ge=1, description="failed log-ins of all names from one address before the lock-out"
    )
    login_lock_seconds: int = Field(300, ge=1, description="length of the lock-out")
    require_second_factor: bool = Field(
        False,
        description="whether administrators without a second factor may do nothing but enrol one",
    )
    idempotency_hours: int = Field(72, ge=24, description="how long answers are kept for repeats")
    partner_event_days: int = Field(
        90, ge=7, le=3650, description="how long a partner's events are kept"
    )
    webhook_log_days: int = Field(
        30, ge=4, le=3650, description="how long deliveries that ended are in the log"
    )
    channel_call_days: int = Field(
        30, ge=1, le=3650, description="how long calls to outside channels are in their log"
    )
    channel_peak_hours: str = Field(
        "9-22",
        description=(
            "hours of the day, by TIME_ZONE, in which outside channels are sent quantities"
            " half-hourly instead of hourly: 9-22, over midnight 18-2; empty: none"
        ),
    )
    ctrip_ttd: bool = Field(
        False,
        description=(
            "opens the door for Ctrip's attractions channel (TTD) at /ctrip-ttd/; its protocol is"
            " unverified against the vendor"
        ),
    )
    done_task_days: int = Field(
        3, ge=3, le=3650, description="how long tasks of the outbox that were done are kept"
    )
    job_history_days: int = Field(
        30, ge=1, le=3650, description="how long runs of jobs that ended are listed"
    )
    webhook_endpoint_concurrency: int = Field(
        64, ge=1, le=512, description="attempts at once to one webhook endpoint, in each process"
    )
    documentation_key: SecretStr | None = Field(
        None,
        description=(
            "key of test mode (`dtk_test_…`) that /docs offers to everybody who tries calls; if not"
            " set, that of the demo data where the database is embedded and only this machine can"
            " call"
        ),
    )
    webhook_allow_private: bool | None = Field(
        None,
        description=(
            "webhooks by http, and to addresses that are not public, to try them out; if not set,"
            " where the database is embedded and only this machine can call"
        ),
    )
    drain_seconds: int = Field(20, ge=0, description="calls in flight get this long at the stop")

    @field_validator("secret_key", mode="before")
    @classmethod
    def _decode_secret_key(cls, value: Any) -> Any:
        if value is None or isinstance(value, bytes):
            return value
        try:
            key = base64.b64decode(str(value), validate=True)
        except binascii.Error:
            raise ValueError("is not Base64") from None
        if len(key) != SECRET_KEY_BYTES:
            raise ValueError(f"has {len(key)} bytes, must have {SECRET_KEY_BYTES}")
        return key

    @field_validator("database_url")
    @classmethod
    def _readable_by_libpq(cls, value: str | None) -> str | None:
        return value and postgres_url.normalised(value)

    @field_validator("redis_url")
    @classmethod
    def _known_redis_scheme(cls, value: str | None) -> str | None:
        if value:
            read_redis_url(value)
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_time_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("is not an IANA time zone such as Asia/Hong_Kong") from None
        return value

    @field_validator("channel_peak_hours")
    @classmethod
    def _two_hours(cls, value: str) -> str:
        hours = value.split("-") if value else ["0", "24"]
        if len(hours) != 2 or not all(re.fullmatch(r"\d{1,2}", each) for each in hours):
            raise ValueError("is not from-to in hours such as 9-22")
        if max(map(int, hours)) > 24 or len({*map(int, hours)}) == 1:
            raise ValueError("must have two different hours of 0 to 24")
        return value

    @field_validator("log_level")
    @classmethod
    def _known_log_level(cls, value: str) -> str:
        if value.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return value.upper()

    @field_validator("log_format")
    @classmethod
    def _known_log_format(cls, value: str) -> str:
        if value not in ("auto", "json", "text"):
            raise ValueError("must be auto, json or text")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _readable_networks(cls, value: str | None) -> str | None:
        if value:
            networks(value)
        return value

    @field_validator("trusted_proxy_header")
    @classmethod
    def _known_proxy_header(cls, value: str) -> str:
        if value.lower() not in (X_FORWARDED_FOR, FORWARDED):
            raise ValueError(f"must be {X_FORWARDED_FOR} or {FORWARDED}")
        return value.lower()

    @field_validator("cors_origins")
    @classmethod
    def _readable_origins(cls, value: str | None) -> str | None:
        for origin in _parts(value):
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"names {origin!r}: an origin is https://name or https://name:port, in small"
                    " letters and without a path; * is for all"
                )
        return value

    @field_validator("documentation_key")
    @classmethod
    def _of_test_mode(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith("dtk_test_"):
            raise ValueError("is no key of test mode, and would be shown to everybody")
        return value

    @model_validator(mode="after")
    def _transport_is_safe(self) -> "Settings":
        if (self.tls_certificate is None) != (self.tls_private_key is None):
            raise ValueError("TLS_CERTIFICATE and TLS_PRIVATE_KEY: set both or none")
        if self.tls_client_ca and not self.tls_certificate:
            raise ValueError("TLS_CLIENT_CA: needs TLS_CERTIFICATE and TLS_PRIVATE_KEY too")
        for path in (self.tls_certificate, self.tls_private_key, self.tls_client_ca):
            if path and not path.is_file():
                raise ValueError(f"TLS file {path}: there is none; give an existing PEM file")
        hosts = [host for host, _, _ in self.listeners.values()]
        open_hosts = [host for host in hosts if not is_loopback(host)]
        if open_hosts and not self.tls_certificate and not self.allow_plaintext:
            raise ValueError(
                f"plaintext on {open_hosts[0]}: set TLS_CERTIFICATE and TLS_PRIVATE_KEY,"
                " or ALLOW_PLAINTEXT=true behind a proxy that does TLS"
            )
        if (self.database_url or self.redis_url) and not (self.database_url and self.redis_url):
            raise ValueError("DATABASE_URL and REDIS_URL: set both, or none for embedded ones")
        return self

    @property
    def listeners(self) -> dict[str, tuple[str, int, str]]:
        """By the name of the setting of each port: address, port, and the setting without _HOST
        and _PORT.
        """
        return {
            "grpc_port": (self.grpc_host, self.grpc_port, "DEEPTRAVEL_GRPC"),
            "http_port": (self.http_host, self.http_port, "DEEPTRAVEL_HTTP"),
            "operations_grpc_port": (
                self.operations_grpc_host,
                _beside(self.grpc_port, self.operations_grpc_port),
                "DEEPTRAVEL_OPERATIONS_GRPC",
            ),
            "operations_http_port": (
                self.operations_http_host,
                _beside(self.http_port, self.operations_http_port),
                "DEEPTRAVEL_OPERATIONS_HTTP",
            ),
        }

    @property
    def proxies(self) -> Proxies:
        """The proxies that may say who calls."""
        trusted = networks(self.trusted_proxies) if self.trusted_proxies else ()
        return Proxies(trusted, self.trusted_proxy_header)

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of CORS_ORIGINS, each as browsers write it."""
        return _parts(self.cors_origins)

    @property
    def pipeline_connections(self) -> int:
        """Connections for prepared statements alone: each shared transaction's, and for what is
        read beside.
        """
        return self.redeem_workers + self.order_workers + PIPELINE_CONNECTIONS_BESIDE

    @property
    def channel_peak(self) -> frozenset[int]:
        """The hours of CHANNEL_PEAK_HOURS."""
        if not self.channel_peak_hours:
            return frozenset()
        first, end = map(int, self.channel_peak_hours.split("-"))
        return frozenset(hour % 24 for hour in range(first, end if end > first else end + 24))

    @property
    def zone(self) -> ZoneInfo:
        """The platform's time zone."""
        return ZoneInfo(self.time_zone)


def _beside(public_port: int, given: int | None) -> int:
    """The operations port beside a public one; any free one beside any free one."""
    if given is not None or not public_port:
        return given or 0
    beside = public_port + OPERATIONS_PORTS_ABOVE
    return beside if beside <= MAX_PORT else public_port - OPERATIONS_PORTS_ABOVE


def _parts(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


OF_COMMANDS = frozenset({"ADMIN_SERVER", "ADMIN_TLS_CA", "ADMIN_TOKEN", "TERMINAL_PASSWORD"})
"""Variables with our prefix that commands and the terminal read, and no server."""


def unknown_settings(names: Iterable[str]) -> dict[str, str]:
    """Variables with our prefix that are no setting and have no effect, each with the setting that
    is probably meant.

    `names` are those of the environment; an empty text where no setting is like it.
    """
    prefix = str(Settings.model_config["env_prefix"])
    known = [*sorted(name.upper() for name in Settings.model_fields), *RENAMED]
    found = {}
    for name in sorted(names):
        asked = name.upper()  # as they are read, in any case
        if asked.startswith(prefix) and (rest := asked.removeprefix(prefix)) not in {
            *known,
            *OF_COMMANDS,
        }:
            near = difflib.get_close_matches(rest, known, 1)
            found[name] = f"{prefix}{near[0]}" if near else ""
    return found


def wechat_settings(settings: Settings) -> dict[str, str | None]:
    """The settings about WeChat as a worker process takes them, secrets included."""
    found: dict[str, str | None] = {}
    for name in type(settings).model_fields:
        if name.startswith("wechat_"):
            value = getattr(settings, name)
            plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value
            found[name] = None if plain is None else str(plain)
    return found


def _by_former_names(environment: Mapping[str, str]) -> dict[str, str]:
    """Settings given by their former names alone."""
    prefix = str(Settings.model_config["env_prefix"])
    given = {name.upper(): value for name, value in environment.items() if value}
    return {
        new.lower(): given[prefix + old]
        for old, new in RENAMED.items()
        if prefix + old in given and prefix + new not in given
    }


def load_settings(**overrides: Any) -> Settings:
    """Reads the settings from the environment; `overrides` win. Raises ConfigError with all
    faults at once.
    """
    try:
        return Settings(**_by_former_names(os.environ) | overrides)
    except ValidationError as error:
        lines = []
        for fault in error.errors():
            name = "_".join(str(part) for part in fault["loc"]).upper()
            text = fault["msg"].removeprefix("Value error, ")
            lines.append(f"DEEPTRAVEL_{name} {text}" if name else f"DEEPTRAVEL_{text}")
        raise ConfigError("\n".join(lines)) from None
