"""Write the JSON Schema of manifests from the protos, their comments included.

python -m scripts.manifest_schema           write
python -m scripts.manifest_schema --check   compare; exit 1 on a difference

What the comments say in a fixed form is checked by the schema, too: ``Required.``, ``Exactly one is
set.``, and the ranges ``1 to 64``, ``at least 1``, ``at most 64`` and ``more than 0``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    OneofDescriptor,
)
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

from scripts.generate import PROTOS, ROOT, THIRD_PARTY, WELL_KNOWN, GenerateError, write
from services.cli.base.messages import enum_names
from services.cli.manifests.defaults import default_of
from services.cli.manifests.filling import RANGES, holds_json, is_message
from services.cli.manifests.kinds import KINDS

FILE = ROOT / "services" / "cli" / "manifests" / "manifest.schema.json"
SOURCE = "runyard/registry/v1/registry.proto"
DURATION = "google.protobuf.Duration"
# In a descriptor of a file: the fields that hold messages, enums, oneofs and so on.
MESSAGES, ENUMS, FIELDS, NESTED, NESTED_ENUMS, ONEOFS, VALUES = 4, 5, 2, 3, 4, 8, 2

RANGE = re.compile(r"\b(\d[\d,]*) to (\d[\d,]*)\b")
LEAST = re.compile(r"\bat least (\d[\d,]*)\b", re.IGNORECASE)
MOST = re.compile(r"\bat most (\d[\d,]*)\b", re.IGNORECASE)
ABOVE = re.compile(r"\bmore than (\d[\d,]*)\b", re.IGNORECASE)

# Required fields that depend on others, of which the comments speak in words.
CONDITIONS: Mapping[str, Mapping[str, Any]] = {
    "Agent": {"anyOf": [{"required": ["model_id"]}, {"required": ["endpoint"]}]},
}

Comments = Mapping[str, str]
Schema = dict[str, Any]


def described() -> FileDescriptorSet:
    """The contract as protoc sees it, with comments."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "contract.binpb"
        arguments = [
            "protoc",
            f"-I{PROTOS}",
            f"-I{THIRD_PARTY}",
            f"-I{WELL_KNOWN}",
            f"--descriptor_set_out={target}",
            "--include_imports",
            "--include_source_info",
            SOURCE,
        ]
        if protoc.main(arguments) != 0:  # type: ignore[no-untyped-call]  # grpc_tools has no types
            raise GenerateError("protoc failed")
        return FileDescriptorSet.FromString(target.read_bytes())


def comments_of(contract: FileDescriptorSet) -> dict[str, str]:
    """The comment of every element, by its full name, as one line."""
    found = {}
    for file in contract.file:
        texts = {
            tuple(location.path): " ".join(location.leading_comments.split())
            for location in file.source_code_info.location
        }
        for path, name in elements(file):
            found[name] = texts.get(path, "")
    return found


