"""Our own rules of the house, which no linter brings; `make check` runs them.

Each rule yields the places that break it; there are none.
(docs/architecture.md, "Rules that bite".)
"""

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import cast

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES, FUNCTION_LINES, SERVICER_METHOD_LINES, COLUMNS = 600, 70, 20, 100

PURE = (
    *("rules", "policy", "pricing", "seating", "ids", "refund_rules", "party", "documents"),
    *("clock_rules", "commission", "ledger_rules", "sandbox_rules", "statement_rules"),
)
"""Modules that decide: time is passed in."""
CLOCKS = {
    "datetime.date.today",
    *(f"datetime.datetime.{name}" for name in ("now", "today", "utcnow")),
    *(
        f"time.{name}{unit}"
        for name in ("clock_gettime", "monotonic", "perf_counter", "process_time", "time")
        for unit in ("", "_ns")
    ),
    *(f"time.{name}" for name in ("ctime", "gmtime", "localtime", "strftime")),
    "server.platform.clock.now",
}
COMMITTERS = tuple(f"server/platform/{name}.py" for name in ("connection", "database", "pipeline"))
CLIENT = re.compile(r"client$", re.IGNORECASE)

CHANNEL_LINES = 300
ABORTERS = ("server/api/interceptor.py", "server/api/admission.py")
"""Of calls; admission's are those of gRPC's own services, which no interceptor handles."""

HOLD_PRIVATE_WORDS = ("tools/rules.py", "tests/tools/test_house_rules.py")
"""The list of them, and the examples of its test."""
TEXTS = ("README.md", "docs/**/*.md", "protos/**/*.proto", "findings/*.sh", "tests/e2e/*.json")
"""What people write and read that is not Python."""
PRIVATE = re.compile(
    r"(?<![A-Za-z])(told|lanes?|aside|worked off|linger(?:s|ing)?|patience|patient|cashiers?|desks?"
    r"|furnish(?:es|ed)?|theatre|leaves the house|news of yesterday)(?![A-Za-z])",
    re.IGNORECASE,
)
"""What ARCHITECTURE's table of words has on its right side; docs/glossary.md has what to say."""
FORMER_NAMES = {
    "server/platform/config.py": re.compile(r'    "[A-Z_]+": "[A-Z_]+",$'),
    "docs/operations.md": re.compile(r"\| `DEEPTRAVEL_[A-Z_]+` \| `DEEPTRAVEL_[A-Z_]+` \|$"),
}
"""Rows of `RENAMED`, and of its table: settings that go on working under their former names."""

_WRITES = re.compile(
    r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE(?:\s+TABLE)?|COPY)\s+"
    r"(?:ONLY\s+)?(?:public\.)?\"?([a-z_]{3,})\b"
    r"|\b(?i:insert\s+into|delete\s+from)\s+([a-z_]{3,})\b"
    r"|\b(?i:update)\s+([a-z_]{3,})\s+(?i:set)\b"
)
_COMPUTED = re.compile(r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO)\s+(?:ONLY\s+)?$")
_NO_TABLES = {"set", "skip", "nothing", "of"}
_PRAGMA = re.compile(r"(?:\s+# (?:type: ignore|noqa|fmt: skip)\S*(?: [A-Z]+\d+(?:, )?)*)+$")
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"\w+")
_STATEMENTS = {"Statement"}


