"""Which verdict fits which ticket: one rule, which contract, page and command repeat."""

from __future__ import annotations

import re

from services.cli.runs.tickets import VerdictName
from services.content.verdicts import APPLICABLE
from services.runcontrol.core.exchange import TicketKind, VerdictKind
from tests.arch.project import ROOT

ROW = re.compile(r"^(?:\s*// )?\| ([A-Z_]+) \| ([a-z_, ]+) \|$", re.MULTILINE)


def table_in(file: str) -> dict[str, tuple[str, ...]]:
    rows = ROW.findall((ROOT / file).read_text(encoding="utf-8"))
    return {kind.lower(): tuple(verdicts.split(", ")) for kind, verdicts in rows}


def test_the_contract_says_which_verdict_fits() -> None:
    assert table_in("protos/runyard/runcontrol/v1/runcontrol.proto") == APPLICABLE


def test_the_page_says_which_verdict_fits() -> None:
    assert table_in("services/runcontrol/README.md") == APPLICABLE


def test_every_kind_and_every_verdict_is_in_the_rule() -> None:
    assert {kind.value for kind in TicketKind} == set(APPLICABLE)
    fitting = {verdict for verdicts in APPLICABLE.values() for verdict in verdicts}
    assert {verdict.value for verdict in VerdictKind} == fitting


def test_the_command_knows_every_verdict() -> None:
    assert set(VerdictName) == {verdict.value for verdict in VerdictKind}
