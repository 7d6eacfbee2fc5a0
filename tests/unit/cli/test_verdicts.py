"""Verdicts as they are typed."""

from __future__ import annotations

import pytest

from services.cli.base.exits import CliError
from services.cli.runs.tickets import VerdictName, verdict_of

SAID = {
    VerdictName.APPROVE_EDITED: {"arguments": "{}"},
    VerdictName.ANSWER: {"content": "yes"},
    VerdictName.HAPPENED: {"content": "shipped"},
    VerdictName.PASS_TO_TOOL: {"content": "[1]"},
}


@pytest.mark.parametrize("name", list(VerdictName))
def test_every_verdict_is_made_as_the_contract_names_it(name: VerdictName) -> None:
    said = {"arguments": "", "content": "", **SAID.get(name, {})}
    verdict = verdict_of(name, reason="because", **said)
    assert verdict.WhichOneof("verdict") == name
    assert verdict.deny.reason == ("because" if name == "deny" else "")
    assert verdict.answer.content == ("yes" if name == "answer" else "")
    assert verdict.happened.content == ("shipped" if name == "happened" else "")
    assert verdict.pass_to_tool.payload_json == ("[1]" if name == "pass_to_tool" else "")
    assert verdict.approve_edited.arguments_json == ("{}" if name == "approve_edited" else "")


@pytest.mark.parametrize(
    ("name", "said", "words"),
    [
        ("approve_edited", {}, "approve_edited needs --arguments"),
        ("approve_edited", {"content": "x"}, "approve_edited needs --arguments"),
        ("answer", {}, "answer needs --content"),
        ("happened", {}, "happened needs --content"),
        ("pass_to_tool", {}, "pass_to_tool needs --content"),
        ("approve", {"arguments": "{}"}, "approve does not take --arguments"),
        ("deny", {"content": "x"}, "deny does not take --content"),
        ("answer", {"content": "x", "arguments": "{}"}, "answer does not take --arguments"),
    ],
)
def test_a_verdict_says_what_it_has_to_say_and_no_more(
    name: str, said: dict[str, str], words: str
) -> None:
    with pytest.raises(CliError, match=words) as refused:
        verdict_of(VerdictName(name), reason="", **{"arguments": "", "content": "", **said})
    assert refused.value.exit_code == 2
