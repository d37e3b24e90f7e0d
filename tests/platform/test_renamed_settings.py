"""Settings that have another name now are read by their former one too."""

import re
from pathlib import Path

import pytest

from server.platform.config import RENAMED, ConfigError, Settings, load_settings, unknown_settings

ROOT = Path(__file__).parents[2]
FORMER = sorted(RENAMED.items())


@pytest.mark.parametrize(("former", "now"), FORMER)
def test_a_former_name_is_read(former: str, now: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In small letters too, as any variable is."""
    for variable in (f"DEEPTRAVEL_{former}", f"deeptravel_{former}".lower()):
        with monkeypatch.context() as environment:
            environment.setenv(variable, "7" if "WORKERS" in now else "777")
            found = getattr(load_settings(), now.lower())
        assert found in (7, 777)
        assert found != Settings.model_fields[now.lower()].default


@pytest.mark.parametrize(("former", "now"), FORMER)
def test_the_new_name_wins(former: str, now: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also over an empty former one; an override wins over both."""
    monkeypatch.setenv(f"DEEPTRAVEL_{former}", "5000" if "MS" in former else "5")
    monkeypatch.setenv(f"DEEPTRAVEL_{now}", "60" if "MS" in former else "6")
    assert getattr(load_settings(), now.lower()) in (6, 60)
    assert getattr(
        load_settings(**{now.lower(): 8 if "MS" not in former else 80}), now.lower()
    ) in (
        8,
        80,
    )
    monkeypatch.setenv(f"DEEPTRAVEL_{former}", "")
    monkeypatch.delenv(f"DEEPTRAVEL_{now}")
    assert getattr(load_settings(), now.lower()) == Settings.model_fields[now.lower()].default


def test_a_wrong_value_by_a_former_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name that the setting has."""
    (former,) = (former for former, now in FORMER if now == "REDEEM_WORKERS")
    monkeypatch.setenv(f"DEEPTRAVEL_{former}", "many")
    with pytest.raises(ConfigError, match="DEEPTRAVEL_REDEEM_WORKERS"):
        load_settings()


def test_former_names_have_an_effect_and_are_listed_for_operators() -> None:
    """They are no typing errors, and no settings of their own."""
    assert unknown_settings(f"DEEPTRAVEL_{former}" for former in RENAMED) == {}
    listed = (ROOT / "docs" / "operations.md").read_text().split("## Renamed settings")[1]
    rows = re.findall(r"\| `DEEPTRAVEL_(\w+)` \| `DEEPTRAVEL_(\w+)` \|", listed.split("\n## ")[0])
    assert {former: now for now, former in rows} == RENAMED
    assert not {former.lower() for former in RENAMED} & set(Settings.model_fields)


def test_what_commands_read_is_not_said_to_be_without_effect() -> None:
    """Seen red: a shell from which the server is administered, too, got a warning."""
    assert unknown_settings(["DEEPTRAVEL_ADMIN_SERVER", "DEEPTRAVEL_ADMIN_TOKEN"]) == {}
