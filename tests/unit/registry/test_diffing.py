"""Field changes of a plan, kept within one answer."""

from __future__ import annotations

from services.registry.core.changes.diffing import MAX_FIELDS_BYTES, with_fields
from services.registry.core.changes.publishing import Action, Draft, Upsert
from services.registry.core.executors import WorkerExecutor
from services.registry.core.model import Agent, Tool
from services.registry.core.refs import Kind, Ref

UNCHANGED = Ref(Kind.MODEL, "same")


def upsert(agent: Agent, action: Action) -> Upsert:
    return Upsert(agent, b"", "", action)


def test_a_plan_shows_what_is_new_changed_and_gone() -> None:
    # given
    gone = Tool("gone", WorkerExecutor())
    draft = Draft(
        upserts=(
            upsert(Agent("a", "m", max_rounds=3), Action.UPDATED),
            upsert(Agent("b", "m"), Action.CREATED),
        ),
        unchanged=(UNCHANGED,),
        adopted=(),
        removed=(gone.ref,),
    )

    # when
    changes = with_fields(draft, {Agent("a").ref: Agent("a", "m"), gone.ref: gone}.get)

    # then
    assert [(str(c.ref), c.action) for c in changes] == [
        ("model/same", Action.UNCHANGED),
        ("agent/a", Action.UPDATED),
        ("agent/b", Action.CREATED),
        ("tool/gone", Action.REMOVED),
    ]
    same, updated, created, removed = (c.fields for c in changes)
    assert same == ()
    assert [(f.path, f.before, f.after) for f in updated] == [("max_rounds", "16", "3")]
    assert all(f.before == "" and f.after for f in created)
    assert all(f.after == "" and f.before for f in removed)
    assert not any(c.fields_truncated for c in changes)


def test_a_large_plan_leaves_fields_out_and_says_so() -> None:
    # given 400 agents with 40 long tool ids each, three times what fits
    tools = tuple(f"{n:02}" + "x" * 60 for n in range(40))
    agents = [Agent(f"a{n:03}", "m", tools=tools) for n in range(1000)]
    draft = Draft(tuple(upsert(each, Action.CREATED) for each in agents), (), (), ())

    # when
    asked: list[Ref] = []
    changes = with_fields(draft, asked.append)

    # then every change is there, with fields as far as they fit
    assert len(changes) == 1000
    assert not changes[0].fields_truncated
    assert changes[-1].fields_truncated
    # and what no field is shown of is not looked up
    assert len(asked) < 500
    total_bytes = sum(
        len(field.path) + len(field.before) + len(field.after)
        for change in changes
        for field in change.fields
    )
    assert 0.7 * MAX_FIELDS_BYTES < total_bytes <= MAX_FIELDS_BYTES
