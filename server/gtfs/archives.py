"""A feed as a zip archive or a folder: read within bounds, written with the same bytes for the
same content.

Names are only compared with those of GTFS, never used as a path: what lies outside is not reached.
"""

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from server.platform.errors import DomainError, invalid

MOST_FILES = 100
MOST_BYTES = 256 << 20
"""Of all files together, unpacked."""
MOST_RATIO = 200
"""A file is not packed tighter than so; lines of a timetable come to about 20."""
RATIO_COUNTS_FROM = 1 << 20
_NAME = re.compile(r"[a-z_]{1,40}\.(txt|geojson)")
_CHUNK = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)


def read_archive(content: bytes) -> dict[str, bytes]:
    """The files of a zip archive, also if all of them stand in one folder of it. Raises
    INVALID_FIELD.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _members(archive)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, OSError) as error:
        raise _refused(f"cannot be unpacked: {error}") from None
    except Exception as error:  # zlib and lzma have errors of their own for damaged bytes
        if isinstance(error, DomainError):
            raise
        raise _refused(f"is damaged: {error}") from None


def _members(archive: zipfile.ZipFile) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MOST_FILES:
        raise _refused(f"has {len(infos)} files; a feed has at most {MOST_FILES}")
    named = {
        info: PurePosixPath(info.filename).name
        for info in infos
        if not info.filename.startswith("__MACOSX/")
    }
    left = MOST_BYTES
    for info, name in named.items():
        if not _NAME.fullmatch(name):
            continue
        if name in files:
            raise _refused(f"has {name} twice; send one feed")
        parts: list[bytes] = []
        size = 0
        with archive.open(info) as file:
            while part := file.read(_CHUNK):
                size, left = size + len(part), left - len(part)
                if left < 0:
                    raise _refused(f"unpacks to more than {MOST_BYTES} bytes")
                if size > RATIO_COUNTS_FROM and size > MOST_RATIO * max(1, info.compress_size):
                    raise _refused(f"{name} is packed tighter than any timetable")
                parts.append(part)
        files[name] = b"".join(parts)
    return _with_files(files)


def read_path(path: Path) -> dict[str, bytes]:
    """The files of an archive or a folder on this machine. Raises INVALID_FIELD, OSError."""
    if not path.is_dir():
        if path.stat().st_size > MOST_BYTES:
            raise _refused(f"is greater than {MOST_BYTES} bytes")
        return read_archive(path.read_bytes())
    files: dict[str, bytes] = {}
    left = MOST_BYTES
    for file in sorted(path.iterdir()):
        if _NAME.fullmatch(file.name) and file.is_file():
            left -= file.stat().st_size
            if left < 0:
                raise _refused(f"has more than {MOST_BYTES} bytes")
            files[file.name] = file.read_bytes()
    return _with_files(files)


def write_archive(files: Mapping[str, bytes]) -> bytes:
    """A zip archive with the same bytes for the same content: no times, names in order."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3  # else it says on what kind of machine it was made
            info.external_attr = 0o644 << 16
            archive.writestr(info, files[name])
    return made.getvalue()


def _with_files(files: dict[str, bytes]) -> dict[str, bytes]:
    if not files:
        raise _refused("has no file of a feed, as stop_times.txt")
    return files


def _refused(what: str) -> DomainError:
    return invalid("archive", f"{what}; send a GTFS feed as a zip archive")
