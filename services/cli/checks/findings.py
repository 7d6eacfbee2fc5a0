"""What an examination finds: one line per check, with what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: What was looked at, ``database registry``; stable, for programs.
        text: What was found, lower case.
        hint: What to do next; empty when there is nothing to do.
    """

    check: str
    level: Level
    text: str
    hint: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def ok(check: str, text: str) -> Finding:
    return Finding(check, Level.OK, text)


def warn(check: str, text: str, hint: str) -> Finding:
    return Finding(check, Level.WARN, text, hint)


def fail(check: str, text: str, hint: str) -> Finding:
    return Finding(check, Level.FAIL, text, hint)
