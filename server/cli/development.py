"""What is started beside the server, out of `tools.dev`, for those who try it without services of
their own.

The server itself takes URLs and a merchant's settings. By URLs nothing of tools/dev is loaded, but
for demo data that are asked for; an import contract keeps every other module of the server from
importing it.
"""

import contextlib
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from pydantic import SecretStr

from server.operations import data_folder
from server.operations.places import Places
from server.platform.config import Settings, load_settings, wechat_settings
from server.platform.errors import StartError
from server.platform.proxies import is_loopback

if TYPE_CHECKING:
    from server.platform.database import Database
    from tools.dev.demo_data import DemoCredentials
    from tools.dev.simulators import WechatSimulator

__all__ = ["DemoCredentials"]

REAL_MERCHANT = "set the DEEPTRAVEL_WECHAT_… settings of your merchant"
SIMULATED_MERCHANT = (
    "or simulate WeChat: `python -m tools.dev.wechat_simulator serve`, then start this server"
    " again after"
    ' `eval "$(python -m tools.dev.wechat_simulator settings)"`'
)

log = structlog.get_logger()


def tied_to_us() -> list[str]:
    """The beginning of a command that the kernel ends with this process; for its main thread."""
    from tools.dev.embedded import become

    launch = [sys.executable, "-I", "-S", become.__file__]
    return [*launch, str(os.geteuid()), str(os.getegid()), "0", "1"]


@contextlib.contextmanager
def open_channels(folder: Path, *, wanted: bool) -> Iterator[None]:
    """The simulator of outside channels, if it is wanted, run until the end of the block; its keys
    and books are in the folder.
    """
    if not wanted:
        yield
        return
    command = [*tied_to_us(), sys.executable, "-m", "tools.dev.channel_simulator"]
    process = subprocess.Popen(
        [*command, "--folder", str(folder)], stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def client_folder() -> Path:
    """Where the Python client is: in the wheel beside the rest, else in the repository."""
    from tools import dev

    here = Path(dev.__path__[0])
    installed = here / "client"
    return installed if installed.is_dir() else here.parents[1] / "clients" / "python"


def load() -> None:
    """Loads what a start with the demo data needs, while the database starts."""
    importlib.import_module("tools.dev.demo_data")


@contextlib.contextmanager
def open_places(
    settings: Settings, *, attach: bool = False, when_ours: Callable[[], None] | None = None
) -> Iterator[Places]:
    """The database and Redis of the settings; else embedded ones, run until the end of the block.

    `when_ours` is called as soon as the data folder is this process's, before the services are up.

    With `attach`, those of a server that runs over the same data folder are used. Raises
    StartError.
    """
    if settings.database_url and settings.redis_url:
        yield Places(settings.database_url, settings.redis_url)
        return
    from tools.dev.embedded.services import EmbeddedServices, FolderInUseError

    try:
        services = EmbeddedServices.start(settings.data_dir, when_ours=when_ours)
    except FolderInUseError as error:
        running = data_folder.read_running(settings) if attach else {}
        if running.get("pid") != error.pid:
            raise
        yield Places(running["database_url"], running["redis_url"], embedded=True)
        return
    try:
        found = Places(
            services.database_url, services.redis_url, embedded=True, children=services.children
        )
        data_folder.write_running(settings, found)
        yield found
    finally:
        (settings.data_dir / data_folder.RUNNING_FILE).unlink(missing_ok=True)
        services.stop()


def open_wechat(settings: Settings) -> "AbstractContextManager[WechatSimulator | None]":
    """A simulator to be started, ended with the block, if everything else runs embedded and no
    merchant is given.
    """
    if settings.wechat_merchant_id or settings.database_url:
        return contextlib.nullcontext()
    from tools.dev import simulators

    return simulators.open_wechat(settings)


def with_merchant(settings: Settings, simulator: "WechatSimulator | None") -> Settings:
    """The settings with the simulator's merchant, if there is one. Raises StartError."""
    if simulator is None:
        return settings
    checked = load_settings(**simulator.merchant())
    fresh = {name: getattr(checked, name) for name in wechat_settings(settings)}
    return settings.model_copy(update=fresh)


def with_webhooks_to_this_machine(settings: Settings, found: Places) -> Settings:
    """The settings that let an integrator send webhooks to a program of his own: where nothing is
    said about it, the database is embedded, and nobody else can call this server and make it call
    its own network.
    """
    if settings.webhook_allow_private is not None:
        return settings
    return settings.model_copy(update={"webhook_allow_private": _is_alone(settings, found)})


def with_documentation_key(
    settings: Settings, found: Places, credentials: "DemoCredentials | None"
) -> Settings:
    """The settings that offer the demo's sandbox key to those who read the documentation: where
    nothing is said about it and nobody else can call this server.
    """
    if settings.documentation_key is not None or credentials is None:
        return settings
    if not (credentials.partner_test_api_key and _is_alone(settings, found)):
        return settings
    key = SecretStr(credentials.partner_test_api_key)
    return settings.model_copy(update={"documentation_key": key})


def _is_alone(settings: Settings, found: Places) -> bool:
    """Whether all that is called here was started with this server, for this machine alone."""
    hosts = (settings.grpc_host, settings.http_host)
    return found.embedded and all(is_loopback(host) for host in hosts)


def with_simulator(found: Places, simulator: "WechatSimulator | None") -> Places:
    """The places, with the simulator, if there is one, among the children that are kept."""
    if simulator is None:
        return found
    return replace(found, children=[*found.children, *simulator.children])


def warn_if_nobody_can_pay(settings: Settings) -> None:
    """Says in the log, and how to mend it, that there is no WeChat merchant, neither a real nor a
    simulated one.
    """
    if settings.wechat_merchant_id is None:
        remedy = f"{REAL_MERCHANT}, {SIMULATED_MERCHANT}"
        log.warning("wechat.missing", effect="travellers can neither log in nor pay", remedy=remedy)


async def load_demo_data(db: "Database", settings: Settings) -> Path:
    """Loads what is missing of the demo data; the file with their credentials. Raises DomainError
    REVOKED.
    """
    from tools.dev import demo_data

    path = credentials_file(settings)
    await demo_data.load(db, path)
    return path


async def load_demo_data_once(
    db: "Database", settings: Settings, *, embedded: bool
) -> "DemoCredentials | None":
    """Loads the demo data into an empty database, if they are wanted there.

    Returns their credentials if they are known here; new ones are in the file after
    `publish_credentials`. Raises
    StartError if the folder cannot be written.
    """
    if not (embedded or settings.demo_data):
        return None
    from tools.dev import demo_data

    try:
        # The embedded database lies beside the file, so a lost one is replaced; elsewhere another
        # server may have it.
        return await demo_data.load_once(db, credentials_file(settings), replace_lost=embedded)
    except OSError as error:
        raise StartError(
            f"{settings.data_dir} cannot be written ({error.strerror}): set DEEPTRAVEL_DATA_DIR to"
            " another folder"
        ) from error


def publish_credentials(settings: Settings) -> None:
    """Puts new credentials into the file: when the server answers, and not before."""
    from tools.dev import demo_data

    demo_data.publish(credentials_file(settings))


def credentials_file(settings: Settings) -> Path:
    """Where the demo credentials are, if there are any."""
    return settings.data_dir / data_folder.DEMO_CREDENTIALS_FILE
