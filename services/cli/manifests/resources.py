"""Manifests as resources of the registry, and the registry's answers back to file and line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from runyard.registry.v1 import registry_pb2 as pb
from services.chassis.errors import Violation
from services.cli.base.terminal import read_input
from services.cli.manifests.documents import Document, Problem, duplicates, line_of, read_documents
from services.cli.manifests.files import read_files
from services.cli.manifests.filling import MessageFiller
from services.cli.manifests.kinds import BY_MANIFEST

_RESOURCE = re.compile(r"resources\[(\d+)\](?:\.(.*))?")


@dataclass
class Manifests:
    """What some files say.

    Attributes:
        documents: In the order of ``resources``.
        lines: Per resource the line of every field, by its path in the resource.
        flawed: Per resource what is wrong with its fields.
        problems: Everything that is wrong with the files; they cannot be applied then.
        lost: Ids of documents that could not be read as resources.
        partial: Something in the files could not be read far enough to know its id.
    """

    resources: list[pb.Resource] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    lines: list[dict[str, int]] = field(default_factory=list)
    flawed: list[list[Problem]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    partial: bool = False

    def locate_all(self, violations: Iterable[Violation]) -> list[Problem]:
        """``locate`` for each, in order."""
        return self.in_order(map(self.locate, violations))

    def in_order(self, problems: Iterable[Problem]) -> list[Problem]:
        """By file, as they were named, then by line; what is in none of them comes last."""
        files = list(dict.fromkeys(document.file for document in self.documents))
        order = {file: number for number, file in enumerate(files)}
        return sorted(
            problems, key=lambda one: (not one.file, order.get(one.file, len(order)), one.line)
        )

    def locate(self, violation: Violation) -> Problem:
        """A violation of the registry, with the place in the files that it is about."""
        index, path = self.placed(violation.field)
        if index is None:
            return Problem("", 0, violation.field, violation.description)
        document = self.documents[index]
        member = BY_MANIFEST[document.kind].member
        line = _nearest(self.lines[index], path, document.line)
        name = path if path in {"", "id"} else f"spec.{path}"
        message = violation.description.removeprefix(f"{member}/{document.id}: ")
        about = f"{document.kind} {document.id}"
        return Problem(document.file, line, name, message, about=about)

    def placed(self, name: str) -> tuple[int | None, str]:
        """The document that a field of a request is in, and its path there."""
        found = _RESOURCE.fullmatch(name)
        index = int(found[1]) if found else len(self.documents)
        if found is None or index >= len(self.documents):
            return None, name
        member = BY_MANIFEST[self.documents[index].kind].member
        return index, (found[2] or "").removeprefix(member).removeprefix(".")


def load(texts: Iterable[tuple[str, str]]) -> Manifests:
    """Read manifests from pairs of file name and text."""
    manifests = Manifests()
    for file, text in texts:
        reading = read_documents(text, file)
        manifests.documents += reading.documents
        manifests.problems += reading.problems
        manifests.lost |= reading.lost
        manifests.partial |= reading.partial
    for document in manifests.documents:
        _fill(document, manifests)
    manifests.problems += duplicates(manifests.documents)
    manifests.problems.sort(key=lambda problem: (problem.file, problem.line))
    return manifests


def _fill(document: Document, manifests: Manifests) -> None:
    resource = pb.Resource()
    member = getattr(resource, BY_MANIFEST[document.kind].member)
    member.SetInParent()
    filling = MessageFiller(document.file)
    if document.spec is not None:
        filling.message(document.spec, member, "spec", "")
        for key, _ in document.spec.value:
            if key.value == "id":
                filling.problems.append(
                    Problem(
                        document.file,
                        line_of(key),
                        "spec.id",
                        "stands outside: write id beside kind and spec",
                    )
                )
    member.id = document.id
    manifests.resources.append(resource)
    manifests.lines.append(filling.lines)
    manifests.flawed.append(filling.problems)
    manifests.problems += filling.problems


def _nearest(lines: Mapping[str, int], path: str, default: int) -> int:
    """The line of a field, else of the innermost field around it that was written."""
    while path:
        if path in lines:
            return lines[path]
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return default


def read_manifests(paths: Sequence[str]) -> Manifests:
    """The manifests of files, folders and standard input, with their problems.

    Raises:
        CliError: A path cannot be read.
    """
    return load(read_files(paths, read_input() if "-" in paths else ""))
