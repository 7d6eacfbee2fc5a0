"""The project as the architecture tests see it: its files, services and protos."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor

import runyard
import services

ROOT = Path(__file__).resolve().parent.parent.parent
SERVICES = ("registry", "router", "runcontrol", "pool")
# Packages whose services a server implements beside the chassis's own.
SERVED_PACKAGES = {
    "registry": ("registry",),
    "router": ("router",),
    "runcontrol": ("runcontrol", "worker"),
    "pool": ("pool",),
}
# Packages that others implement and our clients call; their error reasons are documented too.
UPSTREAM_PACKAGES = ("provider",)
CONTRACTS = sorted(
    {p for packages in SERVED_PACKAGES.values() for p in packages}.union(UPSTREAM_PACKAGES)
)


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def functions(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def module_names() -> list[str]:
    """Every importable module of the implementation; Alembic loads the migrations by path."""
    found = pkgutil.walk_packages(services.__path__, "services.")
    return [
        m.name for m in found if not m.name.endswith("__main__") and ".migrations" not in m.name
    ]


def proto_files() -> list[FileDescriptor]:
    """Descriptors of every file under protos/runyard."""
    names = sorted(
        module.name
        for module in pkgutil.walk_packages(runyard.__path__, "runyard.")
        if module.name.endswith("_pb2")
    )
    return [importlib.import_module(name).DESCRIPTOR for name in names]


def proto_services() -> list[ServiceDescriptor]:
    return [service for file in proto_files() for service in file.services_by_name.values()]


def method_paths(package: str) -> set[str]:
    """``/runyard.pool.v1.PoolService/OpenPool`` for every RPC of an area."""
    return {
        f"/{service.full_name}/{method.name}"
        for service in proto_services()
        if service.file.package == f"runyard.{package}.v1"
        for method in service.methods
    }