@dataclass(frozen=True)
class Source:
    """A Python file of the repository."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All of the tree; most rules look at all of them."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def words(self) -> Counter[str]:
        """How often each word stands in it."""
        return Counter(_WORD.findall(self.text))

    @property
    def room(self) -> str:
        """The folder under server/, or the file there."""
        return self.path.split("/")[1].removesuffix(".py")

    @property
    def is_product(self) -> bool:
        """Whether it is part of the server."""
        return self.path.startswith("server/")

    def at(self, line: int, fault: str) -> str:
        """A place as an editor opens it."""
        return f"{self.path}:{line}: {fault}"


Rule = Callable[[list[Source]], Iterator[str]]
VERSIONS = "migrations/versions"


def sources() -> list[Source]:
    """Every Python file that people write."""
    folders = ("server", "clients", "tools", "tests")
    paths = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [
        Source(str(path.relative_to(ROOT)), path.read_text())
        for path in paths
        if not {"node_modules", "_generated"} & set(path.parts)
    ]


def texts() -> list[Source]:
    """`TEXTS`."""
    return [
        Source(str(path.relative_to(ROOT)), path.read_text())
        for pattern in TEXTS
        for path in sorted(ROOT.glob(pattern))
    ]


def long_files(found: list[Source]) -> Iterator[str]:
    """A file has at most 600 lines."""
    for source in found:
        if (lines := source.text.count("\n")) > FILE_LINES:
            yield source.at(1, f"{lines} lines; split it by noun")


def long_functions(found: list[Source]) -> Iterator[str]:
    """A function has at most 70 lines."""
    for source in found:
        if source.path.startswith("tests/"):
            continue
        for node, lines in _functions(source.nodes):
            if lines > FUNCTION_LINES:
                yield source.at(node.lineno, f"{node.name} has {lines} lines")


def long_channels(found: list[Source]) -> Iterator[str]:
    """The module of an outside channel has at most 300 lines."""
    for source in found:
        lines = source.text.count("\n")
        if source.path.startswith("server/channels/") and lines > CHANNEL_LINES:
            yield source.at(1, f"{lines} lines")


def thick_servicers(found: list[Source]) -> Iterator[str]:
    """A method of a servicer has at most 20 lines."""
    for source in found:
        if not source.path.startswith("server/api/"):
            continue
        for node in source.nodes:
            if not isinstance(node, ast.ClassDef) or "servicer" not in source.path:
                continue
            for method, lines in _functions(ast.walk(node)):
                if lines > SERVICER_METHOD_LINES and method.name != "__init__":
                    yield source.at(method.lineno, f"{method.name} has {lines} lines")


def tables_in_the_api(found: list[Source]) -> Iterator[str]:
    """The api knows no tables: it imports no models and holds no statement."""
    for source in found:
        if not source.path.startswith("server/api/"):
            continue
        for node in source.nodes:
            if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("models"):
                yield source.at(node.lineno, f"imports {node.module}")
        for line, table in _written_tables(source, set()):
            yield source.at(line, f"writes {table}")


def deciding_servicers(found: list[Source]) -> Iterator[str]:
    """A method of a servicer decides nothing: it has no `if` of its own."""
    for source in found:
        if source.path.startswith("server/api/") and "servicer" in source.path:
            for method, _ in _functions(source.nodes):
                if method.name[0].isupper():  # as the contract names them
                    for node in ast.walk(method):
                        if isinstance(node, ast.If | ast.Match):
                            yield source.at(node.lineno, f"{method.name} decides something")


def untyped_servicers(found: list[Source]) -> Iterator[str]:
    """A servicer says no `Any`."""
    for source in found:
        if source.path.startswith("server/api/") and "servicer" in source.path:
            for node in source.nodes:
                if isinstance(node, ast.Name) and node.id == "Any":
                    yield source.at(node.lineno, "Any")


def long_lines(found: list[Source]) -> Iterator[str]:
    """A line has at most 100 columns, in prose too; words for linters at its end do not count."""
    for source in found:
        for number, line in enumerate(source.text.splitlines(), 1):
            if len(shown := _PRAGMA.sub("", line)) > COLUMNS:
                yield source.at(number, f"{len(shown)} columns")


def committers(found: list[Source]) -> Iterator[str]:
    """Transactions begin and end in platform/database.py, over the driver's connection."""
    for source in found:
        if not source.is_product or source.path in COMMITTERS:
            continue
        for node in source.nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                engine = isinstance(node.func.value, ast.Name | ast.Attribute)
                name = node.func.attr
                if name in {"commit", "rollback"} or (
                    name == "begin" and engine and "engine" in ast.unparse(node.func.value)
                ):
                    yield source.at(node.lineno, f"calls {ast.unparse(node.func)}")


