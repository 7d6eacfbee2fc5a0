"""What the registry accepts in manifests and takes for a possible mistake, by file and line."""

from __future__ import annotations

from collections.abc import Iterable

from runyard.registry.v1 import registry_service_pb2 as pb
from services.chassis.errors import Violation
from services.cli.base.terminal import Terminal
from services.cli.manifests.documents import Problem
from services.cli.manifests.resources import Manifests


def located_warnings(manifests: Manifests, warnings: Iterable[pb.Diagnostic]) -> list[Problem]:
    return manifests.locate_all(Violation(one.field, one.description) for one in warnings)


def show_warnings(warnings: Iterable[Problem], omitted: int, terminal: Terminal) -> None:
    for warning in warnings:
        terminal.note(f"warning: {warning}")
    if omitted:
        terminal.note(f"warning: and {omitted} more")
