"""The five kinds of resources, and the names by which people call them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message

from runyard.registry.v1 import registry_pb2 as pb
from services.cli.base.exits import EXIT_USAGE, CliError


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind.

    Attributes:
        manifest: Its name in manifests, ``ModelPool``.
        member: Its name in the contract, in listings and in commands, ``model_pool``.
        short: What it may be called besides; the plurals come by themselves.
    """

    number: pb.ResourceKind
    manifest: str
    member: str
    short: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name in lower case, the usual one first."""
        singular = (self.member, self.manifest.lower(), *self.short)
        return tuple(dict.fromkeys(form for name in singular for form in (name, f"{name}s")))

    def of(self, resource: pb.Resource) -> Message:
        found: Message = getattr(resource, self.member)
        return found


# In the order of every listing.
KINDS: Sequence[Kind] = (
    Kind(pb.RESOURCE_KIND_PROVIDER, "Provider", "provider"),
    Kind(pb.RESOURCE_KIND_MODEL, "Model", "model"),
    Kind(pb.RESOURCE_KIND_MODEL_POOL, "ModelPool", "model_pool", ("pool",)),
    Kind(pb.RESOURCE_KIND_AGENT, "Agent", "agent"),
    Kind(pb.RESOURCE_KIND_TOOL, "Tool", "tool"),
)
PROVIDER, MODEL, POOL, AGENT, TOOL = KINDS
BY_MANIFEST: Mapping[str, Kind] = {kind.manifest: kind for kind in KINDS}
BY_NUMBER: Mapping[int, Kind] = {kind.number: kind for kind in KINDS}
_BY_NAME: Mapping[str, Kind] = {name: kind for kind in KINDS for name in kind.names}


def kind_named(text: str) -> Kind:
    """The kind that somebody means by ``provider``, ``Providers`` or ``model-pool``.

    Raises:
        CliError: None of them; it names the nearest.
    """
    name = text.lower().replace("-", "_")
    found = _BY_NAME.get(name) or _BY_NAME.get(name.replace("_", ""))
    if found is not None:
        return found
    near = difflib.get_close_matches(name, _BY_NAME, n=1, cutoff=0.5)
    known = ", ".join(kind.member for kind in KINDS)
    raise CliError(
        f'unknown kind "{text}"' + (f', did you mean "{near[0]}"?' if near else ""),
        reason="UNKNOWN_KIND",
        hint=f"the kinds are {known}",
        exit_code=EXIT_USAGE,
    )


def kind_of(resource: pb.Resource) -> Kind | None:
    """None for a resource of a newer registry, of a kind that is not known here."""
    member = resource.WhichOneof("resource")
    return next((kind for kind in KINDS if kind.member == member), None)


def kind_and_ids(kind: str, ids: Sequence[str]) -> tuple[Kind, list[str]]:
    """``provider north`` or, as listings and plans write it, ``provider/north``.

    Raises:
        CliError: An unknown kind.
    """
    name, slash, id_ = kind.partition("/")
    return kind_named(name), [*([id_] if slash else ()), *ids]


def id_of(resource: pb.Resource) -> str:
    member = resource.WhichOneof("resource")
    return getattr(resource, member).id if member else ""


def named(ref: pb.ResourceRef) -> str:
    """``provider/north``; a kind that is not known here by its number."""
    kind = BY_NUMBER.get(ref.kind)
    return f"{kind.member if kind else ref.kind}/{ref.id}"
