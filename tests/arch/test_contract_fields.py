"""No field of a contract is lost between the wire and the core.

The tests walk the descriptors, so that a field that is added to a proto alone fails them. Seen with
a field added to ``JoinPoolRequest`` in its proto, and with a line dropped from ``tool_from_pb``,
``tool_to_pb``, ``draft_from_pb``, ``submit_from_pb`` and the router's sampling; ``Forgetful`` below
keeps showing it. A value that is checked and then dropped is found too: seen with the lease token
of ``ack_from_pb``.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from runyard.pool.v1 import pool_service_pb2 as pool_service
from runyard.registry.v1 import registry_pb2
from services.chassis.caller import LOCAL_PRINCIPAL
from services.chassis.calls.call import Call, calling
from services.chassis.errors import DomainError, UnimplementedError
from services.pool.api import requests
from services.registry.api.resources import codec
from services.registry.core.refs import Kind, Ref
from services.registry.core.stored import Stored
from tests.arch import contract_fields as walk
from tests.arch.contract_fields import Outcome, described
from tests.arch.project import ROOT, SERVICES, proto_services
from tests.support.smallest_messages import NESTED, REQUESTS, SET_BY_THE_REGISTRY, UNREAD

# Of the whole request: with them in view, every field would make a difference.
OF_THE_WHOLE = frozenset({"digest", "size_bytes"})
CALL = Call("/a.B/C", LOCAL_PRINCIPAL, lambda: None)


class ReachedError(Exception):
    """A servicer called its core with these arguments."""


class Core:
    """Stands for whatever a servicer is given, and stops at the first call with arguments."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[None]]:
        def called(*args: object, **named: object) -> Awaitable[None]:
            if args or named:
                raise ReachedError(described((name, args, *named.items()), OF_THE_WHOLE))
            return asyncio.sleep(0)

        return called


def servicer_modules() -> Iterator[ModuleType]:
    for name in SERVICES:
        for file in sorted((ROOT / "services" / name / "api").glob("*servicer.py")):
            yield importlib.import_module(f"services.{name}.api.{file.stem}")


def servicers() -> Iterator[tuple[ServiceDescriptor, type[Any]]]:
    """Every service of a contract that a server implements, with the class that does."""
    by_base = {f"{service.name}Servicer": service for service in proto_services()}
    for module in servicer_modules():
        for value in vars(module).values():
            if inspect.isclass(value) and value.__module__ == module.__name__:
                for base in value.__mro__[1:]:
                    if base.__name__ in by_base:
                        yield by_base[base.__name__], value


METHODS = [
    pytest.param(servicer, method, id=f"{service.name}.{method.name}")
    for service, servicer in servicers()
    for method in service.methods
]


def outcome_in(servicer: type[Any], method: MethodDescriptor) -> Callable[[Message], Outcome]:
    """What reaches the core of a service when a request is sent, or how it is refused."""
    made = servicer(*(Core() for _ in list(inspect.signature(servicer).parameters)))
    serve = getattr(made, method.name)

    def outcome_of(request: Message) -> Outcome:
        with calling(CALL):
            try:
                asyncio.run(_read(serve(sent(request, method), None)))
            except ReachedError as reached:
                return Outcome(True, str(reached))
            except DomainError as error:
                return refusal(error)
        raise AssertionError(f"{method.full_name} answered without a call of its core")

    return outcome_of


def refusal(error: DomainError) -> Outcome:
    text = f"{error.reason} {error} {error.violations}"
    fields = frozenset(re.sub(r"\[\d+\]", "", each.field) for each in error.violations)
    return Outcome(False, text, fields, isinstance(error, UnimplementedError))


async def _read(answer: Any) -> None:
    if inspect.isawaitable(answer):
        await answer
    else:
        async for _ in answer:
            return


def sent(request: Message, method: MethodDescriptor) -> Message | AsyncIterator[Message]:
    async def stream() -> AsyncIterator[Message]:
        yield request

    return stream() if method.client_streaming else request


