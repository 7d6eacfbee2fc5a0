"""Core values as JSON text and back; new fields with defaults read what was written before them."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from services.pool.core.events import (
    Event,
    Wake,
)
from services.pool.core.model import (
    Member,
    Message,
    MessageRecord,
    Policies,
    Pool,
    PoolConfig,
    Receipt,
)

T = TypeVar("T")

_encoder = msgspec.json.Encoder()


class Json(Generic[T]):
    """One type as JSON text."""

    def __init__(self, of: type[T]) -> None:
        self._decoder = msgspec.json.Decoder(of)

    def load(self, text: str) -> T:
        return self._decoder.decode(text)

    def dump(self, value: T) -> str:
        return _encoder.encode(value).decode()


CONFIG = Json(PoolConfig)
EVENT = Json(Event)
MESSAGE = Json(Message)
RECEIPT = Json(Receipt)
WAKE = Json(Wake)
POLICIES: Json[Policies] = Json(Policies)
TOPICS: Json[tuple[str, ...]] = Json(tuple[str, ...])

# By the name under which the log files them.
FACTS: dict[str, type[Pool | Member | MessageRecord | Wake]] = {
    "pool": Pool,
    "member": Member,
    "message": MessageRecord,
    "wake": Wake,
}
_NAME_OF = {of: name for name, of in FACTS.items()}


def fact_to_json(fact: Pool | Member | MessageRecord | Wake) -> tuple[str, str]:
    """The type's name and the value."""
    return _NAME_OF[type(fact)], _encoder.encode(fact).decode()
