"""The README says what the code says."""

import re
from pathlib import Path

from server.platform.config import Settings

README = (Path(__file__).parents[2] / "README.md").read_text()


def settings_table() -> str:
    """Every setting as a row of the README's table."""
    rows = ["| `DEEPTRAVEL_…` | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "–" if field.default is None else str(field.default).lower()
        if not isinstance(field.default, bool):
            default = "–" if field.default is None else str(field.default)
        rows.append(f"| `{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def test_every_setting_is_in_the_table() -> None:
    (table,) = re.findall("<!-- settings -->\n(.*?)\n<!-- /settings -->", README, re.DOTALL)
    assert table == settings_table(), f"put this into README.md:\n{settings_table()}"


def test_every_path_it_names_exists() -> None:
    root = Path(__file__).parents[2]
    named = re.findall(r"`((?:server|protos|tests|tools|migrations|generated)/[\w./-]*)`", README)
    assert named
    assert [path for path in named if not (root / path).exists()] == []
