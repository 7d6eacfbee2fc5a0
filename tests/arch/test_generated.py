"""The committed stubs are those of the committed protos, made by the pinned tools."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from scripts import generate, manifest_schema
from tests.arch.project import ROOT

GRPC_MODULES = sorted((ROOT / "gen" / "python").rglob("*_pb2_grpc.py"))


def test_generated_code_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    # when
    exit_code = generate.main(["--check"])

    # then
    assert exit_code == 0, capsys.readouterr().err


def test_the_schema_of_manifests_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    # when
    exit_code = manifest_schema.main(["--check"])

    # then
    assert exit_code == 0, capsys.readouterr().err


@pytest.mark.parametrize("module", GRPC_MODULES, ids=lambda path: path.stem)
def test_stubs_ask_for_the_pinned_grpc(module: Path) -> None:
    assert f"GRPC_GENERATED_VERSION = '{version('grpcio')}'" in module.read_text()


def test_there_are_service_modules() -> None:
    assert len(GRPC_MODULES) >= 7
