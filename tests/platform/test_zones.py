"""Time zones are those of the locked package, whatever the machine has."""

import importlib.metadata
import os
import subprocess
import sys
import zoneinfo
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import tzdata

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("zone", "january", "july"),
    [
        ("America/Vancouver", -7, -7),
        ("America/Edmonton", -6, -6),
        ("America/Winnipeg", -5, -5),
        ("Asia/Hong_Kong", 8, 8),
        ("Europe/London", 0, 1),
    ],
)
def test_clocks_of_2027(zone: str, january: int, july: int) -> None:
    """By tzdata 2026f; the first three no longer change their clocks. Seen red with a system's
    tables of 2025b.
    """
    for month, hours in ((1, january), (7, july)):
        noon = datetime(2027, month, 15, 12, tzinfo=ZoneInfo(zone))
        assert noon.utcoffset() == timedelta(hours=hours)
        assert noon.astimezone(UTC).hour == 12 - hours


def test_the_package_is_the_one_that_was_locked() -> None:
    (line,) = [
        line
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if line.startswith("tzdata==")
    ]
    assert ";" not in line, "on every platform"
    assert line.split()[0] == f"tzdata=={importlib.metadata.version('tzdata')}"
    assert tzdata.IANA_VERSION >= "2026f"


@pytest.mark.parametrize("module", ["server.__main__", "server.platform.config", "server.app"])
def test_every_process_uses_it(module: str, tmp_path: Path) -> None:
    """Whichever part is loaded first, and where the machine's own tables say otherwise. Seen red
    with those.
    """
    (tmp_path / "Asia").mkdir()
    wrong = Path(str(tzdata.__file__)).parent / "zoneinfo" / "Asia" / "Tokyo"
    (tmp_path / "Asia" / "Hong_Kong").write_bytes(wrong.read_bytes())
    code = (
        f"import {module}, zoneinfo, datetime;print(zoneinfo.TZPATH, datetime.datetime(2027, 1, 1,"
        " tzinfo=zoneinfo.ZoneInfo('Asia/Hong_Kong')).tzname())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONTZPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "() HKT\n"


def test_all_zones_that_may_be_named_are_there() -> None:
    """What a venue or city may be in (server.audit.rules) can be loaded."""
    names = zoneinfo.available_timezones()
    assert len(names) > 590
    for name in names:
        ZoneInfo(name)
