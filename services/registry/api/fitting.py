"""Answers that stay below the 4 MiB which every client accepts, and tell what they leave out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from google.protobuf.message import Message

# The rest of 4 MiB is for the other fields of an answer.
ANSWER_BYTES = 15 << 18
IDS_BYTES = 1 << 20
# Tag and length of an element.
_ELEMENT_BYTES = 5

M = TypeVar("M", bound=Message)


def fitting(messages: Iterable[M]) -> tuple[list[M], int]:
    """As many as one answer carries, from the first, and how many are left out."""
    kept: list[M] = []
    left_bytes, omitted = ANSWER_BYTES, 0
    for message in messages:
        left_bytes -= message.ByteSize() + _ELEMENT_BYTES
        if left_bytes < 0:
            omitted += 1
        else:
            kept.append(message)
    return kept, omitted


def fitting_ids(ids: Iterable[str]) -> list[str]:
    """As many as a list of ids carries, from the first."""
    kept: list[str] = []
    left_bytes = IDS_BYTES
    for id_ in ids:
        left_bytes -= len(id_.encode("utf-8")) + _ELEMENT_BYTES
        if left_bytes < 0:
            break
        kept.append(id_)
    return kept
