"""``runyard doctor``: checks of this machine and the servers, and what to do about each."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from services.cli.base.exits import CliError
from services.cli.base.terminal import Output, Terminal
from services.cli.checks.examination import examine
from services.cli.checks.findings import Finding, Level
from services.cli.talk.command import clients, run
from services.cli.talk.endpoints import VARIABLE
from services.cli.talk.options import DEFAULT_DATA, DataOption, EndpointOption, OutputOption

_STYLES = {Level.OK: "green", Level.WARN: "bold yellow", Level.FAIL: "bold red"}


def doctor(
    data: DataOption = DEFAULT_DATA,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Examine this machine and the servers, and say what to do: changes nothing.

    Looks at libraries, settings and credentials, databases and their schemas, room on disks, ports,
    servers, their versions, whether router and run control have the registry's newest version,
    the credentials that the providers refer to, as far as they can be seen from here, and whether
    grpc providers say of their models what the registry declares.
    Exit code 1 if a check failed; a warning is none.

    Example: runyard doctor --endpoint registry=registry.internal:7401
    """
    run(output, lambda terminal: _doctor(terminal, data, endpoint or []))


async def _doctor(terminal: Terminal, data: Path, endpoint: list[str]) -> None:
    findings = []
    async with clients("doctor", endpoint) as stubs:
        async for finding in examine(stubs, data, configured=_is_configured(endpoint)):
            _show(terminal, finding)
            findings.append(finding)
    counts = Counter(finding.level for finding in findings)
    terminal.data(
        {
            "findings": [finding.as_json() for finding in findings],
            **{level.value: counts[level] for level in Level},
        }
    )
    terminal.line((", ".join(f"{counts[level]} {level}" for level in Level), "bold"))
    if counts[Level.FAIL]:
        raise CliError(
            f"{counts[Level.FAIL]} of {len(findings)} checks failed",
            reason="UNHEALTHY",
            hint="do what the lines above say, and look again",
        )


def _is_configured(endpoint: list[str]) -> bool:
    """Whether the user says where the servers are, so that they are expected to run."""
    return bool(endpoint or os.environ.get(VARIABLE))


def _show(terminal: Terminal, finding: Finding) -> None:
    level = (f"{finding.level:<5}", _STYLES[finding.level])
    rest = [" " * 27]
    terminal.line(finding.text, lead=[level, (f" {finding.check:<20} ", "bold")], rest=rest)
    if finding.hint:
        terminal.line(finding.hint, lead=[(f"{'':<5} {'next:':>20} ", "dim")], rest=rest)
