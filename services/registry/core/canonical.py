"""The one form of a resource: normalised, as plain data, hashed and compared.

Plain defaults are filled where a resource is constructed; ``normalised`` fills those that depend on
another field, and unifies the values that can be written in more than one way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, replace
from datetime import timedelta
from enum import Enum

from services.content.model import EffectClass
from services.registry.core.executors import BuiltinTool
from services.registry.core.model import (
    Agent,
    AgentEndpoint,
    AnthropicAdapter,
    Modality,
    Model,
    ModelPrices,
    OpenAiAdapter,
    Provider,
    Resource,
    Tool,
)

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]

# Part of every hash: a change of this form must not pass for a change of content.
_FORM = b"runyard.registry.resource/1\n"
_SNAPSHOT_FORM = b"runyard.registry.snapshot/1\n"
MAX_VALUE_CHARS = 1024
# In the metadata of a field that came after the first release; the value is that of the release.
SINCE = "since"


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
    """``value`` as JSON data; a oneof is keyed by its arm.

    Left out are fields that are None, and fields marked ``SINCE`` that are at their default: what
    was stored before they came keeps its hash.
    """
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
        if member is None or (SINCE in field.metadata and member == _default(field)):
            continue
        yield getattr(member, "tag", field.name), plain(member)


def _default(field: Field[object]) -> object:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


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


WORKER_TIMEOUT = timedelta(seconds=60)
_VENDOR_URLS = {
    OpenAiAdapter: "https://api.openai.com/v1",
    AnthropicAdapter: "https://api.anthropic.com",
}
_MODALITIES = tuple(Modality)


def normalised(resource: Resource) -> Resource:
    """Fill and unify; the result normalises to itself. ``resource`` follows the field rules."""
    match resource:
        case Provider(adapter=adapter, base_url=base_url):
            vendor = _VENDOR_URLS.get(type(adapter), "")
            return replace(resource, base_url=(base_url or vendor).rstrip("/"))
        case Model(modalities=modalities, prices=prices):
            ordered = tuple(sorted(modalities, key=_MODALITIES.index)) or (Modality.TEXT,)
            return replace(resource, modalities=ordered, prices=prices and _prices(prices))
        case Agent(endpoint=AgentEndpoint(base_url=base_url) as endpoint):
            address = replace(endpoint, base_url=base_url.rstrip("/"))
            return replace(resource, endpoint=address)
        case Tool():
            return _tool(resource)
        case _:
            return resource


def _prices(prices: ModelPrices) -> ModelPrices:
    return ModelPrices(
        prices.currency,
        _decimal(prices.input_per_million),
        _decimal(prices.output_per_million),
        _decimal(prices.cache_read_per_million),
        _decimal(prices.cache_write_per_million),
    )


def _decimal(text: str) -> str:
    """``0.150`` and ``00.15`` are the same price."""
    if not text:
        return ""
    whole, _, fraction = text.partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def _tool(tool: Tool) -> Tool:
    if isinstance(tool.executor, BuiltinTool):
        return replace(tool, effect_class=EffectClass.IDEMPOTENT)
    return replace(
        tool,
        effect_class=tool.effect_class or EffectClass.AT_MOST_ONCE,
        timeout=tool.timeout or WORKER_TIMEOUT,
    )
