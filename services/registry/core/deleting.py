"""Whether one resource may go: only what nothing refers to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from services.registry.core.errors import ResourceInUseError, ResourceNotFoundError
from services.registry.core.model import Ref


@dataclass(frozen=True, slots=True)
class DeleteCommand:
    """What the caller wants."""

    ref: Ref
    expected_version: int | None = None


def check_deletable(ref: Ref, held: Collection[Ref], dependents: Collection[Ref]) -> None:
    """Raise unless ``ref`` is held and nobody depends on it.

    Raises:
        ResourceNotFoundError: It is not held.
        ResourceInUseError: Names every dependent.
    """
    if ref not in held:
        raise ResourceNotFoundError.of([ref])
    if dependents:
        raise ResourceInUseError.of(ref, dependents)
