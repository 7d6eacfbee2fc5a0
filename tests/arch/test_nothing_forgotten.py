"""What is easily forgotten beside a change: CONTRIBUTING lists each, and what tells of it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet

from scripts.settings_docs import settings_of
from tests.arch.project import ROOT, SERVICES, functions, parsed, python_files

# Served RPCs that no command makes, and why nobody types them.
NOT_TYPED: Mapping[str, str] = {
    "GetPool": "the pool's own issue brings its commands",
    "JoinPool": "run --pool joins",
    "ListMembers": "the pool's own issue brings its commands",
    "SendMessage": "agents send, through their tools",
    "Respond": "agents answer, through their tools",
    "GetMessage": "agents read, through their tools",
    "FetchInbox": "run control fetches",
    "AckDelivery": "run control acknowledges",
    "SuspendUntil": "agents wait, through their tools",
    "GetWake": "the pool's own issue brings its commands",
    "CancelWake": "the pool's own issue brings its commands",
}
UNSERVED = re.compile(r"not_served|no_stream")
FROZEN = sorted((ROOT / "protos" / "frozen").glob("*.binpb"))


def names_used(*folders: str) -> set[str]:
    """Every ``.name`` and ``"name"`` in the code of ``folders``."""
    return {
        node.attr if isinstance(node, ast.Attribute) else str(node.value)
        for path in python_files(*folders)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute | ast.Constant)
    }


def served(service: str) -> Iterator[str]:
    """RPCs that the servicers implement."""
    for function in functions(parsed(ROOT / "services" / service / "api" / "servicer.py")):
        if function.name[0].isupper() and not UNSERVED.search(ast.unparse(function)):
            yield function.name


def fields_of(image: bytes, package: str) -> set[str]:
    """``Provider.id`` for every field of a package in a set of descriptors."""
    files = FileDescriptorSet.FromString(image).file

    def inside(message: DescriptorProto, above: str) -> Iterator[str]:
        name = f"{above}{message.name}"
        yield from (f"{name}.{field.name}" for field in message.field)
        for nested in message.nested_type:
            yield from inside(nested, f"{name}.")

    return {
        field
        for file in files
        if file.package == package
        for message in file.message_type
        for field in inside(message, "")
    }


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_is_read(service: str) -> None:
    fields = settings_of(service).model_fields

    used = names_used(f"services/{service}", "services/chassis")

    assert fields.keys() - used == set()


def test_every_rpc_has_a_command_or_a_reason_to_have_none() -> None:
    command = "\n".join(path.read_text() for path in python_files("services/cli"))

    without = {
        method
        for service in SERVICES
        for method in served(service)
        if not re.search(rf"\b{method}(Request)?\b", command)
    }

    assert without == NOT_TYPED.keys()


@pytest.mark.parametrize("image", FROZEN, ids=lambda path: path.stem)
def test_a_field_that_came_after_the_freeze_is_in_the_changelog(
    image: Path, tmp_path: Path
) -> None:
    package = f"runyard.{image.stem}.v1"
    today = tmp_path / "today.binpb"
    buf = Path(sys.executable).parent / "buf"
    subprocess.run([str(buf), "build", str(ROOT), "-o", str(today)], check=True)

    added = fields_of(today.read_bytes(), package) - fields_of(image.read_bytes(), package)

    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert {field for field in added if f"`{field}`" not in changelog} == set()
    assert len(fields_of(image.read_bytes(), package)) > 50