def aborters(found: list[Source]) -> Iterator[str]:
    """Errors become statuses in one place."""
    for source in found:
        if not source.is_product or source.path in ABORTERS:
            continue
        for node in source.nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = ast.unparse(node.func.value)
                if node.func.attr in {"abort", "abort_with_status", "set_code"} and (
                    "context" in owner
                ):
                    yield source.at(node.lineno, f"calls {owner}.{node.func.attr}")


def statements_twice(found: list[Source]) -> Iterator[str]:
    """A statement is written once."""
    places: dict[str, list[str]] = defaultdict(list)
    for source in found:
        if not source.is_product:
            continue
        for node in source.nodes:
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func).split("[")[0] in _STATEMENTS
                and node.args
            ):
                sql = _SPACE.sub(" ", ast.unparse(node.args[0]).replace("\\n", " ")).strip()
                places[sql].append(f"{source.path}:{node.lineno}")
    for where in places.values():
        if len(where) > 1:
            yield f"one statement stands at {', '.join(where)}"


def idle_rules(found: list[Source]) -> Iterator[str]:
    """What a module of rules offers, the product calls, not only a test."""
    product = [source for source in found if source.is_product]
    for source in product:
        if Path(source.path).stem not in PURE:
            continue
        for node in source.tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                inside = source.words[node.name] > 1
                if not inside and not any(
                    node.name in other.words for other in product if other is not source
                ):
                    yield source.at(node.lineno, f"nobody in the server calls {node.name}")


def private_words(found: list[Source]) -> Iterator[str]:
    """Names, comments and texts use the field's words, tests and documents as well."""
    for source in (*found, *texts()):
        if source.path in HOLD_PRIVATE_WORDS:
            continue
        if match := PRIVATE.search(source.path):
            yield source.at(1, f"{match[0]!r} in its name is no word of the field")
        if not PRIVATE.search(source.text):  # as most: their lines need not be looked at
            continue
        former = FORMER_NAMES.get(source.path)
        for number, line in enumerate(source.text.splitlines(), 1):
            if (match := PRIVATE.search(line)) and not (former and former.match(line)):
                yield source.at(number, f"{match[0]!r} is no word of the field")


def clocks_in_rules(found: list[Source]) -> Iterator[str]:
    """A rule takes the time as an argument; it looks at no clock."""
    for source in found:
        if source.is_product and Path(source.path).stem in PURE:
            origins = _origins(source)
            for node in source.nodes:
                if isinstance(node, ast.Attribute | ast.Name):
                    name = _resolved(node, origins)
                    if name in CLOCKS:
                        yield source.at(node.lineno, f"looks at {name}")


def clients_in_transactions(found: list[Source]) -> Iterator[str]:
    """Nobody outside is called while a transaction is open."""
    for source in found:
        if not source.is_product:
            continue
        for node in source.nodes:
            if isinstance(node, ast.AsyncFunctionDef):
                arguments = {a.arg for a in (*node.args.args, *node.args.kwonlyargs)}
                inside = node.body if "tx" in arguments else []
            elif isinstance(node, ast.AsyncWith) and any(
                "transaction(" in ast.unparse(item.context_expr) for item in node.items
            ):
                inside = node.body
            else:
                continue
            for call in (n for part in inside for n in ast.walk(part) if isinstance(n, ast.Await)):
                if isinstance(call.value, ast.Call) and isinstance(call.value.func, ast.Attribute):
                    owner = ast.unparse(call.value.func.value)
                    if CLIENT.search(owner):
                        yield source.at(call.lineno, f"awaits {owner}.{call.value.func.attr}")


def tables_of_two_rooms(found: list[Source]) -> Iterator[str]:
    """A table is written in one room."""
    product = [source for source in found if source.is_product]
    tables = {table for source in product for table in _defined_tables(source)}
    writers: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for source in product:
        for line, table in _written_tables(source, tables):
            writers[table][source.room].append(f"{source.path}:{line}")
    for source in product:
        for line in _computed_tables(source):
            yield source.at(line, "writes a table whose name stands elsewhere")
    for table, rooms in sorted(writers.items()):
        if len(rooms) > 1:
            places = ", ".join(place for room in sorted(rooms) for place in rooms[room][:1])
            yield f"{table} is written in {', '.join(sorted(rooms))}: {places}"


