"""Rules of the contracts that Buf does not know."""

from __future__ import annotations

from typing import Any

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor import EnumDescriptor, FileDescriptor, MethodDescriptor

from tests.arch.project import proto_files, proto_services

COMMON_REASONS = {
    "UNSPECIFIED", "INVALID_REQUEST", "IDEMPOTENCY_CONFLICT", "STORE_UNAVAILABLE", "UNIMPLEMENTED",
    "INTERNAL", "UNAUTHENTICATED", "PERMISSION_DENIED", "DEADLINE_EXCEEDED",
}  # fmt: skip
# Mutating RPCs that need no request_id, and why.
WITHOUT_REQUEST_ID = {
    "runyard.provider.v1.InferenceProviderService.Infer": "costs tokens, keeps nothing",
    "runyard.router.v1.RouterService.Infer": "costs tokens, keeps nothing",
    "runyard.router.v1.RouterService.Generate": "costs tokens, keeps nothing",
    "runyard.router.v1.RouterService.ResetMember": "a repeat finds nothing to clear",
    "runyard.router.v1.RouterService.UnpinSession": "a repeat finds no pin",
    "runyard.router.v1.RouterService.CordonMember": "a repeat changes nothing",
    "runyard.router.v1.RouterService.UncordonMember": "a repeat finds no cordon",
}

ROUTER = "runyard.router.v1.RouterService"

FILES = proto_files()
METHODS = [method for service in proto_services() for method in service.methods]
ERROR_REASONS = [
    file.enum_types_by_name["ErrorReason"]
    for file in FILES
    if "ErrorReason" in file.enum_types_by_name
]


def by_name(item: FileDescriptor | MethodDescriptor | EnumDescriptor) -> str:
    return str(item.name if isinstance(item, FileDescriptor) else item.full_name)


def changes_something(method: MethodDescriptor) -> bool:
    options = method.GetOptions()
    return options.idempotency_level != options.NO_SIDE_EFFECTS


@pytest.mark.parametrize("file", FILES, ids=by_name)
def test_every_language_finds_its_package(file: FileDescriptor) -> None:
    options = file.GetOptions()
    assert options.go_package.rpartition("/runyard/")[0] == "runyard.dev/gen/go"
    assert options.java_package == f"dev.{file.package}"
    assert options.csharp_namespace.partition(".")[0] == "Runyard"
    assert options.ruby_package.partition("::")[0] == "Runyard"


@pytest.mark.parametrize("method", METHODS, ids=by_name)
def test_what_a_proxy_may_transcode_has_an_http_rule(method: MethodDescriptor) -> None:
    options: Any = method.GetOptions()
    has_rule = options.Extensions[annotations_pb2.http].WhichOneof("pattern") is not None
    internal = method.containing_service.name.endswith("InternalService")
    may = not (method.client_streaming or internal)
    assert has_rule == may, f"{method.full_name}: HTTP rule: {has_rule}"


@pytest.mark.parametrize("method", METHODS, ids=by_name)
def test_a_mutating_request_takes_a_request_id(method: MethodDescriptor) -> None:
    has_field = "request_id" in method.input_type.fields_by_name
    expected = (
        changes_something(method)
        and not method.client_streaming
        and method.full_name not in WITHOUT_REQUEST_ID
    )
    assert has_field == expected, f"{method.full_name}: request_id: {has_field}"


@pytest.mark.parametrize("enum", ERROR_REASONS, ids=by_name)
def test_every_service_knows_the_common_reasons(enum: EnumDescriptor) -> None:
    names = {name.removeprefix("ERROR_REASON_") for name in enum.values_by_name}
    assert names >= COMMON_REASONS


def test_every_service_package_lists_its_reasons() -> None:
    packages = {service.file.package for service in proto_services()} - {"runyard.types.v1"}
    assert {enum.file.package for enum in ERROR_REASONS} == packages
    assert len(packages) == 6


@pytest.mark.parametrize("name", ["Infer", "Generate", "Explain"])
def test_a_call_of_a_model_has_one_http_body(name: str) -> None:
    """Over HTTP, whoever can stream an answer can ask for it as a whole, or have it explained."""
    (method,) = [each for each in METHODS if each.full_name == f"{ROUTER}.{name}"]
    options: Any = method.GetOptions()
    body = options.Extensions[annotations_pb2.http].body
    taken = method.input_type
    if body != "*":
        taken = taken.fields_by_name[body].message_type
    assert taken.full_name == "runyard.router.v1.InferRequest"
