"""Why the registry refuses; the reasons are values of ``ErrorReason`` in the contract."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from services.chassis.errors import DomainError, ErrorKind, Retry
from services.registry.core.model import Ref

# The trailers of an answer have a limit; the count says how many there are in all.
MAX_NAMED_BYTES = 800


def _named(refs: Collection[Ref]) -> str:
    """As many as fit, joined by commas."""
    names: list[str] = []
    left_bytes = MAX_NAMED_BYTES
    for ref in sorted(refs):
        left_bytes -= len(str(ref).encode("utf-8")) + 1
        if left_bytes < 0 and names:
            break
        names.append(str(ref))
    return ",".join(names)


class ResourceNotFoundError(DomainError):
    """No such resource, or in mode update one that is unknown."""

    kind = ErrorKind.NOT_FOUND
    reason = "RESOURCE_NOT_FOUND"

    @classmethod
    def of(cls, refs: Iterable[Ref]) -> ResourceNotFoundError:
        missing = sorted(refs)
        first = missing[0]
        return cls(
            f"{len(missing)} resource(s) not found: {_named(missing)}",
            kind=first.kind.label,
            id=first.id,
            resources=_named(missing),
            count=str(len(missing)),
        )


class ResourceExistsError(DomainError):
    """Mode create, and something is there already."""

    kind = ErrorKind.CONFLICT
    reason = "RESOURCE_EXISTS"

    @classmethod
    def of(cls, refs: Iterable[Ref]) -> ResourceExistsError:
        existing = sorted(refs)
        return cls(
            f"{len(existing)} resource(s) exist already: {_named(existing)}",
            resources=_named(existing),
            count=str(len(existing)),
        )


class VersionMismatchError(DomainError):
    """The caller decided on a version that is no longer, or not yet, the current one."""

    kind = ErrorKind.STALE
    reason = "VERSION_MISMATCH"
    retry = Retry.REPAIR_NEEDED

    @classmethod
    def of(cls, expected: int, current: int) -> VersionMismatchError:
        return cls(
            f"expected version {expected}, but {current} is current; read again and decide anew",
            expected=str(expected),
            current=str(current),
        )


class VersionNotFoundError(DomainError):
    """A snapshot version that never was or is no longer kept."""

    kind = ErrorKind.NOT_FOUND
    reason = "VERSION_NOT_FOUND"

    @classmethod
    def of(cls, version: int, oldest: int, current: int) -> VersionNotFoundError:
        return cls(
            f"version {version} is not kept; kept are {oldest} to {current}",
            version=str(version),
            oldest=str(oldest),
            current=str(current),
        )
