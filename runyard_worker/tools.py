"""Functions as tools: what models are told of them, and how they are called."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from runyard_worker.asking import Asking
from runyard_worker.errors import ToolError
from runyard_worker.schemas import schema_digest

EffectClass = Literal["pure", "idempotent", "reconcilable", "at_most_once"]

_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


@dataclass(frozen=True, slots=True)
class Happened:
    """A probe's answer: the call took effect, and ``result`` is its value."""

    result: object = None


@dataclass(frozen=True, slots=True)
class DidNotHappen:
    """A probe's answer: the call took no effect, and may be made again."""


@dataclass(frozen=True, slots=True)
class NotKnown:
    """A probe's answer: a person has to find out."""


Found = Happened | DidNotHappen | NotKnown


class Reporter(Protocol):
    """Takes what a running call says of itself."""

    def progress(self, note: str) -> None: ...

    @property
    def cancelled(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Context:
    """One attempt of a call; a parameter of this type gets it.

    Attributes:
        call_id: Of the call, the same for all its attempts.
        attempt: Number of the attempt, from 1.
        idempotency_key: Under which the effect must happen at most once; give it to what you call.
        run_id: The run that makes the call.
        thread_id: Its thread.
        agent_id: Its agent.
        principal: Who submitted it, on whose behalf the call is made.
        deadline: When the result is no longer wanted; None when there is no limit.
        traceparent: W3C trace context to continue; empty when there is none.
    """

    call_id: str
    attempt: int
    idempotency_key: str
    run_id: str
    thread_id: str
    agent_id: str
    principal: str
    deadline: datetime | None
    traceparent: str
    _reporter: Reporter = field(repr=False)
    _asking: Asking = field(default_factory=Asking, repr=False)

    def ask(self, question: str) -> Any:
        """Ask a person; the text or the JSON value that the person answers.

        The first time it ends the attempt: nothing waits, no slot is held, and the worker may stop.
        With the answer the function is called again from its beginning, here or at another worker,
        and goes on behind the question. Ask before the effect, or note in ``kept`` what was done.
        """
        return self._asking.ask(question)

    @property
    def kept(self) -> dict[str, Any]:
        """JSON values that the next attempt finds when this one ends with a question."""
        return self._asking.kept

    @property
    def passed(self) -> Any:
        """What a person handed over with an approval; None for nothing."""
        return self._asking.passed

    def progress(self, note: str) -> None:
        """Tell those who follow the run how it is getting on; with the next sign of life."""
        self._reporter.progress(note)

    @property
    def cancelled(self) -> bool:
        """Whether the result is not wanted: return soon. An async function is cancelled instead."""
        return self._reporter.cancelled


@dataclass(frozen=True, slots=True)
class Probe:
    """A function that says whether a call of a tool took effect."""

    function: Callable[..., Any]
    _arguments: type[BaseModel]
    _context: str

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    def bound(self, arguments_json: str, context: Context) -> Callable[[], Any]:
        """The question about the call with these arguments.

        Raises:
            ToolError: They do not fit the function.
        """
        named = _named(self._arguments, self._context, arguments_json, context)
        return lambda: self.function(**named)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that agents may call.

    Attributes:
        json_schema: Of the arguments, as an object.
        label: What a worker must have announced to get its calls; empty for any worker.
        timeout_s: Seconds that an attempt may take.
        max_parallel: Calls at a time; 0 = as many as the worker takes.
        probe: Says whether a call took effect; None when that cannot be found out.
    """

    tool_id: str
    description: str
    json_schema: Mapping[str, Any]
    effect: EffectClass
    function: Callable[..., Any]
    label: str
    timeout_s: float
    max_parallel: int
    _arguments: type[BaseModel] | None
    _context: str
    probe: Probe | None = None

    @property
    def schema_digest(self) -> bytes:
        """Of the schema that it was made for; empty when it takes any arguments."""
        return schema_digest(self.json_schema) if self._arguments is not None else b""

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    def bound(self, arguments_json: str, context: Context) -> Callable[[], Any]:
        """The call with these arguments.

        Raises:
            ToolError: They do not fit the function.
        """
        if self._arguments is None:
            return lambda: self.function(arguments_json or "{}", context)
        named = _named(self._arguments, self._context, arguments_json, context)
        return lambda: self.function(**named)

    def manifest(self) -> dict[str, Any]:
        """The tool as ``runyard apply`` takes it."""
        return {
            "kind": "Tool",
            "id": self.tool_id,
            "spec": {
                "description": self.description,
                "json_schema": json.dumps(self.json_schema),
                "effect_class": self.effect,
                "worker": {"label": self.label} if self.label else {},
                "timeout": f"{self.timeout_s:g}s",
            },
        }


def result_text(value: object) -> str:
    """What the model reads: a text as it is, nothing for None, any other value as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else _ANYTHING.dump_json(value).decode()


def tool_of(
    function: Callable[..., Any],
    *,
    tool_id: str = "",
    effect: EffectClass = "at_most_once",
    label: str = "",
    timeout_s: float = 60.0,
    max_parallel: int = 0,
    probe: Callable[..., Any] | None = None,
) -> Tool:
    """A function as a tool: its parameters are the arguments, its docstring is the description.

    Raises:
        TypeError: A parameter has no type, or cannot be given by name; or there is a probe of a
            tool that is not reconcilable, or one that takes what the tool does not.
    """
    arguments, context = _parameters(function)
    schema = arguments.model_json_schema()
    schema.pop("title", None)
    for each in schema.get("properties", {}).values():
        each.pop("title", None)
    return Tool(
        tool_id=tool_id or function.__name__,
        description=inspect.getdoc(function) or "",
        json_schema=schema,
        effect=effect,
        function=function,
        label=label,
        timeout_s=timeout_s,
        max_parallel=max_parallel,
        _arguments=arguments,
        _context=context,
        probe=None if probe is None else _probe_of(probe, arguments, effect),
    )


def _probe_of(function: Callable[..., Any], of_tool: type[BaseModel], effect: str) -> Probe:
    if effect != "reconcilable":
        raise TypeError(f"{function.__name__}: only a reconcilable tool is asked what has happened")
    arguments, context = _parameters(function, extra="ignore")
    foreign = sorted(set(arguments.model_fields) - set(of_tool.model_fields))
    if foreign:
        raise TypeError(f"{function.__name__}: its tool does not take {', '.join(foreign)}")
    return Probe(function, arguments, context)


def raw_tool(
    tool_id: str,
    function: Callable[[str, Context], Any],
    *,
    effect: EffectClass = "at_most_once",
    label: str = "",
    timeout_s: float = 60.0,
    max_parallel: int = 0,
) -> Tool:
    """A function that gets its arguments as the JSON text that they came as."""
    return Tool(
        tool_id=tool_id,
        description="",
        json_schema={"type": "object"},
        effect=effect,
        function=function,
        label=label,
        timeout_s=timeout_s,
        max_parallel=max_parallel,
        _arguments=None,
        _context="",
    )


def _named(
    arguments: type[BaseModel], of_context: str, arguments_json: str, context: Context
) -> dict[str, Any]:
    """The arguments by name, with the context if a parameter takes it."""
    try:
        found = arguments.model_validate_json(arguments_json or "{}")
    except ValidationError as error:
        raise ToolError(_wrong(error), code="INVALID_ARGUMENTS") from None
    named = {name: getattr(found, name) for name in arguments.model_fields}
    return {**named, of_context: context} if of_context else named


def _parameters(
    function: Callable[..., Any], *, extra: Literal["forbid", "ignore"] = "forbid"
) -> tuple[type[BaseModel], str]:
    """The model of the arguments, and the name of the parameter that gets the context."""
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    context = ""
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"{function.__name__}: {name} cannot be given by name")
        if name not in hints:
            raise TypeError(
                f"{function.__name__}: {name} needs a type, of which its schema is made"
            )
        if hints[name] is Context:
            context = name
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints[name], default)
    model = create_model(
        f"{function.__name__}_arguments", __config__=ConfigDict(extra=extra), **fields
    )
    return model, context


def _wrong(error: ValidationError) -> str:
    found = (
        f"{'.'.join(map(str, each['loc'])) or 'arguments'}: {each['msg']}"
        for each in error.errors()
    )
    return "; ".join(found)
