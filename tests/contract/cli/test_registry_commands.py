"""Reading, changing and deleting what is in a real registry, by the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.cli.demo.manifests import QUICKSTART
from tests.contract.cli.process import put, registry, registry_with, runyard
from tests.support.registry_resources import agent, model, pool, provider, quickstart, tool

pytestmark = pytest.mark.slow


async def test_resources_are_listed_as_a_table_and_by_their_ids(tmp_path: Path) -> None:
    async with registry_with(tmp_path, *quickstart(), apply_set="team") as (at, stub):
        # given one more, without a set
        await put(stub, [provider("lonely")])

        # when
        everything = await runyard("get", **at)
        of_the_set = await runyard("get", "providers", "--set", "team", "-o", "json", **at)
        two = await runyard("get", "providers", "lonely", "local", "-o", "json", **at)
        some = await runyard("get", "--limit", "2", **at)
        none = await runyard("get", "agents", "--set", "other", **at)
        missing = await runyard("get", "agent/scout", "a", "b", **at)

    # then
    lines = everything.out.splitlines()
    assert lines[0].split() == ["KIND", "ID", "WHAT", "SET", "VERSION", "UPDATED"]
    listed = ["/".join(line.split()[:2]) for line in lines[1:]]
    assert listed[:3] == ["provider/local", "provider/lonely", "model/small"]
    assert listed[3:] == ["model_pool/both", "agent/scout", "tool/search"]
    assert "on both, 1 tool" in lines[5]
    assert "  team  2  " in lines[5]
    assert [r["provider"]["id"] for r in json.loads(of_the_set.out)["resources"]] == ["local"]
    assert [r["provider"]["id"] for r in json.loads(two.out)["resources"]] == ["lonely", "local"]
    assert len(some.out.splitlines()) == 3
    assert some.err == "there are more; --limit 0 shows all\n"
    assert (none.code, none.out, none.err) == (0, "", "nothing found\n")
    assert missing.code == 1
    assert "2 resources not found" in missing.err
    assert "  agent/a\n  agent/b\n" in missing.err


async def test_large_listings_are_read_page_by_page(tmp_path: Path) -> None:
    # given more than the largest page holds
    tools = [tool(f"t{n:04}") for n in range(1_050)]
    async with registry_with(tmp_path, *tools) as (at, _):
        # when
        everything = await runyard("get", "tools", "-o", "json", **at)
        most = await runyard("get", "tools", "--limit", "1020", "-o", "json", **at)
        exactly = await runyard("get", "tools", "--limit", "1050", "-o", "json", **at)
        entries = await runyard("audit", "--limit", "1020", "-o", "json", **at)
        compared = await runyard("diff", "-o", "json", **at)

    # then
    ids = [each["tool"]["id"] for each in json.loads(everything.out)["resources"]]
    assert ids == [f"t{n:04}" for n in range(1_050)]
    assert len(json.loads(most.out)["resources"]) == 1_020
    more = [json.loads(answer.out)["more"] for answer in (everything, most, exactly)]
    assert more == [False, True, False]
    assert len({entry["ref"]["id"] for entry in json.loads(entries.out)["entries"]}) == 1_020
    assert len(json.loads(compared.out)["changes"]) == 1_050


@pytest.mark.chaos  # reading so many manifests takes most of a minute
async def test_an_apply_of_too_many_resources_says_how_to_go_on(tmp_path: Path) -> None:
    tools = "".join(
        f"---\n{{kind: Tool, id: t{n}, spec: {{worker: {{}}}}}}\n" for n in range(20_001)
    )
    async with registry(tmp_path) as at:
        answer = await runyard("apply", "-f", "-", text=tools, **at)
    assert answer.code == 2
    assert "has 20,001 entries, at most 20,000 are allowed" in answer.err
    assert "next:  apply them in parts" in answer.err


async def test_what_may_be_a_mistake_is_a_warning_at_its_line(tmp_path: Path) -> None:
    # given
    key = "sk-proj-aB3dE5fG7hI9jK1lM3nO5pQ7"
    text = f"kind: Tool\nid: t\nspec:\n  worker: {{}}\n  description: 'use {key}'\n"
    async with registry(tmp_path) as at:
        # when
        checked = await runyard("validate", "-f", "-", text=text, **at)
        as_json = await runyard("validate", "-f", "-", "-o", "json", text=text, **at)
        applied = await runyard("apply", "-f", "-", text=text, **at)
        told = await runyard("apply", "-f", "-", "-o", "json", text=text, **at)

    # then it is told with its place and without the key, and nothing is refused
    warning = (
        "warning: standard input:5: Tool t: spec.description: may hold a secret: whoever may read "
        "the registry, and the model, can see it\n"
    )
    assert (checked.code, checked.err) == (0, warning)
    assert (applied.code, applied.err) == (0, warning)
    assert "1 created" in applied.out
    (one,) = json.loads(as_json.out)["warnings"]
    assert (one["file"], one["line"], one["field"]) == ("standard input", 5, "spec.description")
    (one,) = json.loads(told.out)["warnings"]
    assert one["field"] == "resources[0].tool.description"


async def test_a_resource_is_described_with_who_refers_to_it(tmp_path: Path) -> None:
    remote = agent("remote", "small", endpoint={"base_url": "https://agents.example"})
    ruled = agent("ruled", "small", approval_rules=[{"tool_id": "search", "approval": 2}])
    async with registry_with(tmp_path, *quickstart(), remote, ruled) as (at, _):
        # when
        described = await runyard("describe", "pool", "both", **at)
        used_by = {
            name: json.loads((await runyard("describe", name, "-o", "json", **at)).out)["used_by"]
            for name in ("provider/local", "model/small", "tool/search", "agent/scout")
        }
        manifest = await runyard("describe", "pool", "both", "-o", "yaml", **at)
        again = await runyard("apply", "-f", "-", text=manifest.out, **at)

    # then
    assert described.out.startswith("model_pool/both\n  what     small; deterministic\n")
    assert "  used by  agent/scout\n" in described.out
    assert "    sticky_scope: thread\n" in described.out
    assert used_by == {
        "provider/local": ["model/small", "model_pool/both", "agent/ruled", "agent/scout"],
        "model/small": ["model_pool/both", "agent/ruled"],
        "tool/search": ["agent/ruled", "agent/scout"],
        "agent/scout": [],
    }
    assert again.out.startswith("  = model_pool/both unchanged\nnothing changed; ")


async def test_a_prune_is_planned_and_removes_only_what_carries_the_set(tmp_path: Path) -> None:
    manifest = "{kind: Tool, id: a, spec: {worker: {}}}"
    more = f"{manifest}\n---\n{{kind: Tool, id: b, spec: {{worker: {{label: gpu}}}}}}"
    async with registry_with(tmp_path, tool("other")) as (at, _):
        await runyard("apply", "-f", "-", "--set", "team", text=more, **at)
        prune = ("-f", "-", "--set", "team", "--prune")

        # when
        planned = await runyard("apply", *prune, "--dry-run", text=manifest, **at)
        compared = await runyard("diff", *prune, text=manifest, **at)
        applied = await runyard("apply", *prune, text=manifest, **at)
        left = await runyard("get", "tools", "-o", "json", **at)
        unnamed = await runyard("apply", "-f", "-", "--prune", text=manifest, **at)

    # then the plan shows what goes, with what was chosen of it
    assert planned.out == (
        "  = tool/a unchanged\n"
        "  - tool/b removed\n"
        '      - worker.label: "gpu"\n'
        "1 removed; the registry would be at version 4\n"
    )
    assert compared.out == planned.out
    assert applied.out.endswith("1 removed; the registry is at version 4\n")
    assert [one["tool"]["id"] for one in json.loads(left.out)["resources"]] == ["a", "other"]
    assert unnamed.code == 2
    assert "--prune needs --set NAME" in unnamed.err


async def test_an_apply_can_be_held_to_what_is_there(tmp_path: Path) -> None:
    async with registry_with(tmp_path, tool("a")) as (at, _):
        known, unknown = (f"{{kind: Tool, id: {i}, spec: {{worker: {{}}}}}}" for i in "ab")

        # when
        create = await runyard("apply", "-f", "-", "--mode", "create", text=known, **at)
        update = await runyard("apply", "-f", "-", "--mode", "update", text=unknown, **at)
        stale = await runyard("apply", "-f", "-", "--expected-version", "1", text=known, **at)
        fresh = await runyard("apply", "-f", "-", "--expected-version", "2", text=known, **at)

    # then
    assert (create.code, update.code, stale.code, fresh.code) == (1, 1, 1, 0)
    assert "RESOURCE_EXISTS" in create.err
    assert "RESOURCE_NOT_FOUND" in update.err
    assert "expected version 1, but 2 is current" in stale.err
    assert "runyard diff" in stale.err


async def test_five_mistakes_of_five_sorts_are_reported_together(tmp_path: Path) -> None:
    # given a file with an unknown field, a wrong type, an unknown value, a weight of 0 and a
    # reference to nothing
    file = tmp_path / "team.yaml"
    file.write_text(
        "kind: ModelPool\n"
        "id: both\n"
        "spec:\n"
        "  members:\n"
        "    - model_id: small\n"
        "      weight: 0\n"
        "    - model_id: gone\n"
        "      role: failover\n"
        "  clocks: {first_chunk: 30}\n"
        "  retrie: {in_place: 2}\n"
    )
    told = [
        "6: ModelPool both: spec.members[0].weight: is 0, must be 1 to 1,000,000",
        "7: ModelPool both: spec.members[1].model_id: needs model 'gone', which does not exist",
        '8: spec.members[1].role: unknown value "failover", did you mean "failover_only"?',
        "9: spec.clocks.first_chunk: '30' is no duration: write 30s, 200ms, 1h30m or 7d",
        '10: spec.retrie: unknown field "retrie", did you mean "retry"?',
    ]

    # when
    async with registry_with(tmp_path, provider(), model()) as (at, _):
        applied = await runyard("apply", "-f", str(file), **at)
        checked = await runyard("validate", "-f", str(file), **at)
        for_programs = await runyard("validate", "-f", str(file), "-o", "json", **at)
    alone = await runyard("apply", "-f", str(file), **at)

    # then all of them are told, without a registry those that the file shows by itself
    assert (applied.code, checked.code, alone.code) == (2, 2, 2)
    assert applied.err.splitlines() == [
        "error: 5 problem(s) in the manifests; nothing was applied  [MANIFEST]",
        *(f"  {file}:{line}" for line in told),
    ]
    assert checked.out.splitlines() == [f"{file}:{line}" for line in told]
    assert checked.err == "5 problem(s)\n"
    assert "3 problem(s)" in alone.err
    assert "next:  the registry may know of more: cannot reach registry" in alone.err
    answer = json.loads(for_programs.out)
    assert [problem["line"] for problem in answer["problems"]] == [6, 7, 8, 9, 10]
    assert (answer["asked_registry"], for_programs.err) == (True, "")


async def test_manifests_are_checked_without_being_applied(tmp_path: Path) -> None:
    async with registry(tmp_path) as at:
        fine = await runyard("validate", "-f", str(QUICKSTART), **at)
        empty = await runyard("validate", "-f", "-", **at)
        nothing = await runyard("get", **at)
    registry_error = await runyard("validate", "-f", str(QUICKSTART), **at)
    assert (fine.code, fine.out) == (0, "14 resource(s) can be applied at version 1\n")
    assert (empty.code, empty.out) == (0, "0 resource(s) can be applied\n")
    assert nothing.out == ""
    assert registry_error.code == 3
    assert "cannot reach registry" in registry_error.err


async def test_what_is_used_stays_and_everything_that_uses_it_is_listed(tmp_path: Path) -> None:
    # given a model that more agents use than fit into an error
    agents = [agent(f"agent, number {n:03}") for n in range(300)]
    async with registry_with(tmp_path, *quickstart(), *agents) as (at, _):
        # when
        of_a_provider = await runyard("delete", "provider", "local", **at)
        of_a_model = await runyard("delete", "model", "small", **at)
        of_two = await runyard("delete", "tool", "search", "nothing", **at)
        gone = await runyard("delete", "agent/scout", "--expected-version", "2", **at)
        stale = await runyard("delete", "tool", "search", "--expected-version", "2", **at)
        two = ("agent, number 000", "agent, number 001")
        chained = await runyard("delete", "agent", *two, "--expected-version", "3", **at)

    # then
    assert (of_a_provider.code, of_a_model.code, of_two.code) == (1, 1, 1)
    assert "runyard provider preview-remove local" in of_a_provider.err
    assert "model/small stays: 301 resource(s) use it  [RESOURCE_IN_USE]" in of_a_model.err
    assert of_a_model.err.count(" uses model/small\n") == 301
    assert "  agent/agent, number 299 uses model/small\n" in of_a_model.err
    assert "2 resources were not deleted" in of_two.err
    assert "agent/scout uses tool/search" in of_two.err
    assert "not found: tool/nothing" in of_two.err
    assert (gone.code, gone.out) == (0, "  - agent/scout removed; version 3\n")
    assert stale.code == 1
    assert "VERSION_MISMATCH" in stale.err
    assert chained.code == 0
    assert chained.out.endswith("version 5\n")


async def test_all_of_a_file_is_deleted_in_any_order(tmp_path: Path) -> None:
    async with registry(tmp_path) as at:
        await runyard("apply", "-f", str(QUICKSTART), **at)

        # when
        deleted = await runyard("delete", "-f", str(QUICKSTART), **at)
        again = await runyard("delete", "-f", str(QUICKSTART), **at)
        left = await runyard("get", "-o", "json", **at)
        wrong = await runyard("delete", "-f", "-", text="{kind: Tol, id: x}", **at)

    # then
    assert (deleted.code, again.code, wrong.code) == (0, 0, 2)
    assert "1 problem(s) in the manifests; nothing is gone" in wrong.err
    assert deleted.out.count(" removed; version ") == 14
    assert again.out.count(" is not there\n") == 14
    assert json.loads(left.out)["resources"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("get", "agnet"), 'unknown kind "agnet", did you mean "agent"?'),
        (("describe", "agent"), "name at least one id"),
        (("delete",), "name KIND and ID, or files with -f"),
        (("delete", "agent"), "name KIND and ID, or files with -f"),
        (("export", "agnet"), 'unknown kind "agnet", did you mean "agent"?'),
        (("audit", "agnet"), 'unknown kind "agnet", did you mean "agent"?'),
        (("audit", "--since", "yesterday"), "'yesterday' is no time"),
        (("diff", "1", "-f", "x.yaml"), "name versions, or files with -f"),
        (("provider", "remove", "p"), "--policy"),
        (("get", "--limit", "-1"), "should be greater than or equal to 0"),
    ],
)
async def test_wrong_use_is_refused_before_a_server_is_called(
    arguments: tuple[str, ...], words: str
) -> None:
    answer = await runyard(*arguments)
    assert answer.code == 2, answer.err
    assert words in " ".join(answer.err.replace("│", " ").split())


PROVIDER = "kind: Provider\nid: north\nspec:\n  openai: {}\n  timeout: 30s\n"


async def test_a_provider_is_registered_and_replaced_by_its_manifest(tmp_path: Path) -> None:
    async with registry(tmp_path) as at:
        later = PROVIDER.replace("30s", "60s")
        wrong = PROVIDER.replace("30s", "2h")

        # when
        unknown = await runyard("provider", "replace", "-f", "-", text=PROVIDER, **at)
        registered = await runyard("provider", "register", "-f", "-", text=PROVIDER, **at)
        twice = await runyard("provider", "register", "-f", "-", text=PROVIDER, **at)
        replaced = await runyard("provider", "replace", "-f", "-", text=later, **at)
        illegal = await runyard("provider", "replace", "-f", "-", text=wrong, **at)
        malformed = await runyard("provider", "replace", "-f", "-", text=PROVIDER + "  x: 1", **at)
        two = await runyard("provider", "register", "-f", str(QUICKSTART), **at)

    # then
    assert (unknown.code, registered.code, twice.code, replaced.code) == (1, 0, 1, 0)
    assert "PROVIDER_NOT_FOUND" in unknown.err
    assert registered.out == "  + provider/north registered\nthe registry is at version 2\n"
    assert "runyard provider replace -f FILE" in twice.err
    assert replaced.out == "  ~ provider/north replaced\nthe registry is at version 3\n"
    assert (illegal.code, malformed.code, two.code) == (2, 2, 2)
    assert "standard input:5: Provider north: spec.timeout: is 7,200 s" in illegal.err
    assert 'standard input:6: spec.x: unknown field "x"' in malformed.err
    assert "one Provider is expected" in two.err


async def test_a_provider_is_removed_under_a_policy(tmp_path: Path) -> None:
    unused = [provider("south"), model("m1", "south"), model("m2", "south"), pool("p", ["m1"])]
    unused += [provider("west"), model("m3", "west"), pool("q", ["m2", "m3"])]
    async with registry_with(tmp_path, *quickstart(), *unused) as (at, _):
        # when
        used = await runyard("provider", "preview-remove", "local", **at)
        refused = await runyard("provider", "remove", "local", "--policy", "cascade", **at)
        blocked = await runyard("provider", "remove", "south", "--policy", "block", **at)
        removed = await runyard("provider", "remove", "south", "--policy", "cascade", **at)
        previewed = await runyard("provider", "preview-remove", "local", "-o", "json", **at)

    # then
    assert used.out == (
        "provider/local at version 2\n"
        "  touches model/small\n"
        "  touches model_pool/both\n"
        "  touches agent/scout\n"
        "  --policy block   would refuse\n"
        "  --policy cascade would refuse\n"
    )
    assert (refused.code, blocked.code, removed.code) == (1, 1, 0)
    assert "  model/small\n  model_pool/both\n  agent/scout\n" in refused.err
    assert "runyard provider remove south --policy cascade" in blocked.err
    assert removed.out == (
        "  - provider/south removed\n"
        "  - model/m1 removed\n"
        "  - model/m2 removed\n"
        "  - model_pool/p removed\n"
        "  ~ model_pool/q goes on without them\n"
        "the registry is at version 3\n"
    )
    assert json.loads(previewed.out)["agent_ids"] == ["scout"]
