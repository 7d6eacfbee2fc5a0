"""Encodes model calls; a message that was encoded for an earlier call is not encoded again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from runyard.provider.v1 import provider_pb2 as provider
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1.router_service_pb2 import InferRequest
from services.chassis.slices import in_slices
from services.content.convert import message_to_pb, tool_definition_to_pb
from services.content.model import Message
from services.runcontrol.core.inference import ModelCall

# Encoded at once, in a few milliseconds.
MAX_PARTS_AT_ONCE = 500
MAX_KEPT_BYTES = 64 << 20


class EncodedPrompts:
    """The encodings of the messages that were sent last."""

    def __init__(self, max_kept_bytes: int = MAX_KEPT_BYTES) -> None:
        self._max_kept_bytes = max_kept_bytes
        # By identity: the prompts of a thread share their messages. To keep a message here keeps
        # its identity from being used again.
        self._kept: OrderedDict[int, tuple[Message, bytes]] = OrderedDict()
        self._size_bytes = 0

    async def encode(self, model_call: ModelCall, registry_version: int) -> bytes:
        """The encoded ``InferRequest``; many new parts are encoded in slices."""
        said = model_call.messages
        new = list({id(each): each for each in said if id(each) not in self._kept}.values())
        if sum(len(message.parts) for message in new) > MAX_PARTS_AT_ONCE:
            made = await in_slices(lambda: _encoded(new))
        else:
            made = _encoded(new)
        for message, body in zip(new, made, strict=True):
            self._kept[id(message)] = message, body
            self._size_bytes += len(body)
        bodies = [self._body(each) for each in said]
        self._trim()
        # Fields that follow one another are one message of the wire, so the bodies can be joined.
        return request_without_messages(model_call, registry_version).SerializeToString() + (
            b"".join(bodies)
        )

    def _body(self, message: Message) -> bytes:
        self._kept.move_to_end(id(message))
        return self._kept[id(message)][1]

    def _trim(self) -> None:
        while self._size_bytes > self._max_kept_bytes:
            _, (_, body) = self._kept.popitem(last=False)
            self._size_bytes -= len(body)


def _encoded(messages: Iterable[Message]) -> list[bytes]:
    """Each message as a request with nothing else in it."""
    return [
        InferRequest(messages=[message_to_pb(message)]).SerializeToString() for message in messages
    ]


def request_without_messages(model_call: ModelCall, registry_version: int) -> InferRequest:
    """The request for a model call, but for its messages.

    The router is required to have ``registry_version`` at most: a registry that was wiped or
    restored counts from a lower number again, and may never reach the version of the run's start.
    """
    sampling = bytes.fromhex(model_call.sampling)
    return InferRequest(
        target_id=model_call.target_id,
        tools=[tool_definition_to_pb(tool) for tool in model_call.tools],
        sampling=provider.Sampling.FromString(sampling) if sampling else None,
        session=pb.Session(
            thread_id=model_call.thread_id, run_id=model_call.run_id, agent_id=model_call.agent_id
        ),
        min_registry_version=min(model_call.min_registry_version, registry_version),
    )
