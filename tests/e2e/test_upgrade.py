"""Data in every state outlives a server that is killed, and another of the same release goes on."""

from pathlib import Path

from tests.e2e import upgrade
from tests.support.data_folders import copied

ROOT = Path(__file__).resolve().parents[2]


def test_everything_is_served_after_a_kill(begun_folder: Path, tmp_path: Path) -> None:
    upgrade.main(ROOT, copied(begun_folder, tmp_path / "data"))
