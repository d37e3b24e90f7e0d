"""Every check of the repository but the tests, each on its own line, failures with their output.

Types take as long as three times all others, which are therefore made beside them, one by one.
"""

import io
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
BIN = Path(sys.executable).parent

Outcome = tuple[bool, str]


CLIENTS = [ROOT / "clients" / name for name in ("python", "terminal")]


def _run(*command: str | Path, folder: Path = ROOT) -> Outcome:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def _run_in_all(*command: str | Path) -> Outcome:
    """In the repository and in the Python client, whose package has the name that the generated
    code has in the repository, and in the terminal, which is on top of that; each has settings of
    its own.
    """
    outcomes = [_run(*command, folder=folder) for folder in (ROOT, *CLIENTS)]
    return all(ok for ok, _ in outcomes), "".join(output for _, output in outcomes)


def _git(*arguments: str) -> str | None:
    try:
        ok, out = _run("git", *arguments)
    except FileNotFoundError:
        return None
    return out.strip() if ok else None


def _copy_google_protos(target: Path) -> None:
    """Buf works offline: the imported google protos come out of the installed wheel."""
    source = Path(str(distribution("googleapis-common-protos").locate_file("google")))
    for proto in (*source.glob("api/*.proto"), *source.glob("rpc/*.proto")):
        destination = target / "google" / proto.relative_to(source)
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(proto, destination)


def _lint_contract() -> Outcome:
    _copy_google_protos(BUILD / "googleapis")
    return _run(BIN / "buf", "lint")


def _breaking_base() -> str | None:
    """The commit to compare with: where we left main, or on main itself the one before."""
    head = _git("rev-parse", "HEAD")
    for branch in ("origin/main", "main"):
        base = _git("merge-base", "HEAD", branch)
        if base and base != head:
            return base
    if _git("status", "--porcelain", "--", "protos"):
        return head
    return _git("rev-parse", "--verify", "--quiet", "HEAD~1")


def _breaking_contract() -> Outcome:
    base = _breaking_base()
    if not base or not _git("ls-tree", base, "buf.yaml", "--", "protos"):
        return True, "nothing earlier to compare with"
    before = BUILD / "before"
    shutil.rmtree(before, ignore_errors=True)
    archive = subprocess.run(
        ["git", "archive", base, "protos", "buf.yaml"], cwd=ROOT, capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(before, filter="data")
    _copy_google_protos(BUILD / "googleapis")
    _copy_google_protos(before / "build" / "googleapis")
    return _run(BIN / "buf", "breaking", "--against", before)


CHECKS: dict[str, Callable[[], Outcome]] = {
    "format": lambda: _run(BIN / "ruff", "format", "--check", "--quiet", "."),
    "lint": lambda: _run(BIN / "ruff", "check", "--quiet", "."),
    "types": lambda: _run_in_all(BIN / "mypy", "--no-error-summary"),
    "imports": lambda: _run_in_all(BIN / "lint-imports", "--no-logo"),
    "rules": lambda: _run(sys.executable, "tools/rules.py"),
    "contract": _lint_contract,
    "breaking": _breaking_contract,
    "generated": lambda: _run(sys.executable, "tools/generate.py", "--check"),
}
SLOWEST = "types"


def main(names: list[str]) -> int:
    """Run the named checks, all when none is named; the exit code is 1 when one fails."""
    unknown = set(names) - set(CHECKS)
    if unknown:
        print(f"No such check: {', '.join(unknown)}; there are {', '.join(CHECKS)}")
        return 2
    chosen = names or list(CHECKS)
    others = [name for name in chosen if name != SLOWEST]
    with ThreadPoolExecutor(max_workers=2) as pool:
        halves = pool.map(_passed, [[SLOWEST] if SLOWEST in chosen else [], others])
        return 0 if all(halves) else 1


def _passed(names: Iterable[str]) -> bool:
    """Whether all of them pass; each is printed when it has ended."""
    passed = True
    for name in names:
        start = time.monotonic()
        ok, output = CHECKS[name]()
        mark = "ok    " if ok else "FAILED"
        said = "" if ok else f"{output}\n"
        # in one piece, since another thread prints too
        sys.stdout.write(f"{mark} {name} ({time.monotonic() - start:.1f} s)\n{said}")
        sys.stdout.flush()
        passed &= ok
    return passed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
