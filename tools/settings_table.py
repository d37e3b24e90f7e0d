"""Write the table of settings into docs/configuration.md; with `--check`, only compare it."""

import re
import sys
from pathlib import Path

from server.platform.config import Settings

CONFIGURATION = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
BEGIN, END = "<!-- settings -->\n", "\n<!-- /settings -->"


def table() -> str:
    """Every setting as a row."""
    rows = ["| `DEEPTRAVEL_…` | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "–" if field.default is None else str(field.default)
        if isinstance(field.default, bool):
            default = default.lower()
        rows.append(f"| `{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def documented(text: str) -> str:
    """The table that stands in `text`."""
    return text.split(BEGIN)[1].split(END, maxsplit=1)[0]


def main() -> int:
    """Writes, or compares: 1 if they differ."""
    text = CONFIGURATION.read_text()
    if "--check" in sys.argv:
        return int(documented(text) != table())
    CONFIGURATION.write_text(
        re.sub(f"{BEGIN}.*{END}", lambda _: BEGIN + table() + END, text, flags=re.DOTALL)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
