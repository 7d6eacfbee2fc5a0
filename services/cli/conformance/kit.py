"""Plays every script to a worker of its own, and says which passed."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.cli.conformance.conversation import Deviation
from services.cli.conformance.scripts import SCRIPTS, Script
from services.cli.conformance.stage import set_stage

_TOLD_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a script came to.

    Attributes:
        rule: What it examines.
        expected: What the worker should have done; empty when it passed.
        seen: What it did instead.
        output: The end of what the worker wrote, when it failed.
    """

    name: str
    rule: str
    expected: str = ""
    seen: str = ""
    output: str = ""

    @property
    def passed(self) -> bool:
        return not self.expected


def names() -> list[str]:
    """The scripts, in the order in which they are played."""
    return [_name(script) for script in SCRIPTS]


async def play(
    command: Sequence[str], limit_s: float, only: Sequence[str] = ()
) -> AsyncIterator[Verdict]:
    """Start the worker anew for each script, one after the other.

    Args:
        limit_s: Seconds that the worker gets for each step.
        only: Names of scripts; all when empty.

    Raises:
        OSError: The command cannot be started.
    """
    for script in SCRIPTS:
        if not only or _name(script) in only:
            yield await _play(script, command, limit_s)


async def _play(script: Script, command: Sequence[str], limit_s: float) -> Verdict:
    name, rule = _name(script), (script.__doc__ or "").strip()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        try:
            async with set_stage(command, folder, limit_s) as stage:
                await script(stage)
        except Deviation as found:
            output = (folder / "output").read_text(errors="replace").strip()[-_TOLD_CHARS:]
            return Verdict(name, rule, found.expected, found.seen, output)
    return Verdict(name, rule)


def _name(script: Script) -> str:
    return script.__name__.replace("_", "-")
