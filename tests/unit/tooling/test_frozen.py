"""A frozen package refuses what would break its clients, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scripts import verify

PROTO = "protos/runyard/registry/v1/registry_service.proto"


@pytest.fixture
def frozen(tmp_path: Path) -> Path:
    """The protos of today, copied, and their image."""
    for name in ("protos", "third_party"):
        shutil.copytree(verify.ROOT / name, tmp_path / name)
    shutil.copy(verify.ROOT / "buf.yaml", tmp_path)
    image = tmp_path / "registry.binpb"
    folder = tmp_path / "protos" / "runyard" / "registry"
    assert verify.run("buf", "build", str(tmp_path), "--path", str(folder), "-o", str(image))
    return image


def test_the_package_as_it_was_frozen_passes(frozen: Path) -> None:
    assert verify.unbroken(frozen, root=frozen.parent)


@pytest.mark.parametrize(
    ("before", "after", "passes"),
    [
        ("string apply_set = 3;", "string apply_set = 33;", False),
        ("rpc GetResource(", "rpc FetchResource(", False),
        ("  bool prune = 4;", "  bool prune = 4;\n  // More.\n  bool more = 40;", True),
    ],
)
def test_a_change_passes_only_if_clients_can_go_on(
    frozen: Path, before: str, after: str, passes: bool
) -> None:
    # given
    proto = frozen.parent / PROTO
    text = proto.read_text()
    assert before in text

    # when
    proto.write_text(text.replace(before, after, 1))

    # then
    assert verify.unbroken(frozen, root=frozen.parent) is passes


def test_what_is_frozen_stays_frozen() -> None:
    # The gate compares against the images that it finds: one that is gone would go unnoticed.
    assert {"registry"} <= {image.stem for image in verify.FROZEN.glob("*.binpb")}
