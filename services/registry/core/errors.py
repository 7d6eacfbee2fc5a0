"""Why the registry refuses; the reasons are values of ``ErrorReason`` in the contract."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from services.chassis.errors import DomainError, ErrorKind, Retry
from services.registry.core.refs import Kind, Ref

# The trailers of an answer have a limit; a count beside a list says how many there are in all.
MAX_NAMED_BYTES = 800
# Between the names of a list in metadata: no id may contain a control character.
_SEPARATOR = "\n"


def _named(refs: Collection[Ref]) -> str:
    return _fitting([str(ref) for ref in sorted(refs)], MAX_NAMED_BYTES)


def _fitting(names: Sequence[str], limit_bytes: int) -> str:
    """As many as fit, from the first, one per line."""
    kept: list[str] = []
    for name in names:
        limit_bytes -= len(name.encode("utf-8")) + 1
        if limit_bytes < 0:
            break
        kept.append(name)
    return _SEPARATOR.join(kept)


def _users(
    model_ids: Sequence[str], pool_ids: Sequence[str], agent_ids: Sequence[str]
) -> dict[str, str]:
    """The dependents as metadata: per kind a count and a list, short lists in full."""
    users = {"model": model_ids, "pool": pool_ids, "agent": agent_ids}
    found = {f"{name}_count": str(len(ids)) for name, ids in users.items()}
    left_bytes = MAX_NAMED_BYTES
    by_length = sorted(users, key=lambda name: sum(map(len, users[name])))
    for lists_left, name in zip((3, 2, 1), by_length, strict=True):
        names = _fitting(users[name], left_bytes // lists_left)
        found[f"{name}_ids"] = names
        left_bytes -= len(names.encode("utf-8"))
    return found


def _in_words(users: Mapping[str, str]) -> str:
    """``2 model(s), 1 pool(s) and 1 agent(s): fast,slow; both; scout``."""
    counts = "{model_count} model(s), {pool_count} pool(s) and {agent_count} agent(s)"
    lists = (_in_one_line(users[f"{name}_ids"]) for name in ("model", "pool", "agent"))
    return f"{counts.format(**users)}: {'; '.join(each for each in lists if each)}"


def _in_one_line(names: str) -> str:
    return names.replace(_SEPARATOR, ",")


class ResourceNotFoundError(DomainError):
    """No such resource, or mode update and some do not exist."""

    kind = ErrorKind.NOT_FOUND
    reason = "RESOURCE_NOT_FOUND"

    @classmethod
    def of(cls, refs: Iterable[Ref]) -> ResourceNotFoundError:
        missing = sorted(refs)
        first, named = missing[0], _named(missing)
        return cls(
            f"{len(missing)} resource(s) not found: {_in_one_line(named)}",
            kind=first.kind.label,
            id=first.id,
            resources=named,
            count=str(len(missing)),
        )


class ResourceExistsError(DomainError):
    """Mode create, and some of the resources exist."""

    kind = ErrorKind.CONFLICT
    reason = "RESOURCE_EXISTS"

    @classmethod
    def of(cls, refs: Iterable[Ref]) -> ResourceExistsError:
        existing = sorted(refs)
        named = _named(existing)
        return cls(
            f"{len(existing)} resource(s) exist already: {_in_one_line(named)}",
            resources=named,
            count=str(len(existing)),
        )


class ResourceInUseError(DomainError):
    """Other resources refer to the one to be deleted."""

    kind = ErrorKind.PRECONDITION
    reason = "RESOURCE_IN_USE"
    retry = Retry.REPAIR_NEEDED

    @classmethod
    def of(cls, ref: Ref, dependents: Iterable[Ref]) -> ResourceInUseError:
        ids: dict[Kind, list[str]] = {Kind.MODEL: [], Kind.MODEL_POOL: [], Kind.AGENT: []}
        for dependent in sorted(dependents):
            ids[dependent.kind].append(dependent.id)
        users = _users(ids[Kind.MODEL], ids[Kind.MODEL_POOL], ids[Kind.AGENT])
        text = f"{ref} is referred to by {_in_words(users)}; remove or change those first"
        error = cls(text, kind=ref.kind.label, id=ref.id)
        error.metadata.update(users)
        return error


class ProviderInUseError(DomainError):
    """The provider is in use under the policy of the removal."""

    kind = ErrorKind.PRECONDITION
    reason = "PROVIDER_IN_USE"
    retry = Retry.REPAIR_NEEDED

    @classmethod
    def of(
        cls,
        provider_id: str,
        model_ids: Sequence[str],
        pool_ids: Sequence[str],
        agent_ids: Sequence[str],
    ) -> ProviderInUseError:
        users = _users(model_ids, pool_ids, agent_ids)
        text = f"provider {provider_id} is in use by {_in_words(users)}"
        error = cls(text, provider_id=provider_id)
        error.metadata.update(users)
        return error


class ProviderExistsError(DomainError):
    """A provider of that id exists, whether or not its content is the same."""

    kind = ErrorKind.CONFLICT
    reason = "PROVIDER_EXISTS"

    @classmethod
    def of(cls, provider_id: str) -> ProviderExistsError:
        return cls(f"provider {provider_id} exists; replace it instead", provider_id=provider_id)


class ProviderNotFoundError(DomainError):
    """The provider to be replaced or removed is unknown."""

    kind = ErrorKind.NOT_FOUND
    reason = "PROVIDER_NOT_FOUND"

    @classmethod
    def of(cls, provider_id: str) -> ProviderNotFoundError:
        return cls(f"provider {provider_id} not found; register it first", provider_id=provider_id)


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
