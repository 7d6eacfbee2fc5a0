"""What a mutation does, or would do, resource by resource and field by field."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Iterator

from runyard.registry.v1 import registry_pb2
from runyard.registry.v1 import registry_service_pb2 as pb
from services.cli.base.layout import Part
from services.cli.base.messages import short_name
from services.cli.base.terminal import Terminal
from services.cli.manifests.defaults import default_of
from services.cli.manifests.filling import field_at
from services.cli.manifests.kinds import BY_NUMBER, named

_MARKS = {
    pb.CHANGE_ACTION_CREATED: ("+", "green"),
    pb.CHANGE_ACTION_UPDATED: ("~", "yellow"),
    pb.CHANGE_ACTION_UNCHANGED: ("=", "dim"),
    pb.CHANGE_ACTION_REMOVED: ("-", "red"),
}
_ACTION = pb.ChangeAction.DESCRIPTOR
_EMPTY_VALUES = frozenset({"", '""', "[]", "{}", "null"})


def show_changes(changes: Iterable[pb.ResourceChange], terminal: Terminal) -> None:
    for change in changes:
        mark, style = _MARKS.get(change.action, ("?", ""))
        action = short_name(_ACTION, change.action)
        terminal.line("  ", (f"{mark} {named(change.ref)}", style), f" {action}")
        for field in change.fields:
            if not _is_default(change, field):
                _show_field(field, terminal)
        if change.fields_truncated:
            terminal.line("      ", ("more fields differ than fit into an answer", "dim"))


def counted(changes: Iterable[pb.ResourceChange]) -> str:
    """``2 created, 1 removed``; what stays as it is does not count."""
    counts = Counter(change.action for change in changes)
    parts = [
        f"{counts[action]} {short_name(_ACTION, action)}"
        for action in _MARKS
        if counts[action] and action != pb.CHANGE_ACTION_UNCHANGED
    ]
    return ", ".join(parts) or "nothing changed"


def _show_field(field: pb.FieldChange, terminal: Terminal) -> None:
    mark = "~" if field.before and field.after else "+" if field.after else "-"
    style = {"~": "yellow", "+": "green", "-": "red"}[mark]
    lead: tuple[Part, ...] = ("      ", (mark, style), f" {field.path}:")
    before, after = _lines(field.before), _lines(field.after)
    if len(before) > 1 or len(after) > 1:
        terminal.line(*lead)
        for line in _line_diff(before, after):
            terminal.line("          ", line)
    elif mark == "~":
        terminal.line(*lead, " ", (field.before, "red"), " → ", (field.after, "green"))
    else:
        terminal.line(*lead, " ", (field.after or field.before, style))


def _lines(value: str) -> list[str]:
    """The lines of a text that has some, else the value as the registry wrote it."""
    try:
        text = json.loads(value) if value.startswith('"') else value
    except ValueError:  # cut off, where it was too long
        return [value]
    if not value:
        return []
    return text.split("\n") if "\n" in text else [value]


def _line_diff(before: list[str], after: list[str]) -> Iterator[Part]:
    styles = {"+": "green", "-": "red", "@": "dim"}
    for line in list(difflib.unified_diff(before, after, n=1, lineterm=""))[2:]:
        words = f"{line[0]} {line[1:]}" if line[0] != "@" else "…"
        yield (words, styles.get(line[0], ""))


def _is_default(change: pb.ResourceChange, field: pb.FieldChange) -> bool:
    """Whether a field is left out: at its default in a resource that is created or removed."""
    value = field.after or field.before
    if change.action == pb.CHANGE_ACTION_UPDATED:
        # The items of a list are shown one by one.
        return value == "[]" and not (field.before and field.after)
    if field.path == "id" or value in _EMPTY_VALUES:
        return True
    kind = BY_NUMBER.get(change.ref.kind)
    resource = registry_pb2.Resource.DESCRIPTOR.fields_by_name
    found = field_at(resource[kind.member].message_type, field.path) if kind else None
    if found is None:
        return False
    of, index = found
    if value in {"false", "0"} and not of.has_presence:
        return True
    beside = (each.path.partition(".")[0] for each in change.fields)
    default = default_of(of, beside)
    if isinstance(default, list):
        return index < len(default) and json.dumps(default[index]) == value
    return default is not None and json.dumps(default) == value
