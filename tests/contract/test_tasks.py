"""Every room's tasks and jobs are joined by app.py, and named by the guide."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
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
    rooms = sorted((ROOT / "server").glob("*/tasks.py"))
    assert rooms
    for path in rooms:
        listed = {
            node.name
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.FunctionDef) and node.name in ("kinds", "jobs")
        }
        assert listed, f"{path} lists nothing"
        module = names.get(f"server.{path.parent.name}.tasks")
        assert {f"{module}.{name}" for name in listed} <= joined, f"app.py does not join {path}"


def test_the_guide_names_every_room_with_tasks() -> None:
    named = set(re.findall(PLACES, (ROOT / "docs/guides/adding-a-task.md").read_text()))
    rooms = {str(path.relative_to(ROOT)) for path in (ROOT / "server").glob("*/tasks.py")}
    assert rooms <= named
