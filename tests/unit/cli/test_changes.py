"""Plans and differences on the screen, tables, and resources in a few words."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from runyard.registry.v1 import registry_pb2
from runyard.registry.v1 import registry_service_pb2 as pb
from services.cli.base.exits import CliError
from services.cli.base.messages import moment
from services.cli.base.terminal import Output, Terminal
from services.cli.commands.audit import moment_of
from services.cli.registry.changes import counted, show_changes
from services.cli.registry.summaries import summary
from tests.support.registry_resources import agent, model, pool, provider, tool


def screen(output: Output = Output.TEXT, **options: Any) -> tuple[Terminal, io.StringIO]:
    """A terminal, and what is shown on it."""
    shown, file = Terminal(output), io.StringIO()
    given = {"width": 500, "markup": False, "highlight": False, **options}
    shown.console = Console(file=file, **given)
    return shown, file


def change(action: str, *fields: tuple[str, str, str], kind: str = "AGENT") -> pb.ResourceChange:
    return pb.ResourceChange(
        ref={"kind": f"RESOURCE_KIND_{kind}", "id": "x"},
        action=f"CHANGE_ACTION_{action}",  # type: ignore[arg-type]  # by name
        fields=[{"path": path, "before": old, "after": new} for path, old, new in fields],
    )


def shown(*changes: pb.ResourceChange) -> list[str]:
    terminal, file = screen()
    show_changes(changes, terminal)
    return file.getvalue().splitlines()


def test_an_update_shows_what_came_what_went_and_what_differs() -> None:
    differing = [
        ("max_rounds", "16", "8"),
        ("sampling.seed", "", "7"),
        ("tools[1]", '"search"', ""),
    ]
    assert shown(change("UPDATED", *differing)) == [
        "  ~ agent/x updated",
        "      ~ max_rounds: 16 → 8",
        "      + sampling.seed: 7",
        '      - tools[1]: "search"',
    ]


def test_a_text_of_many_lines_is_compared_line_by_line() -> None:
    # given a prompt of which one line in the middle differs
    before = "one\ntwo\nthree\nfour\nfive"
    after = "one\ntwo\n3\nfour\nfive"

    # then one line around it is shown, too
    assert shown(change("UPDATED", ("system_prompt", json.dumps(before), json.dumps(after)))) == [
        "  ~ agent/x updated",
        "      ~ system_prompt:",
        "          …",
        "            two",
        "          - three",
        "          + 3",
        "            four",
    ]


def test_a_text_that_was_cut_is_shown_as_it_came() -> None:
    cut = '"one\\ntw'
    assert shown(change("UPDATED", ("system_prompt", cut, '"x"')))[1:] == [
        f'      ~ system_prompt: {cut} → "x"'
    ]


@pytest.mark.parametrize(("action", "mark"), [("CREATED", "+"), ("REMOVED", "-")])
def test_of_what_comes_or_goes_only_what_somebody_chose_is_shown(action: str, mark: str) -> None:
    # given a pool with all of its fields, of which three were chosen
    fields = {
        "id": '"x"',
        "members[0].model_id": '"small"',
        "members[0].weight": "1",
        "members[1].weight": "2",
        "routing.home": '"deterministic"',
        "switch.on_quota": "false",
        "switch.on_retry_exhausted": "false",
        "breaker.cooldown": '"30s"',
    }
    each = [(path, *(("", v) if action == "CREATED" else (v, ""))) for path, v in fields.items()]

    # then
    assert shown(change(action, *each, kind="MODEL_POOL"))[1:] == [
        f'      {mark} members[0].model_id: "small"',
        f"      {mark} members[1].weight: 2",
        f"      {mark} switch.on_quota: false",
    ]


def test_what_says_nothing_is_left_out_only_where_it_says_nothing() -> None:
    # given a model: a default list, truth values without a default, an empty text
    found = change(
        "CREATED",
        ("modalities[0]", "", '"text"'),
        ("modalities[1]", "", '"image"'),
        ("capabilities.tools", "", "false"),
        ("capabilities.reasoning", "", "true"),
        ("knowledge_cutoff", "", '""'),
        ("a.field.nobody.knows", "", "1"),
        kind="MODEL",
    )

    # then
    assert shown(found)[1:] == [
        '      + modalities[1]: "image"',
        "      + capabilities.reasoning: true",
        "      + a.field.nobody.knows: 1",
    ]


def test_changes_are_counted_without_those_that_are_none() -> None:
    assert counted([]) == "nothing changed"
    assert counted([change("UNCHANGED")]) == "nothing changed"
    every = [change("REMOVED"), change("CREATED"), change("CREATED"), change("UNCHANGED")]
    assert counted(every) == "2 created, 1 removed"


def test_a_table_is_aligned_text_where_no_terminal_is() -> None:
    # given cells of wide characters and of control characters
    terminal, file = screen()
    terminal.table(("KIND", "ID"), [("agent", "🚀"), ("pool", "a\x1b[31mb"), ("tool", "")])
    assert file.getvalue() == "KIND   ID\nagent  🚀\npool   a�[31mb\ntool\n"


def test_a_table_fits_its_terminal() -> None:
    # given a terminal that is too narrow
    terminal, file = screen(width=20, force_terminal=True)
    terminal.table(("KIND", "ID"), [("agent", "x" * 30)])

    # then nothing is lost and no line is too long
    text = Console(file=io.StringIO(), width=500).render_str(file.getvalue()).plain
    assert text.count("x") == 30
    assert "[bold" not in text


def test_in_json_tables_and_notes_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(Output.JSON)
    terminal.table(("A",), [("b",)])
    terminal.note("beside")
    terminal.verbatim("text")
    assert capsys.readouterr() == ("", "")


def test_a_note_stands_beside_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(Output.TEXT).note("there is more")
    assert capsys.readouterr() == ("", "there is more\n")


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        (provider(), "builtin, 0 steps"),
        (
            provider(openai={}, base_url="https://x", credential_ref={"env": "KEY"}),
            "openai at https://x, key from env KEY",
        ),
        (model(), "upstream at local"),
        (model(context_window=128_000), "upstream at local, 128,000 tokens"),
        (pool(routing={"home": 2}), "small; round_robin"),
        (pool(members="abcde", routing={"home": 1}), "a, b, c and 2 more; deterministic"),
        (agent(tools=["t"]), "on small, 1 tool"),
        (agent(endpoint={"base_url": "https://x"}), "remote at https://x"),
        (tool(effect_class=1, approval=2), "worker, pure; ask"),
        (tool(worker={"label": "g"}, effect_class=4, approval=1), "worker g, at_most_once; allow"),
        (tool(builtin=2, approval=3), "builtin pool_send; deny"),
        (registry_pb2.Resource(), ""),
    ],
)
def test_a_resource_is_told_in_a_few_words(resource: registry_pb2.Resource, words: str) -> None:
    assert summary(resource) == words


def test_a_member_that_only_takes_over_stands_in_brackets() -> None:
    both = pool(members=["a", "b"], routing={"home": 1})
    both.model_pool.members[1].role = registry_pb2.POOL_MEMBER_ROLE_FAILOVER_ONLY
    assert summary(both) == "a, (b); deterministic"


def test_a_moment_is_told_in_utc() -> None:
    assert moment(Timestamp(seconds=1_769_860_800)) == "2026-01-31 12:00:00"
    assert moment(Timestamp()) == ""


NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-01-30", datetime(2026, 1, 30, tzinfo=UTC)),
        ("2026-01-30T10:00:00+01:00", datetime(2026, 1, 30, 9, tzinfo=UTC)),
    ],
)
def test_a_time_may_be_written_in_many_ways(text: str, expected: datetime) -> None:
    assert moment_of(text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "2w", "999999d999", "999999d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(CliError, match="is no time"):
        moment_of(text, NOW)
