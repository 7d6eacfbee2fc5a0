"""Generate the Python stubs of protos/ into gen/python.

    python -m scripts.generate               every package
    python -m scripts.generate registry pool only these areas
    python -m scripts.generate --check       compare with what is committed, write nothing

The output depends on the protos and the pinned tools alone. Files that did not change are not
touched, so that a running server or an editor sees no needless reload.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
THIRD_PARTY = ROOT / "third_party"
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"
OUTPUT = ROOT / "gen" / "python"
TOP = "runyard"


class GenerateError(Exception):
    """protoc refused the input; it has already said why."""


def sources(areas: Sequence[str]) -> list[str]:
    """Proto files relative to protos/, of the given areas or of all, in a stable order."""
    folders = [PROTOS / TOP / area for area in areas] or [PROTOS / TOP]
    unknown = [str(folder.relative_to(ROOT)) for folder in folders if not folder.is_dir()]
    if unknown:
        raise GenerateError(f"no such folder: {', '.join(unknown)}")
    found = [path for folder in folders for path in folder.rglob("*.proto")]
    return sorted(path.relative_to(PROTOS).as_posix() for path in found)


def compile_into(folder: Path, protos: Sequence[str]) -> None:
    """Run protoc; messages get .pyi from protoc itself, services from mypy-protobuf.

    ``only_async`` makes the servicers abstract and the stubs asynchronous: a forgotten RPC is a
    type error where the servicer is constructed.
    """
    plugin = Path(sys.executable).parent / "protoc-gen-mypy_grpc"
    arguments = [
        "protoc",
        f"-I{PROTOS}",
        f"-I{THIRD_PARTY}",
        f"-I{WELL_KNOWN}",
        f"--plugin=protoc-gen-mypy_grpc={plugin}",
        f"--python_out={folder}",
        f"--pyi_out={folder}",
        f"--grpc_python_out={folder}",
        f"--mypy_grpc_out=quiet,only_async:{folder}",
        *protos,
    ]
    if protoc.main(arguments) != 0:  # type: ignore[no-untyped-call]  # grpc_tools has no types
        raise GenerateError("protoc failed")


def complete(folder: Path) -> None:
    """Add the package markers and drop service modules of files that define no service."""
    top = folder / TOP
    for path in [top, *top.rglob("*")]:
        if path.is_dir():
            (path / "__init__.py").touch()
    (top / "py.typed").touch()
    for module in top.rglob("*_pb2_grpc.py"):
        if "class " not in module.read_text():
            module.unlink()
            module.with_suffix(".pyi").unlink(missing_ok=True)


def generated(folder: Path) -> dict[str, bytes]:
    """Content of every generated file, by its path relative to ``folder``."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted((folder / TOP).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def differences(
    fresh: dict[str, bytes], committed: dict[str, bytes], areas: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Pairs of what is to be done, ``write`` or ``remove``, and a path."""
    for path, content in fresh.items():
        if committed.get(path) != content:
            yield "write", path
    for path in committed.keys() - fresh.keys():
        if not areas or any(path.startswith(f"{TOP}/{area}/") for area in areas):
            yield "remove", path


def write(path: Path, content: bytes) -> None:
    """Replace a file in one step: a reader sees the old content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_bytes(content)
    scratch.replace(path)


def apply(changes: Sequence[tuple[str, str]], fresh: dict[str, bytes], folder: Path) -> None:
    for action, name in changes:
        if action == "write":
            write(folder / name, fresh[name])
        else:
            (folder / name).unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "areas", nargs="*", help="folders of protos/runyard; all when none is named"
    )
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            compile_into(folder, sources(options.areas))
        except GenerateError as error:
            print(f"generate: {error}", file=sys.stderr)
            return 1
        complete(folder)
        fresh = generated(folder)
    committed = generated(OUTPUT) if OUTPUT.is_dir() else {}
    changes = sorted(differences(fresh, committed, options.areas))
    if options.check:
        for action, path in changes:
            print(f"generate: gen/python/{path} is out of date ({action})", file=sys.stderr)
        return 1 if changes else 0
    apply(changes, fresh, OUTPUT)
    print(f"generate: {len(fresh)} files, {len(changes)} changed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
