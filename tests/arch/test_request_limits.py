"""Every field of a request has a limit, and is tried at its value and one above.

The numbers are read from ``docs/ops/limits.md``, so that a limit that is changed alone fails here;
the fields are read from the descriptors. Seen with every constant of the limits one higher and one
lower, with a service whose sizes leave a request out, and with a limit of bytes that counts
characters.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from runyard.router.v1.router_service_pb2 import InferRequest
from runyard.types.v1 import content_pb2 as content
from scripts import limits_docs
from services.chassis.caller import LOCAL_PRINCIPAL
from services.chassis.calls.call import Call, calling
from services.chassis.errors import DomainError, Violation
from tests.arch.test_contract_fields import METHODS, is_served, sent

CALL = Call("/a.B/C", LOCAL_PRINCIPAL, lambda: None)
Path = tuple[FieldDescriptor, ...]
TEXTS = {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}
SECTIONS = {
    "registry": "Registry",
    "router": "Router",
    "runcontrol": "Run control",
    "pool": "Pool",
}
ROW = re.compile(r"`([a-z_0-9]+(?:\[\])?)` ([0-9,]+) (entries|bytes|characters)")


@dataclass(frozen=True, slots=True)
class Said:
    """What the page says of a field."""

    most: int
    unit: str


def rows_of_page() -> Iterator[tuple[tuple[str, str], Said]]:
    """By service and field, ``("pool", "Message.correlation")``."""
    page = limits_docs.PAGE.read_text()
    for service, table in re.findall(r"<!-- table: (\w+) -->\n(.*?)<!-- end -->", page, re.DOTALL):
        for message, fields in re.findall(r"\| `(\w+)` \| (.*) \|\n", table):
            for name, most, unit in ROW.findall(fields):
                yield (service, f"{message}.{name}"), Said(int(most.replace(",", "")), unit)


PAGE: Mapping[tuple[str, str], Said] = dict(rows_of_page())


class ReachedError(Exception):
    """A servicer called its core."""


class Core:
    """Stands for whatever a servicer is given, and stops at the first call with arguments."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[None]]:
        def called(*args: object, **named: object) -> Awaitable[None]:
            if args or named:
                raise ReachedError
            return asyncio.sleep(0)

        return called


@dataclass(frozen=True, slots=True)
class Case:
    """A field of a request, with the way to it; ``each`` for an entry of a repeated text."""

    servicer: type[Any]
    method: MethodDescriptor
    path: Path
    each: bool

    @property
    def service(self) -> str:
        return self.servicer.__module__.split(".")[1]

    @property
    def name(self) -> str:
        field = self.path[-1]
        return f"{field.containing_type.name}.{field.name}{'[]' if self.each else ''}"

    def request(self, size: int, unit: str) -> Message:
        request = GetMessageClass(self.method.input_type)()
        holder: Any = request
        for field in self.path[:-1]:
            nested = getattr(holder, field.name)
            holder = nested.add() if field.is_repeated else nested
            holder.SetInParent()
        _fill(holder, self.path[-1], size, unit, self.each)
        return request

    def violations(self, size: int, unit: str) -> list[str]:
        """Why the field is refused with ``size``, in the words of the server."""
        at = ".".join(f"{f.name}[0]" if f.is_repeated else f.name for f in self.path[:-1])
        field = self.path[-1].name
        where = f"{at}.{field}" if at else field
        if self.each:
            where += "[0]"
        found = refusal(self.servicer, self.method, self.request(size, unit))
        return [one.description for one in found if one.field == where]


