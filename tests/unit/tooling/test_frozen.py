"""A frozen package refuses what would break its clients, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from scripts import verify
from tests.arch.project import proto_files

IMAGES = sorted(verify.FROZEN.glob("*.binpb"))
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
    assert {"registry"} <= {image.stem for image in IMAGES}


def names_in(files: Iterable[FileDescriptorProto]) -> set[str]:
    """Every field, enum value and RPC of these files."""
    return {name for file in files for name in _names_of(file)}


def _names_of(file: FileDescriptorProto) -> Iterator[str]:
    for message in file.message_type:
        yield from _names_below(message)
    yield from (f"{each.name}.{value.name}" for each in file.enum_type for value in each.value)
    yield from (f"{each.name}.{rpc.name}" for each in file.service for rpc in each.method)


def _names_below(message: DescriptorProto) -> Iterator[str]:
    yield from (f"{message.name}.{field.name}" for field in message.field)
    yield from (f"{each.name}.{v.name}" for each in message.enum_type for v in each.value)
    for nested in message.nested_type:
        yield from _names_below(nested)


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.stem)
def test_an_image_has_every_name_of_its_package(image: Path) -> None:
    """What is added later is protected only once the image is refreshed."""
    # given
    package = f"runyard.{image.stem}."
    frozen = FileDescriptorSet.FromString(image.read_bytes()).file
    current = [FileDescriptorProto.FromString(file.serialized_pb) for file in proto_files()]

    # when
    names = names_in(file for file in current if file.package.startswith(package))

    # then
    assert names - names_in(file for file in frozen if file.package.startswith(package)) == set()
    assert len(names) > 100
