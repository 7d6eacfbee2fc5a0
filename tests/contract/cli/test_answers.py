"""What commands answer where little happened, where much is wrong, and to programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.manifests.resources import Manifests
from services.cli.registry.applying import apply_resources
from services.cli.talk.clients import connected
from services.cli.talk.endpoints import DEFAULTS
from tests.contract.cli.process import Answer, put, registry, registry_with, runyard
from tests.support.registry_resources import agent, model, provider, quickstart, tool

pytestmark = pytest.mark.slow

NORTH = "{kind: Provider, id: north, spec: {openai: {}, timeout: 30s}}"


def error(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.err)["error"]
    return found


@pytest.mark.parametrize(
    "command",
    [
        ("apply", "-f", "-"),
        ("delete", "tool", "a"),
        ("rollback", "1"),
        ("provider", "register", "-f", "-"),
        ("provider", "replace", "-f", "-"),
        ("provider", "remove", "north", "--policy", "block"),
    ],
)
async def test_a_version_that_is_not_the_current_one_comes_with_it(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    """So that a program can compare and try again without another call."""
    held = {"-o": "json", "--expected-version": "7"}
    options = [word for pair in held.items() for word in pair]
    async with registry_with(tmp_path, tool("a")) as (at, _):
        answer = await runyard(*command, *options, text=NORTH, **at)
    assert answer.code == 1
    told = error(answer)
    assert told["reason"] == "VERSION_MISMATCH"
    assert told["metadata"]["current"] == "2"
    assert told["metadata"]["expected"] == "7"


async def test_a_program_need_not_know_defaults(tmp_path: Path) -> None:
    # given one tool of which nearly nothing is said
    async with registry_with(tmp_path, tool("a")) as (at, stub):
        # when
        listed = await runyard("get", "-o", "json", **at)
        await put(stub, [provider("p")])
        touched = await runyard("provider", "preview-remove", "p", "-o", "json", **at)
        none = await runyard("get", "agents", "-o", "json", **at)

    # then what is false or empty is there, and what was not chosen is not
    (found,) = json.loads(listed.out)["resources"]
    assert found["tool"]["description"] == ""
    assert found["tool"]["worker"] == {"label": ""}
    assert "builtin" not in found["tool"]
    assert json.loads(touched.out) == {
        "provider_id": "p",
        "version": "3",
        "model_ids": [],
        "pool_ids": [],
        "agent_ids": [],
        "model_count": 0,
        "pool_count": 0,
        "agent_count": 0,
        "block_if_referenced_allowed": True,
        "cascade_unused_models_allowed": True,
    }
    assert json.loads(none.out)["resources"] == []


async def test_a_replacement_that_changes_nothing_says_so(tmp_path: Path) -> None:
    async with registry(tmp_path) as at:
        await runyard("provider", "register", "-f", "-", text=NORTH, **at)

        # when it is replaced by itself, by something else, and by itself after another change
        replace = ("provider", "replace", "-f", "-")
        same = await runyard(*replace, text=NORTH, **at)
        for_programs = await runyard(*replace, "-o", "json", text=NORTH, **at)
        other = await runyard(*replace, text=NORTH.replace("30s", "60s"), **at)
        await runyard("apply", "-f", "-", text="{kind: Tool, id: t, spec: {worker: {}}}", **at)
        again = await runyard(*replace, text=NORTH.replace("30s", "60s"), **at)

    # then
    assert same.out == (
        "  = provider/north unchanged\nnothing changed; the registry is at version 2\n"
    )
    assert json.loads(for_programs.out)["done"] == "unchanged"
    assert other.out == "  ~ provider/north replaced\nthe registry is at version 3\n"
    assert again.out.endswith("nothing changed; the registry is at version 4\n")


async def test_an_empty_input_prunes_only_if_that_is_meant(tmp_path: Path) -> None:
    async with registry_with(tmp_path, tool("a"), apply_set="team") as (at, _):
        prune = ("apply", "-f", "-", "--set", "team", "--prune")

        # when nothing comes, as from a generator that failed
        refused = [await runyard(*prune, text=text, **at) for text in ("", "---\n", "# none\n")]
        planned = await runyard(*prune, "--dry-run", **at)
        compared = await runyard("diff", *prune[1:], **at)
        meant = await runyard(*prune, "--allow-empty", **at)

    # then
    assert [answer.code for answer in refused] == [2, 2, 2]
    assert "--prune would remove all of set 'team'" in refused[0].err
    assert "--allow-empty" in refused[0].err
    assert planned.out.endswith("1 removed; the registry would be at version 3\n")
    assert compared.out == planned.out
    assert meant.out.endswith("1 removed; the registry is at version 3\n")


@pytest.mark.parametrize("command", [("apply",), ("apply", "--dry-run"), ("diff",)])
async def test_an_empty_file_is_not_called_too_large(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    async with registry(tmp_path) as at:
        empty = await runyard(*command, "-f", "-", text="# nothing yet\n", **at)
    assert empty.code == 2
    assert "the files hold no resource" in empty.err
    assert "in parts" not in empty.err


async def test_manifests_of_too_many_bytes_are_told_to_be_too_large(tmp_path: Path) -> None:
    # given agents of a million characters each, more than one message can hold
    agents = [agent(f"a{n}", system_prompt="x" * 1_000_000) for n in range(17)]
    async with registry(tmp_path) as at:
        endpoints = {**DEFAULTS, **dict([at["RUNYARD_ENDPOINTS"].split("=")])}
        async with connected(endpoints) as found:
            with pytest.raises(CliError) as refused:
                await apply_resources(found, Manifests(resources=agents))

    # then
    assert refused.value.message == (
        "17 resources of 17,000,442 bytes in all; at most 16,777,216 bytes can be applied at once"
    )
    assert refused.value.exit_code == EXIT_USAGE
    assert refused.value.hint.startswith("apply them in parts")


async def test_a_prune_says_that_it_would_remove_what_is_needed(tmp_path: Path) -> None:
    kept = [provider(), model(), agent(model_id="small", tools=["t2"])]
    async with registry_with(tmp_path, tool("t1"), tool("t2"), apply_set="team") as (at, stub):
        await put(stub, kept)
        text = "{kind: Tool, id: t1, spec: {worker: {}}}"
        answer = await runyard("apply", "-f", "-", "--set", "team", "--prune", text=text, **at)
    assert answer.code == 2
    assert "agent/scout: needs tool 't2', which this prune would remove" in answer.err


async def test_what_is_wrong_is_told_by_line_whoever_finds_it(tmp_path: Path) -> None:
    # given mistakes that the registry alone sees, of which later lines come first in its answer
    text = (
        "kind: ModelPool\nid: z\nspec:\n  switch: {max_switches_per_session: 9999999}\n"
        "  members:\n    - {model_id: gone, weight: 0}\n    - {model_id: away}\n"
        "---\nkind: Agent\nid: a\nspec:\n  max_rounds: 0\n  model_id: nowhere\n"
    )
    async with registry_with(tmp_path, *quickstart()) as (at, _):
        applied = await runyard("apply", "-f", "-", text=text, **at)
        checked = await runyard("validate", "-f", "-", text=text, **at)
        wrong = "kind: Provider\nid: n\nspec:\n  timeout: 2h\n  base_url: nonsense\n  openai: {}\n"
        registered = await runyard("provider", "register", "-f", "-", text=wrong, **at)

    # then apply and validate say the same, in the order of the lines
    told = [line.strip() for line in applied.err.splitlines()[1:] if "standard input" in line]
    assert told == checked.out.splitlines()
    lines = [int(line.split(":")[1]) for line in told]
    assert lines == sorted(lines)
    assert len(set(lines)) > 3
    places = [line.split(":")[1] for line in registered.err.splitlines() if "standard" in line]
    assert places == ["4", "5"]
