"""Ids that somebody may have meant who wrote another one."""

from __future__ import annotations

from collections.abc import Collection
from difflib import SequenceMatcher
from heapq import nlargest, nsmallest

from services.chassis.slices import give_way

MOST = 3
# Of so many characters and ids the comparison takes some 25 ms at most.
_COMPARED_CHARS = 64
_COMPARED_IDS = 500
_LEAST_LIKENESS = 0.6


def nearest(wanted: str, known: Collection[str]) -> list[str]:
    """Up to three of ``known`` that are like ``wanted``, the likest first; gives way."""
    candidates = nsmallest(_COMPARED_IDS, known, key=lambda id_: (_apart(id_, wanted), id_))
    matcher = SequenceMatcher(b=wanted[:_COMPARED_CHARS].casefold(), autojunk=False)
    found: list[tuple[float, str]] = []
    for candidate in candidates:
        give_way()
        matcher.set_seq1(candidate[:_COMPARED_CHARS].casefold())
        if matcher.real_quick_ratio() >= _LEAST_LIKENESS <= matcher.quick_ratio():
            found.append((matcher.ratio(), candidate))
    alike = [each for each in found if each[0] >= _LEAST_LIKENESS]
    return [id_ for _, id_ in nlargest(MOST, alike)]


def _apart(id_: str, wanted: str) -> int:
    return abs(len(id_) - len(wanted))
