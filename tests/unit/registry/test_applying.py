"""What an apply writes: modes, marks, no-ops, and the order of refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.chassis.errors import InvalidRequestError, Violation
from services.registry.core.canonical import content_hash, normalised
from services.registry.core.changes import applying
from services.registry.core.changes.applying import ApplyCommand, Mode, draft, judge
from services.registry.core.changes.publishing import Action, Change, check_version
from services.registry.core.errors import (
    ResourceExistsError,
    ResourceNotFoundError,
    VersionMismatchError,
)
from services.registry.core.model import Agent, BuiltinAdapter, Model, Provider, Resource
from services.registry.core.refs import Kind, Ref
from services.registry.core.rules.validating import Submitted
from services.registry.core.stored import Existing, ReferenceFacts

ONE = Provider("one", BuiltinAdapter())
TWO = Provider("two", BuiltinAdapter())
NOTHING_AROUND = ReferenceFacts()


def command(*resources: Resource, **fields: object) -> ApplyCommand:
    submitted = tuple(Submitted(f"r[{n}]", each) for n, each in enumerate(resources))
    return ApplyCommand(submitted, **fields)  # type: ignore[arg-type]  # fields of the command


def existing(resource: Resource, apply_set: str = "") -> dict[Ref, Existing]:
    return {resource.ref: Existing(content_hash(normalised(resource)), apply_set)}


def violations(wrong: ApplyCommand, removed: tuple[Ref, ...] = ()) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequestError) as caught:
        judge(wrong, removed, NOTHING_AROUND).check()
    return [(each.field, each.reason) for each in caught.value.violations]


def test_what_is_unknown_is_created_and_what_differs_updated() -> None:
    # given one that differs and one that is the same
    changed = replace(ONE, adapter=BuiltinAdapter(), credential_ref=None, base_url="")
    known = {ONE.ref: Existing(b"of another content", "kept"), **existing(TWO)}
    new = Provider("new", BuiltinAdapter())

    # when
    decided = draft(command(new, TWO, changed), known, [Ref(Kind.TOOL, "t")])

    # then
    assert [(u.ref.id, u.action, u.apply_set) for u in decided.upserts] == [
        ("new", Action.CREATED, ""),
        ("one", Action.UPDATED, "kept"),
    ]
    assert decided.makes_a_version
    assert decided.changes() == (
        Change(new.ref, Action.CREATED),
        Change(ONE.ref, Action.UPDATED),
        Change(TWO.ref, Action.UNCHANGED),
        Change(Ref(Kind.TOOL, "t"), Action.REMOVED),
    )


def test_the_same_again_makes_no_version() -> None:
    decided = draft(command(ONE), existing(ONE), [])

    assert not decided.makes_a_version
    assert decided.unchanged == (ONE.ref,)
    assert decided.adopted == ()


def test_what_is_written_is_normalised() -> None:
    model = Model("m", "p", "u", modalities=())

    (upsert,) = draft(command(model), {}, []).upserts

    assert upsert.resource == normalised(model) != model
    assert upsert.content_hash == content_hash(normalised(model))


def test_a_removal_alone_makes_a_version() -> None:
    assert draft(command(), {}, [ONE.ref]).makes_a_version


@pytest.mark.parametrize(
    ("mark", "before", "adopted"), [("a", "", True), ("a", "a", False), ("", "a", False)]
)
def test_an_unchanged_resource_takes_the_mark_of_the_set(
    mark: str, before: str, adopted: bool
) -> None:
    decided = draft(command(ONE, apply_set=mark), existing(ONE, before), [])

    assert decided.adopted == ((ONE.ref,) if adopted else ())
    assert not decided.makes_a_version


def test_mode_create_lists_everything_that_exists() -> None:
    both = {**existing(ONE), **existing(TWO)}

    with pytest.raises(ResourceExistsError) as caught:
        draft(command(TWO, ONE, mode=Mode.CREATE), both, [])

    assert caught.value.metadata == {"resources": "provider/one\nprovider/two", "count": "2"}


def test_mode_update_lists_everything_that_is_missing() -> None:
    with pytest.raises(ResourceNotFoundError) as caught:
        draft(command(ONE, TWO, mode=Mode.UPDATE), existing(ONE), [])

    named = {"kind": "provider", "id": "two", "resources": "provider/two", "count": "1"}
    assert caught.value.metadata == named


@pytest.mark.parametrize(
    ("mode", "known", "action"),
    [
        (Mode.CREATE, {}, Action.CREATED),
        (Mode.UPSERT, {}, Action.CREATED),
        (Mode.UPDATE, {ONE.ref: Existing(b"", "")}, Action.UPDATED),
        (Mode.UPSERT, {ONE.ref: Existing(b"", "")}, Action.UPDATED),
    ],
)
def test_the_other_modes_write(mode: Mode, known: dict[Ref, Existing], action: Action) -> None:
    (upsert,) = draft(command(ONE, mode=mode), known, []).upserts

    assert upsert.action is action


def test_an_error_names_as_many_as_fit() -> None:
    many = [Ref(Kind.AGENT, "x" * 500 + str(n)) for n in range(3)]

    error = ResourceExistsError.of(many)

    assert error.metadata["count"] == "3"
    assert error.metadata["resources"] == str(many[0])
    assert ResourceExistsError.of([Ref(Kind.MODEL_POOL, "y" * 512)]).metadata["resources"]


def test_only_what_is_marked_and_not_submitted_is_pruned() -> None:
    marked = [TWO.ref, ONE.ref, Ref(Kind.TOOL, "t")]

    assert applying.pruned(command(ONE, prune=True), marked) == (TWO.ref, Ref(Kind.TOOL, "t"))
    assert applying.pruned(command(ONE), marked) == ()


@pytest.mark.parametrize("expected", [None, 7])
def test_the_expected_version_passes(expected: int | None) -> None:
    check_version(expected, 7)


@pytest.mark.parametrize("expected", [6, 8])
def test_another_version_does_not(expected: int) -> None:
    with pytest.raises(VersionMismatchError) as caught:
        check_version(expected, 7)

    assert caught.value.metadata == {"expected": str(expected), "current": "7"}


def test_a_sound_command_passes() -> None:
    judge(command(ONE, TWO), (), NOTHING_AROUND).check()
    judge(command(apply_set="team", prune=True), (), NOTHING_AROUND).check()


def test_rules_of_every_sort_are_reported_together() -> None:
    # given something unreadable, a broken field, a broken reference and a broken command
    wrong = command(
        Model("m", "gone", ""),
        Agent("", "m"),
        unreadable=(Violation("r[7]", "is empty"),),
        prune=True,
    )

    # then
    assert violations(wrong) == [
        ("prune", ""),
        ("r[0].provider_id", "model_missing_provider"),
        ("r[0].upstream_model", ""),
        ("r[1].id", ""),
        ("r[7]", ""),
    ]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        pytest.param(command(), "resources", id="no resources"),
        pytest.param(
            command(unreadable=(Violation("resources[0]", "is empty"),)),
            "resources[0]",
            id="of unreadable resources only, which is not called empty",
        ),
        pytest.param(command(ONE, apply_set="a\nb"), "apply_set", id="a set of no legal name"),
    ],
)
def test_what_is_wrong_with_a_command_is_named(wrong: ApplyCommand, field: str) -> None:
    assert violations(wrong) == [(field, "")]