def elements(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Path in the file and full name of messages, fields, oneofs, enums and values."""
    for index, enum in enumerate(file.enum_type):
        yield from of_enum(enum, (ENUMS, index), file.package)
    for index, message in enumerate(file.message_type):
        yield from of_message(message, (MESSAGES, index), file.package)


def of_message(
    message: Any, path: tuple[int, ...], scope: str
) -> Iterator[tuple[tuple[int, ...], str]]:
    name = f"{scope}.{message.name}"
    yield path, name
    for number, members in ((FIELDS, message.field), (ONEOFS, message.oneof_decl)):
        for index, member in enumerate(members):
            yield (*path, number, index), f"{name}.{member.name}"
    for index, enum in enumerate(message.enum_type):
        yield from of_enum(enum, (*path, NESTED_ENUMS, index), name)
    for index, nested in enumerate(message.nested_type):
        yield from of_message(nested, (*path, NESTED, index), name)


def of_enum(enum: Any, path: tuple[int, ...], scope: str) -> Iterator[tuple[tuple[int, ...], str]]:
    name = f"{scope}.{enum.name}"
    yield path, name
    for index, value in enumerate(enum.value):
        yield (*path, VALUES, index), f"{name}.{value.name}"


class Writer:
    """Makes the definitions, each message and enum once."""

    def __init__(self, comments: Comments) -> None:
        self._comments = comments
        self.definitions: Schema = {
            "Duration": {
                "description": "A number and a unit, ms, s, m, h or d: 30s, 200ms, 1h30m.",
                "type": "string",
                "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$",
            },
        }

    def message(self, of: Descriptor, without: tuple[str, ...] = ()) -> Schema:
        """A reference to the definition of a message, which is made when it is not there yet."""
        if of.full_name == DURATION:
            return {"$ref": "#/$defs/Duration"}
        if of.name not in self.definitions:
            self.definitions[of.name] = {}  # so that it may contain itself
            self.definitions[of.name] = self._message(of, without)
        return {"$ref": f"#/$defs/{of.name}"}

    def _message(self, of: Descriptor, without: tuple[str, ...]) -> Schema:
        fields = [field for field in of.fields if field.name not in without]
        schema: Schema = {
            "description": self._comments[of.full_name],
            "type": "object",
            "properties": {field.name: self._field(field) for field in fields},
            "additionalProperties": False,
            **CONDITIONS.get(of.name, {}),
        }
        required = [field.name for field in fields if self._says(field, "Required.")]
        if required:
            schema["required"] = required
        choices = [one for one in of.oneofs if self._says(one, "Exactly one is set.")]
        if choices:
            (choice,) = choices
            schema["oneOf"] = [{"required": [arm.name]} for arm in choice.fields]
        return schema

    def _says(self, element: FieldDescriptor | OneofDescriptor, words: str) -> bool:
        # Those that stand for optional fields have no comment and are no choice.
        return words in self._comments.get(element.full_name, "")

    def _field(self, of: FieldDescriptor) -> Schema:
        comment = self._comments[of.full_name]
        if of.is_repeated:
            schema: Schema = {"type": "array", "items": self._value(of, "")}
            limits = {"minimum": "minItems", "maximum": "maxItems"}
            schema |= {limits[name]: limit for name, limit in limits_in(comment).items()}
        else:
            schema = self._value(of, comment)
        default = default_of(of)
        return {
            "description": comment,
            **schema,
            **({} if default is None else {"default": default}),
        }

    def _value(self, of: FieldDescriptor, comment: str) -> Schema:
        if is_message(of):
            return self.message(of.message_type)
        if of.type == FieldDescriptor.TYPE_ENUM:
            return self._enum(of.enum_type)
        return self._scalar(of, comment)

    def _scalar(self, of: FieldDescriptor, comment: str) -> Schema:
        if of.type == FieldDescriptor.TYPE_BOOL:
            return {"type": "boolean"}
        if of.type in RANGES:
            least, most = RANGES[of.type]
            # 32_000 is a number to us and text to newer readers of YAML.
            digits = {"type": ["integer", "string"], "pattern": r"^[-+]?\d[\d_]*$"}
            return {**digits, "minimum": least, "maximum": most, **limits_in(comment)}
        if of.type == FieldDescriptor.TYPE_DOUBLE:
            return {"type": "number", **limits_in(comment)}
        if holds_json(of):
            return {"type": ["string", "object"]}
        # 0.15 and 2025 are text where the contract wants text, as they are in an apply.
        return {"type": ["string", "number", "boolean"]}

    def _enum(self, of: EnumDescriptor) -> Schema:
        names = enum_names(of)
        if of.name not in self.definitions:
            says = {v.number: self._comments[f"{of.full_name}.{v.name}"] for v in of.values}
            self.definitions[of.name] = {
                "description": self._comments[of.full_name],
                "enum": list(names),
                "enumDescriptions": [says[number] for number in names.values()],
            }
        return {"$ref": f"#/$defs/{of.name}"}


def limits_in(comment: str) -> Schema:
    """The range that a comment gives for a number or for the length of a list."""
    between = RANGE.search(comment)
    if between:
        return {"minimum": number(between[1]), "maximum": number(between[2])}
    least, above, most = LEAST.search(comment), ABOVE.search(comment), MOST.search(comment)
    return {
        **({"minimum": number(least[1])} if least else {}),
        **({"exclusiveMinimum": number(above[1])} if above else {}),
        **({"maximum": number(most[1])} if most else {}),
    }


def number(text: str) -> int:
    return int(text.replace(",", ""))


def schema() -> Schema:
    """The schema of one document of a manifest."""
    from runyard.registry.v1.registry_pb2 import Resource  # noqa: PLC0415

    writer = Writer(comments_of(described()))
    members = Resource.DESCRIPTOR.fields_by_name
    specs = {kind: writer.message(members[kind.member].message_type, ("id",)) for kind in KINDS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Manifest of a Runyard registry",
        "description": "One resource; a file may have many, with a line --- between them.",
        "type": "object",
        "required": ["kind", "id", "spec"],
        "additionalProperties": False,
        "properties": {
            "kind": {"description": "What it is.", "enum": [kind.manifest for kind in KINDS]},
            "id": {
                "description": "Unique among its kind; models and pools share one namespace.",
                "type": ["string", "number", "boolean"],
                "minLength": 1,
                "maxLength": 512,
            },
            "spec": {"description": "Its content.", "type": "object"},
        },
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind.manifest}}, "required": ["kind"]},
                "then": {"properties": {"spec": spec}},
            }
            for kind, spec in specs.items()
        ],
        "$defs": dict(sorted(writer.definitions.items())),
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare only")
    options = parser.parse_args(argv)
    fresh = (json.dumps(schema(), indent=2, ensure_ascii=False) + "\n").encode()
    name = FILE.relative_to(ROOT)
    if FILE.is_file() and FILE.read_bytes() == fresh:
        return 0
    if options.check:
        print(f"{name} is out of date: run `make generate`", file=sys.stderr)
        return 1
    write(FILE, fresh)
    print(f"schema: {name} written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
