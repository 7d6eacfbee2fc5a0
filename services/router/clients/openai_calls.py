"""Tells the calls of tools apart that the fragments of a chat completion belong to.

The vendor numbers its calls. Of other servers, some number all of them 0 or none. Some send ids
with the first fragment only, some with each, some a new one with each, and some send none. What is
left are names and arguments: a name begins a call unless the one before goes on with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from services.content.model import FinishReason
from services.router.clients.call_ids import CallIds
from services.router.clients.collected_calls import CollectedCalls
from services.router.clients.json_leaves import count_in, json_text_in, object_in, text_in
from services.router.clients.openai_state import call_state
from services.router.core.items import ReasoningDelta, ToolCallReady, UpstreamItem

# The number of the only call of old servers, which have ``function_call``.
_OLD_CALL = -1


class _Fragment(NamedTuple):
    """Part of a call; empty and None for what it does not say."""

    said_index: int | None
    said_id: str
    name: str
    arguments: str
    extra_content: dict[str, Any]


class _Call:
    """A call that has begun.

    Attributes:
        number: That of its arguments.
        name: What is known of it.
        told_id: The id that it was told with.
        ids_vary: Its fragments had several ids.
        named_again: After its arguments were whole.
    """

    __slots__ = (
        "extra_content",
        "ids_vary",
        "name",
        "named_again",
        "number",
        "said_id",
        "told_id",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.said_id = ""
        self.name = ""
        self.told_id = ""
        self.extra_content: dict[str, Any] = {}
        self.ids_vary = self.named_again = False


class CallReader:
    """Appends the items of calls.

    Attributes:
        output_chars: Size of the arguments.
    """

    def __init__(self, provider_id: str, tool_ids: Mapping[str, str], call_ids: CallIds) -> None:
        self.output_chars = 0
        self._provider_id = provider_id
        self._tool_ids = tool_ids
        self._call_ids = call_ids
        self._collected = CollectedCalls()
        self._all: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}

    @property
    def has_calls(self) -> bool:
        return any(call.name for call in self._all)

    def take(self, sent: dict[str, Any], items: list[UpstreamItem]) -> bool:
        """Append the items of one fragment; False if it says nothing."""
        return self._take(_fragment(sent, count_in(sent.get("index"))), items)

    def take_old(self, sent: dict[str, Any], items: list[UpstreamItem]) -> bool:
        """As ``take``, of a ``function_call``; some servers send it beside the call itself."""
        if self._all and _OLD_CALL not in self._by_index:
            return False
        return self._take(_fragment(sent, _OLD_CALL), items)

    def end(self, reason: FinishReason, items: list[UpstreamItem]) -> None:
        """Append the calls that are complete when the answer has ended; none of one withheld.

        Raises:
            UpstreamError: The arguments of one are none.
        """
        for call in self._all:
            self._tell(call, items)
        if reason is FinishReason.CONTENT_FILTER:
            return
        ready: list[UpstreamItem] = []
        self._collected.ready(ready, is_cut=reason is FinishReason.LENGTH)
        complete = {each.call.call_id for each in ready if isinstance(each, ToolCallReady)}
        for call in self._all:
            if call.extra_content and call.told_id in complete:
                state = call_state(call.told_id, call.extra_content)
                items.append(ReasoningDelta("", self._provider_id, state))
        items += ready

    def _take(self, fragment: _Fragment, items: list[UpstreamItem]) -> bool:
        if not any(fragment[1:]):
            return False
        call = self._call_of(fragment, items)
        call.extra_content |= fragment.extra_content
        call.said_id = call.said_id or fragment.said_id
        if fragment.said_id:
            self._by_id[fragment.said_id] = call
            call.ids_vary = call.ids_vary or fragment.said_id != call.said_id
        if not call.told_id:
            call.name = self._joined(call.name, fragment.name)
        elif fragment.name and self._collected.is_closed(call.number):
            call.named_again = True
        self.output_chars += len(fragment.arguments)
        self._collected.add(call.number, fragment.arguments, items)
        if not call.told_id and self._is_certain(call):
            self._tell(call, items)
        return True

    def _call_of(self, fragment: _Fragment, items: list[UpstreamItem]) -> _Call:
        """The call that a fragment continues, or a new one."""
        if fragment.said_index is not None:
            call = self._by_index.get(fragment.said_index)
        else:
            call = self._by_id.get(fragment.said_id) or (self._all[-1] if self._all else None)
        if call is None:
            return self._begin(fragment, items)
        if not self._begins(call, fragment):
            return call
        new = self._begin(fragment, items)
        if call.named_again and not fragment.name:
            new.name = call.name
        return new

    def _begins(self, call: _Call, fragment: _Fragment) -> bool:
        """Whether a fragment that could continue a call begins another one."""
        both = bool(fragment.said_id and call.said_id) and not call.ids_vary
        other_id = both and fragment.said_id != call.said_id
        unnumbered = fragment.said_index is None
        if fragment.name and call.name:
            return self._begins_by_name(call, fragment, other_id=other_id)
        if fragment.arguments and not fragment.name:
            # The name that was there again began a call if these are more arguments.
            return call.named_again and bool(fragment.arguments.strip())
        # One of the two names follows.
        return other_id and unnumbered

    def _begins_by_name(self, call: _Call, fragment: _Fragment, *, other_id: bool) -> bool:
        same = fragment.name == call.name
        if self._collected.is_closed(call.number):
            return not same or other_id or bool(fragment.arguments.strip())
        if same:
            # Without numbers, another id is another call, unless this cannot be its start.
            starts = fragment.arguments.lstrip()[:1] in {"", "{"}
            return other_id and fragment.said_index is None and starts
        if self._collected.has_arguments(call.number):
            return True
        both_known = {call.name, fragment.name} <= self._tool_ids.keys()
        return not self._grows(call.name, fragment.name) and (other_id or both_known)

    def _begin(self, fragment: _Fragment, items: list[UpstreamItem]) -> _Call:
        for earlier in self._all[-1:]:
            self._tell(earlier, items)
        call = _Call(self._collected.begin())
        self._all.append(call)
        if fragment.said_index is not None:
            self._by_index[fragment.said_index] = call
        return call

    def _joined(self, name: str, more: str) -> str:
        """A name with a fragment that is the rest of it, the whole of it, or the same again."""
        if more.startswith(name) and not self._grows(name, more):
            return more
        return name if name == more else name + more

    def _grows(self, name: str, more: str) -> bool:
        return name + more in self._tool_ids

    def _is_certain(self, call: _Call) -> bool:
        """Whether the name cannot go on."""
        if not call.name or self._collected.has_arguments(call.number):
            return bool(call.name)
        longer = (name != call.name and name.startswith(call.name) for name in self._tool_ids)
        return call.name in self._tool_ids and not any(longer)

    def _tell(self, call: _Call, items: list[UpstreamItem]) -> None:
        if call.name and not call.told_id:
            call.told_id = self._call_ids.unused(call.said_id)
            tool_id = self._tool_ids.get(call.name, call.name)
            self._collected.name(call.number, call.told_id, tool_id, items)


def _fragment(sent: dict[str, Any], index: int | None) -> _Fragment:
    """Some servers have the fields of ``function`` in the call itself."""
    function = object_in(sent.get("function")) or sent
    return _Fragment(
        index,
        text_in(sent.get("id")),
        text_in(function.get("name")),
        json_text_in(function.get("arguments")),
        object_in(sent.get("extra_content")) or object_in(function.get("extra_content")),
    )