def class_names(found: list[Source]) -> Iterator[str]:
    """A public class name means one thing in the server."""
    places: dict[str, list[str]] = defaultdict(list)
    for source in found:
        if source.is_product:
            for node in source.tree.body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(f"{source.path}:{node.lineno}")
    for name, where in sorted(places.items()):
        if len(where) > 1:
            yield f"{name} is {len(where)} classes: {', '.join(where)}"


def circles(found: list[Source]) -> Iterator[str]:
    """The modules of a room import each other in one direction, and tables import no use case."""
    product = {_module(source): source for source in found if source.is_product}
    imports = {
        name: {m for m in _imports(source, product) if product[m].room == source.room}
        for name, source in product.items()
    }
    for name, source in product.items():
        if name in _reached(name, imports):
            yield source.at(1, "imports itself through others of its room")
        if name.endswith("models"):
            for other in imports[name]:
                if not other.endswith("models"):
                    yield source.at(1, f"is a table's module and imports {other}")


def lock_timeouts(_: list[Source]) -> Iterator[str]:
    """Every migration waits for locks only so long; the template of new ones says so."""
    template = ROOT / "migrations" / "script.py.mako"
    if "lock_timeout" not in template.read_text():
        yield "migrations/script.py.mako: no lock_timeout"
    for path in sorted((ROOT / VERSIONS).glob("*.py")):
        text = path.read_text()
        if "ALTER TABLE" in text.upper() and "lock_timeout" not in text:
            yield f"{path.relative_to(ROOT)}: alters tables without a lock_timeout"


def numbered_migrations(found: list[Source]) -> Iterator[str]:
    """Each migration has a number of its own: two branches may both have taken the next one."""
    there = {str(path.relative_to(ROOT)) for path in (ROOT / VERSIONS).glob("*.py")}
    by_number: dict[str, list[str]] = {}
    for path in sorted(there | {each.path for each in found if each.path.startswith(VERSIONS)}):
        by_number.setdefault(Path(path).name.partition("_")[0], []).append(path)
    for number, paths in by_number.items():
        if len(paths) > 1:
            yield f"{', '.join(paths)}: several migrations are {number}"


def _functions(
    nodes: Iterable[ast.AST],
) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, (node.end_lineno or node.lineno) - node.lineno + 1


def _module(source: Source) -> str:
    return source.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _imports(source: Source, product: dict[str, Source]) -> Iterator[str]:
    for node in source.nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                module = f"{node.module}.{name.name}"
                if (found := module if module in product else node.module) in product:
                    yield found


def _reached(start: str, imports: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    ahead = list(imports[start])
    while ahead:
        if (name := ahead.pop()) not in reached:
            reached.add(name)
            ahead += imports[name]
    return reached


def _defined_tables(source: Source) -> Iterator[str]:
    for node in source.tree.body:
        value = getattr(node, "value", None)
        if (
            isinstance(value, ast.Call)
            and ast.unparse(value.func) == "Table"
            and isinstance(value.args[0], ast.Constant)
        ):
            yield str(value.args[0].value)


def _origins(source: Source) -> dict[str, str]:
    """What imported names, and plain other names of them, stand for: `dt` for
    `datetime.datetime`.
    """
    origins: dict[str, str] = {}
    for node in source.nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                origins[name.asname or name.name] = f"{node.module}.{name.name}"
        elif isinstance(node, ast.Import):
            for name in node.names:
                origins[name.asname or name.name.split(".")[0]] = (
                    name.name if name.asname else name.name.split(".")[0]
                )
    for node in source.nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Attribute):
            value = _resolved(node.value, origins)
            for target in node.targets:
                if isinstance(target, ast.Name) and value != ast.unparse(node.value):
                    origins.setdefault(target.id, value)
    return origins


