"""Manifests: YAML documents of kind, id and spec, each part with the line it stands on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import yaml

KINDS = ("Provider", "Model", "ModelPool", "Agent", "Tool")
_KEYS = ("kind", "id", "spec")


class _Loader(yaml.SafeLoader):
    """Takes emoji as JSON escapes them, in two halves; one half alone is no text."""

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
        line: From 1.
        field: Path in the document, ``spec.members[1].weight``; empty for the document itself.
    """

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}"
        return (
            f"{where}: {self.field}: {self.message}" if self.field else f"{where}: {self.message}"
        )


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


def read_documents(text: str, file: str) -> tuple[list[Document], list[Problem]]:
    """The documents of a YAML text, and everything that is wrong with their outer form."""
    problems: list[Problem] = []
    documents: list[Document] = []
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            if not _is_empty(node):
                documents += _document(node, file, problems)
    except yaml.MarkedYAMLError as error:
        problems.append(_syntax_problem(error, file))
    except yaml.YAMLError as error:
        problems.append(Problem(file, 1, "", f"not YAML: {error}"))
    except RecursionError:
        problems.append(Problem(file, 1, "", "is nested too deeply"))
    return documents, problems


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
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f'unknown {what} "{name}", did you mean "{near[0]}"?'
    return f'unknown {what} "{name}"; known are {", ".join(names)}'


def joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def line_of(node: yaml.Node) -> int:
    """From 1."""
    line: int = node.start_mark.line
    return line + 1


def duplicates(documents: Sequence[Document]) -> list[Problem]:
    """The same kind and id twice, across files: which one was meant?"""
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


def _document(node: yaml.Node, file: str, problems: list[Problem]) -> list[Document]:
    if not isinstance(node, yaml.MappingNode):
        problems.append(
            Problem(file, line_of(node), "", "a document is a mapping of kind, id and spec")
        )
        return []
    found: dict[str, yaml.Node] = {}
    for name, key, value in fields_of(node, file, "", problems):
        if name in _KEYS:
            found[name] = value
        else:
            problems.append(Problem(file, line_of(key), name, unknown_name("field", name, _KEYS)))
    kind = _text(node, found.get("kind"), "kind", file, problems)
    resource_id = _text(node, found.get("id"), "id", file, problems)
    if kind and kind not in KINDS:
        line = line_of(found["kind"])
        problems.append(Problem(file, line, "kind", unknown_name("kind", kind, KINDS)))
    spec = _spec(found.get("spec"), file, problems)
    if not kind or not resource_id or kind not in KINDS:
        return []
    return [Document(file, line_of(node), kind, resource_id, spec)]


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
