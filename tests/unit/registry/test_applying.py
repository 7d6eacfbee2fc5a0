"""What an apply writes: modes, marks, no-ops, and the order of refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.chassis.errors import InvalidRequestError, Violation
from services.registry.core.applying import (
    Action,
    ApplyCommand,
    Change,
    Held,
    Mode,
    check,
    check_count,
    check_version,
    draft,
    pruned,
)
from services.registry.core.canonical import content_hash
from services.registry.core.errors import (
    ResourceExistsError,
    ResourceNotFoundError,
    VersionMismatchError,
)
from services.registry.core.model import (
    Agent,
    BuiltinAdapter,
    Kind,
    Model,
    Provider,
    Ref,
    Resource,
)
from services.registry.core.normalising import normalised
from services.registry.core.validating import Submitted, Surroundings

ONE = Provider("one", BuiltinAdapter())
TWO = Provider("two", BuiltinAdapter())
NOTHING_AROUND = Surroundings()


def command(*resources: Resource, **fields: object) -> ApplyCommand:
    submitted = tuple(Submitted(f"r[{n}]", each) for n, each in enumerate(resources))
    return ApplyCommand(submitted, **fields)  # type: ignore[arg-type]  # fields of the command


def held(resource: Resource, apply_set: str = "") -> dict[Ref, Held]:
    return {resource.ref: Held(content_hash(normalised(resource)), apply_set)}


def violations(wrong: ApplyCommand, removed: tuple[Ref, ...] = ()) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequestError) as caught:
        check(wrong, removed, NOTHING_AROUND)
    return [(each.field, each.reason) for each in caught.value.violations]


def test_what_is_unknown_is_created_and_what_differs_updated() -> None:
    # given one that differs and one that is the same
    changed = replace(ONE, adapter=BuiltinAdapter(), credential_ref=None, base_url="")
    known = {ONE.ref: Held(b"of another content", "kept"), **held(TWO)}
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
    decided = draft(command(ONE), held(ONE), [])

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
    decided = draft(command(ONE, apply_set=mark), held(ONE, before), [])

    assert decided.adopted == ((ONE.ref,) if adopted else ())
    assert not decided.makes_a_version


def test_mode_create_lists_everything_that_exists() -> None:
    both = {**held(ONE), **held(TWO)}

    with pytest.raises(ResourceExistsError) as caught:
        draft(command(TWO, ONE, mode=Mode.CREATE), both, [])

    assert caught.value.metadata == {"resources": "provider/one\nprovider/two", "count": "2"}


def test_mode_update_lists_everything_that_is_missing() -> None:
    with pytest.raises(ResourceNotFoundError) as caught:
        draft(command(ONE, TWO, mode=Mode.UPDATE), held(ONE), [])

    assert caught.value.metadata == {
        "kind": "provider",
        "id": "two",
        "resources": "provider/two",
        "count": "1",
    }


@pytest.mark.parametrize("mode", [Mode.CREATE, Mode.UPSERT])
def test_the_other_modes_create(mode: Mode) -> None:
    (upsert,) = draft(command(ONE, mode=mode), {}, []).upserts

    assert upsert.action is Action.CREATED


@pytest.mark.parametrize("mode", [Mode.UPDATE, Mode.UPSERT])
def test_the_other_modes_update(mode: Mode) -> None:
    known = {ONE.ref: Held(b"", "")}

    (upsert,) = draft(command(ONE, mode=mode), known, []).upserts

    assert upsert.action is Action.UPDATED


def test_an_error_names_as_many_as_fit() -> None:
    many = [Ref(Kind.AGENT, "x" * 500 + str(n)) for n in range(3)]

    error = ResourceExistsError.of(many)

    assert error.metadata["count"] == "3"
    assert error.metadata["resources"] == str(many[0])
    assert ResourceExistsError.of([Ref(Kind.MODEL_POOL, "y" * 512)]).metadata["resources"]


def test_only_what_is_marked_and_not_submitted_is_pruned() -> None:
    marked = [TWO.ref, ONE.ref, Ref(Kind.TOOL, "t")]

    assert pruned(command(ONE, prune=True), marked) == (TWO.ref, Ref(Kind.TOOL, "t"))
    assert pruned(command(ONE), marked) == ()


@pytest.mark.parametrize("expected", [None, 7])
def test_the_expected_version_passes(expected: int | None) -> None:
    check_version(expected, 7)


@pytest.mark.parametrize("expected", [6, 8])
def test_another_version_does_not(expected: int) -> None:
    with pytest.raises(VersionMismatchError) as caught:
        check_version(expected, 7)

    assert caught.value.metadata == {"expected": str(expected), "current": "7"}


def test_a_sound_command_passes() -> None:
    check(command(ONE, TWO), (), NOTHING_AROUND)
    check(command(apply_set="team", prune=True), (), NOTHING_AROUND)


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


def test_a_command_without_resources_is_refused() -> None:
    assert violations(command()) == [("resources", "")]


def test_a_command_of_unreadable_resources_only_is_not_called_empty() -> None:
    wrong = command(unreadable=(Violation("resources[0]", "is empty"),))

    assert violations(wrong) == [("resources[0]", "")]


def test_a_command_has_a_most() -> None:
    check_count(5000)
    with pytest.raises(InvalidRequestError) as caught:
        check_count(5001)

    assert [each.field for each in caught.value.violations] == ["resources"]


def test_a_set_is_named_like_everything_else() -> None:
    assert violations(command(ONE, apply_set="a\nb")) == [("apply_set", "")]
