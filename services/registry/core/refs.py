"""How resources are named: by kind and id, and as the target of a reference."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """What a resource is; the numbers are stored, and they are the order of every listing."""

    PROVIDER = 1
    MODEL = 2
    MODEL_POOL = 3
    AGENT = 4
    TOOL = 5

    # That of enums is a function of Python, and a large change hashes a million of them.
    __hash__ = int.__hash__

    @property
    def label(self) -> str:
        return self.name.lower()

    @property
    def space(self) -> Space:
        return _SPACES[self]


class Space(IntEnum):
    """A namespace of ids; the numbers are stored. Models and pools share one."""

    PROVIDERS = 1
    MODELS = 2
    AGENTS = 4
    TOOLS = 5

    __hash__ = int.__hash__


_SPACES = {
    Kind.PROVIDER: Space.PROVIDERS,
    Kind.MODEL: Space.MODELS,
    Kind.MODEL_POOL: Space.MODELS,
    Kind.AGENT: Space.AGENTS,
    Kind.TOOL: Space.TOOLS,
}


KINDS_IN = {space: tuple(k for k in Kind if k.space is space) for space in Space}


class Ref(NamedTuple):
    """Names one resource; sorts by kind, then id."""

    kind: Kind
    id: str

    @property
    def target(self) -> Target:
        return Target(self.kind.space, self.id)

    def __str__(self) -> str:
        return f"{self.kind.label}/{self.id}"


class Target(NamedTuple):
    """What a reference points at: an id in a namespace, whichever kind answers to it."""

    space: Space
    id: str