def _resolved(node: ast.expr, origins: dict[str, str]) -> str:
    """A dotted name, from the module on that it was imported of."""
    first, dot, rest = ast.unparse(node).partition(".")
    return origins.get(first, first) + dot + rest


def _computed_tables(source: Source) -> Iterator[int]:
    """Lines of f-strings that write a table which the text does not name."""
    for node in source.nodes:
        if isinstance(node, ast.JoinedStr):
            for part, following in pairwise(node.values):
                if (
                    isinstance(part, ast.Constant)
                    and isinstance(following, ast.FormattedValue)
                    and _COMPUTED.search(str(part.value))
                ):
                    yield node.lineno


def _written_tables(source: Source, tables: set[str]) -> Iterator[tuple[int, str]]:
    """Lines and tables of what writes them: in text, by SQLAlchemy's calls under any name, and of
    `Records`, which `server/audit/records.py` writes for the room that makes them.
    """
    origins = _origins(source)
    own = set(_defined_tables(source))

    def table_of(node: ast.expr) -> str | None:
        name = _resolved(node, origins)
        module, _, last = name.rpartition(".")
        if module.endswith("models") or (not module and last in own):
            return last
        return None

    for node in source.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for match in _WRITES.finditer(node.value):
                table = match[1] or match[2] or match[3]
                if table not in _NO_TABLES and (not tables or table in tables):
                    yield node.lineno, table
        elif isinstance(node, ast.Call):
            for written in _written_by(node, origins):
                if table := table_of(written):
                    yield node.lineno, table


def _written_by(call: ast.Call, origins: dict[str, str]) -> Iterator[ast.expr]:
    """What a call writes, if it is `insert(x)`, `x.insert()` or `Records(…, x.c.key, …)`."""
    module, _, verb = _resolved(call.func, origins).rpartition(".")
    if verb in {"insert", "update", "delete"}:
        if call.args and (not module or module.startswith("sqlalchemy")):
            yield call.args[0]
        elif isinstance(call.func, ast.Attribute):
            yield call.func.value
    elif verb == "Records":
        for argument in (*call.args, *(keyword.value for keyword in call.keywords)):
            if isinstance(argument, ast.Attribute) and ast.unparse(argument.value).endswith(".c"):
                yield cast("ast.Attribute", argument.value).value


RULES: dict[str, Rule] = {
    "600 lines a file": long_files,
    "70 lines a function": long_functions,
    "20 lines a method of a servicer": thick_servicers,
    "300 lines a channel": long_channels,
    "no decisions in a servicer": deciding_servicers,
    "no tables in the api": tables_in_the_api,
    "no Any in a servicer": untyped_servicers,
    "100 columns": long_lines,
    "the field's words": private_words,
    "one committer": committers,
    "one place aborts": aborters,
    "a statement is written once": statements_twice,
    "rules are the product's": idle_rules,
    "no clock in rules": clocks_in_rules,
    "no client call inside a transaction": clients_in_transactions,
    "a table is written in one room": tables_of_two_rooms,
    "a class name means one thing": class_names,
    "no circles in a room": circles,
    "a lock timeout in migrations": lock_timeouts,
    "one migration a number": numbered_migrations,
}


def print_writers(wanted: list[str]) -> None:
    """Prints of each table which files write it; of these, or of all."""
    product = [source for source in sources() if source.is_product]
    tables = {table for source in product for table in _defined_tables(source)}
    writers: dict[str, set[str]] = {table: set() for table in sorted(tables)}
    for source in product:
        for _, table in _written_tables(source, tables):
            writers[table].add(source.path)
    for table in wanted or writers:
        print(f"{table}: {', '.join(sorted(writers.get(table, ())))}")


def main() -> int:
    """Prints the places that break a rule; 1 if there are any. `--tables` prints who writes which
    table instead.
    """
    if "--tables" in sys.argv:
        print_writers(sys.argv[sys.argv.index("--tables") + 1 :])
        return 0
    found, failed = sources(), False
    for name, rule in RULES.items():
        if faults := list(rule(found)):
            failed = True
            print(f"{name}: {len(faults)} places", *faults[-20:], sep="\n  ")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
