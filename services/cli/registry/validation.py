"""Everything that is wrong with manifests, in one go: what the files show by themselves, and what
only the registry knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import grpc
from google.protobuf.descriptor import Descriptor

from runyard.registry.v1 import registry_service_pb2 as pb
from runyard.registry.v1.registry_pb2 import Resource
from services.chassis.errors import Violation
from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.messages import enum_names
from services.cli.manifests.documents import Problem
from services.cli.manifests.filling import field_at
from services.cli.manifests.kinds import BY_MANIFEST
from services.cli.manifests.resources import Manifests
from services.cli.registry.warnings import located_warnings
from services.cli.talk.clients import Clients

# The problems of the files are known already: the registry's are not waited for longer.
_TIMEOUT_S = 5.0
_DUPLICATE = pb.DIAGNOSTIC_CODE_DUPLICATE_ID


@dataclass(frozen=True, slots=True)
class Validation:
    """The problems of manifests.

    Attributes:
        problems: In the order of the files.
        registry_error: Why the registry did not check them; None when it did.
        version: The registry version it was checked against; 0 without.
        warnings: What it accepts and takes for a possible mistake, in the order of the files.
        warnings_omitted: How many more there are.
    """

    problems: list[Problem]
    registry_error: CliError | None = None
    version: int = 0
    warnings: list[Problem] = field(default_factory=list)
    warnings_omitted: int = 0

    def refusal(self) -> CliError:
        """The error that ends a command which would have applied them."""
        return CliError(
            f"{len(self.problems)} problem(s) in the manifests; nothing was applied",
            reason="MANIFEST",
            hint=f"the registry may know of more: {self.registry_error.message}"
            if self.registry_error
            else "",
            details=tuple(map(str, self.problems)),
            exit_code=EXIT_USAGE,
        )


async def validate_manifests(stubs: Clients, manifests: Manifests) -> Validation:
    """The problems of the files together with those that the registry sees in what can be read."""
    request = pb.ValidateResourcesRequest(resources=manifests.resources)
    if not manifests.resources:
        return Validation(manifests.problems)
    try:
        answer = await stubs.registry.ValidateResources(request, timeout=_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        registry_error = await stubs.explained("registry", error)
        return Validation(manifests.problems, registry_error)
    return Validation(
        merged(manifests, answer.diagnostics),
        version=answer.version,
        warnings=located_warnings(manifests, answer.warnings),
        warnings_omitted=answer.warnings_omitted,
    )


def merged(manifests: Manifests, diagnostics: Iterable[pb.Diagnostic]) -> list[Problem]:
    """Both lists in the order of the files, without what only follows from an unread part."""
    genuine = (one for one in diagnostics if not _follows(one, manifests))
    located = map(manifests.locate, map(violation_of, genuine))
    return manifests.in_order([*manifests.problems, *located])


def violation_of(diagnostic: pb.Diagnostic) -> Violation:
    names = {number: name for name, number in enum_names(pb.DiagnosticCode.DESCRIPTOR).items()}
    reason = names.get(diagnostic.code, "")
    return Violation(diagnostic.field, diagnostic.description, reason)


def _follows(diagnostic: pb.Diagnostic, manifests: Manifests) -> bool:
    """Whether the diagnostic only follows from a part of the files that could not be read."""
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
