"""A resource as plain data: what its hash is taken over and how two contents are compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from enum import Enum

from services.registry.core.model import Resource

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]

# Part of every hash: a change of this form must not pass for a change of content.
_FORM = b"runyard.registry.resource/1\n"
_SNAPSHOT_FORM = b"runyard.registry.snapshot/1\n"
MAX_VALUE_CHARS = 1024


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs, as JSON text cut after 1,024 characters; empty where absent."""

    path: str
    before: str
    after: str


def content_hash(resource: Resource) -> bytes:
    """SHA-256 of the normalised content, the same in every process and after every upgrade."""
    text = json.dumps(plain(resource), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(_FORM + text.encode("utf-8")).digest()


def entry_bytes(kind: int, id_: str, resource_hash: bytes) -> bytes:
    """What one resource adds to the hash of a snapshot."""
    # An id has no control characters, so NUL ends it without doubt.
    return b"%d\0%s\0%s" % (kind, id_.encode("utf-8"), resource_hash)


def hash_of_entries(entries: Iterable[bytes]) -> bytes:
    """The content hash of a version; ``entries`` are made by ``entry_bytes``, by kind and id."""
    # Joined first: ten thousand calls of update take longer than the hash itself.
    return hashlib.sha256(_SNAPSHOT_FORM + b"".join(entries)).digest()


def plain(value: object) -> Plain:
    """``value`` as JSON data; None fields are left out, a oneof is keyed by its arm."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Enum(value=name):
            return str(name)
        case timedelta():
            return _seconds(value)
        case tuple():
            return [plain(item) for item in value]
        case _:
            return dict(_members(value))


def _seconds(value: timedelta) -> str:
    """``30s``, ``0.1s``: as JSON and manifests write it, exact to the microsecond."""
    seconds, rest_us = divmod(value // timedelta(microseconds=1), 1_000_000)
    return f"{seconds}.{rest_us:06}".rstrip("0").rstrip(".") + "s"


def _members(value: object) -> Iterator[tuple[str, Plain]]:
    for field in fields(value):  # type: ignore[arg-type]  # a TypeError for what is no dataclass
        member = getattr(value, field.name)
        if member is not None:
            yield getattr(member, "tag", field.name), plain(member)


def field_changes(before: Resource | None, after: Resource | None) -> list[FieldChange]:
    """Every leaf that differs, by path; all of them when one side is None."""
    old = dict(_leaves(plain(before), "")) if before else {}
    new = dict(_leaves(plain(after), "")) if after else {}
    return [
        FieldChange(path, _text(old, path), _text(new, path))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]


def _leaves(value: Plain, path: str) -> Iterator[tuple[str, Plain]]:
    if isinstance(value, Mapping) and value:
        for name, member in value.items():
            yield from _leaves(member, f"{path}.{name}" if path else name)
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for index, member in enumerate(value):
            yield from _leaves(member, f"{path}[{index}]")
    else:
        yield path, value


def _text(leaves: Mapping[str, Plain], path: str) -> str:
    if path not in leaves:
        return ""
    return json.dumps(leaves[path], ensure_ascii=False)[:MAX_VALUE_CHARS]
