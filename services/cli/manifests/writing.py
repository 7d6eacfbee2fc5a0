"""Resources as manifests, the inverse of ``reflect``: what is written is read back the same."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from runyard.registry.v1 import registry_pb2 as pb
from services.cli.base.messages import short_name
from services.cli.manifests.defaults import default_of, is_always_there
from services.cli.manifests.filling import holds_json, is_message, json_text
from services.cli.manifests.kinds import kind_of

_DURATION = "google.protobuf.Duration"
# What some other readers of YAML take for a number or a truth value.
_NO_TEXT_ELSEWHERE = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+|[yYnN]"
)


def manifest_text(resources: Iterable[pb.Resource], *, full: bool = False) -> str:
    """One YAML document per resource, in the given order.

    Args:
        full: Write what the registry fills in by itself, too.
    """
    documents = (document_of(resource, full=full) for resource in resources)
    return "---\n".join(map(_dumped, documents))


def document_of(resource: pb.Resource, *, full: bool = False) -> dict[str, Any]:
    """A resource as the mapping of kind, id and spec that a manifest is.

    Raises:
        ValueError: A resource of a kind that is not known here.
    """
    kind = kind_of(resource)
    if kind is None:
        raise ValueError("a resource of an unknown kind has no manifest")
    message = kind.of(resource)
    spec = dict(_members(message, full))
    return {"kind": kind.manifest, "id": spec.pop("id", ""), "spec": spec}


def _members(message: Message, full: bool) -> Iterator[tuple[str, Any]]:
    for of, value in message.ListFields():
        written = _field(of, value, full)
        if full or not _is_default(of, written, message):
            yield of.name, written


def _is_default(of: FieldDescriptor, written: Any, inside: Message) -> bool:
    if is_always_there(of):
        return bool(written == {})
    choices = map(inside.WhichOneof, inside.DESCRIPTOR.oneofs_by_name)
    default = default_of(of, filter(None, choices))
    # A truth value is no number here, although Python compares it like one.
    return type(written) is type(default) and bool(written == default)


def _field(of: FieldDescriptor, value: Any, full: bool) -> Any:
    if of.is_repeated:
        return [_value(of, item, full) for item in value]
    return _value(of, value, full)


def _value(of: FieldDescriptor, value: Any, full: bool) -> Any:
    if is_message(of):
        if of.message_type.full_name == _DURATION:
            return duration_text(value)
        return dict(_members(value, full))
    if of.type == FieldDescriptor.TYPE_ENUM:
        return short_name(of.enum_type, value)
    if of.type == FieldDescriptor.TYPE_BYTES:
        return base64.b64encode(value).decode("ascii")
    return _json_value(value) if holds_json(of) else value


def duration_text(value: Duration) -> str:
    """``30s``, ``0.1s``: exact, and as the registry writes it in a diff."""
    total_ns = value.seconds * 1_000_000_000 + value.nanos
    sign, total_ns = ("-", -total_ns) if total_ns < 0 else ("", total_ns)
    seconds, rest_ns = divmod(total_ns, 1_000_000_000)
    return f"{sign}{seconds}.{rest_ns:09}".rstrip("0").rstrip(".") + "s"


def _json_value(text: str) -> Any:
    """JSON text as YAML, where that is read back as the same text; else the text.

    Blanks and the order of names are part of the hash of a schema.
    """
    try:
        value = json.loads(text)
        if isinstance(value, dict | list) and json_text(_composed(value)) == text:
            return value
    except (ValueError, RecursionError, yaml.YAMLError):
        pass
    return text


def _composed(value: Any) -> yaml.Node:
    node = yaml.compose(_dumped(value), Loader=yaml.SafeLoader)
    assert node is not None  # noqa: S101  # only an empty text has none
    return node


class _Dumper(yaml.SafeDumper):
    """Multi-line text as a block, lists indented below their name, no anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text))


def _style(text: str) -> str | None:
    """How to write ``text`` so that every reader of YAML gets exactly this text."""
    lines = text.split("\n")
    if any(not line.isprintable() for line in lines):
        return '"'
    if len(lines) > 1:
        # A blank before a line break, or before the first letter, does not show in a block.
        blank = any(line != line.rstrip(" ") for line in lines) or text[0] in " \n"
        return '"' if blank else "|"
    return "'" if _NO_TEXT_ELSEWHERE.fullmatch(text) else None


_Dumper.add_representer(str, _text_node)


def _dumped(value: Any) -> str:
    return yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=1_000_000,
    )
