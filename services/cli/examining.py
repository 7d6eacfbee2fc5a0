"""Everything that is wrong with manifests, in one go: what the files show by themselves, and what
only the registry knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import Descriptor

from runyard.registry.v1 import registry_service_pb2 as pb
from runyard.registry.v1.registry_pb2 import Resource
from services.chassis.errors import Violation
from services.cli.clients import Clients, explained
from services.cli.exits import EXIT_USAGE, CliError
from services.cli.kinds import BY_MANIFEST
from services.cli.manifests import Problem
from services.cli.reflect import enum_names, field_at
from services.cli.resources import Manifests

# The files have told what they can already; nobody waits for long to hear more.
_PATIENCE_S = 5.0
_DUPLICATE = pb.DIAGNOSTIC_CODE_DUPLICATE_ID


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found.

    Attributes:
        problems: In the order of the files.
        unasked: Why the registry had no part in it; None when it had.
        version: The registry version it was checked against; 0 without.
    """

    problems: list[Problem]
    unasked: CliError | None = None
    version: int = 0

    def refusal(self) -> CliError:
        """How a command ends that would have applied them."""
        return CliError(
            f"{len(self.problems)} problem(s) in the manifests; nothing was applied",
            reason="MANIFEST",
            hint=f"the registry may know of more: {self.unasked.message}" if self.unasked else "",
            details=tuple(map(str, self.problems)),
            exit_code=EXIT_USAGE,
        )


async def examined(found: Clients, manifests: Manifests) -> Examined:
    """The problems of the files together with those that the registry sees in what can be read."""
    request = pb.ValidateResourcesRequest(resources=manifests.resources)
    if not manifests.resources:
        return Examined(manifests.problems)
    try:
        answer = await found.registry.ValidateResources(request, timeout=_PATIENCE_S)
    except grpc.aio.AioRpcError as error:
        unasked = explained("registry", found.endpoints["registry"], error)
        return Examined(manifests.problems, unasked)
    return Examined(merged(manifests, answer.diagnostics), version=answer.version)


def merged(manifests: Manifests, diagnostics: Iterable[pb.Diagnostic]) -> list[Problem]:
    """Both lists in the order of the files, without what only follows from an unread part."""
    genuine = (one for one in diagnostics if not _follows(one, manifests))
    told = manifests.locate_all(map(violation_of, genuine))
    # Files keep the order in which they were named; what is in none of them comes last.
    order = {document.file: n for n, document in reversed([*enumerate(manifests.documents)])}
    everything = [*manifests.problems, *told]
    return sorted(
        everything, key=lambda one: (not one.file, order.get(one.file, len(order)), one.line)
    )


def violation_of(diagnostic: pb.Diagnostic) -> Violation:
    names = {number: name for name, number in enum_names(pb.DiagnosticCode.DESCRIPTOR).items()}
    reason = names.get(diagnostic.code, "")
    return Violation(diagnostic.field, diagnostic.description, reason)


def _follows(diagnostic: pb.Diagnostic, manifests: Manifests) -> bool:
    """Whether the registry would not say this, had the files been read to the end."""
    if not manifests.problems:
        return False
    if diagnostic.code == _DUPLICATE:
        return True  # which the files show themselves
    depends_on = diagnostic.depends_on.id
    if depends_on and (manifests.partial or depends_on in manifests.lost):
        return True
    index, path = manifests.placed(diagnostic.field)
    if index is None:
        return False
    member = BY_MANIFEST[manifests.documents[index].kind].member
    message = Resource.DESCRIPTOR.fields_by_name[member].message_type
    return any(_causes(flaw, path, message) for flaw in _paths(manifests.flawed[index]))


def _paths(flaws: Iterable[Problem]) -> Iterator[str]:
    """In the message, of what was written and of what was meant."""
    for flaw in flaws:
        for name in filter(None, (flaw.field, flaw.meant)):
            yield name.removeprefix("spec").removeprefix(".")


def _causes(flaw: str, path: str, message: Descriptor) -> bool:
    """Whether the rule about ``path`` looks at the field ``flaw``, which could not be read."""
    if _within(path, flaw):
        return True
    if not _within(flaw, path):
        return False
    found = field_at(message, flaw)
    if found is None or found[0].is_repeated or flaw.startswith(f"{path}["):
        return True
    # About a message as a whole there is one rule: that a choice is made.
    oneof = found[0].containing_oneof
    return oneof is not None and not oneof.name.startswith("_")


def _within(inner: str, outer: str) -> bool:
    return inner == outer or not outer or inner.startswith((f"{outer}.", f"{outer}["))
