"""Every room's tasks and jobs are joined by app.py and domain.py, and named by the guide."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = sorted((ROOT / "server").glob("*/tasks.py"))
PLACES = r"`(server/\w+/tasks\.py)`"


def calls(tree: ast.AST) -> set[str]:
    """The functions of modules that are called, as module.function."""
    return {
        f"{node.func.value.id}.{node.func.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
    }


def lists(path: Path) -> set[str]:
    """Which lists a room's tasks.py has: `kinds` of tasks, `jobs`."""
    return {
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name in ("kinds", "jobs")
    }


def test_app_joins_the_lists_of_every_room() -> None:
    """app.py the jobs, domain.py the kinds of tasks. Seen red without the line of identity's jobs
    in app.py.
    """
    files = [ast.parse((ROOT / f"server/{name}.py").read_text()) for name in ("app", "domain")]
    app = ast.Module([node for file in files for node in file.body], [])
    names = {
        f"{node.module}.{alias.name}": alias.asname or alias.name
        for node in ast.walk(app)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    joined = calls(app)
    assert ROOMS
    for path in ROOMS:
        assert lists(path), f"{path} lists nothing"
        module = names.get(f"server.{path.parent.name}.tasks")
        assert {f"{module}.{name}" for name in lists(path)} <= joined, f"nothing joins {path}"


@pytest.mark.parametrize(("title", "name"), [("tasks", "kinds"), ("jobs", "jobs")])
def test_the_guide_names_the_rooms_with_tasks_and_with_jobs(title: str, name: str) -> None:
    """And no others. Seen red while it had audit and reports among the rooms with tasks."""
    guide = (ROOT / "docs/guides/adding-a-task.md").read_text()
    named = re.findall(PLACES, guide.split(f"Rooms with {title}:")[1].split("\n\n")[0])
    assert named == [str(path.relative_to(ROOT)) for path in ROOMS if name in lists(path)]
