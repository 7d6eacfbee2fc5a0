"""Problems of files and of the registry in one list, without what only follows from another."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from runyard.registry.v1 import registry_service_pb2 as pb
from services.chassis.errors import Violation
from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.manifests.resources import load
from services.cli.registry.validation import Validation, merged


def diagnostic(field: str, text: str = "is wrong", **more: Any) -> pb.Diagnostic:
    return pb.Diagnostic(field=field, description=text, **more)


def missing(field: str, model_id: str) -> pb.Diagnostic:
    return diagnostic(field, depends_on={"kind": "RESOURCE_KIND_MODEL", "id": model_id})


def told(text: str, *diagnostics: pb.Diagnostic) -> list[str]:
    manifests = load([("team.yaml", textwrap.dedent(text))])
    return [str(problem) for problem in merged(manifests, diagnostics)]


def test_both_lists_are_one_in_the_order_of_the_file() -> None:
    # given a file with a slip of the pen, and two things that only a registry knows
    text = """
        kind: Model
        id: m
        spec:
          provider_id: nowhere
          upstream_model: u
        ---
        kind: ModelPool
        id: p
        spec:
          membrs: []
          members:
            - model_id: m
              weight: 0
    """

    # when
    found = told(
        text,
        diagnostic("resources[1].model_pool.members[0].weight", "is 0, must be 1 to 1,000,000"),
        diagnostic("resources[0].model.provider_id", "needs provider 'nowhere'"),
        diagnostic("agent/scout", "needs model 'gone'"),
    )

    # then
    assert found == [
        "team.yaml:5: Model m: spec.provider_id: needs provider 'nowhere'",
        'team.yaml:11: spec.membrs: unknown field "membrs", did you mean "members"?',
        "agent/scout: needs model 'gone'",
    ]


@pytest.mark.parametrize(
    ("kind", "spec", "field"),
    [
        # what was meant was not read
        ("Agent", "{modle_id: m}", "agent.model_id"),
        ("Agent", "{sampling: {temprature: 1}}", "agent.sampling.temperature"),
        # what was written could not be read
        ("Agent", "{max_rounds: many}", "agent.max_rounds"),
        ("Agent", "{endpoint: {timeout: 5}}", "agent.endpoint.timeout"),
        ("Agent", "{tools: [{}]}", "agent.tools"),
        ("Agent", "{approval_rules: [{approval: x}]}", "agent.approval_rules[0].approval"),
        # a part of which something could not be read
        ("Agent", "{endpoint: x}", "agent.endpoint.base_url"),
        # a choice that could not be read is not missed
        ("Provider", "{opnai: {}}", "provider"),
        ("Provider", "{openai: 5}", "provider"),
        ("Provider", "{what: 1}", "provider"),
        # a list that could not be read is not judged as a whole
        ("ModelPool", "{members: [{model_id: a, role: membr}]}", "model_pool.members"),
    ],
)
def test_what_follows_from_an_unread_field_is_not_told(kind: str, spec: str, field: str) -> None:
    text = f"{{kind: {kind}, id: a, spec: {spec}}}"
    assert len(told(text, diagnostic(f"resources[0].{field}"))) == 1


@pytest.mark.parametrize(
    ("kind", "spec", "field"),
    [
        ("Agent", "{max_rounds: many}", "agent.model_id"),
        ("Agent", "{sampling: {temprature: 1}}", "agent.sampling.top_p"),
        ("Agent", "{tools: [{}]}", "agent.approval_rules[0].tool_id"),
        ("ModelPool", "{members: [{}, {role: x}]}", "model_pool.members[0].model_id"),
        # the choice of an adapter has nothing to do with the time
        ("Provider", "{timeout: 5}", "provider"),
    ],
)
def test_what_has_nothing_to_do_with_it_is_told(kind: str, spec: str, field: str) -> None:
    text = f"{{kind: {kind}, id: a, spec: {spec}}}"
    assert len(told(text, diagnostic(f"resources[0].{field}"))) == 2


def test_references_to_documents_that_could_not_be_read_are_not_missed() -> None:
    # given a model of a kind that was misspelt, and a reference to it
    text = """
        {kind: Modle, id: m}
        ---
        {kind: Agent, id: a, spec: {model_id: m}}
    """

    # when the registry misses it, and another one
    found = told(
        text,
        missing("resources[0].agent.model_id", "m"),
        missing("resources[0].agent.tools[0]", "other"),
    )

    # then
    assert [line.partition(": ")[0] for line in found] == ["team.yaml:2", "team.yaml:4"]
    assert "spec.tools[0]" in found[1]


def test_after_a_line_that_is_no_yaml_nobody_knows_what_would_follow() -> None:
    text = "{kind: Agent, id: a, spec: {model_id: m, max_rounds: 0}}\n---\nkind: [\n"
    dangling = missing("resources[0].agent.model_id", "m")
    found = told(text, dangling, diagnostic("resources[0].agent.max_rounds", "is 0"))
    assert [line.partition(": ")[0] for line in found] == ["team.yaml:1", "team.yaml:4"]


def test_what_stands_twice_is_told_once() -> None:
    text = "{kind: Agent, id: a}\n---\n{kind: Agent, id: a}\n"
    duplicate = diagnostic("resources[1].agent.id", code=pb.DIAGNOSTIC_CODE_DUPLICATE_ID)
    assert told(text, duplicate) == ["team.yaml:3: id: Agent a stands at team.yaml:1 already"]


def test_files_keep_the_order_in_which_they_were_named() -> None:
    # given two files
    loaded = load([("b.yaml", "{kind: Tool, id: b}"), ("a.yaml", "{kind: Tool, id: a}")])

    # when something is wrong with both
    found = merged(loaded, [diagnostic("resources[1].tool"), diagnostic("resources[0].tool")])

    # then
    assert [problem.file for problem in found] == ["b.yaml", "a.yaml"]


def test_the_name_of_a_resource_is_not_told_twice() -> None:
    loaded = load([("a.yaml", "{kind: ModelPool, id: p}")])
    violation = Violation("resources[0].model_pool.id", "model_pool/p: is ambiguous")
    assert str(loaded.locate(violation)) == "a.yaml:1: ModelPool p: id: is ambiguous"


def test_a_refusal_says_when_the_registry_had_no_part_in_it() -> None:
    # given
    problems = load([("a.yaml", "{kind: Tol, id: p}")]).problems

    # when
    alone = Validation(problems, CliError("cannot reach registry")).refusal()
    together = Validation(problems, version=3).refusal()

    # then
    assert alone.hint == "the registry may know of more: cannot reach registry"
    assert (together.hint, together.exit_code) == ("", EXIT_USAGE)
    assert together.details == ('a.yaml:1: kind: unknown kind "Tol", did you mean "Tool"?',)
