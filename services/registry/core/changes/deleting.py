"""Whether a resource may be deleted: only when nothing refers to it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from services.registry.core.errors import ResourceInUseError, ResourceNotFoundError
from services.registry.core.refs import Ref


@dataclass(frozen=True, slots=True)
class DeleteCommand:
    """What the caller wants."""

    ref: Ref
    expected_version: int | None = None


def check_deletable(ref: Ref, existing: Collection[Ref], dependents: Collection[Ref]) -> None:
    """Raise unless ``ref`` exists and nobody depends on it.

    Raises:
        ResourceNotFoundError: It does not exist.
        ResourceInUseError: Names every dependent.
    """
    if ref not in existing:
        raise ResourceNotFoundError.of([ref])
    if dependents:
        raise ResourceInUseError.of(ref, dependents)
