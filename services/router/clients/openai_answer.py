"""Decodes the chunks of a chat completion to items."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from services.content.model import FinishReason, Usage
from services.router.clients.call_ids import CallIds
from services.router.clients.json_leaves import all_objects_in, count_in, object_in, text_in
from services.router.clients.openai_delta import DeltaReader
from services.router.clients.openai_plain_chunk import plain_text
from services.router.clients.openai_usage import UsageSoFar
from services.router.clients.sse import Event
from services.router.clients.stream_errors import is_terminator, object_of, raise_error
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.items import Finished, Opened, UpstreamItem, UsageReport

# In lower case: the vendor's words, then those of other servers.
_FINISH: Mapping[str, FinishReason] = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "complete": FinishReason.STOP,
    "completed": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "max_output_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_call": FinishReason.TOOL_CALLS,
    "tool_use": FinishReason.TOOL_CALLS,
    "blocklist": FinishReason.CONTENT_FILTER,
    "content_filtered": FinishReason.CONTENT_FILTER,
    "guardrail_intervened": FinishReason.CONTENT_FILTER,
    "prohibited_content": FinishReason.CONTENT_FILTER,
    "recitation": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,
    "spii": FinishReason.CONTENT_FILTER,
}
# Words that say what has gone wrong; any other unknown one is no end of an answer.
_FAILED: Mapping[str, FailureClass] = {
    "abort": FailureClass.SERVER_ERROR,
    "cancelled": FailureClass.SERVER_ERROR,
    "error": FailureClass.SERVER_ERROR,
    "network_error": FailureClass.SERVER_ERROR,
    "insufficient_system_resource": FailureClass.OVERLOADED,
}


class OpenAiReader:
    """Implements ``AnswerReader``.

    Args:
        provider_id: Who can read the state of the reasoning.
        tool_ids: The tools of the request by the name they were sent with.
        earlier_ids: Of the calls in the conversation.
        input_chars: Size of the request, to estimate its tokens if the provider does not count.
        secrets: Masked in failures, in case the provider repeats them.
    """

    def __init__(
        self,
        provider_id: str,
        tool_ids: Mapping[str, str],
        earlier_ids: Collection[str],
        input_chars: int,
        secrets: tuple[str, ...],
    ) -> None:
        self._said = DeltaReader(provider_id, tool_ids, CallIds(earlier_ids))
        self._usage = UsageSoFar()
        self._input_chars = input_chars
        self._secrets = secrets
        self._opened = False
        self._ended = False
        self._choice: int | None = None
        self._reason = ""
        # What follows the finish reason needs an end of its own.
        self._goes_on = False

    @property
    def complete(self) -> bool:
        return bool(self._reason) and not self._goes_on

    @property
    def counted(self) -> Usage | None:
        return self._usage.partial() if self._usage.known else None

    def take(self, event: Event, items: list[UpstreamItem]) -> None:
        data = event.data.strip()
        if self._ended or not data:
            return
        plain = None if event.name or self._choice else plain_text(data)
        if plain is not None:
            self._take_text(*plain, items)
            return
        if is_terminator(data):
            self._goes_on = False
            self.finish(items)
            return
        chunk = object_of(event, self._secrets, complete=self.complete)
        raise_error(event.name, chunk, self._secrets)
        for place in _more_places(chunk):
            raise_error(b"", place, self._secrets)
        self._take_chunk(chunk, items)

    def finish(self, items: list[UpstreamItem]) -> None:
        if self._ended:
            return
        if not self.complete:
            raise UpstreamError(Failure(FailureClass.STREAM_TRUNCATED))
        self._end(items)

    def _take_text(self, response_id: str, text: str, items: list[UpstreamItem]) -> None:
        self._choice = 0
        if not self._opened and (response_id or text):
            self._open(response_id, items)
        if text:
            self._said.take_text(text, items)
            self._goes_on = bool(self._reason)

    def _take_chunk(self, chunk: dict[str, Any], items: list[UpstreamItem]) -> None:
        response_id = text_in(chunk.get("id"))
        if response_id:
            self._open(response_id, items)
        self._usage.add(chunk.get("usage"))
        # Groq's place of the counts.
        self._usage.add(object_in(chunk.get("x_groq")).get("usage"))
        for choice in self._own_choices(chunk.get("choices")):
            for place in (choice, object_in(choice.get("delta")), object_in(choice.get("message"))):
                raise_error(b"", place, self._secrets)
            self._take_choice(choice, items)

    def _own_choices(self, value: Any) -> Iterator[dict[str, Any]]:
        """Those of the first choice that was sent; more are ignored, nobody asked for them."""
        for position, choice in enumerate(all_objects_in(value)):
            index = count_in(choice.get("index"))
            index = position if index is None else index
            if self._choice is None:
                self._choice = index
            if index == self._choice:
                yield choice

    def _take_choice(self, choice: dict[str, Any], items: list[UpstreamItem]) -> None:
        self._usage.add(choice.get("usage"))
        said: list[UpstreamItem] = []
        if self._said.take(choice, said):
            self._goes_on = bool(self._reason)
        if said:
            self._open("", items)
            items += said
        reason = text_in(choice.get("finish_reason")).strip()
        if reason:
            self._reason, self._goes_on = reason, False

    def _open(self, response_id: str, items: list[UpstreamItem]) -> None:
        if not self._opened:
            self._opened = True
            items.append(Opened(response_id))

    def _end(self, items: list[UpstreamItem]) -> None:
        self._open("", items)
        reason = self._finish_reason()
        self._said.end(reason, items)
        self._ended = True
        items.append(UsageReport(self._usage.final(self._input_chars, self._said.output_chars)))
        items.append(Finished(reason))

    def _finish_reason(self) -> FinishReason:
        """TOOL_CALLS if there are calls: some servers send "stop" with them."""
        word = self._reason.lower()
        reason = _FINISH.get(word)
        if reason is None or (reason is FinishReason.TOOL_CALLS and not self._said.has_calls):
            raise UpstreamError(Failure(_FAILED.get(word, FailureClass.STREAM_MALFORMED)))
        is_call = reason is FinishReason.STOP and self._said.has_calls
        return FinishReason.TOOL_CALLS if is_call else reason


def _more_places(chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Where Groq and MiniMax have an error."""
    yield object_in(chunk.get("x_groq"))
    said = object_in(chunk.get("base_resp"))
    if count_in(said.get("status_code")):
        yield {"error": {"code": said["status_code"], "message": said.get("status_msg")}}
