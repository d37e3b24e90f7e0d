"""README and docs say what the code says."""

import re
from pathlib import Path

import pytest

from tools.settings_table import CONFIGURATION, documented, table

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = "server|protos|tests|tools|migrations|generated|clients|findings|docs"
README_LINES = 150
"""So much does somebody read who looks at the project for the first time."""


def ids(path: Path) -> str:
    return path.name


def test_every_setting_is_in_the_table() -> None:
    assert documented(CONFIGURATION.read_text()) == table(), "make generate writes it"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_path_it_names_exists(page: Path) -> None:
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "guides").iterdir()), ids=ids)
def test_every_function_a_guide_calls_exists(page: Path) -> None:
    calls = {
        name
        for code in re.findall(r"`([^`]+)`", page.read_text())
        for name in re.findall(r"\b(\w+)\(", code)
    }
    sources = [path.read_text() for path in (ROOT / "server").rglob("*.py")]
    defined = re.compile(r"^ *(?:async )?(?:def|class) (\w+)", re.MULTILINE)
    assert calls - {name for source in sources for name in defined.findall(source)} == set()


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_page_it_links_to_exists(page: Path) -> None:
    linked = re.findall(r"\]\((?!https?:|/)([^)#]+)\)", page.read_text())
    assert [path for path in linked if not (page.parent / path).exists()] == []


def test_the_readme_is_short() -> None:
    assert len(PAGES[0].read_text().splitlines()) <= README_LINES


def test_the_requests_paths_are_the_servers() -> None:
    """Each file of the three paths imports, or is called by, one that stands before it."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    for title in ("## One request: Redeem", "## Another: CreateOrder", "## A payment notice"):
        section = text.split(title)[1].split("\n## ")[0]
        steps = re.findall(r"^\d\. `(server/[\w/]+\.py)`", section, re.MULTILINE)
        assert 5 <= len(steps) == len(set(steps)) <= 7
        sources = [(ROOT / step).read_text() for step in steps]
        for number, step in enumerate(steps[2:], 2):
            name = Path(step).stem
            assert any(
                re.search(rf"\bimport\b.*\b{name}\b|\.{name} import", s, re.MULTILINE)
                or re.search(rf"^    {name},$", s, re.MULTILINE)
                for s in sources[:number]
            ), step
