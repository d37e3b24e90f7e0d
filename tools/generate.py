"""Write `generated/` and the generated half of the Python client from `protos/`; with `--check`,
only say whether they are up to date.
"""

import argparse
import filecmp
import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.admin_help import admin_help
from tools.documentation import documentation
from tools.openapi import Contract, openapi
from tools.postman import postman
from tools.python_client import write_python_client

ROOT = Path(__file__).resolve().parent.parent


def generate(protos: Path, target: Path, python_client: Path) -> None:
    """Compile every proto below `protos` into messages, services and their types, and an OpenAPI
    document; and for the Python client into a folder of its own.

    Raises:
        subprocess.CalledProcessError: protoc refused; it has said why.
    """
    sources = sorted(protos.rglob("*.proto"))
    google = distribution("googleapis-common-protos").locate_file("")
    binaries = Path(sys.executable).parent
    target.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [sys.executable, "-m", "grpc_tools.protoc"]
    command += [f"--proto_path={protos}", f"--proto_path={google}"]
    command += [
        f"--plugin={binaries / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    command += [f"--{kind}_out={target}" for kind in ("python", "grpc_python")]
    command += [f"--{kind}_out=quiet:{target}" for kind in ("mypy", "mypy_grpc")]
    described = target / "descriptor_set.binpb"
    command += ["--include_imports", "--include_source_info", f"--descriptor_set_out={described}"]
    subprocess.run([*command, *sources], check=True)
    contract = FileDescriptorSet.FromString(described.read_bytes())
    write_python_client(protos, contract, python_client)
    document = openapi(contract)
    pages = documentation(contract, ROOT / "docs" / "integrators")
    collection = postman(Contract(contract), "OtaService")
    kept = {
        "openapi": document,
        "documentation": pages,
        "admin_help": admin_help(contract),
        "partner.postman_collection": collection,
    }
    for name, content in kept.items():
        text = json.dumps(content, ensure_ascii=False, indent=1)
        (target / "deeptravel" / f"{name}.json").write_text(text + "\n")
    described.unlink()
    for source in sources:
        if not re.search(r"^service ", source.read_text(), re.MULTILINE):
            stem = (target / source.relative_to(protos)).with_suffix("")
            for suffix in ("py", "pyi"):
                stem.with_name(f"{stem.name}_pb2_grpc.{suffix}").unlink()
    for folder in {parent for source in sources for parent in source.relative_to(protos).parents}:
        if folder != Path():
            (target / folder / "__init__.py").touch()
            (target / folder.parts[0] / "py.typed").touch()


def differences(fresh: Path, committed: Path) -> list[str]:
    """Paths, relative to both folders, which only one of them has or whose content differs."""
    names = {
        path.relative_to(folder)
        for folder in (fresh, committed)
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    return sorted(
        str(name)
        for name in names
        if not (fresh / name).is_file()
        or not (committed / name).is_file()
        or not filecmp.cmp(fresh / name, committed / name, shallow=False)
    )


def main() -> int:
    """Run from the command line; the exit code is 1 when `--check` finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if stale")
    parser.add_argument("--protos", type=Path, default=ROOT / "protos")
    parser.add_argument("--target", type=Path, default=ROOT / "generated")
    parser.add_argument(
        "--python-client", type=Path, default=ROOT / "clients/python/deeptravel/_generated"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        pairs = [
            (fresh / "server", arguments.target),
            (fresh / "client", arguments.python_client),
        ]
        try:
            generate(arguments.protos, *(made for made, _ in pairs))
        except subprocess.CalledProcessError as error:
            return int(error.returncode)
        stale = [(made, kept, name) for made, kept in pairs for name in differences(made, kept)]
        if arguments.check:
            for _, kept, name in stale:
                print(f"{kept.name}/{name} is not what the protos say: make generate")
            return 1 if stale else 0
        for made, kept, name in stale:  # the rest keeps its modification time
            destination = kept / name
            if (made / name).is_file():
                destination.parent.mkdir(parents=True, exist_ok=True)
                destination.write_bytes((made / name).read_bytes())
            else:
                destination.unlink()
        print(f"{len(stale)} generated files written or removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
