"""What the command says of more than one apply takes."""

from __future__ import annotations

from typing import cast

import pytest

from runyard.registry.v1 import registry_service_pb2 as pb
from services.chassis.access import policy
from services.cli.base.exits import CliError
from services.cli.manifests.resources import Manifests
from services.cli.registry import size
from services.cli.registry.applying import apply_resources
from services.cli.talk.clients import Clients
from services.registry.core.changes import applying
from tests.support.registry_resources import agent, tool


def test_the_limits_are_those_of_the_registry() -> None:
    assert size.MAX_RESOURCES == applying.MAX_RESOURCES
    assert size.MAX_REQUEST_BYTES == policy.MAX_REQUEST_BYTES


def test_an_export_of_more_than_one_apply_takes_says_so() -> None:
    # given as many as one apply takes, and one more; as many bytes, and more
    many = [tool("t")] * 20_000
    prompt = "x" * 1_000_000
    large = [agent("a", system_prompt=prompt)] * 16
    assert size.beyond_one_apply(many) == size.beyond_one_apply(large) == ""

    # then
    told = size.beyond_one_apply([*many, tool("t")])
    assert told.startswith("20,001 resources of ")
    assert "more than one apply takes, 20,000 and 16,777,216 bytes" in told
    assert size.beyond_one_apply([*large, *large[:1]]).startswith("17 resources of 17,000,")


async def test_what_the_transport_would_refuse_is_not_sent() -> None:
    # given as many bytes as one apply takes, and more
    large = [agent("a", system_prompt="x" * 1_000_000)] * 16
    size.refuse_too_large(pb.ApplyResourcesRequest(resources=large))
    manifests = Manifests(resources=[*large, *large[:1]])

    # when more is applied, by a command that could not call
    with pytest.raises(CliError) as refused:
        await apply_resources(cast("Clients", None), manifests)

    # then it is refused all the same, with what to do
    assert refused.value.message.startswith("17 resources of 17,000,")
    assert refused.value.hint.startswith("apply them in parts")
    assert refused.value.exit_code == 2
