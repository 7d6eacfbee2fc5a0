"""The committed stubs are those of the committed protos, made by the pinned tools."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from scripts import generate, manifest_schema
from tests.arch.project import ROOT

GRPC_MODULES = sorted((ROOT / "gen" / "python").rglob("*_pb2_grpc.py"))


@pytest.mark.parametrize(
    "main", [generate.main, manifest_schema.main], ids=["stubs", "schema of manifests"]
)
def test_generated_files_are_fresh(
    main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("module", GRPC_MODULES, ids=lambda path: path.stem)
def test_stubs_ask_for_the_pinned_grpc(module: Path) -> None:
    assert f"GRPC_GENERATED_VERSION = '{version('grpcio')}'" in module.read_text()


def test_there_are_service_modules() -> None:
    assert len(GRPC_MODULES) >= 7
