"""Whether the arguments of a call are what the schema of its tool allows.

The check ends whatever schema and arguments are: its steps are counted, patterns are matched in
linear time (by RE2, which has no look-around and no back references), nothing is fetched, and a
schema that cannot be evaluated refuses every call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, wraps
from itertools import islice
from typing import Any

import re2
from jsonschema import Draft4Validator, Draft6Validator, Draft7Validator
from jsonschema import Draft201909Validator as Draft2019Validator
from jsonschema import Draft202012Validator as Draft2020Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import SchemaRegistry

from services.chassis.slices import give_way
from services.content.model import ToolCall
from services.runcontrol.core.gating import canonical
from services.runcontrol.core.specs import Specs, ToolSpec

# Of keywords that are evaluated, for all calls of one answer: 0.15 s if flat, 0.5 s if deep.
MAX_STEPS = 50_000
# For a schema of 256 KiB, once.
_SCHEMA_STEPS = 2_000_000
MAX_VIOLATIONS = 16
MAX_VIOLATION_CHARS = 240
_CHARS_PER_STEP = 256
_NO_OBJECT = ("the arguments are not a JSON object",)

_Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class _TooCostlyError(Exception):
    """The check has taken as many steps as it may."""


class _UnusableError(Exception):
    """The schema cannot be evaluated; the text says why."""


class Budget:
    """The steps that are left of a check."""

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        give_way()
        self._left -= steps
        if self._left < 0:
            raise _TooCostlyError

    @contextmanager
    def spent_here(self) -> Iterator[None]:
        """Keywords that are evaluated in the block spend of it."""
        token = _BUDGET.set(self)
        try:
            yield
        finally:
            _BUDGET.reset(token)


_BUDGET: ContextVar[Budget] = ContextVar("budget of a check of arguments")


def refusals(requested: Sequence[ToolCall], specs: Specs, most_calls: int) -> tuple[str, ...]:
    """Why each call of a model's answer is refused; "" for one that may go on.

    Takes up to a second: not for an event loop, nor for a transaction.
    """
    budget = Budget()
    made = [_refusal(call, specs.tool(call.tool_id), budget) for call in requested[:most_calls]]
    others = f"not made: an answer may ask for at most {most_calls:,} calls; ask again for this one"
    return (*made, *(others for _ in requested[most_calls:]))


def _refusal(call: ToolCall, tool: ToolSpec | None, budget: Budget) -> str:
    if tool is None:
        return f"there is no tool {call.tool_id}"
    found = violations(tool, call.arguments_json, budget)
    if found in ((), _NO_OBJECT):
        return "".join(found)
    return f"the arguments do not fit the tool: {'; '.join(found)}"


def violations(tool: ToolSpec, arguments_json: str, budget: Budget) -> tuple[str, ...]:
    """What is wrong with arguments of a tool, each by its place; at most 16, and that there are
    more.
    """
    if canonical(arguments_json) is None:
        return _NO_OBJECT
    if not tool.json_schema:
        return ()
    try:
        validator = _validator(tool.json_schema)
        with budget.spent_here():
            found = validator.iter_errors(json.loads(arguments_json or "{}"))
            texts = [_text(error) for error in islice(found, MAX_VIOLATIONS + 1)]
    except (_TooCostlyError, RecursionError, OverflowError):
        return ("they are too large or too deep to be checked: send less in one answer",)
    except _UnusableError as error:
        return (_cut(f"the schema of {tool.tool_id} cannot be used: {error}"),)
    except Unresolvable as error:
        return (_cut(f"the schema of {tool.tool_id} cannot be used: nothing is at {error.ref}"),)
    if len(texts) > MAX_VIOLATIONS:
        texts[MAX_VIOLATIONS:] = ["and more"]
    return tuple(texts)


def _text(error: ValidationError) -> str:
    return _cut(f"{error.json_path}: {error.message}")


def _cut(text: str) -> str:
    """The text without its middle if it is long: what is wrong stands at its end."""
    third = MAX_VIOLATION_CHARS // 3
    return text if len(text) <= MAX_VIOLATION_CHARS else f"{text[:third]}…{text[-2 * third :]}"


def _validator(text: str) -> Any:
    """The validator of a schema.

    Raises:
        _UnusableError: It cannot be evaluated.
    """
    made = _made(text)
    if isinstance(made, str):
        raise _UnusableError(made)
    return made


@lru_cache(maxsize=256)
def _made(text: str) -> Any:
    """The validator of a schema; why there is none, as text."""
    schema = json.loads(text)
    given = schema.get("$schema")
    known = given.rstrip("#") if isinstance(given, str) else ""
    dialect = _DIALECTS.get(known, _NEWEST)
    plain = json.dumps(schema)
    if '"patternProperties"' in plain and '"unevaluated' in plain:
        return "it has patternProperties beside unevaluated items or properties"
    try:
        with Budget(_SCHEMA_STEPS).spent_here():
            error = next(dialect(dialect.META_SCHEMA).iter_errors(schema), None)
    except (_TooCostlyError, RecursionError):
        return "it is too large or too deep"
    if error is not None:
        return f"it is no JSON schema: {_text(error)}"
    nothing: SchemaRegistry = Registry()
    return dialect(schema, registry=nothing)


@lru_cache(maxsize=1024)
def _pattern_of(text: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0]
        said = reason.decode() if isinstance(reason, bytes) else reason
        raise _UnusableError(f"pattern {text!r} is not one of RE2: {said}") from None


def _matches(pattern: str, text: str) -> bool:
    _BUDGET.get().spend(1 + len(text) // _CHARS_PER_STEP)
    return _pattern_of(pattern).search(text) is not None


def _pattern(_: Any, pattern: Any, instance: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _matches(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Any, instance: Any, _: Any
) -> Iterator[ValidationError]:
    names = instance if isinstance(instance, dict) else {}
    for pattern, schema in patterns.items():
        for name in names:
            if _matches(pattern, name):
                yield from validator.descend(instance[name], schema, path=name)


def _additional_properties(
    validator: Any, allowed: Any, instance: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name in instance if isinstance(instance, dict) else {}:
        if name in known or any(_matches(pattern, name) for pattern in patterns):
            continue
        if allowed is False:
            yield ValidationError(f"{name!r} is not a property that it has")
        else:
            yield from validator.descend(instance[name], allowed, path=name)


def _unique_items(_: Any, unique: Any, instance: Any, __: Any) -> Iterator[ValidationError]:
    if unique and isinstance(instance, list):
        _BUDGET.get().spend(len(instance))
        if len({json.dumps(each, sort_keys=True) for each in instance}) < len(instance):
            yield ValidationError("two of the items are equal")


def _enum(_: Any, values: Any, instance: Any, __: Any) -> Iterator[ValidationError]:
    _BUDGET.get().spend(len(values))
    yield from Draft2020Validator.VALIDATORS["enum"](_, values, instance, __) or ()


# Those whose cost is not that of one step.
_OWN: Mapping[str, _Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
    "enum": _enum,
}


def _counted(keyword: _Keyword) -> _Keyword:
    @wraps(keyword)
    def evaluate(
        validator: Any, value: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError] | None:
        _BUDGET.get().spend(1)
        return keyword(validator, value, instance, schema)

    return evaluate


def _counting(dialect: Any) -> Any:
    """The dialect with keywords that spend of a budget."""
    keywords = {**dialect.VALIDATORS, **_OWN}
    counted = {name: _counted(keyword) for name, keyword in keywords.items()}
    return extend(dialect, counted)  # type: ignore[no-untyped-call]  # its stub has none


_NEWEST = _counting(Draft2020Validator)
_DIALECTS = {
    "http://json-schema.org/draft-04/schema": _counting(Draft4Validator),
    "http://json-schema.org/draft-06/schema": _counting(Draft6Validator),
    "http://json-schema.org/draft-07/schema": _counting(Draft7Validator),
    "https://json-schema.org/draft/2019-09/schema": _counting(Draft2019Validator),
}
