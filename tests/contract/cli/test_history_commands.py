"""What the registry was, by the command: versions, differences, roll-backs and who did what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.contract.cli.process import put, registry, registry_with, runyard
from tests.support.registry_resources import agent, model, provider, quickstart, tool

pytestmark = pytest.mark.slow


async def test_versions_are_listed_compared_and_restored(tmp_path: Path) -> None:
    async with registry_with(tmp_path, *quickstart()) as (at, stub):
        # given a second version that changes an agent and adds a tool, and a third that goes back
        await put(stub, [agent(model_id="small", max_rounds=8), tool("more")])

        # when
        newest = await runyard("diff", **at)
        between = await runyard("diff", "2", "3", "-o", "json", **at)
        restored = await runyard("rollback", "2", "--expected-version", "3", **at)
        stale = await runyard("rollback", "2", "--expected-version", "3", **at)
        again = await runyard("rollback", "2", **at)
        listed = await runyard("versions", **at)
        two = await runyard("versions", "--limit", "2", "-o", "json", **at)
        gone = await runyard("diff", "1", "99", **at)

    # then the difference is told field by field
    assert newest.out == (
        "  ~ agent/scout updated\n"
        "      ~ max_rounds: 16 → 8\n"
        '      ~ model_id: "both" → "small"\n'
        '      - tools[0]: "search"\n'
        "  + tool/more created\n"
        "1 created, 1 updated from version 2 to 3\n"
    )
    told = json.loads(between.out)
    assert (told["from_version"], told["to_version"], len(told["changes"])) == ("2", "3", 2)
    # and the old content is a new version, once
    assert restored.out == (
        "  ~ agent/scout updated\n"
        "  - tool/more removed\n"
        "1 updated, 1 removed; the registry has the content of version 2 at version 4\n"
    )
    assert stale.code == 1
    assert "VERSION_MISMATCH" in stale.err
    assert again.out == "nothing changed; the registry has the content of version 2 at version 4\n"
    rows = [line.split() for line in listed.out.splitlines()]
    assert [row[0] for row in rows] == ["VERSION", "4", "3", "2", "1"]
    assert "Rollback of 2" in listed.out
    assert rows[1][-1] == rows[3][-1] != rows[2][-1]
    assert [version["version"] for version in json.loads(two.out)["versions"]] == ["4", "3"]
    assert json.loads(two.out)["more"] is True
    assert gone.code == 1
    assert "runyard versions" in gone.err


async def test_one_version_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    async with registry(tmp_path) as at:
        answer = await runyard("diff", **at)
    assert answer.code == 1
    assert "only version 1 is kept" in answer.err


async def test_who_changed_what_is_listed_by_filters(tmp_path: Path) -> None:
    async with registry_with(tmp_path, provider(), model(), tool("a"), tool("b")) as (at, _):
        await runyard("delete", "tool", "a", **at)

        # when
        everything = await runyard("audit", **at)
        of_tools = await runyard("audit", "tools", "-o", "json", **at)
        of_one = await runyard("audit", "tool/a", "--limit", "1", "-o", "json", **at)
        by_nobody = await runyard("audit", "--by", "nobody", **at)
        since = await runyard("audit", "--since", "1h", "-o", "json", **at)
        until = await runyard("audit", "--until", "2020-01-01", "-o", "json", **at)

    # then the newest comes first
    lines = [line.split() for line in everything.out.splitlines()]
    assert lines[0] == ["TIME", "BY", "VERSION", "ACTION", "RESOURCE", "CALL"]
    assert lines[1][2:] == ["local", "3", "removed", "tool/a", "DeleteResource"]
    assert [line[5] for line in lines[2:]] == ["tool/b", "tool/a", "model/small", "provider/local"]

    def ids(text: str) -> list[str]:
        return [entry["ref"]["id"] for entry in json.loads(text)["entries"]]

    assert ids(of_tools.out) == ["a", "b", "a"]
    assert ids(of_one.out) == ["a"]
    assert json.loads(of_one.out)["more"] is True
    assert json.loads(of_one.out)["entries"][0]["before"]["tool"]["id"] == "a"
    assert len(by_nobody.out.splitlines()) == 1
    assert len(ids(since.out)) == 5
    assert ids(until.out) == []
