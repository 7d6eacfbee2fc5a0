"""Chat completions, as OpenAI and compatible servers write them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from services.content.model import Message
from services.fake_provider.answers import Answer, Json
from services.fake_provider.conversation import openai_messages
from services.router.core.script import words

_TYPES = {
    401: "authentication_error",
    429: "rate_limit_error",
    400: "invalid_request_error",
}


class OpenAiDialect:
    """Implements ``Dialect``."""

    path = "/v1/chat/completions"
    overloaded_status = 503
    garbage = b"data: {this is no answer\n\n"

    def messages(self, body: object) -> list[Message]:
        return openai_messages(body)

    def whole(self, answer: Answer) -> Json:
        message: Json = {"role": "assistant", "content": answer.reply.text or None}
        if answer.reply.reasoning:
            message["reasoning_content"] = answer.reply.reasoning
        if answer.calls:
            message["tool_calls"] = [_call(answer, index) for index in range(len(answer.calls))]
        choice = {"index": 0, "message": message, "finish_reason": _finish_reason(answer)}
        return {**_head(answer, "chat.completion"), "choices": [choice], "usage": _usage(answer)}

    def events(self, answer: Answer) -> list[bytes]:
        head = _head(answer, "chat.completion.chunk")
        last = {"index": 0, "delta": {}, "finish_reason": _finish_reason(answer)}
        return [
            *self.begun(answer),
            _event({**head, "choices": [last]}),
            _event({**head, "choices": [], "usage": _usage(answer)}),
            b"data: [DONE]\n\n",
        ]

    def begun(self, answer: Answer) -> list[bytes]:
        head = _head(answer, "chat.completion.chunk")
        return [_event({**head, "choices": [_choice(delta)]}) for delta in _deltas(answer)]

    def error(self, status: int, text: str) -> Json:
        kind = _TYPES.get(status, "server_error")
        return {"error": {"message": text, "type": kind, "param": None, "code": None}}


def _head(answer: Answer, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{answer.id}",
        "object": kind,
        "created": int(time.time()),
        "model": answer.model,
    }


def _deltas(answer: Answer) -> Iterator[Json]:
    yield {"role": "assistant", "content": ""}
    for word in words(answer.reply.reasoning):
        yield {"reasoning_content": word}
    for word in words(answer.reply.text):
        yield {"content": word}
    for index in range(len(answer.calls)):
        yield {"tool_calls": [{"index": index, **_call(answer, index)}]}


def _choice(delta: Json) -> Json:
    return {"index": 0, "delta": delta, "finish_reason": None}


def _call(answer: Answer, index: int) -> Json:
    call = answer.calls[index]
    function = {"name": call.tool_id, "arguments": call.arguments_json}
    return {"id": call.call_id, "type": "function", "function": function}


def _finish_reason(answer: Answer) -> str:
    return "tool_calls" if answer.calls else "stop"


def _usage(answer: Answer) -> Json:
    usage = answer.usage
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _event(data: Json) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"