def _fill(holder: Any, field: FieldDescriptor, size: int, unit: str, each: bool) -> None:
    if field.is_repeated and not each:
        values = getattr(holder, field.name)
        if field.message_type is not None:
            for _ in range(size):
                values.add()
        else:
            values.extend([_default(field)] * size)
        return
    # Two bytes of UTF-8 in a character.
    text = "é" * (size // 2) + "x" * (size % 2) if unit == "bytes" else "é" * size
    value = b"x" * size if field.type == FieldDescriptor.TYPE_BYTES else text
    if each:
        getattr(holder, field.name).append(value)
    else:
        setattr(holder, field.name, value)


def _default(field: FieldDescriptor) -> object:
    return "x" if field.type == FieldDescriptor.TYPE_STRING else 1


def refusal(
    servicer: type[Any], method: MethodDescriptor, request: Message
) -> tuple[Violation, ...]:
    """What a request is refused for: by the server before its handler runs, or by the handler."""
    sizes = limits_docs.sizes_of(servicer.__module__.split(".")[1])
    check = sizes.check_of(type(request))
    assert check is not None, f"nobody judges the size of {type(request).__name__}"
    made = servicer(*(Core() for _ in inspect.signature(servicer).parameters))
    with calling(CALL):
        try:
            check(request)
            asyncio.run(_read(getattr(made, method.name)(sent(request, method), None)))
        except DomainError as error:
            return error.violations
        except ReachedError:
            return ()
    raise AssertionError(f"{method.full_name} answered without a call of its core")


async def _read(answer: Any) -> None:
    async def first() -> None:
        if inspect.isawaitable(answer):
            await answer
        else:
            stream: AsyncIterator[object] = answer
            async for _ in stream:
                return

    await first()


def fields_of(descriptor: Any, above: Path = ()) -> Iterator[Path]:
    """Repeated fields, texts and bytes, through nested messages."""
    for field in descriptor.fields:
        here = (*above, field)
        if field.is_repeated or field.type in TEXTS:
            yield here
        nested = field.message_type
        if nested is not None and not nested.full_name.startswith("google."):
            yield from fields_of(nested, here)


def cases() -> Iterator[Any]:
    for parameters in METHODS:
        servicer: Any
        method: Any
        servicer, method = parameters.values
        if not is_served(servicer, method):
            continue
        for path in fields_of(method.input_type):
            both = path[-1].is_repeated and path[-1].type in TEXTS
            for each in (False, True) if both else (False,):
                case = Case(servicer, method, path, each)
                way = ".".join(field.name for field in path)
                yield pytest.param(case, id=f"{method.name}.{way}{'[]' if each else ''}")


CASES = list(cases())


@pytest.mark.parametrize("case", CASES)
def test_a_field_is_taken_at_its_limit_and_refused_above(case: Case) -> None:
    said = PAGE[case.service, case.name]
    limit = f"at most {said.most:,} are allowed"

    at_limit = case.violations(said.most, said.unit)
    above = case.violations(said.most + 1, said.unit)

    assert [text for text in at_limit if limit in text] == []
    assert [text for text in above if f" {said.most + 1:,} {said.unit}, {limit}" in text] != [], (
        f"{case.name} of {said.most + 1:,} {said.unit} is refused for {above}, not for {limit!r}"
    )


def test_the_page_lists_the_fields_that_there_are_and_no_other() -> None:
    there_are = {(case.values[0].service, case.values[0].name) for case in CASES}

    assert set(PAGE) == there_are
    assert len(CASES) > 400


def test_the_page_says_what_the_services_judge(capsys: pytest.CaptureFixture[str]) -> None:
    assert limits_docs.main(["--check"]) == 0, capsys.readouterr().err
    page = limits_docs.PAGE.read_text()
    assert [title for title in SECTIONS.values() if f"## {title}\n" not in page] == []


# Legal in each of their fields, these would be larger than any request may be.
CUT = {
    "ApplyResources": 16_777_216,
    "ValidateResources": 16_777_216,
    "RegisterProvider": 1_114_112,
    "Session": 4_194_304,
    "ReplaceProvider": 1_114_112,
    "Explain": 16_777_216,
    "Generate": 16_777_216,
    "Infer": 16_777_216,
    "SubmitRun": 16_777_216,
    "InterruptThread": 16_777_216,
    "InjectInput": 16_777_216,
    "EditInput": 16_777_216,
    "SuspendUntil": 2_097_152,
}


def largest_bytes(message: Any, service: str) -> int:
    """More than any request whose fields keep their limits has, each sent once."""
    sizes: dict[str, int] = {}
    for field in message.fields:
        said = PAGE.get((service, f"{message.name}.{field.name}"))
        each = PAGE.get((service, f"{message.name}.{field.name}[]"), said)
        if field.message_type is not None:
            one_bytes = largest_bytes(field.message_type, service)
        elif field.type in TEXTS and each is not None:
            one_bytes = each.most * (4 if each.unit == "characters" else 1)
        else:
            one_bytes = 10
        size_bytes = (one_bytes + 6) * (said.most if said and field.is_repeated else 1)
        alone = field.name if field.containing_oneof is None else field.containing_oneof.name
        sizes[alone] = max(sizes.get(alone, 0), size_bytes)
    return sum(sizes.values())


def test_every_method_takes_the_largest_request_that_its_fields_allow() -> None:
    """Or as many bytes as it is cut to."""
    for parameters in METHODS:
        servicer: Any
        method: Any
        servicer, method = parameters.values
        if is_served(servicer, method):
            service = servicer.__module__.split(".")[1]
            path = f"/{method.containing_service.full_name}/{method.name}"
            taken_bytes = limits_docs.policy_of(service)[path].max_request_bytes
            largest = largest_bytes(method.input_type, service)
            assert CUT.get(method.name, 0) == taken_bytes or largest <= taken_bytes, path


@pytest.mark.parametrize(
    ("service", "most"),
    [("registry", 300_000), ("router", 60_000), ("runcontrol", 60_000), ("pool", 16_384)],
)
def test_the_page_says_how_many_entries_a_request_has_in_all(service: str, most: int) -> None:
    assert limits_docs.sizes_of(service).most_entries == most
    assert f"| {SECTIONS[service]} | {most:,} |" in limits_docs.PAGE.read_text()


def test_a_request_of_too_many_entries_in_all_is_refused_before_they_are_decoded() -> None:
    # given messages of 60,000 entries in all and one more, none of which is legal
    part = content.Part()
    said = [content.Message(parts=[part] * 1_000)] * 59
    at_limit = InferRequest(messages=[*said, content.Message(parts=[part] * 940)])
    above = InferRequest(messages=[*said, content.Message(parts=[part] * 941)])

    # when they are judged
    sizes = limits_docs.sizes_of("router")

    # then one is taken, and of the other nothing is said but where it became too large
    assert sizes.violations(at_limit) == []
    text = "brings the request to more than 60,000 entries in all, which are allowed"
    assert sizes.violations(above) == [Violation("messages[59].parts", text)]
