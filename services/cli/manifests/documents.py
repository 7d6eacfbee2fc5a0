"""Manifests: YAML documents of kind, id and spec, each part with the line it stands on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import yaml

from services.cli.manifests.kinds import BY_MANIFEST

_KINDS = tuple(BY_MANIFEST)
_KEYS = ("kind", "id", "spec")


class _Loader(yaml.SafeLoader):
    """Joins surrogate pairs, by which JSON escapes emoji; half of one is refused."""

    def compose_scalar_node(self, anchor: dict[str, yaml.Node]) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        try:
            node.value = node.value.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise yaml.composer.ComposerError(
                None, None, "half a surrogate pair is no character", node.start_mark
            ) from None
        return node


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a manifest.

    Attributes:
        file: Empty, and ``line`` 0, for what is about no line that was read.
        line: From 1.
        field: Path in the document, ``spec.members[1].weight``; empty for the document itself.
        meant: The path that the writer probably meant by an unknown one.
        about: ``Agent scout``, where the registry found it.
    """

    file: str
    line: int
    field: str
    message: str
    meant: str = ""
    about: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.file else ""
        return ": ".join(filter(None, (where, self.about, self.field, self.message)))


@dataclass(frozen=True, slots=True)
class Document:
    """One resource as it was written.

    Attributes:
        spec: The mapping below ``spec``; None when there is none, which is an empty one.
    """

    file: str
    line: int
    kind: str
    id: str
    spec: yaml.MappingNode | None


@dataclass
class Reading:
    """What a YAML text says.

    Attributes:
        problems: Everything that is wrong with the outer form of its documents.
        lost: Ids of documents that could not be read as resources.
        partial: A document's id could not be read.
    """

    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    partial: bool = False


def read_documents(text: str, file: str) -> Reading:
    """The documents of a YAML text, as far as it is YAML."""
    reading = Reading()
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            if not _is_empty(node):
                _document(node, file, reading)
    except yaml.MarkedYAMLError as error:
        reading.problems.append(_syntax_problem(error, file))
        reading.partial = True
    except yaml.YAMLError as error:
        reading.problems.append(Problem(file, 1, "", f"not YAML: {error}"))
        reading.partial = True
    except RecursionError:
        reading.problems.append(Problem(file, 1, "", "is nested too deeply"))
        reading.partial = True
    return reading


def fields_of(
    node: yaml.MappingNode, file: str, path: str, problems: list[Problem]
) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """Name, key and value of each field of a mapping; what is no field becomes a problem."""
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            problems.append(Problem(file, line_of(key), path, "a field name must be plain text"))
        elif key.tag == "tag:yaml.org,2002:merge":
            problems.append(Problem(file, line_of(key), path, "merge keys (<<) are not supported"))
        elif key.value in seen:
            problems.append(
                Problem(file, line_of(key), joined(path, key.value), "is written twice")
            )
        else:
            seen.add(key.value)
            yield key.value, key, value


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """``unknown field "wieght", did you mean "weight"?``"""
    names = sorted(known)
    near = nearest(name, names)
    if near:
        return f'unknown {what} "{name}", did you mean "{near}"?'
    return f'unknown {what} "{name}"; known are {", ".join(names)}'


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that ``name`` is probably a misspelling of; empty when none is near."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return near[0] if near else ""


def joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def line_of(node: yaml.Node) -> int:
    """From 1."""
    line: int = node.start_mark.line
    return line + 1


def duplicates(documents: Sequence[Document]) -> list[Problem]:
    """A problem for each document whose kind and id an earlier one has, in any file."""
    first: dict[tuple[str, str], Document] = {}
    problems = []
    for document in documents:
        before = first.setdefault((document.kind, document.id), document)
        if before is not document:
            problems.append(
                Problem(
                    document.file,
                    document.line,
                    "id",
                    f"{document.kind} {document.id} stands at {before.file}:{before.line} already",
                )
            )
    return problems


def _document(node: yaml.Node, file: str, reading: Reading) -> None:
    problems = reading.problems
    if not isinstance(node, yaml.MappingNode):
        text = "a document is a mapping of kind, id and spec"
        problems.append(Problem(file, line_of(node), "", text))
        reading.partial = True
        return
    found: dict[str, yaml.Node] = {}
    for name, key, value in fields_of(node, file, "", problems):
        if name in _KEYS:
            found[name] = value
        else:
            problems.append(Problem(file, line_of(key), name, unknown_name("field", name, _KEYS)))
    kind = _text(node, found.get("kind"), "kind", file, problems)
    resource_id = _text(node, found.get("id"), "id", file, problems)
    if kind and kind not in _KINDS:
        line = line_of(found["kind"])
        problems.append(Problem(file, line, "kind", unknown_name("kind", kind, _KINDS)))
    spec = _spec(found.get("spec"), file, problems)
    if resource_id and kind in _KINDS:
        reading.documents.append(Document(file, line_of(node), kind, resource_id, spec))
        return
    reading.lost.add(resource_id)
    reading.partial |= not resource_id


def _text(
    document: yaml.Node, node: yaml.Node | None, name: str, file: str, problems: list[Problem]
) -> str:
    if isinstance(node, yaml.ScalarNode) and not is_null(node) and node.value:
        return str(node.value)
    line = line_of(node or document)
    problems.append(Problem(file, line, name, "is required and must be text"))
    return ""


def _spec(node: yaml.Node | None, file: str, problems: list[Problem]) -> yaml.MappingNode | None:
    if node is None or is_null(node):
        return None
    if isinstance(node, yaml.MappingNode):
        return node
    problems.append(Problem(file, line_of(node), "spec", "must be a mapping of fields"))
    return None


def is_null(node: yaml.Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def _is_empty(node: yaml.Node | None) -> bool:
    return node is None or is_null(node)


def _syntax_problem(error: yaml.MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    return Problem(file, line, "", f"not YAML: {error.problem or error.context}")