def is_served(servicer: type[Any], method: MethodDescriptor) -> bool:
    """Whether the servicer does not refuse the empty request as an RPC it does not serve."""
    empty = GetMessageClass(method.input_type)()
    try:
        outcome = outcome_in(servicer, method)(empty)
    except AssertionError:
        return True
    return not outcome.unserved


@pytest.mark.parametrize(("servicer", "method"), METHODS)
def test_every_field_of_a_request_is_read_or_refused(
    servicer: type[Any], method: MethodDescriptor
) -> None:
    if not is_served(servicer, method):
        return
    name = method.input_type.full_name
    bases = [base for base in REQUESTS if base.DESCRIPTOR.full_name == name]
    assert bases, f"no smallest message for {name}"
    outcome_of = outcome_in(servicer, method)

    missed = {
        path for base in bases for path in walk.lost(base, outcome_of, NESTED, SET_BY_THE_REGISTRY)
    }

    assert missed == UNREAD.get(name, set())


def test_the_rpcs_that_are_served_are_asked_for() -> None:
    served = [each.id for each in METHODS if is_served(*each.values)]  # type: ignore[arg-type]

    assert len(served) > 30
    assert len(served) < len(METHODS)
    services = {
        *("RegistryService", "RouterService", "RunControlService", "PoolService"),
        *("ToolWorkerService", "RunControlInternalService"),
    }
    assert {str(name).partition(".")[0] for name in served} == services


class Forgetful:
    """A decoder that was not told of some fields of a request."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def outcome_of(self, request: pool_service.JoinPoolRequest) -> Outcome:
        known = pool_service.JoinPoolRequest()
        known.CopyFrom(request)
        for name in self._names:
            known.ClearField(name)
        try:
            return Outcome(True, described(requests.join_from_pb(known), OF_THE_WHOLE))
        except DomainError as error:
            return refusal(error)


@pytest.mark.parametrize("names", [("topics",), ("policy_refs",), ("topics", "lease")])
def test_a_field_that_no_decoder_reads_is_found(names: tuple[str, ...]) -> None:
    base = pool_service.JoinPoolRequest(pool_id="p", run_id="r", agent_id="a")
    servicer_reads = {"request_id", "pool_id"}

    found = set(walk.lost(base, Forgetful(*names).outcome_of, NESTED)) - servicer_reads

    assert {name.split(".")[0] for name in found} == set(names)


KINDS = [arm.name for arm in registry_pb2.Resource.DESCRIPTOR.oneofs_by_name["resource"].fields]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_a_resource_comes_back(kind: str) -> None:
    base = registry_pb2.Resource()
    resource = getattr(base, kind)
    resource.CopyFrom(NESTED[resource.DESCRIPTOR.full_name])
    leaves = walk.leaves(base.DESCRIPTOR, SET_BY_THE_REGISTRY)
    paths = [path for path in leaves if path[0].name == kind]

    wrong = [
        f"{walk.name_of(path)} = {value!r}"
        for path in paths
        for value in walk.candidates(path[-1])
        if not comes_back(walk.with_value(base, path, value, NESTED), path)
    ]

    assert wrong == []
    assert len(paths) > 5


def test_every_field_of_what_the_registry_adds_issent() -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    stored = Stored(Ref(Kind.TOOL, "t"), b"\x01", 7, "set", when, "ada", b"")

    meta = codec.stored_to_pb(stored).meta

    assert {field.name for field, _ in meta.ListFields()} == set(meta.DESCRIPTOR.fields_by_name)


def comes_back(message: Message, path: Any) -> bool:
    """Whether a resource is read and written with the same value at ``path``."""
    assert isinstance(message, registry_pb2.Resource)
    submitted = codec.submitted_from_pb(message, "")
    again = codec.resource_to_pb(submitted.resource)
    return not submitted.unreadable and value_at(again, path) == value_at(message, path)


def value_at(message: Message, path: Any) -> object:
    value: Any = message
    for field in path:
        if field.has_presence and not value.HasField(field.name):
            return None
        value = getattr(value, field.name)
        if field.is_repeated and field.message_type is not None and field is not path[-1]:
            value = value[0]
    return list(value) if path[-1].is_repeated else value
